"""The settings of a store that ``setup`` writes: the web origins of its server, and the days after which blobs expire."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from storage._backend import Setup
from storage._descriptors import Descriptor
from storage.backends.filesystem import _folders, _system
from storage.backends.filesystem._staging import write_own
from storage.backends.filesystem._tree import HOME, Tree
from storage.exceptions import StorageError

_PATH: Final = f"{HOME}/settings.json"


class Settings(NamedTuple):
    """The settings that ``setup`` was given."""

    cors_origins: tuple[str, ...] = ()  # that a server of this store answers to
    tmp_days: dict[str, int] = {}  # noqa: RUF012 (for each prefix, after how many days its blobs expire; never changed)


def read_settings(tree: Tree) -> Settings:
    """Reads the settings of a store; the defaults where ``setup`` never ran."""
    fd = tree.find(_PATH, _system.READ)
    if fd is None:
        return Settings()
    with Descriptor(fd), open(fd, encoding="utf-8", closefd=False) as file:
        try:
            read = json.load(file)
            return Settings(
                tuple(map(str, read.get("cors_origins", ()))),
                {str(prefix): int(days) for prefix, days in read.get("tmp_days", {}).items()},
            )
        except (ValueError, TypeError, AttributeError) as exc:
            raise StorageError(f"{tree.root}/{_PATH} is damaged; delete it, and set the store up again") from exc


def setup(tree: Tree, wanted: Setup) -> Sequence[str]:
    """As ``Backend.setup``: makes the root, and remembers the rest."""
    lines: list[str] = []
    if wanted.create_bucket and not tree.exists():
        _folders.make_root(tree, create=True)
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
        write_own(tree, _PATH, json.dumps(new._asdict(), ensure_ascii=False, indent=1).encode())
    return lines
