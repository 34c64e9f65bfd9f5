"""``file://``: blobs are plain files below a directory. See ``docs/filesystem.md`` for the layout on disk."""

from __future__ import annotations

from storage.backends.filesystem._backend import FilesystemBackend, create

__all__ = ["FilesystemBackend", "create"]
