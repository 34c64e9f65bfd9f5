"""The parts of the ``gs://`` driver; :mod:`storage.backends.gcs` puts them together."""
