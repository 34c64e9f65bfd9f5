"""Deleting many blobs in one request."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

from google.api_core.exceptions import GoogleAPICallError
from requests import Response

from storage.backends.gcs import _bucket
from storage.backends.gcs._client import OK, Session
from storage.backends.gcs._errors import NATIVE, failure, status_of
from storage.exceptions import BucketNotFoundError, InvalidKeyError, UnavailableError

__all__ = ["MOST", "delete"]

MOST: Final = 100  # calls that one batch may hold

_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)\"?", re.IGNORECASE)
_PART = re.compile(
    rb"content-id:\s*<response-(\d+)>.*?\r?\n\r?\nHTTP/\d(?:\.\d)? (\d{3})([^\r\n]*)\r?\n.*?\r?\n\r?\n(.*)",
    re.IGNORECASE | re.DOTALL,
)


def delete(session: Session, paths: Sequence[str]) -> dict[str, Exception]:
    """As :meth:`storage.backends.Backend.delete_batch`; at most :data:`MOST` paths.

    Raises:
        BucketNotFoundError: there is no bucket to delete from.
    """
    failed: dict[str, Exception] = {}
    pending: list[str] = []
    for path in dict.fromkeys(paths):
        try:
            session.object(path)
        except InvalidKeyError as exc:
            failed[path] = exc
        else:
            pending.append(path)
    absent, asked = 0, len(pending)
    attempts = session.attempts()
    while pending:
        try:
            answers = _send(session, pending)
        except NATIVE as exc:
            session.failed(attempts, exc)
            continue
        absent += sum(status_of(exc) == 404 for exc in answers.values())
        refused = {path: exc for path, exc in answers.items() if status_of(exc) != 404}
        pending = [path for path, exc in refused.items() if session.worth_another(exc)]
        failed.update({path: exc for path, exc in refused.items() if path not in pending})
        if pending:
            try:
                session.failed(attempts, refused[pending[0]])
            except GoogleAPICallError:
                failed.update({path: refused[path] for path in pending})
                break
    # A batch tells a missing bucket only as so many missing blobs.
    if absent and absent == asked and not _bucket.exists(session):
        raise BucketNotFoundError
    return failed


def _send(session: Session, paths: Sequence[str]) -> dict[str, GoogleAPICallError]:
    """One batch; the failure of each path that has one."""
    connection = session.connection
    prefix = connection.object_url.removeprefix(connection.endpoint)
    boundary = secrets.token_hex(16)
    # The service answers in any order: the Content-ID tells whose answer it is.
    calls = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {prefix}{session.object(path)} HTTP/1.1\r\n\r\n\r\n"
        for number, path in enumerate(paths)
    ]
    body = ("".join(calls) + f"--{boundary}--\r\n").encode()
    response = session.send(
        "POST", connection.batch_url, body, {"Content-Type": f'multipart/mixed; boundary="{boundary}"'}
    )
    answers = dict(_answers(response))
    if len(answers) != len(paths):
        raise UnavailableError(f"a batch of {len(paths)} deletes got {len(answers)} answers; delete them again")
    url = connection.object_url
    return {
        path: failure(answers[number], "DELETE", url + session.object(path))
        for number, path in enumerate(paths)
        if answers[number].status_code not in OK
    }


def _answers(response: Response) -> Iterator[tuple[int, Response]]:
    """The number of each call of a batch, and its answer."""
    found = _BOUNDARY.search(response.headers.get("Content-Type", ""))
    for part in response.content.split(b"--" + found[1].encode())[1:] if found else ():
        match = _PART.search(part)
        if match is None:
            continue
        answer = Response()
        answer.status_code, answer.reason = int(match[2]), match[3].decode("latin-1").strip()
        answer._content = match[4].strip()  # noqa: SLF001 (there is no other way to make one)
        yield int(match[1]), answer
