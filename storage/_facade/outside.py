"""Warns of files in a store's directory that are not its blobs: a plain folder that is opened as a store looks empty."""

from __future__ import annotations

from contextlib import suppress

from storage._backend import Backend
from storage._facade.call import Call
from storage._facade.core import Core
from storage.exceptions import StorageError

_MOST = 100_000  # files that are counted


def files_outside(core: Core, backend: Backend, name: str, most: int = _MOST) -> str | None:
    """A message with the number of these files (up to ``most``) and the remedy; ``None``: there are none."""
    prefixes = core.prefixes(backend)
    count = Call.about_backend(name, backend).do(backend.count_outside, prefixes, most)
    if not count:
        return None
    some = f"{count:,} or more files" if count >= most else f"{count:,} file{'' if count == 1 else 's'}"
    return (
        f"{some} outside of {', '.join(prefixes)}, where the blobs of the store are; if the directory is a plain folder, write "
        "?types=data: in its URL, or give its path on the command line"
    )


def warn_once(core: Core, backend: Backend, name: str) -> None:
    """Logs one warning if a store without blobs has such files."""
    if core.warned_of_files:
        return
    with suppress(StorageError):  # the listing itself went well
        message = files_outside(core, backend, name, most=1)
        if message is not None:
            core.warned_of_files = True
            import logging  # see storage._log

            logging.getLogger("storage").warning("%s has no blobs to list, but %s", backend.location, message)
