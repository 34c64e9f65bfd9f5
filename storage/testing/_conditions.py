"""What a blob's version decides: deletes, copies, moves and changes of metadata on a condition."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from storage import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionFailedError,
    Storage,
    StorageError,
    UnsupportedOperationError,
)
from storage.testing._base import Suite
from storage.testing._harness import Lack

THREADS = 16


class ConditionTests(Suite):
    """The contract: ``if_match`` of ``delete``, ``copy``, ``move`` and ``set_metadata``."""

    def test_delete_of_one_version(self, storage: Storage) -> None:
        """``delete(if_match=)`` deletes the version that it names, and no other."""
        old = storage.set("a", "1")
        new = storage.set("a", "22")
        if self.lacks(Lack.DELETE_IF_MATCH):
            with self.refused():
                storage.delete("a", if_match=new.etag)
            assert storage.get("a") == "22"
            return
        if self.lacks(Lack.DELETE_IF_MATCH_IGNORED):
            storage.delete("a", if_match=new.etag)
            assert not storage.exists("a")
            assert any("delete" in line for line in storage.check())
            return
        for etag in (old.etag, "no-such-etag"):
            with pytest.raises(PreconditionFailedError) as caught:
                storage.delete("a", if_match=etag)
            assert not isinstance(caught.value, AlreadyExistsError)
            assert (caught.value.key, caught.value.storage_type) == ("a", "data")
            assert storage.get("a") == "22"
        storage.delete("a", if_match=new.etag)
        assert not storage.exists("a")

    def test_delete_of_a_version_that_is_gone(self, storage: Storage) -> None:
        """An absent blob is a ``NotFoundError``, and nothing with ``missing_ok``, whatever the condition."""
        if self.lacks(Lack.DELETE_IF_MATCH):
            return
        etag = storage.set("a", "1").etag
        storage.delete("a")
        with pytest.raises(NotFoundError):
            storage.delete("a", if_match=etag)
        storage.delete("a", missing_ok=True, if_match=etag)
        with pytest.raises(TypeError, match="if_match"):
            storage.delete("a", if_match=1)  # type: ignore[arg-type]

    def test_delete_of_one_version_has_one_winner(self, storage: Storage) -> None:
        """Of many threads that delete one version one succeeds, and what is written afterwards stays."""
        if self.lacks(Lack.DELETE_IF_MATCH) or self.lacks(Lack.DELETE_IF_MATCH_IGNORED) or self.lacks(Lack.RACES):
            return
        for _ in range(3):
            etag = storage.set("a", "1").etag
            (won,) = _race(partial(storage.delete, "a", if_match=etag))
            assert won.count(None) == 1
            assert all(isinstance(one, (NotFoundError, PreconditionFailedError)) for one in won if one is not None)

    def test_deletes_and_writes_of_one_version_have_one_winner(self, storage: Storage) -> None:
        """Of threads that delete, replace or move one version one succeeds, and what it made is what stands."""
        if any(map(self.lacks, (Lack.DELETE_IF_MATCH, Lack.DELETE_IF_MATCH_IGNORED, Lack.IF_MATCH, Lack.RACES))):
            return
        for _ in range(3):
            etag = storage.set("a", "old").etag
            calls: list[Callable[[], object]] = [
                partial(storage.delete, "a", if_match=etag),
                partial(storage.set, "a", "new", if_match=etag),
            ]
            won = _race(*calls)
            assert [won[0].count(None), won[1].count(None)] in ([1, 0], [0, 1])
            assert all(
                one is None or isinstance(one, (NotFoundError, PreconditionFailedError)) for one in won[0] + won[1]
            )
            assert storage.exists("a") == (None in won[1])
            assert not storage.exists("a") or storage.get("a") == "new"
            storage.delete("a", missing_ok=True)

    def test_moves_of_one_version_leave_one_source_behind(self, storage: Storage) -> None:
        """``move`` deletes only the version that it copied: what is written meanwhile stays where it is."""
        if any(map(self.lacks, (Lack.DELETE_IF_MATCH, Lack.DELETE_IF_MATCH_IGNORED, Lack.RACES))):
            return
        for _ in range(3):
            etag = storage.set("a", "old").etag
            won = _race(partial(storage.move, "a", "b", if_match=etag), partial(storage.set, "a", "new"))
            assert won[1].count(None) == len(won[1])
            assert storage.get("a") == "new"
            assert not storage.exists("b") or storage.get("b") == "old"
            storage.delete_many(["a", "b"])

    @pytest.mark.parametrize("move", [False, True], ids=["copy", "move"])
    def test_copy_of_one_version(self, storage: Storage, move: bool) -> None:
        """``copy`` and ``move`` with ``if_match`` take the version that it names, and no other."""
        transfer: Callable[..., Any] = storage.move if move else storage.copy
        old = storage.set("a", "1")
        new = storage.set("a", "22", metadata={"m": "x"})
        if move and self.lacks(Lack.DELETE_IF_MATCH):
            with self.refused():
                storage.move("a", "b", if_match=new.etag)
            assert storage.get("a") == "22"
            return
        for etag in (old.etag, "no-such-etag"):
            with pytest.raises(PreconditionFailedError):
                transfer("a", "b", if_match=etag)
            with pytest.raises(PreconditionFailedError):
                transfer("a", "a", if_match=etag)
            assert storage.list() == ["a"]
        assert transfer("a", "a", if_match=new.etag).etag == new.etag
        assert transfer("a", "b", if_match=new.etag).metadata == {"m": "x"}
        assert storage.list() == (["b"] if move else ["a", "b"])
        assert storage.get("b") == "22"
        with pytest.raises(NotFoundError):
            transfer("absent", "c", if_match=new.etag)
        with pytest.raises(TypeError, match="if_match"):
            transfer("b", "c", if_match=1)

    def test_copy_of_one_version_to_another_type(self, storage: Storage) -> None:
        """The condition holds between storage types too."""
        old = storage.set("a", "1")
        new = storage.set("a", "22")
        with pytest.raises(PreconditionFailedError):
            storage.copy("a", "a", new_storage_type="tmp", if_match=old.etag)
        assert not storage.exists("a", "tmp")
        storage.copy("a", "a", new_storage_type="tmp", if_match=new.etag)
        assert storage.get("a", "tmp") == "22"

    def test_set_metadata(self, storage: Storage) -> None:
        """What is given is replaced, all else stays, and so do the bytes."""
        before = storage.set("a.txt", "text", cache_control="no-store", metadata={"who": "é", "old": "1"})
        if self.lacks(Lack.SET_METADATA):
            with self.refused():
                storage.set_metadata("a.txt", metadata={})
            assert storage.info("a.txt") == before
            return
        info = storage.set_metadata("a.txt", metadata={"who": "Zoë"})
        assert (info.content_type, info.cache_control, info.metadata) == ("text/plain", "no-store", {"who": "Zoë"})
        assert storage.info("a.txt") == info
        info = storage.set_metadata(
            "a.txt", content_type="text/csv", cache_control="max-age=1", content_encoding="gzip"
        )
        assert (info.content_type, info.cache_control) == ("text/csv", "max-age=1")
        assert info.content_encoding == "gzip"
        assert info.metadata == {"who": "Zoë"}
        assert storage.set_metadata("a.txt", metadata={}).metadata == {}
        assert storage.get_bytes("a.txt") == b"text"
        assert storage.list() == ["a.txt"]

    def test_set_metadata_on_a_condition(self, storage: Storage) -> None:
        """``if_match`` names the version that is meant; an absent blob is a ``NotFoundError``."""
        if self.lacks(Lack.SET_METADATA):
            return
        old = storage.set("a", "1").etag
        etag = storage.set("a", "22").etag
        with pytest.raises(PreconditionFailedError):
            storage.set_metadata("a", metadata={"m": "1"}, if_match=old)
        assert storage.info("a").metadata == {}
        assert storage.set_metadata("a", metadata={"m": "1"}, if_match=etag).metadata == {"m": "1"}
        with pytest.raises(NotFoundError):
            storage.set_metadata("absent", metadata={})
        with pytest.raises(ValueError, match="nothing to change"):
            storage.set_metadata("a")
        with pytest.raises(ValueError, match="metadata"):
            storage.set_metadata("a", metadata={"Not Allowed": ""})

    def test_lock_with_an_owner(self, storage: Storage) -> None:
        """A lock made of a create-only write and a conditional delete: nobody releases another's."""
        if self.lacks(Lack.DELETE_IF_MATCH) or self.lacks(Lack.DELETE_IF_MATCH_IGNORED):
            return
        mine = storage.set("lock", "me", overwrite=False).etag
        with pytest.raises(AlreadyExistsError):
            storage.set("lock", "you", overwrite=False)
        storage.delete("lock", if_match=mine)
        theirs = storage.set("lock", "you", overwrite=False).etag
        assert theirs != mine
        with pytest.raises(PreconditionFailedError):
            storage.delete("lock", if_match=mine)
        assert storage.get("lock") == "you"

    def test_lease_that_expires(self, storage: Storage) -> None:
        """A lease whose blob says until when it holds: one of those that see it expired takes it over, and then holds it."""
        if any(map(self.lacks, (Lack.IF_MATCH, Lack.DELETE_IF_MATCH, Lack.DELETE_IF_MATCH_IGNORED, Lack.RACES))):
            return

        def take(owner: str, now: int) -> str:
            info = storage.info("lease")
            until = int(info.metadata["until"]) if info.metadata else 0
            if now < until:
                raise AlreadyExistsError
            return storage.set("lease", owner, metadata={"until": str(now + 60)}, if_match=info.etag).etag

        mine = storage.set("lease", "me", metadata={"until": "60"}, overwrite=False).etag
        with pytest.raises(AlreadyExistsError):
            take("you", 59)
        won = _race(*(partial(take, f"worker {n}", 60) for n in range(THREADS)))
        (winner,) = (n for n, raised in enumerate(won) if raised == [None])
        assert storage.get("lease") == f"worker {winner}"
        with pytest.raises(PreconditionFailedError):  # too late to renew, or to give back
            storage.set("lease", "me", metadata={"until": "120"}, if_match=mine)
        with pytest.raises(PreconditionFailedError):
            storage.delete("lease", if_match=mine)
        storage.delete("lease", if_match=storage.info("lease").etag)


def _race(*calls: Callable[[], object]) -> list[list[StorageError | None]]:
    """What each of many threads raised that make these calls at once, for each call; ``None``: nothing."""
    start = threading.Barrier(THREADS)
    results: list[list[StorageError | None]] = [[] for _ in calls]

    def run(number: int) -> None:
        start.wait()
        try:
            calls[number]()
        except (NotFoundError, PreconditionFailedError, UnsupportedOperationError) as exc:
            results[number].append(exc)
        else:
            results[number].append(None)

    threads = [threading.Thread(target=run, args=[n % len(calls)]) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
