"""Opens the store behind a path of fsspec's, such as ``storage+s3://BUCKET/KEY``."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from storage import Storage


def absolute(root: str | os.PathLike[str] | None) -> str:
    """The directory of a store; ``ValueError`` where none was given."""
    if root is None:
        raise ValueError(
            "storage+file:// does not say in which directory the store begins: pass root=, "
            'as in storage_options={"root": "/data/store"}'
        )
    return os.path.abspath(root)


def query(options: Mapping[str, Any]) -> str:
    """The query of a URL with these parameters, that shows everything below the URL."""
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    return urlencode({"types": "data:", **texts})


@functools.lru_cache(64)
def opened(url: str) -> Storage:
    """One store a URL in this process: fsspec makes a file system for each path that it is given."""
    return Storage(url)
