"""``file://``: blobs are plain files below a directory. See ``docs/filesystem.md`` for the layout on disk."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NoReturn

from storage._urls import StorageURL
from storage.exceptions import ConfigurationError

__all__ = ["FilesystemBackend", "create"]


if find_spec("fcntl"):
    from storage.backends.filesystem._backend import FilesystemBackend, create
else:  # Windows

    def create(url: StorageURL, **options: Any) -> NoReturn:  # type: ignore[misc]  # it raises whatever it is given
        """Stands for ``create`` on a system that has no locks for files."""
        del options
        raise ConfigurationError(f"{url}: file:// works on Linux and macOS only; use memory://, s3:// or gs://")
