"""``storage`` on the command line: the same library for a shell (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after ``storage``; ``None``: those of this process.

    Returns:
        The exit status: 0 done; 1 the blob is not there; 2 wrong usage or configuration; 3 any other error; 130 interrupted.
    """
    try:
        from storage.cli import _run
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "storage":
            raise
        print(  # noqa: T201 (there is no logger yet, and no click)
            f"storage: the command line needs the package {exc.name.partition('.')[0]!r}: pip install 'storage-facade[cli]'",
            file=sys.stderr,
        )
        return 2
    return _run.run(sys.argv[1:] if argv is None else list(argv))
