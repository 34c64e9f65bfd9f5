"""Answers the POST of a signed form: checks its fields, then stores its file while it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from storage._backend import Backend, PutOptions, Stat
from storage._content_types import guess_content_type
from storage._url_signing import Grant, RefusedError
from storage.server._http import Request
from storage.server._upload import Body

_FILE: Final = "file"
_FIELD_BYTES: Final = 64 * 1024  # all names and values together, each field with what it costs in memory
_FIELD_COST: Final = 256
_HEAD_BYTES: Final = 8 * 1024  # a line of a part's head
_MALFORMED: Final = "this is no form: send multipart/form-data as browsers do"


def is_form(request: Request) -> bool:
    """Whether a request has the content type of a form with a file."""
    return _content_type(request)[0] == b"multipart/form-data"


async def post_form(
    backend: Backend,
    verify: Callable[[Sequence[tuple[str, str]]], Grant],
    request: Request,
    max_bytes: int,
    stall_seconds: float,
) -> Stat:
    """Stores the file of a form: all of it or nothing.

    ``verify`` says what the fields before the file allow. A file of more than ``max_bytes`` is refused, whatever it allows.

    Raises:
        RefusedError: the fields are not what was signed, or the file is longer than it may be; nothing was stored.
        StalledError: the client has gone away; nothing was stored.
    """
    form, more = _Form(_content_type(request)[1].get(b"boundary", b"")), True
    while more and not form.at_file:
        data, more = await request.read(stall_seconds)
        form.feed(data)
    if not form.at_file:
        form.check_complete()
        raise RefusedError(400, f"the form has no field {_FILE!r}; nothing was stored")
    grant = verify(form.fields)
    options = PutOptions(grant.content_type or guess_content_type(grant.path))
    limit = max_bytes if grant.max_length is None else min(max_bytes, grant.max_length)

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal more
        yield form.take_file()
        while more:
            data, more = await request.read(stall_seconds)
            form.feed(data)
            yield form.take_file()
        form.check_complete()

    return await Body(backend, grant.path, options, None, limit, None).store(pieces())


def _content_type(request: Request) -> tuple[bytes, dict[bytes, bytes]]:
    return parse_options_header(request.one("content-type") or "")


class _Form:
    """The parts of a form as they come: fields, then the file, which is the last one."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: list[tuple[str, str]] = []  # names and values of those before the file
        self.at_file = False  # whether the file has begun, so that all fields are known
        self.complete = False  # whether the end of the form has come
        self._count = 0
        self._file = bytearray()
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._data = bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_head,
                    "on_part_data": self._take,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
                max_header_size=_HEAD_BYTES,
            )
        except FormParserError as exc:
            raise RefusedError(400, _MALFORMED) from exc
        if not boundary:
            raise RefusedError(400, _MALFORMED)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes; refuses what is no form, and fields that are too long."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise RefusedError(400, _MALFORMED) from exc

    def check_complete(self) -> None:
        """Raises ``RefusedError`` unless the end of the form has come."""
        if not self.complete:
            raise RefusedError(400, "the form ended early; nothing was stored")

    def take_file(self) -> bytes:
        """The bytes of the file that have come since the last call."""
        data, self._file = bytes(self._file), bytearray()
        return data

    # ---- what the parser calls ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self.at_file:
            raise RefusedError(400, f"the field {_FILE!r} must be the last one of the form; nothing was stored")
        self._name = None
        self._data = bytearray()
        self._spend(_FIELD_COST)

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            kind, options = parse_options_header(self._value.decode("latin-1"))
            if kind != b"form-data" or self._name is not None:
                raise RefusedError(400, _MALFORMED)
            self._name = _text(options.get(b"name", b""))
        self._header, self._value = bytearray(), bytearray()

    def _end_head(self) -> None:
        if not self._name:
            raise RefusedError(400, _MALFORMED)
        self.at_file = self._name.lower() == _FILE

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self.at_file:
            self._file += memoryview(data)[start:end]
        else:
            self._spend(end - start)
            self._data += data[start:end]

    def _end(self) -> None:
        if not self.at_file and self._name is not None:
            self._spend(len(self._name))
            self.fields.append((self._name, _text(self._data)))

    def _finish(self) -> None:
        self.complete = True

    def _spend(self, count: int) -> None:
        self._count += count
        if self._count > _FIELD_BYTES:
            raise RefusedError(400, f"the fields of the form have more than {_FIELD_BYTES} bytes")


def _text(data: bytes | bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "a field of the form is not UTF-8") from None
