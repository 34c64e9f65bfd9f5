"""Retries and timeouts: what the arguments mean, and what is tried again. No test sleeps."""

from __future__ import annotations

import pytest
from urllib3.util.retry import Retry

from storage._retry import (
    DEFAULT_STATUSES,
    Attempts,
    Retries,
    Timeout,
    outcome_unknown,
    parse_retries,
    parse_timeout,
)
from storage.backends import trace
from storage.exceptions import ConfigurationError, UnavailableError


class Broken(Exception):
    pass


def run(attempts, *failures):
    """Fails as told, one after the other; the number of failures that were swallowed."""
    for count, failure in enumerate(failures):
        try:
            attempts.failed(Broken(count), **failure)
        except Broken:
            return count
    return len(failures)


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """The waits before each retry, in seconds, which nothing waits for."""
    waits = []
    monkeypatch.setattr("storage._retry.sleep", waits.append)
    return waits


def test_default_is_three_retries():
    """None: three tries after the first, exponential."""
    assert parse_retries(None) == Retries(total=3)


@pytest.mark.parametrize("total", [0, 1, 7])
def test_number(total, slept):
    """A number counts the tries after the first."""
    assert run(Attempts(parse_retries(total)), *[{"status": 503}] * 10) == total
    assert len(slept) == total


def test_urllib3_retry_is_honoured():
    """total, backoff_factor, backoff_max and status_forcelist of a urllib3 Retry mean what they say."""
    parsed = parse_retries(Retry(total=5, backoff_factor=0.25, backoff_max=2, status_forcelist=[418]))
    assert parsed == Retries(5, 0.25, 2.0, frozenset({418}))
    assert parsed.retryable(418)
    assert parsed.retryable(None)
    assert not parsed.retryable(503)


def test_urllib3_retry_without_statuses():
    """A Retry that names no status leaves the choice to the driver."""
    parsed = parse_retries(Retry(total=1))
    assert all(parsed.retryable(status) for status in DEFAULT_STATUSES)
    assert not parsed.retryable(404)


def test_urllib3_retry_of_false_means_none():
    """Retry(total=False), urllib3's way to switch retries off, is none."""
    assert parse_retries(Retry(total=False)).total == 0


def test_parsed_passes():
    """A driver may be given what is parsed already."""
    assert parse_retries(Retries(9)).total == 9


@pytest.mark.parametrize("value", [-1, "3", 1.5, True, Retry(total=None), object()])
def test_other_retries_are_refused(value):
    """Anything else is a ConfigurationError, not a guess."""
    with pytest.raises(ConfigurationError, match="retries"):
        parse_retries(value)


@pytest.mark.parametrize(
    "value, expected",
    [(None, (9.5, 120)), (3, (3, 3)), (0.5, (0.5, 0.5)), ((1, 2.5), (1, 2.5)), ([1, 2], (1, 2))],
)
def test_timeouts(value, expected):
    """One number for both, a pair, or the default."""
    assert parse_timeout(value) == Timeout(*expected)


@pytest.mark.parametrize(
    "value", [0, -1, (1,), (1, 2, 3), (0, 1), "5", ("a", "b"), True, float("inf"), float("nan"), object()]
)
def test_other_timeouts_are_refused(value):
    """Zero, endless, and what is no number is a ConfigurationError that shows what is meant."""
    with pytest.raises(ConfigurationError, match="timeout.*pair"):
        parse_timeout(value)


def test_delays_grow_and_stay_bounded():
    """Before retry n the wait is between 0 and factor × 2ⁿ, never above the maximum, and not always the same."""
    retries = Retries(backoff_factor=0.5, backoff_max=4)
    for retry in (0, 1, 2, 3, 10, 100_000):
        delays = {retries.delay(retry) for _ in range(50)}
        assert all(0 <= delay <= min(4, 0.5 * 2 ** min(retry, 10)) for delay in delays)
        assert len(delays) > 1


def test_server_chooses_the_wait(slept):
    """Retry-After is kept, up to the maximum."""
    attempts = Attempts(Retries(total=5, backoff_factor=0, backoff_max=20))
    run(attempts, {"status": 503, "wait": 7}, {"status": 503, "wait": 3600})
    assert slept == [7, 20]


def test_only_what_may_pass_is_retried():
    """A fault of the request is raised at once; an override decides over the status."""
    assert run(Attempts(Retries()), {"status": 403}) == 0
    assert run(Attempts(Retries()), {"status": 400, "retryable": True}) == 1
    assert run(Attempts(Retries()), {"status": 503, "retryable": False}) == 0


@pytest.mark.parametrize("status, lost", [(None, True), (500, True), (503, True), (429, False), (408, False)])
def test_lost_answers_are_remembered(status, lost):
    """After no answer or a 5xx the request may have been carried out; a refusal was not. Once lost stays lost."""
    attempts = Attempts(Retries())
    assert not attempts.lost
    run(attempts, {"status": status})
    assert attempts.lost is lost
    run(attempts, {"status": 429})
    assert attempts.lost is lost


def test_tries_are_counted_for_the_log():
    """The number of tries reaches the trace of this thread."""
    run(Attempts(Retries(total=2)), *[{"status": 503}] * 2)
    assert trace.tries == 3
    trace.tries = 1


def test_the_error_is_the_callers():
    """What is raised at the end is the last failure itself."""
    error = Broken()
    with pytest.raises(Broken) as caught:
        Attempts(Retries(total=0)).failed(error, status=503)
    assert caught.value is error


def test_unknown_outcome_says_so():
    """Nobody is blamed: the error says that the outcome is unknown."""
    error = outcome_unknown("set")
    assert isinstance(error, UnavailableError)
    assert "unknown" in str(error)
