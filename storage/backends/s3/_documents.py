"""The XML of S3's protocol: requests written, answers read. Pure.

Answers are read by the C parser of ElementTree: botocore's own takes a hundred microseconds a key. Whatever is wrong with one,
it is not the service's: an ``UnavailableError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import unquote_plus

from storage._backend import Stat
from storage.backends._http import iso_time
from storage.exceptions import UnavailableError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

T = TypeVar("T")

MAX_DOCUMENT: Final = 64 * 1024 * 1024  # bytes: a listing of 1,000 keys has some hundred KiB, a hostile answer no end

_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;"})


class Part(NamedTuple):
    """A part of an upload that has arrived; with its CRC-32 where the service keeps one."""

    number: int
    etag: str
    crc32: str | None = None


class Page(NamedTuple):
    """One answer to ListObjectsV2: blobs and common prefixes in order, and the token for the next, if there is one.

    Where there is more, there is a token or at least an entry to go on after.
    """

    entries: list[tuple[str, Stat | None]]
    truncated: bool
    token: str | None


# ---- requests ----------------------------------------------------------------------------------------------------------


def delete_objects(paths: Iterable[str]) -> bytes:
    """The body of a ``DeleteObjects`` that tells of failures alone."""
    # Escaped all at once; no document can hold what stands between them.
    keys = _escaped("\0".join(paths)).replace("\0", "</Key></Object><Object><Key>")
    return f"<Delete><Quiet>true</Quiet><Object><Key>{keys}</Key></Object></Delete>".encode()


def complete_upload(parts: Iterable[Part]) -> bytes:
    """The body of a ``CompleteMultipartUpload``."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{_escaped(etag)}</ETag>"
        f"{'' if crc32 is None else f'<ChecksumCRC32>{_escaped(crc32)}</ChecksumCRC32>'}</Part>"
        for number, etag, crc32 in parts
    )
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


def _escaped(text: str) -> str:
    return text.translate(_ENTITIES) if not text.isalnum() else text


# ---- answers -----------------------------------------------------------------------------------------------------------


def error(body: bytes) -> dict[str, str] | None:
    """The fields of an ``<Error>`` (``Code``, ``Message``, …); ``None``: the body is something else."""
    try:
        return _read(body, "Error", lambda root: {_name(child): child.text or "" for child in root})
    except UnavailableError:
        return None


def upload_id(body: bytes) -> str:
    """The upload's id, from the answer to a ``CreateMultipartUpload``."""
    return _read(body, "InitiateMultipartUploadResult", lambda root: _needed(_fields(root), "UploadId"))


def copy_result(body: bytes, name: str) -> tuple[str, datetime | None, str | None]:
    """Etag, time and CRC-32 of a copy; ``name`` is ``CopyObjectResult`` or ``CopyPartResult``."""

    def read(root: Element) -> tuple[str, datetime | None, str | None]:
        fields = _fields(root)
        moment = fields.get("LastModified")
        return _etag(fields), None if moment is None else iso_time(moment), fields.get("ChecksumCRC32")

    return _read(body, name, read)


def completed_etag(body: bytes) -> str:
    """The etag of a blob whose upload in parts was completed."""
    return _read(body, "CompleteMultipartUploadResult", lambda root: _etag(_fields(root)))


def failed_deletions(body: bytes) -> list[tuple[str, str, str]]:
    """Key, code and message of each deletion that failed."""

    def read(root: Element) -> list[tuple[str, str, str]]:
        failed = (_fields(child) for child in root if _name(child) == "Error")
        return [(_needed(one, "Key"), _needed(one, "Code"), one.get("Message") or "") for one in failed]

    return _read(body, "DeleteResult", read)


def listing(body: bytes, *, detail: bool) -> Page:
    """A page of a listing."""
    return _read(body, "ListBucketResult", lambda root: _page(root, detail=detail))


def _read(body: bytes, name: str, read: Callable[[Element], T]) -> T:
    from xml.etree.ElementTree import ParseError, XMLParser  # 4 ms, which small calls never need

    try:
        # No answer has a document type: what one could declare is how a parser is attacked.
        if b"<!DOCTYPE" in body or b"\0" in body[:64]:
            raise ValueError("a document type")  # noqa: TRY301
        parser = XMLParser()  # noqa: S314 (expat fetches nothing)
        parser.feed(body)
        root: Element = parser.close()
        if _name(root) != name:
            raise ValueError(f"<{_name(root)[:40]}>")  # noqa: TRY301
        return read(root)
    except (ParseError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise UnavailableError(
            f"the service's answer is no whole {name} ({exc}); a proxy or gateway may have cut or replaced it"
        ) from exc


def _page(root: Element, *, detail: bool) -> Page:
    namespace = root.tag[: root.tag.rfind("}") + 1]
    if root.find(f"{namespace}Name") is None and root.find(f"{namespace}IsTruncated") is None:
        raise ValueError("it does not say of which bucket, nor whether it is all")
    # Without an encoding type keys come as they are, and a `+` or `%` in one is only that.
    encoded = (root.findtext(f"{namespace}EncodingType") or "").lower() == "url"
    contents = root.iterfind(f"{namespace}Contents")
    entries: list[tuple[str, Stat | None]]
    if detail:
        entries = list(_entries(contents, len(namespace), encoded=encoded))
    else:
        key = f"{namespace}Key"
        entries = [(_text(element.findtext(key), encoded=encoded), None) for element in contents]
    prefixes: list[tuple[str, Stat | None]] = [
        (_text(element.text, encoded=encoded), None)
        for element in chain.from_iterable(
            common.iterfind(f"{namespace}Prefix") for common in root.iterfind(f"{namespace}CommonPrefixes")
        )
    ]
    if prefixes:
        # Code points sort as their UTF-8 bytes do.
        entries = sorted(entries + prefixes, key=lambda entry: entry[0])
    said = (root.findtext(f"{namespace}IsTruncated") or "false").lower()
    if said not in ("true", "false"):
        raise ValueError("it does not say whether it is all")
    truncated = said == "true"
    token = root.findtext(f"{namespace}NextContinuationToken") or None
    if truncated and token is None and not entries:
        raise ValueError("an empty page that is not the last, and no token")
    return Page(entries, truncated, token)


def _text(text: str | None, *, encoded: bool) -> str:
    if not text:
        raise ValueError("an entry without a key")
    if encoded and ("%" in text or "+" in text):
        return unquote_plus(text, errors="surrogateescape")
    return text


def _entries(contents: Iterable[Element], cut: int, *, encoded: bool) -> Iterator[tuple[str, Stat]]:
    seen, moment = "", None  # blobs that were written together have the same time
    for element in contents:
        fields = {child.tag[cut:]: child.text for child in element}
        when = fields["LastModified"] or ""
        if when != seen or moment is None:
            seen, moment = when, iso_time(when)
        size = int(fields["Size"] or 0)
        if size < 0:
            raise ValueError("a negative size")
        yield _text(fields["Key"], encoded=encoded), Stat(size, _etag(fields), moment)


def _etag(fields: Mapping[str, str | None]) -> str:
    return _needed(fields, "ETag").strip('"')


def _fields(element: Element) -> dict[str, str | None]:
    return {_name(child): child.text for child in element}


def _needed(fields: Mapping[str, str | None], name: str) -> str:
    text = fields[name]
    if not text:
        raise ValueError(f"an empty {name}")
    return text


def _name(element: Element) -> str:
    return element.tag[element.tag.rfind("}") + 1 :]
