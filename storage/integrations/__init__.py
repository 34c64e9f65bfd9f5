"""Adapters for frameworks: one module each, which imports its framework and has an extra of its own."""

__all__: list[str] = []
