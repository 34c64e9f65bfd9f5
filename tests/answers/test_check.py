"""``check`` over the network, on servers that have each quirk that was met: it says so, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from storage import Storage
from tests.answers.gcs_service import GCSService
from tests.answers.s3_service import Refused, S3Service
from tests.answers.test_answers import SERVICES, URLS
from tests.answers.wire import Answer, Request, ScriptedServer, Wire

CONDITIONS = ("if-match", "if-none-match", "x-amz-copy-source-if-match")


def without(request: Request, *names: str) -> Request:
    return replace(request, headers={name: value for name, value in request.headers.items() if name not in names})


class NoConditions(S3Service):
    """Ignores every condition."""

    def answer(self, request: Request) -> Answer:
        return super().answer(without(request, *CONDITIONS))


class NoDeleteConditions(S3Service):
    def answer(self, request: Request) -> Answer:
        return super().answer(without(request, "if-match") if request.method == "DELETE" else request)


class BareEtags(S3Service):
    """Compares ``If-Match`` on writes and deletes with the etag without its quotes, as Ceph's gateway does."""

    ceph = False

    def answer(self, request: Request) -> Answer:
        wanted = request.headers.get("if-match", "")
        if request.method in ("PUT", "DELETE", "POST") and wanted.startswith('"'):
            request = replace(request, headers={**request.headers, "if-match": "no etag has quotes"})
        answer = super().answer(request)
        return answer.having(("x-amz-request-id", f"tx{self._made:021x}-0066f-def")) if self.ceph else answer


class Ceph(BareEtags):
    ceph = True


class Flat(S3Service):
    """Keeps blobs in directories, so that none can lie below another."""

    def _route(self, request: Request) -> Answer:
        if request.method == "PUT" and request.path.endswith("/order/a/b"):
            raise Refused(500, "InternalError")
        return super()._route(request)


class NoBatches(S3Service):
    def _route(self, request: Request) -> Answer:
        if "delete" in request.query:
            raise Refused(501, "NotImplemented")
        return super()._route(request)


class BrokenBatches(S3Service):
    def _route(self, request: Request) -> Answer:
        if "delete" in request.query:
            raise Refused(400, "MalformedXML")
        return super()._route(request)


class NoRanges(S3Service):
    """Answers another range than the one that was asked for."""

    def answer(self, request: Request) -> Answer:
        if request.method == "GET" and "range" in request.headers:
            return super().answer(replace(request, headers={**request.headers, "range": "bytes=0-0"}))
        return super().answer(request)


class ShortNames(S3Service):
    """Its metadata names have 80 characters at most."""

    def _route(self, request: Request) -> Answer:
        if any(len(name) > len("x-amz-meta-") + 80 for name in request.headers):
            raise Refused(500, "UnknownError")
        return super()._route(request)


class NoChecksums(S3Service):
    def answer(self, request: Request) -> Answer:
        return super().answer(without(request, "content-md5"))


class NoCopies(S3Service):
    def _route(self, request: Request) -> Answer:
        if "x-amz-copy-source" in request.headers:
            raise Refused(501, "NotImplemented")
        return super()._route(request)


class NoListing(S3Service):
    def _route(self, request: Request) -> Answer:
        if "list-type" in request.query:
            raise Refused(501, "NotImplemented")
        return super()._route(request)


class Everything(Flat, NoBatches, ShortNames, NoCopies):
    """A very small server."""


class NoGenerations(GCSService):
    """Ignores every generation, as emulators do."""

    def _check(self, query: dict[str, str], key: str, field: str = "ifGenerationMatch") -> None:
        pass


SIGNING = "signing"  # these services look at no signature
QUIRKS: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("s3", S3Service, []),
    (
        "s3",
        NoConditions,
        ["create-only writes", "conditional writes", "conditional deletes", "create-only copies"],
    ),
    ("s3", NoDeleteConditions, ["conditional deletes"]),
    ("s3", BareEtags, ["conditional writes", "conditional deletes", "set_metadata"]),
    ("s3", Ceph, []),  # which the driver knows, and asks as it wants to be asked
    ("s3", Flat, ["keys"]),
    ("s3", NoBatches, []),  # single deletes do as well
    ("s3", BrokenBatches, ["delete_many"]),
    ("s3", NoRanges, ["ranges"]),
    ("s3", ShortNames, ["metadata"]),
    ("s3", NoChecksums, ["checksums"]),
    ("s3", NoCopies, ["conditional copies", "set_metadata"]),
    ("s3", NoListing, ["listing", "listing order"]),
    ("s3", Everything, ["keys", "metadata", "conditional copies", "set_metadata"]),
    ("gs", GCSService, []),
    (
        "gs",
        NoGenerations,
        ["create-only writes", "conditional writes", "conditional deletes", "create-only copies", "conditional copies"],
    ),
]


@pytest.mark.parametrize("scheme, service, found", QUIRKS, ids=[quirk[1].__name__ for quirk in QUIRKS])
def test_quirks(scheme: str, service: type[Any], found: list[str]) -> None:
    """Each is found, and nothing else; what was written is deleted again, whatever can be deleted how."""
    auth = {"access_key_id": "AKIA", "secret_access_key": "secret"} if scheme == "s3" else None
    assert issubclass(service, SERVICES[scheme])
    made = service()

    with ScriptedServer() as server:
        server.script = lambda request: Wire(made.answer(request).raw(request.method))
        with Storage(URLS[scheme].format(url=server.url), auth=auth, retries=0, timeout=(5, 5)) as store:
            lines = store.check()
    names = [line.partition(":")[0] for line in lines]
    assert sorted({*names} - {SIGNING}) == sorted(found), lines
    assert made.blobs == {}


def test_bare_etags_are_named() -> None:
    """A server that refuses the true etag is told by what does not work on it."""
    made = BareEtags()
    with ScriptedServer() as server:
        server.script = lambda request: Wire(made.answer(request).raw(request.method))
        auth = {"access_key_id": "AKIA", "secret_access_key": "secret"}
        with Storage(URLS["s3"].format(url=server.url), auth=auth, retries=0, timeout=(5, 5)) as store:
            lines = store.check()
    refused = "the server refuses a condition that holds, so if_match never"
    assert f"conditional writes: {refused} writes" in lines
    assert f"conditional deletes: {refused} deletes" in lines
