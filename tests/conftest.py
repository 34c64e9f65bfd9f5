"""Every test starts in an environment that says nothing about any cloud, with an empty home of its own."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Installed, it is found by its entry point; in a checkout it is named here. It prints what the stores under test lack.
pytest_plugins = ["pytest_storage_facade"]

# What the library or an SDK reads: a developer's own account must never be met by a test.
_TELLING = ("STORAGE_", "AWS_", "BOTO_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_METADATA_")
# What makes a terminal's width and colours other than a test expects them.
_LOOKS = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PAGER")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

# No deadline: the machine is shared, and a slow example is no wrong one.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "slow", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def pytest_configure(config: pytest.Config) -> None:
    """Cleans the environment before any fixture of a session runs, and chooses how many examples hypothesis tries."""
    for name in list(os.environ):
        if name.startswith(_TELLING) or name in (*_PROXIES, *_LOOKS):
            del os.environ[name]
    os.umask(0o022)
    home = tempfile.TemporaryDirectory(prefix="storage-home-")
    config.add_cleanup(home.cleanup)
    os.environ["HOME"] = home.name
    # An SDK that finds no credentials asks the machine for some; there is nobody to answer.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["NO_GCE_CHECK"] = "true"
    # What a shell runs in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    thorough = config.option.markexpr.startswith(("slow", "marathon"))
    settings.load_profile("slow" if thorough else "ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is made here stays: each worker would go through it again and again for nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """Passes over the classes of long proofs in a run without them: to collect them and then deselect them takes seconds."""
    quick = "not slow" in collector.config.option.markexpr
    if quick and name.startswith("Test") and any(mark.name == "slow" for mark in getattr(obj, "pytestmark", ())):
        return []
    return None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that read one store of many keys go to one worker, so that it is filled once (``--dist loadgroup``)."""
    for item in items:
        if "many" in getattr(item, "fixturenames", ()) and item.parent is not None:
            item.add_marker(pytest.mark.xdist_group(item.parent.nodeid))


def pytest_collection_finish() -> None:
    """The modules and tests of a whole run are here for good: a test that collects garbage need not go through them."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """The interpreter takes everything apart as ever."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Directories that are not there yet."""
    parent = tmp_path_factory.mktemp("homes")
    return (parent / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _clean_environment(_homes: Iterator[Path]) -> Iterator[None]:
    """A home of its own for each test; whatever a test does to the environment is undone after it."""
    before = dict(os.environ)
    home = next(_homes)
    home.mkdir()
    os.environ["HOME"] = str(home)
    for name in ("DATA", "CONFIG", "CACHE", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = str(home / name.lower())
    directory = Path.cwd()
    yield
    os.chdir(directory)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
