"""Each operation of each network driver, with each of its requests answered in every wrong way that the tables have."""

from __future__ import annotations

import resource
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import Storage
from tests.answers.gcs_service import GCSService
from tests.answers.judge import Driver, Truth, differs
from tests.answers.made_up import made_up
from tests.answers.malformed import ALTERED, FOREIGN, STALLING, Spoilt, headers_spoilt, json_spoilt, xml_spoilt
from tests.answers.operations import OPERATIONS, Operation
from tests.answers.s3_service import S3Service
from tests.answers.wire import Answer, ScriptedServer

_LINUX = sys.platform == "linux"
PART = 1_000
URLS = {
    "s3": "s3://bucket?region=us-east-1&addressing_style=path&endpoint_url={url}",
    "gs": "gs://bucket?anonymous=true&project=p&endpoint_url={url}",
}
SERVICES: dict[str, type[S3Service | GCSService]] = {"s3": S3Service, "gs": GCSService}


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    """An answer that claims a blob of 10**30 bytes must not bring the machine down with it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _LINUX else 0
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 1024**3, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def small_parts() -> Iterator[None]:
    """Parts and ranges of some hundred bytes, so that a large blob is one of 5,000."""
    patch = pytest.MonkeyPatch()
    patch.setattr("storage._multipart.PART_SIZE", PART)
    patch.setattr("storage._facade.download.RANGE_SIZE", PART)
    yield
    patch.undo()


@pytest.fixture(scope="module", params=["s3", "gs"])
def driver(request: pytest.FixtureRequest, small_parts: None) -> Iterator[Driver]:
    with ScriptedServer() as server:
        driver = opened(request.param, server, 5)
        yield driver
        driver.store.close()


def opened(scheme: str, server: ScriptedServer, timeout: float) -> Driver:
    """A driver on ``server``, with small parts, that tries nothing twice."""
    auth = {"access_key_id": "AKIA", "secret_access_key": "secret"} if scheme == "s3" else None
    store = Storage(URLS[scheme].format(url=server.url), auth=auth, retries=0, timeout=timeout)
    store.backend.chunk_size = PART
    store.backend.parallel_from = PART
    if scheme == "gs":
        store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    return Driver(server, SERVICES[scheme], store)


def chosen(spoilt: list[Spoilt], most: int, seed: str) -> list[Spoilt]:
    """Some of them, the same ones each time and others for another seed."""
    return sorted(spoilt, key=lambda each: zlib.crc32(f"{seed} {each.name}".encode()))[:most]


def spoilt_answers(answer: Answer, seed: str, most: int) -> list[Spoilt]:
    """Some of the tables, and some of what can be made of one field of ``answer``; STALLING, which takes time, not among them."""
    fields = list(chain(headers_spoilt(answer), json_spoilt(answer), xml_spoilt(answer)))
    return [*chosen(FOREIGN, most, seed), *chosen(ALTERED, most, seed), *chosen(fields, most, seed)]


def test_true_answers(driver: Driver, tmp_path) -> None:
    """Where each answer is true, each operation succeeds, again and again alike."""
    for operation in OPERATIONS:
        first, second = driver.truth(operation, tmp_path), driver.truth(operation, tmp_path)
        assert first.answers, operation.name
        assert not differs(second.result, first.result, strict=True), operation.name
        assert first.state == second.state, operation.name


def judge(driver: Driver, operation: Operation, directory: Path, most: int) -> None:
    """Whatever an answer is: the truth, or one of the library's exceptions in time, and the store works on."""
    truth = driver.truth(operation, directory)
    found: dict[str, list[str]] = {}
    for kind, answer in truth.answers.items():
        cases = spoilt_answers(answer, f"{operation.name} {kind}", most)
        assert len(cases) >= 50
        for spoilt in cases:
            if kind.startswith("HEAD") and spoilt.name.startswith(
                ("the body is", "the length is too", "Content-Length")
            ):
                continue  # a length of nothing can be held against nothing
            if kind == "HEAD bucket" and spoilt.name.startswith(("with 2", "Content-Range")):
                continue  # "it is there", said with all the headers of the service, cannot be told from the truth
            if kind == "DELETE object" and spoilt.name in ("204 and nothing", "404 and nothing", "412 and nothing"):
                continue  # servers send these without a word, so nothing tells whose they are
            for fault in driver.faults(operation, directory, truth, kind, spoilt):
                found.setdefault(f"{kind}: {fault}", []).append(spoilt.name)
    assert not found, report(found)


by_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name.replace(" ", "-"))


@pytest.mark.slow  # some minutes; what is made up, and what stalls, is tried in every run
@by_operation
def test_some_spoilt_answers(driver: Driver, operation: Operation, tmp_path) -> None:
    """At least fifty for each request of each operation, others for each."""
    judge(driver, operation, tmp_path, 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@by_operation
def test_every_spoilt_answer(driver: Driver, operation: Operation, tmp_path) -> None:
    """The whole tables."""
    judge(driver, operation, tmp_path, 1000)


@pytest.fixture(scope="module")
def impatient(small_parts: None) -> Iterator[dict[object, Driver]]:
    """Drivers that wait for an answer for a quarter of a second, by their service."""
    with ScriptedServer() as s3, ScriptedServer() as gs:
        drivers: dict[object, Driver] = {S3Service: opened("s3", s3, 0.25), GCSService: opened("gs", gs, 0.25)}
        yield drivers
        for driver in drivers.values():
            driver.store.close()


@by_operation
def test_answers_that_stall(
    driver: Driver, impatient: dict[object, Driver], operation: Operation, tmp_path: Path
) -> None:
    """A call ends within its timeout, counted for each request that it makes, with an exception that says so."""
    truth = driver.truth(operation, tmp_path)
    found = [
        f"{kind}, {spoilt.name}: {fault}"
        for kind in truth.answers
        for spoilt in chosen(STALLING, 1, f"{operation.name} {kind}")
        if not (kind.startswith("HEAD") and spoilt.name == "stalls in the body")  # it has none
        for fault in impatient[driver.make].faults(operation, tmp_path, truth, kind, spoilt)
    ]
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def truths(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Operation, Truth]]:
    """Each operation as it is undisturbed. Once: which requests a call makes may depend on those before it."""
    return [(operation, driver.truth(operation, tmp_path_factory.mktemp("truth"))) for operation in OPERATIONS]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150)
@given(data=st.data())
def test_answers_that_are_made_up(
    driver: Driver, truths: list[tuple[Operation, Truth]], tmp_path: Path, data: st.DataObject
) -> None:
    """Whatever bytes come: the truth, or one of the library's exceptions in time, and the store works on."""
    operation, truth = truths[data.draw(st.integers(0, len(truths) - 1))]
    kind = data.draw(st.sampled_from(sorted(truth.answers)))
    told = truth.answers[kind].header("Content-Type") or ""
    is_document = "json" in told or "xml" in told or "multipart" in told
    spoilt = data.draw(made_up(is_document=is_document))
    assert list(driver.faults(operation, tmp_path, truth, kind, spoilt)) == []


def report(found: dict[str, list[str]]) -> str:
    lines = [f"{fault}\n      {len(names)} answers: {'; '.join(names[:12])}" for fault, names in found.items()]
    return f"{len(found)} faults\n" + "\n".join(lines[:60])
