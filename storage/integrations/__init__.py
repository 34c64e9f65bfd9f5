"""Adapters for other people's frameworks. Each is one module, imports its framework itself, and has an extra of its own."""
