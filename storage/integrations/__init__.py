"""Adapters for frameworks of others. Each is one module, imports its framework itself, and has an extra of its own."""

__all__: list[str] = []
