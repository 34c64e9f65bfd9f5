"""The suite finds faults: on a backend that has one, the test that is meant to find it fails."""

from __future__ import annotations

import pytest

from storage.testing import Conformance
from storage.testing._sources import difference
from tests.conformance.broken import FAULTS
from tests.testing.inner import run_pytest

TESTS = """
from storage.testing import Conformance
from tests.conformance.broken import FAULTS, BrokenHarness
for name, (backend, _) in FAULTS.items():
    globals()[f"Test{name}"] = type(f"Test{name}", (Conformance,), {"harness": BrokenHarness(backend)})
"""


@pytest.mark.parametrize("half", range(2))
def test_each_fault_is_found(tmp_path, half):
    """No test of the suite is one that cannot fail."""
    (tmp_path / "test_faults.py").write_text(TESTS)
    some = list(FAULTS.items())[half::2]  # in two runs, so that no worker is the last one at work
    wanted = [f"test_faults.py::Test{name}::{test}" for name, (_, test) in some]
    limits = "-p", "pytest_timeout", "--timeout=100", "--timeout-method=thread"  # which shows where each thread hangs
    done = run_pytest(tmp_path, "-q", "--tb=line", "-rA", *limits, *wanted, warnings="default")
    passed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("PASSED ")}
    failed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED ")}
    assert passed == set(), done.stdout + done.stderr
    assert failed == set(wanted), done.stdout + done.stderr


def test_no_test_hides_another():
    """No two parts of the suite have a test of the same name: only one of them would run."""
    names = [name for part in Conformance.__mro__ for name in vars(part) if name.startswith("test_")]
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "got, said",
    [
        (b"abc", ""),
        (b"abd", "3 bytes of 3; at 2 there is b'd', not b'c'"),
        (b"ab", "2 bytes of 3; at 2 there is b'', not b'c'"),
        (b"abcd", "4 bytes of 3; at 3 there is b'd', not b''"),
        (b"", "0 bytes of 3; at 0 there is b'', not b'abc'"),
    ],
)
def test_a_difference_is_told_by_its_place(got, said):
    assert difference(got, b"abc") == said
