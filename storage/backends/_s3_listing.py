"""Answers to ListObjectsV2, read by the C parser of ElementTree: botocore's own costs a hundred microseconds a key. Pure."""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, XMLParser

from storage._backend import Stat

__all__ = ["Page", "parse_page"]


class Page(NamedTuple):
    """One answer: blobs and common prefixes in order, and the token for the next, if there is one.

    Where there is more, there is a token or at least an entry to go on after.
    """

    entries: list[tuple[str, Stat | None]]
    truncated: bool
    token: str | None
    depth_first: bool = False  # the server is one that orders so: its headers tell


def parse_page(body: bytes, *, detail: bool) -> Page:
    """The answer ``body``, parsed.

    Raises:
        ParseError: it is no such answer; it may have been cut on the way.
    """
    parser = XMLParser()  # noqa: S314 (of the server that is trusted with the blobs; expat fetches nothing)
    try:
        parser.feed(body)
        return _page(parser.close(), detail=detail)
    except (ParseError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ParseError(f"the answer to a listing is not what it should be: {type(exc).__name__}: {exc}") from exc


def _page(root: Element, *, detail: bool) -> Page:
    namespace, name = root.tag[: root.tag.rfind("}") + 1], root.tag[root.tag.rfind("}") + 1 :]
    if name != "ListBucketResult":
        raise ValueError(f"<{name}>")
    # Without an encoding type keys come as they are, and a `+` or `%` in one is only that.
    encoded = (root.findtext(f"{namespace}EncodingType") or "").lower() == "url"
    contents = root.iterfind(f"{namespace}Contents")
    entries: list[tuple[str, Stat | None]]
    if detail:
        entries = [_entry(element, namespace, encoded=encoded) for element in contents]
    else:
        entries = [(_text(element.findtext(f"{namespace}Key"), encoded=encoded), None) for element in contents]
    prefixes: list[tuple[str, Stat | None]] = [
        (_text(element.text, encoded=encoded), None)
        for element in chain.from_iterable(
            common.iterfind(f"{namespace}Prefix") for common in root.iterfind(f"{namespace}CommonPrefixes")
        )
    ]
    if prefixes:
        # Code points sort as their UTF-8 bytes do.
        entries = sorted(entries + prefixes, key=lambda entry: entry[0])
    truncated = root.findtext(f"{namespace}IsTruncated") == "true"
    token = root.findtext(f"{namespace}NextContinuationToken") or None
    if truncated and token is None and not entries:
        raise ValueError("an empty page that is not the last, and no token")
    return Page(entries, truncated, token)


def _text(text: str | None, *, encoded: bool) -> str:
    if text is None:
        raise ValueError("an entry without a key")
    if encoded and ("%" in text or "+" in text):
        return unquote_plus(text, errors="surrogateescape")
    return text


def _entry(element: Element, namespace: str, *, encoded: bool) -> tuple[str, Stat]:
    cut = len(namespace)
    fields = {child.tag[cut:]: child.text for child in element}
    etag = fields["ETag"] or ""
    return _text(fields["Key"], encoded=encoded), Stat(
        int(fields["Size"] or 0), etag.strip('"'), _time(fields["LastModified"] or "")
    )


def _time(text: str) -> datetime:
    """An ISO 8601 time in UTC, as listings have it: with any number of digits after the point."""
    try:
        return datetime.fromisoformat(text.removesuffix("Z") + "+00:00")
    except ValueError:
        whole, _, fraction = text.removesuffix("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
