"""Listings, read by the C parser of ElementTree: botocore's own costs a hundred microseconds a key."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, XMLParser

from botocore.parsers import ResponseParserError

from storage.backends._protocol import Stat

__all__ = ["Page", "keep_body", "list_page", "parse_page", "parse_time"]

_BODY = "storage-body"
_UTC = timezone.utc


class _RawListing(threading.local):
    """Whether this thread wants listings unparsed: the client is also the user's, whose listings stay as they are."""

    wanted: bool = False


_raw_listing = _RawListing()


def keep_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """An event handler: keeps an answer's body from botocore's parser and hands it on as it is."""
    if _raw_listing.wanted and response_dict["status_code"] == 200:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"<ListBucketResult/>"


class Page(NamedTuple):
    """One answer to ListObjectsV2: blobs and common prefixes in order, and the token for the next, if there is one."""

    entries: list[tuple[str, Stat | None]]
    truncated: bool
    token: str | None
    depth_first: bool = False  # the server is one that orders so
    request_id: str | None = None


def list_page(client: Any, params: dict[str, Any], *, detail: bool) -> Page:
    """Asks for one page."""
    _raw_listing.wanted = True
    try:
        response = client.list_objects_v2(**params)
    finally:
        _raw_listing.wanted = False
    metadata = response["ResponseMetadata"]
    depth_first = metadata["HTTPHeaders"].get("server", "").startswith("SeaweedFS")
    page = parse_page(response[_BODY], detail=detail)
    return page._replace(depth_first=depth_first, request_id=metadata.get("RequestId"))


def parse_page(body: bytes, *, detail: bool) -> Page:
    """The answer ``body``, parsed.

    Raises:
        ResponseParserError: it is no such answer; it may have been cut on the way.
    """
    parser = XMLParser()  # noqa: S314 (of the server that is trusted with the blobs; botocore uses the same)
    try:
        parser.feed(body)
        root = parser.close()
        return _page(root, detail=detail)
    except (ParseError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ResponseParserError(
            f"the answer to a listing is not what it should be: {type(exc).__name__}: {exc}"
        ) from exc


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
    token = root.findtext(f"{namespace}NextContinuationToken")
    return Page(entries, root.findtext(f"{namespace}IsTruncated") == "true", token or None)


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
        int(fields["Size"] or 0), etag.strip('"'), parse_time(fields["LastModified"] or "")
    )


def parse_time(text: str) -> datetime:
    """An ISO 8601 time in UTC, as listings have it: with any number of digits after the point."""
    try:
        return datetime.fromisoformat(text.removesuffix("Z") + "+00:00")
    except ValueError:
        whole, _, fraction = text.removesuffix("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
