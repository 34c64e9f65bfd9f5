"""Deletes many blobs with one request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from storage._threads import Pool
from storage.backends._http import Answer
from storage.backends.gcs import _answers, _bucket, _changing
from storage.backends.gcs._errors import failure, native, status_of
from storage.backends.gcs._headers import token
from storage.backends.gcs._requests import CONCURRENCY, OK, Session
from storage.exceptions import BucketNotFoundError, InvalidKeyError

MOST: Final = 100  # calls that one batch may hold

_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)\"?", re.IGNORECASE)
_PART = re.compile(
    rb"content-id:\s*<response-(\d{1,9})>.*?\r?\n\r?\nHTTP/\d(?:\.\d)? (\d{3})[^\r\n]*\r?\n.*?\r?\n\r?\n(.*)",
    re.IGNORECASE | re.DOTALL,
)


def delete(session: Session, paths: Sequence[str]) -> dict[str, Exception]:
    """As :meth:`storage._backend.Backend.delete_batch`; at most :data:`MOST` paths."""
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
        answers = session.tried(lambda: _send(session, pending), attempts)  # noqa: B023 (called at once)
        absent += sum(status_of(exc) == 404 for exc in answers.values())
        refused = {path: exc for path, exc in answers.items() if status_of(exc) != 404}
        pending = [path for path, exc in refused.items() if session.worth_another(exc)]
        failed.update({path: exc for path, exc in refused.items() if path not in pending})
        if pending:
            try:
                session.failed(attempts, refused[pending[0]])
            except native():
                failed.update({path: refused[path] for path in pending})
                break
    # A batch tells a missing bucket only as so many missing blobs.
    if absent and absent == asked and not _bucket.exists(session):
        raise BucketNotFoundError
    return failed


def delete_singly(session: Session, paths: Sequence[str]) -> dict[str, Exception]:
    """As :func:`delete`, with a request for each blob, several at once: for a server that knows no batches."""

    def fault(path: str) -> Exception | None:
        try:
            _changing.delete(session, path, None)
        except Exception as exc:
            return exc
        return None

    asked = list(dict.fromkeys(paths))
    with Pool(min(len(asked), CONCURRENCY), "storage-delete") as pool:
        tasks = {path: pool.submit(fault, path) for path in asked}
        failed = {path: exc for path, task in tasks.items() if (exc := task.result()) is not None}
    absent = {path for path, exc in failed.items() if 404 in (status_of(exc), status_of(exc.__cause__ or exc))}
    if len(absent) == len(asked) and not _bucket.exists(session):
        raise BucketNotFoundError
    return {path: exc for path, exc in failed.items() if path not in absent}


def _send(session: Session, paths: Sequence[str]) -> dict[str, Exception]:
    """One batch; the failure of each path that has one."""
    objects = session.connection.objects
    boundary = token()
    # The service answers in any order: the Content-ID tells whose answer it is.
    calls = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {objects}{session.object(path)} HTTP/1.1\r\n\r\n\r\n"
        for number, path in enumerate(paths)
    ]
    body = ("".join(calls) + f"--{boundary}--\r\n").encode()
    headers = {"Content-Type": f'multipart/mixed; boundary="{boundary}"'}
    answers = _parts(session.send("POST", "/batch/storage/v1", body, headers))
    if answers.keys() != set(range(len(paths))):
        _answers.malformed(f"a batch of {len(paths)} deletes with {len(answers)} answers")
    return {
        path: failure(answers[number], "DELETE", objects + session.object(path))
        for number, path in enumerate(paths)
        if answers[number].status not in OK
    }


def _parts(answer: Answer) -> dict[int, Answer]:
    """The answer to each call of a batch, by its number."""
    found = _BOUNDARY.search(answer.headers.get("content-type", ""))
    parts = answer.body.split(b"--" + found[1].encode("latin-1", "replace"))[1:] if found else ()
    matches = [match for part in parts if (match := _PART.search(part))]
    return {int(match[1]): Answer(int(match[2]), {}, match[3].strip()) for match in matches}
