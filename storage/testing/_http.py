"""A plain HTTP client that knows nothing of any service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from storage import SignedRequest


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def refused(self) -> bool:
        """Whether it is a 4xx."""
        return 400 <= self.status < 500


def send(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
    *,
    chunked: bool = False,
) -> Answer:
    """Sends one request, exactly as given, on a connection of its own."""
    parts = urlsplit(url)
    assert parts.hostname
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(parts.hostname, parts.port, timeout=60)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sent = dict(headers or {})
    if chunked:
        sent["Transfer-Encoding"] = "chunked"
    try:
        # A server may answer before it has read the whole body.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body, sent, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def send_request(request: SignedRequest, body: bytes | None = None, **changes: str | None) -> Answer:
    """Sends a signed request with the headers it names.

    ``changes`` sets further headers, or with ``None`` leaves one out (``content_type`` stands for ``Content-Type``).
    """
    headers = dict(request.headers)
    for name, value in changes.items():
        written = name.replace("_", "-").title()
        for present in [header for header in headers if header.lower() == written.lower()]:
            del headers[present]
        if value is not None:
            headers[written] = value
    return send(request.method, request.url, headers, body)


def altered(url: str) -> list[tuple[str, str]]:
    """The URL with each of its query parameters changed, left out, given twice or renamed; and with one more. With a label."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    made: list[tuple[str, str]] = []

    def add(label: str, changed: list[tuple[str, str]]) -> None:
        made.append((label, urlunsplit(parts._replace(query=urlencode(changed)))))

    for index, (name, value) in enumerate(pairs):
        before, after = pairs[:index], pairs[index + 1 :]
        last = "1" if value[-1:] == "0" else "0"
        add(f"{name} changed at its end", [*before, (name, value[:-1] + last), *after])
        add(f"{name} longer", [*before, (name, value + "0"), *after])
        add(f"{name} empty", [*before, (name, ""), *after]) if value else None
        add(f"{name} left out", [*before, *after])
        add(f"{name} renamed", [*before, (name + "x", value), *after])
        add(f"{name} twice", [*before, (name, value), (name, value + "0"), *after])
    add("no query", [])
    add("one parameter more", [*pairs, ("response-content-type", "text/html")])
    return made


def repath(url: str, other: str) -> str:
    """``url`` with the path of ``other``."""
    return urlunsplit(urlsplit(url)._replace(path=urlsplit(other).path))
