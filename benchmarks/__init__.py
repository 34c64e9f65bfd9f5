"""The library beside its peers, measured: ``make bench``."""
