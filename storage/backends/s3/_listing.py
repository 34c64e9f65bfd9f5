"""Pages of a listing, past botocore's parser."""

from __future__ import annotations

import threading
from typing import Any
from xml.etree.ElementTree import ParseError

from botocore.parsers import ResponseParserError

from storage._backend import trace
from storage.backends._s3_listing import Page, parse_page

__all__ = ["keep_body", "list_page"]

_BODY = "storage-body"


class _RawListing(threading.local):
    """Whether this thread wants listings unparsed: the client is also the user's, whose listings stay as they are."""

    wanted: bool = False


_raw_listing = _RawListing()


def keep_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """An event handler: keeps an answer's body from botocore's parser and hands it on as it is."""
    if _raw_listing.wanted and response_dict["status_code"] == 200:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"<ListBucketResult/>"


def list_page(client: Any, params: dict[str, Any], *, detail: bool) -> Page:
    """Asks for one page.

    Raises:
        ResponseParserError: the answer is none; and what else the SDK raises.
    """
    _raw_listing.wanted = True
    try:
        response = client.list_objects_v2(**params)
    finally:
        _raw_listing.wanted = False
    metadata = response["ResponseMetadata"]
    trace.request_id = metadata.get("RequestId")
    try:
        page = parse_page(response[_BODY], detail=detail)
    except ParseError as exc:
        raise ResponseParserError(str(exc)) from exc
    return page._replace(depth_first=metadata["HTTPHeaders"].get("server", "").startswith("SeaweedFS"))
