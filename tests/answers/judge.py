"""Makes one call while one of its answers is spoilt, and says what is wrong with what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import ObjectInfo, Storage, StorageError
from tests.answers.gcs_service import GCSService
from tests.answers.malformed import Spoilt
from tests.answers.operations import BIG, FOLDER, PROBE, SMALL, Operation
from tests.answers.s3_service import S3Service
from tests.answers.wire import Answer, End, Request, ScriptedServer, Wire

__all__ = ["SECONDS", "Driver", "Truth"]

SECONDS = 8.0
"""How long a call may take at most: several times its timeout, on a machine that has other work."""

Service = S3Service | GCSService


@dataclass
class Truth:
    """What a call does and gives where each answer is true."""

    result: Any
    state: dict[str, Any]
    answers: dict[str, Answer] = field(default_factory=dict)  # the first one of each kind of request


class Driver:
    """A network driver with a service to talk to.

    Args:
        server: answers for the service.
        service: makes a fresh one.
        store: on ``server``, without retries.
    """

    def __init__(self, server: ScriptedServer, service: type[Service], store: Storage) -> None:
        self.server, self.make, self.store = server, service, store

    def fresh(self, operation: Operation) -> Service:
        service = self.make()
        service.page = 3
        for key, data in {"small": SMALL, "big": BIG, "probe": PROBE, **FOLDER}.items():
            service.store(f"data/{key}", data)
        service.there = operation.bucket
        return service

    def truth(self, operation: Operation, directory: Path) -> Truth:
        """Makes the call undisturbed."""
        service = self.fresh(operation)
        answers: dict[str, Answer] = {}

        def script(request: Request) -> Wire:
            answer = service.answer(request)
            answers.setdefault(service.kind(request), answer)
            return Wire(answer.raw(request.method))

        self.server.script = script
        result = operation.run(self.store, directory)
        return Truth(result, state(service), answers)

    def faults(self, operation: Operation, directory: Path, truth: Truth, kind: str, spoilt: Spoilt) -> Iterator[str]:
        """Makes the call while each answer to a request of ``kind`` is ``spoilt``; what is wrong, in words."""
        service = self.fresh(operation)
        before = state(service)
        trapped: list[str] = []

        def script(request: Request) -> Wire:
            if request.target.startswith("/trap"):
                trapped.append(request.target)
            if service.kind(request) != kind:
                return Wire(service.answer(request).raw(request.method))
            return spoilt.make(request, service.answer(request) if spoilt.reached else Answer(200))

        self.server.script = script
        began = time.monotonic()
        try:
            result = operation.run(self.store, directory)
        except StorageError:
            yield from half_done(before, state(service), truth.state)
        except (Exception, GeneratorExit) as exc:
            yield f"raised {type(exc).__name__}: {str(exc)[:150]}"
        else:
            yield from self._wrong(operation, spoilt, truth, result, state(service))
        seconds = time.monotonic() - began
        if seconds > SECONDS:
            yield f"took {seconds:.1f} s"
        if trapped:
            yield "followed a redirect"
        yield from self._goes_on(service)

    def _wrong(self, operation: Operation, spoilt: Spoilt, truth: Truth, result: Any, after: Any) -> Iterator[str]:
        if "404" in spoilt.name and (result in (False, None) or isinstance(result, dict)):
            return  # it may well be gone, and who copies or deletes many leaves out what is gone
        if after != truth.state and (spoilt.strict or not operation.listed):
            yield "succeeded, and it was not done"
        if not operation.free:
            told = differs(result, truth.result, strict=spoilt.strict)
            if told:
                yield f"succeeded, and gave {told}"

    def _goes_on(self, service: Service) -> Iterator[str]:
        """The store works on, and what is left of a spoilt answer is no answer to the next request."""
        service.there = True

        def script(request: Request) -> Wire:
            return Wire(service.answer(request).raw(request.method), End.KEEP)

        self.server.script = script
        said = ""
        for _ in range(3):  # a connection that the server has closed may be found out by trying
            try:
                if self.store.get_bytes("probe") != PROBE:
                    yield "the next call got wrong bytes"
                return
            except StorageError as exc:
                said = f"{type(exc).__name__}: {exc}"
            except Exception as exc:
                yield f"the next call raised {type(exc).__name__}: {exc}"
        yield f"the next calls failed: {said[:200]}"


def state(service: Service) -> dict[str, Any]:
    """What the service keeps."""
    # `check` cannot clear away what it tried where nothing can be deleted.
    kept: dict[str, Any] = {key: blob.data for key, blob in service.blobs.items() if "storage-check" not in key}
    return {
        **kept,
        **{f"the bucket's {name}": value for name, value in service.settings.items()},
        "a bucket": service.there,
    }


def half_done(before: dict[str, Any], after: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """What a call that failed has left that is neither the old nor the new."""
    for name in {*before, *after}:
        if after.get(name) not in (before.get(name), wanted.get(name)):
            yield f"failed, and left another {name!r}: {short(after.get(name))}"


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:60]}… ({len(text)})"


def differs(got: Any, wanted: Any, *, strict: bool) -> str:  # noqa: PLR0911 (one for each kind of result)
    """In what ``got`` is not ``wanted``, or where that may be, not even well-formed; ``""``: in nothing."""
    if isinstance(wanted, ObjectInfo):
        return info_differs(got, wanted, strict=strict)
    if type(got) is not type(wanted):
        return f"{short(got)}, not {short(wanted)}"
    if isinstance(wanted, (list, tuple)) and any(isinstance(item, (ObjectInfo, bytes)) for item in wanted):
        if strict and len(got) != len(wanted):
            return f"{len(got)} entries, not {len(wanted)}"
        if not strict and isinstance(wanted, list):
            infos = (item for item in got if isinstance(item, ObjectInfo))
            return next((told for info in infos if (told := info_differs(info, info, strict=False))), "")
        return next((told for pair in zip(got, wanted, strict=False) if (told := differs(*pair, strict=strict))), "")
    if isinstance(wanted, list) and not strict:
        return "" if all(isinstance(item, str) for item in got) else f"keys that are none: {short(got)}"
    if isinstance(wanted, dict) and not strict:
        return next((f"{short(got[key])} for {key!r}" for key in got if got[key] != wanted.get(key, got[key])), "")
    return "" if got == wanted else f"{short(got)}, not {short(wanted)}"


def info_differs(got: Any, wanted: ObjectInfo, *, strict: bool) -> str:
    if not isinstance(got, ObjectInfo):
        return f"{short(got)} for an info"
    if strict:
        pairs = [(name, getattr(got, name), getattr(wanted, name)) for name in ("key", "storage_type", "size", "etag")]
        return next((f"the {name} {short(a)}, not {short(b)}" for name, a, b in pairs if a != b), "")
    texts = (got.content_type, got.cache_control, got.content_encoding)
    whole = (
        isinstance(got.key, str) and type(got.size) is int and got.size >= 0
        and isinstance(got.etag, str) and got.etag != "" and got.last_modified.tzinfo is not None
        and all(text is None or isinstance(text, str) for text in texts)
        and all(isinstance(text, str) for pair in (got.metadata or {}).items() for text in pair)
    )  # fmt: skip
    return "" if whole else f"the info {got!r}"[:300]
