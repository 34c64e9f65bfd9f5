"""``delete(missing_ok=True)`` where a service cannot say who deleted the blob."""

from __future__ import annotations

import pytest

from storage import NotFoundError, Storage, UnavailableError
from storage._retry import outcome_unknown
from storage.backends.memory import MemoryBackend


class LosesAnswers(MemoryBackend):
    """Deletes, loses the answer, tries again, and then finds nothing."""

    def delete(self, path):
        super().delete(path)
        try:
            super().delete(path)
        except NotFoundError as exc:
            raise outcome_unknown(f"delete of {path!r}") from exc


class Down(MemoryBackend):
    def delete(self, path):
        raise UnavailableError


def test_what_is_gone_may_be_missing():
    """The blob is gone either way, which is all that ``missing_ok`` asks for; without it the outcome is unknown."""
    storage = Storage(backend=LosesAnswers())
    storage.set("key", "value")
    storage.delete("key", missing_ok=True)
    assert not storage.exists("key")
    storage.set("key", "value")
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        storage.delete("key")


def test_a_service_that_is_down_is_no_absence():
    """``missing_ok`` forgives a missing blob and nothing else."""
    with pytest.raises(UnavailableError):
        Storage(backend=Down()).delete("key", missing_ok=True)
