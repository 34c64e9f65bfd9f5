"""Deletes and copies blobs and changes their metadata, inside the service; with ``if_match`` only one generation."""

from __future__ import annotations

import json
import time
from typing import Any, Final
from urllib.parse import quote

from storage._backend import Changes, Stat
from storage._retry import Attempts, outcome_unknown
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._answers import FIELDS
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._headers import JSON, NONCE
from storage.backends.gcs._looking import Look, look
from storage.backends.gcs._requests import Session
from storage.exceptions import AlreadyExistsError, NotFoundError, PreconditionFailedError, UnavailableError

_RACES: Final = 100  # changes of one blob's metadata by others that one of ours may meet


def delete(session: Session, path: str, generation: str | None) -> None:
    """Deletes the blob; with ``generation``, only that one."""
    target = f"{session.connection.objects}{session.object(path)}"
    if generation is not None:
        target += f"?ifGenerationMatch={generation}"
    attempts, began = session.attempts(), time.monotonic()
    try:
        session.call("DELETE", target, parse=_answers.nothing, attempts=attempts)
    except native() as exc:
        status = status_of(exc)
        if not attempts.lost or status not in (404, 412):
            raise
        # An earlier try may have deleted it; then another blob of this name, if there is one, is newer than that try.
        if status == 412 and _was_there(session, path, began):
            raise PreconditionFailedError from exc
        raise outcome_unknown(f"delete of {path!r}") from exc


def copy(session: Session, source: str, target: str, generation: str | None, *, overwrite: bool) -> Stat:
    """Copies a blob; with ``generation``, only that one. As :meth:`storage._backend.Backend.copy`."""
    objects = session.connection.objects
    url = (
        f"{objects}{session.object(source)}/rewriteTo{objects.removeprefix('/storage/v1')}{session.object(target)}"
        f"?prettyPrint=false&fields=done,rewriteToken,totalBytesRewritten,resource({FIELDS})"
        f"{'' if overwrite else '&ifGenerationMatch=0'}"
        f"{'' if generation is None else f'&ifSourceGenerationMatch={generation}'}"
    )

    def parse(answer: Answer) -> tuple[Stat | None, str, Any]:
        """The copy, if it is done; else how to go on, and how far it is."""
        found = _answers.json_object(answer)
        if found.get("done") is True:
            return _answers.stat_of(_answers.resource(found.get("resource"), target)), "", None
        return None, _answers.required(found, "rewriteToken"), found.get("totalBytesRewritten")

    began, lost, token, before = time.monotonic(), False, "", None
    while True:
        attempts = session.attempts()
        try:
            stat, *now = session.call("POST", url + token, parse=parse, attempts=attempts)
        except native() as exc:
            if status_of(exc) != 412:
                raise
            lost = lost or attempts.lost
            raise _refused_copy(session, source, target, generation, began, lost=lost, overwrite=overwrite) from exc
        if stat is not None:
            return stat
        if now == before:
            _answers.malformed("a copy that makes no progress")
        before = now
        lost = lost or attempts.lost
        token = f"&rewriteToken={quote(now[0], safe='')}"


def _refused_copy(
    session: Session, source: str, target: str, generation: str | None, began: float, *, lost: bool, overwrite: bool
) -> Exception:
    """The exception for a copy that was refused: tells which of its two conditions did not hold."""
    unknown = outcome_unknown(f"copy to {target!r}")
    if generation is not None:
        found = look(session, source)
        if found is None:
            return unknown if lost else NotFoundError()
        if found.generation != generation or overwrite:
            return unknown if lost and not found.existed(began) else PreconditionFailedError()
    if lost and not _was_there(session, target, began):
        return unknown
    return AlreadyExistsError()


def update(session: Session, path: str, changes: Changes, generation: str | None) -> Stat:
    """Replaces headers and metadata. As :meth:`storage._backend.Backend.update`."""
    target = f"{session.connection.objects}{session.object(path)}?prettyPrint=false&fields={FIELDS}"
    began, attempts, wanted = time.monotonic(), session.attempts(), changes.metadata
    names = ("contentType", "cacheControl", "contentEncoding")
    body: dict[str, Any] = {name: value for name, value in zip(names, changes, strict=False) if value is not None}
    condition = "" if generation is None else f"&ifGenerationMatch={generation}"
    conflict: BaseException | None = None

    parse = _answers.stat_at(path)
    for _ in range(_RACES):
        if wanted is not None or conflict is not None:
            found = _to_be_changed(session, path, generation, began, attempts)
        if wanted is not None:
            # The service adds to the metadata: the names that go have to be known, and stay so until it is changed.
            gone = {name: None for name in found.resource.get("metadata") or () if name != NONCE}
            body["metadata"] = {**gone, **wanted}
            condition = f"&ifGenerationMatch={found.generation}&ifMetagenerationMatch={found.metageneration}"
        data = json.dumps(body).encode()
        try:
            stat = session.call("PATCH", target + condition, data, JSON, parse=parse, attempts=attempts)
        except native() as exc:
            if status_of(exc) != 412:
                raise
            conflict = exc
            continue
        if wanted is not None and stat.metadata != dict(wanted):
            raise UnavailableError(f"{path!r}: the service stored other metadata than was sent; set the blob again")
        return stat
    raise UnavailableError(f"{path!r}: others keep changing its metadata; try again") from conflict


def _to_be_changed(session: Session, path: str, generation: str | None, began: float, attempts: Attempts) -> Look:
    """The blob as it is, if it is the one to be changed."""
    found = look(session, path)
    if found is None:
        raise outcome_unknown(f"change of {path!r}") if attempts.lost else NotFoundError
    if generation not in (None, found.generation):
        if attempts.lost and not found.existed(began):
            raise outcome_unknown(f"change of {path!r}")
        raise PreconditionFailedError
    return found


def _was_there(session: Session, path: str, began: float) -> bool:
    try:
        found = look(session, path)
    except native():
        return False
    return found is not None and found.existed(began)
