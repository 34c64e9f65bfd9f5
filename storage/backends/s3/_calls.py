"""``Call``: one unsigned request of S3's protocol, for either transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

_NONE: Final[Mapping[str, str]] = {}


class Call(NamedTuple):
    """A request about the bucket or about one blob in it.

    Attributes:
        name: the method of boto3's client that makes this request.
        method: the HTTP method.
        path: the blob's, as it is; ``None``: the bucket itself.
        query: percent-encoded and sorted by name, as a signature needs it.
        headers: names in lower case. None that the sender adds: host, length, date, authorization.
        body: what is sent.
        document: the parameter of boto3's client that says the same as an XML ``body``.
        repeatable: carrying it out twice does no more than once.
    """

    name: str
    method: str
    path: str | None = None
    query: str = ""
    headers: Mapping[str, str] = _NONE
    body: bytes | memoryview = b""
    document: Callable[[], dict[str, Any]] | None = None
    repeatable: bool = True


def query(**parameters: str) -> str:
    """A query string; an underscore in a name stands for a hyphen."""
    return "&".join(
        f"{name}={quote(value, '')}" for name, value in sorted((n.replace("_", "-"), v) for n, v in parameters.items())
    )
