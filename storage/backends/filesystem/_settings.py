"""What a store remembers about itself, and the sweeping of what nobody needs any more."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from storage._backend import Setup
from storage.backends.filesystem import _listing, _publishing, _sidecars, _staging, _system
from storage.backends.filesystem._staging import Staged
from storage.backends.filesystem._tree import HOME, Tree
from storage.exceptions import NotFoundError, StorageError

__all__ = ["Settings", "read_settings", "setup", "sweep"]

_FILE: Final = f"{HOME}/settings.json"
_DAY: Final = 86_400  # seconds


class Settings(NamedTuple):
    """What ``setup`` was told.

    Attributes:
        cors_origins: the origins that a server of this store answers to.
        tmp_days: for each prefix, after how many days its blobs expire.
    """

    cors_origins: tuple[str, ...] = ()
    tmp_days: dict[str, int] = {}  # noqa: RUF012 (never changed)


def read_settings(tree: Tree) -> Settings:
    """What the store remembers; the defaults where ``setup`` never ran."""
    try:
        fd = tree.open(_FILE, _system.READ)
    except FileNotFoundError:
        return Settings()
    with open(fd, encoding="utf-8") as file:
        try:
            read = json.load(file)
            return Settings(
                tuple(map(str, read.get("cors_origins", ()))),
                {str(prefix): int(days) for prefix, days in read.get("tmp_days", {}).items()},
            )
        except (ValueError, TypeError, AttributeError) as exc:
            raise StorageError(f"{tree.root}/{_FILE} is damaged; delete it, and set the store up again") from exc


def setup(tree: Tree, wanted: Setup) -> Sequence[str]:
    """As ``Backend.setup``: makes the root, remembers the rest."""
    lines: list[str] = []
    if wanted.create_bucket and not tree.exists():
        tree.make_root(create=True)
        lines.append(f"made the directory {tree.root!r}")
    old = new = read_settings(tree)
    if wanted.cors_origins is not None and wanted.cors_origins != old.cors_origins:
        new = new._replace(cors_origins=tuple(wanted.cors_origins))
        lines.append(
            f"browsers on {', '.join(new.cors_origins) or 'no other origin'} may read and upload (storage serve)"
        )
    prefix = wanted.tmp_prefix or ""
    if wanted.tmp_days is not None and old.tmp_days.get(prefix) != wanted.tmp_days:
        new = new._replace(tmp_days={**new.tmp_days, prefix: wanted.tmp_days})
        lines.append(f"blobs below {prefix!r} expire {wanted.tmp_days} days after they were written (storage gc)")
    if new != old:
        _write(tree, new)
    return lines


def _write(tree: Tree, settings: Settings) -> None:
    staged = Staged.held(tree)
    try:
        staged.write(json.dumps(settings._asdict(), ensure_ascii=False, indent=1).encode())
        _system.sync(staged.fd)
        fd = tree.open(HOME, _system.DIRECTORY)
        try:
            os.rename(staged.name, _FILE.rpartition("/")[2], src_dir_fd=staged.folder.fd, dst_dir_fd=fd)
            _system.sync(fd)
        finally:
            os.close(fd)
    except BaseException:
        staged.discard()
        raise
    staged.close()


def sweep(tree: Tree, now: float) -> Sequence[str]:
    """As ``Backend.sweep``. ``now``: seconds since the epoch."""
    counts = {
        "leftovers of writers that died": _staging.sweep_all(tree, _listing.folders(tree)),
        "records of blobs that are gone": sum(_forget(tree, path, name) for path, name in _sidecars.orphans(tree)),
        "expired blobs": sum(
            _expire(tree, prefix, now - days * _DAY) for prefix, days in read_settings(tree).tmp_days.items()
        ),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def _forget(tree: Tree, path: str, name: str) -> bool:
    """Removes a sidecar unless it belongs to the blob that is there."""
    with contextlib.suppress(OSError, StorageError):
        return _sidecars.forget(tree, path, name)
    return False


def _expire(tree: Tree, prefix: str, before: float) -> int:
    """Deletes the blobs below ``prefix`` that were written before ``before``; how many."""
    count = 0
    for page in _listing.pages(tree, prefix, None, 1000, delimiter=False):
        for path in page:
            with contextlib.suppress(NotFoundError):
                if tree.file(path).st_mtime < before:
                    count += _publishing.delete(tree, path, lambda st: st.st_mtime < before)
    return count
