"""The pytest plug-in: stores for tests of programs, over several backends, and the account of what a store under test lacks.

pytest finds it by itself. It stands outside the package, because whoever has the package installed pays for this import in every
test run: nothing of :mod:`storage` is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from storage import AsyncStorage, Storage
    from storage.testing._places import Place

__all__ = ["async_storage", "storage", "storage_factory", "storage_url"]

_LACK_PROPERTY = "storage-lack"
_BACKENDS = ("memory", "file", "s3", "gs")
_FIXTURES = frozenset({"storage", "storage_url", "storage_factory", "async_storage"})
_lacks: dict[tuple[str, str, str], int] = {}


# ---- fixtures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _storage_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where this test's stores are: what ``@pytest.mark.storage`` says, else in memory."""
    from storage.testing._places import open_place

    with open_place(getattr(request, "param", "memory"), tmp_path_factory) as place:
        yield place


@pytest.fixture
def storage_url(_storage_place: Place) -> str:
    """The URL of an empty store that no other test has: in memory, or where ``@pytest.mark.storage`` says.

    ``Storage(storage_url)`` needs nothing else; credentials stand in the environment until the test ends.
    """
    return _storage_place.url()


@pytest.fixture
def storage(storage_url: str) -> Iterator[Storage]:
    """A ``Storage`` at ``storage_url``: empty, and only this test's. Its signed URLs work."""
    from storage import Storage

    with Storage(storage_url) as store:
        yield store


@pytest.fixture
def async_storage(storage_url: str) -> Iterator[AsyncStorage]:
    """An ``AsyncStorage`` at ``storage_url``, which ``storage`` reaches too."""
    from storage import AsyncStorage
    from storage.testing._places import close_now

    store = AsyncStorage(storage_url)
    yield store
    close_now(store)


@pytest.fixture
def storage_factory(_storage_place: Place) -> Iterator[Callable[..., Storage]]:
    """Makes further stores: each call gives a new, empty ``Storage``, closed when the test ends.

    Keyword arguments are those of ``Storage``; with ``backend=`` it is that backend's.
    """
    from contextlib import ExitStack

    from storage import Storage

    with ExitStack() as opened:

        def make(**options: Any) -> Storage:
            url = None if "backend" in options else _storage_place.url()
            return opened.enter_context(Storage(url, **options))

        yield make


# ---- several backends --------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that is marked ``storage("memory", "s3")`` once for each backend named."""
    mark = metafunc.definition.get_closest_marker("storage")
    if mark is None or not mark.args or "_storage_place" not in metafunc.fixturenames:
        return
    for name in mark.args:
        if name not in _BACKENDS:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: @pytest.mark.storage({name!r}): use some of {', '.join(map(repr, _BACKENDS))}"
            )
    metafunc.parametrize("_storage_place", mark.args, indirect=True)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Says in what two snapshots differ."""
    if op != "==" or type(left).__module__ != "storage.testing._snapshot" or type(left) is not type(right):
        return None
    return ["the stores differ", *left.diff(right).splitlines()]  # type: ignore[attr-defined]


# ---- the account of lacks ----------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Starts an account of lacks for this run, and makes the mark known."""
    config.addinivalue_line(
        "markers",
        f"storage(*backends): run the test over each of these stores: {', '.join(_BACKENDS)} (storage-facade)",
    )
    _lacks.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts the tests that asserted something weaker; properties travel with the report from xdist's workers."""
    if report.when != "call":
        return
    for entry in {text for name, text in report.user_properties if name == _LACK_PROPERTY}:
        suite, lack, reason = str(entry).split("\0")
        _lacks[suite, lack, reason] = _lacks.get((suite, lack, reason), 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what each store lacks, with the number of tests that asserted the weaker behaviour instead."""
    if not _lacks:
        return
    terminalreporter.section("declared lacks of stores")
    for (suite, lack, reason), count in sorted(_lacks.items()):
        terminalreporter.write_line(f"{suite} {lack} ({count} test{'s' if count > 1 else ''}): {reason}")
