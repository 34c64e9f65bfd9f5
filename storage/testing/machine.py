"""A store held against a plain ``dict``: hypothesis makes up calls, and both must tell the same story."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage import AlreadyExistsError, NotFoundError, ObjectInfo, PreconditionFailedError, Storage
from storage.testing._harness import Harness, Lack
from storage.testing._sources import Boom, breaking_items

__all__ = ["StorageMachine", "state_machine"]

_Model = dict[tuple[str, str], tuple[bytes, str | None, dict[str, str]]]

_TYPES = st.sampled_from(["data", "tmp", "result"])
# Few, so that calls meet; chosen to be each other's folders, neighbours in the order, and of more than one byte.
_KEYS = st.sampled_from(["a", "a/b", "a/b/c", "a-b", "a.txt", "a0", "b", "b/é.json", "é", "\uff5e", "🪣"])
_PREFIXES = st.sampled_from(["", "a", "a/", "a/b", "a/b/", "b", "b/", "é", "z"])
_BODIES = st.binary(max_size=40) | st.binary(min_size=1, max_size=8).map(lambda piece: piece * 9_000)
_METADATA = st.dictionaries(
    st.sampled_from(["a", "b-c"]), st.sampled_from(["", "1", " é ", "=?UTF-8?B?aGk=?="]), max_size=2
)
_CONTENT_TYPES = st.none() | st.sampled_from(["text/own", "application/octet-stream"])
_DEFAULTS = {"txt": "text/plain", "json": "application/json"}


def _default_type(key: str) -> str:
    return (
        _DEFAULTS.get(key.rpartition(".")[2], "application/octet-stream") if "." in key else "application/octet-stream"
    )


class StorageMachine(RuleBasedStateMachine):
    """A ``Storage`` and its model. Made by :func:`state_machine`, which gives the harness."""

    harness: Harness

    def __init__(self) -> None:
        super().__init__()
        self.name: str = f"machine-{secrets.token_hex(8)}"
        self.store: Storage = self.harness.storage(self.name)
        self.model: _Model = {}
        self.etags: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        self.store.close()
        self.harness.drop(self.name)

    # ---- writing -----------------------------------------------------------------------------------------------

    def _stored(self, info: ObjectInfo, body: bytes, content_type: str | None, metadata: dict[str, str]) -> None:
        place = (info.storage_type, info.key)
        old = self.model.get(place)
        if old is not None and old[0] != body:
            assert info.etag != self.etags[place]
        self.model[place] = (body, content_type or _default_type(info.key), metadata)
        self.etags[place] = info.etag
        assert info.size == len(body)
        assert info.content_type == self.model[place][1]
        assert info.metadata == metadata

    @rule(key=_KEYS, kind=_TYPES, body=_BODIES, content_type=_CONTENT_TYPES, metadata=_METADATA, pieces=st.booleans())
    def set(
        self, key: str, kind: str, body: bytes, content_type: str | None, metadata: dict[str, str], pieces: bool
    ) -> None:
        value = [body[:5], body[5:]] if pieces else body
        info = self.store.set(key, value, kind, content_type=content_type, metadata=metadata)
        assert (info.key, info.storage_type) == (key, kind)
        self._stored(info, body, content_type, metadata)

    @rule(key=_KEYS, kind=_TYPES, body=_BODIES, fails=st.booleans())
    def write_a_file(self, key: str, kind: str, body: bytes, fails: bool) -> None:
        pieces = breaking_items(40) if fails else iter([body])
        with suppress(Boom), self.store.open(key, "wb", kind) as file:
            file.writelines(pieces)
        if not fails:
            self._stored(self.store.info(key, kind), body, None, {})

    @rule(key=_KEYS, kind=_TYPES, body=_BODIES)
    def create(self, key: str, kind: str, body: bytes) -> None:
        if Lack.CREATE_ONLY in self.harness.lacks:
            return
        if (kind, key) in self.model:
            with pytest.raises(AlreadyExistsError):
                self.store.set(key, body, kind, overwrite=False)
            return
        try:
            info = self.store.set(key, body, kind, overwrite=False)
        except AlreadyExistsError:
            below = [other for other in self._keys(kind) if other.startswith(f"{key}/") or key.startswith(f"{other}/")]
            assert below
            assert Lack.CREATE_ONLY_BESIDE_FOLDER in self.harness.lacks
        else:
            self._stored(info, body, None, {})

    @rule(key=_KEYS, kind=_TYPES, body=_BODIES, stale=st.booleans())
    def swap(self, key: str, kind: str, body: bytes, stale: bool) -> None:
        if Lack.IF_MATCH in self.harness.lacks:
            return
        etag = self.etags.get((kind, key))
        if etag is None or stale:
            with pytest.raises(PreconditionFailedError):
                self.store.set(key, body, kind, if_match="another" if etag is None else f"{etag}x")
        else:
            self._stored(self.store.set(key, body, kind, if_match=etag), body, None, {})

    # ---- deleting, copying -------------------------------------------------------------------------------------

    @rule(key=_KEYS, kind=_TYPES, missing_ok=st.booleans())
    def delete(self, key: str, kind: str, missing_ok: bool) -> None:
        if (kind, key) not in self.model and not missing_ok:
            with pytest.raises(NotFoundError):
                self.store.delete(key, kind)
        else:
            self.store.delete(key, kind, missing_ok=missing_ok)
        self._forget(kind, key)

    @rule(keys=st.lists(_KEYS, max_size=5), kind=_TYPES)
    def delete_many(self, keys: list[str], kind: str) -> None:
        self.store.delete_many(keys, kind)
        for key in keys:
            self._forget(kind, key)

    @rule(key=_KEYS, new_key=_KEYS, kind=_TYPES, new_kind=_TYPES, moves=st.booleans(), overwrite=st.booleans())
    def transfer(self, key: str, new_key: str, kind: str, new_kind: str, moves: bool, overwrite: bool) -> None:
        if {Lack.CREATE_ONLY_COPY, Lack.CREATE_ONLY_COPY_IGNORED}.intersection(self.harness.lacks):
            overwrite = True
        method = self.store.move if moves else self.store.copy
        source, target = (kind, key), (new_kind, new_key)
        expected: type[Exception] | None = None
        if source not in self.model:
            expected = NotFoundError
        elif not overwrite and target in self.model:
            expected = AlreadyExistsError
        if expected is not None:
            with pytest.raises(expected):
                method(key, new_key, kind, new_storage_type=new_kind, overwrite=overwrite)
            return
        try:
            info = method(key, new_key, kind, new_storage_type=new_kind, overwrite=overwrite)
        except AlreadyExistsError:
            assert Lack.CREATE_ONLY_BESIDE_FOLDER in self.harness.lacks
            return
        assert (info.key, info.storage_type) == (new_key, new_kind)
        self.model[target] = self.model[source]
        self.etags[target] = info.etag
        if moves and source != target:
            self._forget(*source)

    def _forget(self, kind: str, key: str) -> None:
        self.model.pop((kind, key), None)
        self.etags.pop((kind, key), None)

    # ---- reading -----------------------------------------------------------------------------------------------

    @rule(key=_KEYS, kind=_TYPES, start=st.integers(0, 50), end=st.none() | st.integers(0, 80_000))
    def read(self, key: str, kind: str, start: int, end: int | None) -> None:
        if (kind, key) not in self.model:
            for attempt in (self.store.get_bytes, self.store.info, self.store.open):
                with pytest.raises(NotFoundError):
                    attempt(key, storage_type=kind)
            return
        body, content_type, metadata = self.model[kind, key]
        assert self.store.get_bytes(key, kind) == body
        assert self.store.get_bytes(key, kind, start=start, end=end) == body[start:end]
        assert b"".join(self.store.iter_bytes(key, kind, start=start, end=end, chunk_size=1_000)) == body[start:end]
        with self.store.open(key, "rb", kind) as file:
            file.seek(start)
            assert file.read() == body[start:]
        info = self.store.info(key, kind)
        assert (info.size, info.content_type, info.metadata) == (len(body), content_type, metadata)
        assert info.etag == self.etags[kind, key]

    @rule(keys=st.lists(_KEYS, max_size=4), kind=_TYPES)
    def read_many(self, keys: list[str], kind: str) -> None:
        there = [key for key in keys if (kind, key) in self.model]
        assert list(self.store.get_many(there, kind)) == [(key, self.model[kind, key][0]) for key in there]

    # ---- listing -----------------------------------------------------------------------------------------------

    def _keys(self, kind: str, prefix: str = "") -> list[str]:
        return sorted(key for where, key in self.model if where == kind and key.startswith(prefix))

    @rule(prefix=_PREFIXES, kind=_TYPES, limit=st.integers(1, 12), after=st.none() | _KEYS)
    def list(self, prefix: str, kind: str, limit: int, after: str | None) -> None:
        keys = self._keys(kind, prefix)
        infos = {info.key: (info.size, info.etag) for info in self.store.iter_info(prefix, kind)}
        assert infos == {key: (len(self.model[kind, key][0]), self.etags[kind, key]) for key in keys}
        if Lack.LISTING_ORDER in self.harness.lacks:
            assert sorted(self.store.iter_list(prefix, kind)) == keys
            return
        assert [*self.store.iter_list(prefix, kind)] == keys
        expected = [key for key in keys if after is None or key > after][:limit]
        assert self.store.list(prefix, kind, limit=limit, start_after=after) == expected

    @rule(prefix=_PREFIXES, kind=_TYPES)
    def list_one_level(self, prefix: str, kind: str) -> None:
        level = {
            key[: key.index("/", len(prefix)) + 1] if "/" in key[len(prefix) :] else key
            for key in self._keys(kind, prefix)
        }
        got = [entry if isinstance(entry, str) else entry.key for entry in self.store.iter_dir(prefix, kind)]
        if Lack.LISTING_ORDER in self.harness.lacks:
            got.sort()
        assert got == sorted(level)

    @precondition(lambda self: len(self.model) > 0)
    @invariant()
    def keys_are_those_of_the_model(self) -> None:
        kind = next(iter(self.model))[0]
        assert sorted(self.store.list(storage_type=kind)) == self._keys(kind)


def state_machine(harness: Harness, *, max_examples: int | None = None, steps: int = 40) -> type[Any]:
    """A test case that holds stores of ``harness`` against a ``dict``.

    ::

        TestMachine = state_machine(MyHarness())

    Args:
        harness: as for :class:`storage.testing.Conformance`; the case starts and stops it.
        max_examples: how many stories to try; ``None``: as many as hypothesis's profile says.
        steps: the most calls in one story.

    Returns:
        A ``unittest.TestCase``, which pytest collects under any name that begins with ``Test``.
    """
    profile: Any = settings.default
    machine = type("StorageMachine", (StorageMachine,), {"harness": harness})
    case: Any = machine.TestCase  # type: ignore[attr-defined]

    class Case(case):  # type: ignore[misc]
        settings = settings(
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            max_examples=profile.max_examples if max_examples is None else max_examples,
        )

        @classmethod
        def setUpClass(cls) -> None:
            harness.start()

        @classmethod
        def tearDownClass(cls) -> None:
            harness.stop()

    return Case
