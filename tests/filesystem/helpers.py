"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

from storage.backends import PutOptions
from storage.backends.filesystem import FilesystemBackend

PLAIN = PutOptions("text/plain")
ONCE = PLAIN._replace(overwrite=False)


def listed(store: FilesystemBackend, prefix: str = "", **options: object) -> list[str]:
    """Every path, page by page."""
    return [path for page in store.scan(prefix, **options) for path, _ in page]  # type: ignore[arg-type]


def tree(root: Path) -> list[str]:
    """What a person sees below ``root``, directories with a slash, without what is ours in the root."""
    found = (f"{path.relative_to(root)}{'/' * (path.is_dir() and not path.is_symlink())}" for path in root.rglob("*"))
    return sorted(name for name in found if not name.startswith(".storage~"))


def leftovers(root: Path) -> list[str]:
    """Every temporary file that is there."""
    staging = root / ".storage~" / "tmp"
    beside = [str(path) for path in root.rglob(".storage~tmp~*")]
    return beside + [str(path) for path in staging.iterdir()] if staging.exists() else beside
