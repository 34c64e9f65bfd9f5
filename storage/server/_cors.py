"""CORS: lets the pages of allowed web origins use signed URLs from a browser. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage._url_signing import METHODS

Headers = Mapping[str, Sequence[str]]

# Every header that `sign_upload` can ask for, and those that a download or an upload may add on its own.
_REQUEST_HEADERS = frozenset({
    "cache-control", "content-encoding", "content-length", "content-md5", "content-type",
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "pragma", "range",
})  # fmt: skip
_METHODS = (*METHODS, "POST")
_EXPOSED = "ETag, Content-Length, Content-Range, Content-Disposition, Content-Encoding, Last-Modified"
_SIMPLE = frozenset({"accept", "accept-language", "content-language"})
_SECONDS = 600


def cors_headers(headers: Headers, origins: Sequence[str]) -> list[tuple[str, str]]:
    """The headers that let a page of an allowed origin read an answer; none for any other page."""
    allowed = _allowed(headers, origins)
    vary = [] if not origins or "*" in origins else [("vary", "Origin")]
    if allowed is None:
        return vary
    return [*vary, ("access-control-allow-origin", allowed), ("access-control-expose-headers", _EXPOSED)]


def preflight(headers: Headers, origins: Sequence[str]) -> tuple[int, list[tuple[str, str]], str]:
    """The answer to a browser's preflight request: status, headers, text. 403: this page may not send the request."""
    allowed = _allowed(headers, origins)
    vary = [
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ("cache-control", "no-store"),
    ]
    method = ", ".join(headers.get("access-control-request-method", ()))
    names = {
        name.strip().lower()
        for value in headers.get("access-control-request-headers", ())
        for name in value.split(",")
        if name.strip()
    }
    if allowed is None or method not in _METHODS or not names <= _REQUEST_HEADERS | _SIMPLE:
        return 403, vary, "this origin, method or header is not allowed here; see Storage.setup(cors_origins=…)"
    answer = [
        *vary,
        ("access-control-allow-origin", allowed),
        ("access-control-allow-methods", ", ".join(_METHODS)),
        ("access-control-max-age", str(_SECONDS)),
    ]
    if names:
        answer.append(("access-control-allow-headers", ", ".join(sorted(names))))
    return 204, answer, ""


def _allowed(headers: Headers, origins: Sequence[str]) -> str | None:
    origin = headers.get("origin", ())
    if len(origin) != 1:
        return None
    if "*" in origins:
        return "*"
    return origin[0] if origin[0] in origins else None
