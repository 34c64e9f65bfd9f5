"""What goes into the strict proxy and what comes out of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

__all__ = ["Answer", "Refused", "Request", "as_json", "xml_refusal"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Refused(Exception):
    """An answer in JSON, as the JSON API words errors."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        errors = [{"domain": "global", "reason": reason, "message": message}]
        body = json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()
        self.answer = Answer(status, {"Content-Type": "application/json; charset=UTF-8"}, body)


def xml_refusal(status: int, code: str, message: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml; charset=UTF-8"}, body.encode())


class Request(NamedTuple):
    method: str
    path: str  # as sent
    query: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    whole: bool = True  # False: the connection ended before the body did

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


def as_json(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(value).encode())
