"""A backend that fails on order, for tests of what a program does when its store does not answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, cast

from storage import Storage, StorageError, UnavailableError
from storage.backends import Backend, Chunks, Download, PutOptions, Stat, Writer
from storage.testing._spy import Spy

T = TypeVar("T")

_NAMES: Final[Mapping[str, str]] = {
    "put": "set",
    "commit": "set",
    "get": "get",
    "stream": "get",
    "stat": "info",
    "probe": "info",
    "delete": "delete",
    "delete_unseen": "delete",
    "copy": "copy",
    "move": "move",
    "update": "set_metadata",
    "scan": "list",
    "sign": "sign",
    "sign_form": "sign",
    "setup": "setup",
}
CALLS: Final = frozenset(_NAMES.values())


class Call(NamedTuple):
    """One call that reached the backend.

    Attributes:
        name: ``"get"``, ``"set"``, ``"info"``, ``"delete"``, ``"list"``, ``"copy"``, ``"move"``, ``"set_metadata"``, ``"sign"``
            or ``"setup"``.
        key: of the blob (of the source, for a copy); of a listing, the prefix; ``None`` where there is none.
        storage_type: its type.
    """

    name: str
    key: str | None
    storage_type: str | None


class Rule:
    """A fault that was asked for.

    Attributes:
        fired: how many calls it has hit.
    """

    def __init__(
        self,
        call: str,
        key: str,
        nth: int | None,
        times: int | None,
        probability: float | None,
        *,
        error: StorageError | type[StorageError] = UnavailableError,
        seconds: float = 0.0,
        after: int | None = None,
        lost: bool = False,
    ) -> None:
        if call not in CALLS and call != "*":
            raise ValueError(f"call={call!r}: use one of {', '.join(sorted(CALLS))}, or '*' for all")
        if nth is not None and nth < 1:
            raise ValueError(f"nth={nth!r}: the first call is 1")
        if probability is not None and not 0 <= probability <= 1:
            raise ValueError(f"probability={probability!r}: use a number from 0 to 1")
        if not isinstance(error, StorageError) and not (isinstance(error, type) and issubclass(error, StorageError)):
            raise TypeError(f"error={error!r}: use an exception of storage.exceptions; no other leaves this library")
        self.fired: int = 0
        self.error: StorageError | type[StorageError] = error
        self.seconds: float = seconds
        self.after: int | None = after
        self.lost: bool = lost
        self._call, self._key, self._nth, self._times, self._probability = call, key, nth, times, probability
        self._seen = 0
        self._stopped = False

    def stop(self) -> None:
        """Ends it; later calls are not hit."""
        self._stopped = True

    def _hits(self, call: Call, chance: random.Random) -> bool:
        if self._stopped or self._call not in ("*", call.name) or not fnmatchcase(call.key or "", self._key):
            return False
        self._seen += 1
        if self._nth is not None and self._seen != self._nth:
            return False
        if self._times is not None and self.fired >= self._times:
            return False
        if self._probability is not None and chance.random() >= self._probability:
            return False
        self.fired += 1
        return True


class _Verdict(NamedTuple):
    """What becomes of a call: fails before it is done; fails after it; is read as far as this rule says."""

    error: StorageError | None = None
    lost: StorageError | None = None
    cut: Rule | None = None


def _exception(error: StorageError | type[StorageError]) -> StorageError:
    return error() if isinstance(error, type) else error


class FaultyBackend(Spy):
    """Any backend, with faults on order and a record of the calls. In this process; nothing is sent anywhere.

    ::

        faulty = FaultyBackend()
        faulty.fail("set", key="reports/*", nth=2)
        store = Storage(backend=faulty)

    A fault stands for what is left after all retries: the backend that is wrapped does not see the call again.

    Args:
        backend: what keeps the blobs, or a ``Storage`` whose backend does; ``None``: a new store in memory.
        storage_types: those of the ``Storage`` that is to use it, as prefixes; by them the record tells keys and types.
        seed: of the faults that come with a probability: the same seed, the same faults.
        sleep: what waits; ``time.sleep`` unless a test wants no time to pass.
    """

    scheme: ClassVar[str] = "faulty"

    def __init__(
        self,
        backend: Backend | Storage | None = None,
        *,
        storage_types: Mapping[str, str] | None = None,
        seed: int = 0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if backend is None:
            backend = Storage("memory://")
        super().__init__(backend.backend if isinstance(backend, Storage) else backend)
        if storage_types is None:
            storage_types = {name: f"{name}/" for name in ("data", "tmp", "result")}
        self._types = {prefix.rstrip("/") + "/" if prefix else "": name for name, prefix in storage_types.items()}
        self._chance = random.Random(seed)  # noqa: S311 (a test's dice)
        self._sleep = sleep
        self._rules: list[Rule] = []
        self._made: list[Call] = []
        self._gate = threading.Lock()

    # ---- what is asked for -------------------------------------------------------------------------------------

    def fail(
        self,
        call: str = "*",
        error: StorageError | type[StorageError] = UnavailableError,
        *,
        key: str = "*",
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
    ) -> Rule:
        """Lets calls fail before anything is done.

        Args:
            call: ``"get"``, ``"set"``, ``"info"``, ``"delete"``, ``"list"``, ``"copy"``, ``"move"``, ``"set_metadata"``,
                ``"sign"``, ``"setup"``, or ``"*"`` for each. ``get`` is every way to read bytes, ``set`` every way to write
                them, ``info`` is asked by ``exists`` and by ``open`` too.
            error: what is raised: a class of :mod:`storage.exceptions`, or an instance, whose message is kept.
            key: a pattern (``reports/*.csv``) that keys match; of a copy, the source's.
            nth: only the call of this number, from 1, among those that match.
            times: at most so many calls.
            probability: of each call, from 0 to 1.
        """
        return self._add(Rule(call, key, nth, times, probability, error=error))

    def lose(
        self,
        call: str = "set",
        error: StorageError | type[StorageError] = UnavailableError,
        *,
        key: str = "*",
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
    ) -> Rule:
        """Lets the answer be lost: the call is done, and then fails. Arguments as for :meth:`fail`."""
        return self._add(Rule(call, key, nth, times, probability, error=error, lost=True))

    def cut(
        self,
        after: int,
        error: StorageError | type[StorageError] = UnavailableError,
        *,
        key: str = "*",
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
    ) -> Rule:
        """Lets reads end early: ``after`` bytes come, and then the error. Other arguments as for :meth:`fail`."""
        return self._add(Rule("get", key, nth, times, probability, error=error, after=after))

    def delay(
        self,
        seconds: float,
        call: str = "*",
        *,
        key: str = "*",
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
    ) -> Rule:
        """Lets calls take ``seconds`` longer. Other arguments as for :meth:`fail`."""
        return self._add(Rule(call, key, nth, times, probability, seconds=seconds))

    def heal(self) -> None:
        """Ends all faults; the record stays."""
        with self._gate:
            self._rules.clear()

    def _add(self, rule: Rule) -> Rule:
        with self._gate:
            self._rules.append(rule)
        return rule

    # ---- the record --------------------------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """The calls that came so far, in order, those that failed too."""
        with self._gate:
            return list(self._made)

    def count(self, call: str = "*", key: str = "*") -> int:
        """How many calls match; ``key`` is a pattern."""
        return sum(call in ("*", made.name) and fnmatchcase(made.key or "", key) for made in self.calls)

    def forget(self) -> None:
        """Empties the record."""
        with self._gate:
            self._made.clear()

    # ---- calls -------------------------------------------------------------------------------------------------

    def _call_of(self, method: str, path: str | None) -> Call | None:
        """``None``: a call that no fault can be asked for."""
        name = _NAMES.get(method)
        if name is None:
            return None
        for prefix, storage_type in self._types.items():
            if path is not None and path.startswith(prefix):
                return Call(name, path[len(prefix) :], storage_type)
        return Call(name, path, None)

    def _verdict(self, call: Call) -> _Verdict:
        """Notes the call, and waits as long as it is to take."""
        with self._gate:
            self._made.append(call)
            rules = [rule for rule in self._rules if rule._hits(call, self._chance)]  # noqa: SLF001
        verdict = _Verdict()
        for rule in rules:
            if rule.seconds:
                self._sleep(rule.seconds)
            elif rule.after is not None:
                verdict = verdict._replace(cut=rule)
            else:
                error = _exception(rule.error)
                verdict = verdict._replace(lost=error) if rule.lost else verdict._replace(error=error)
        return verdict

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        call = self._call_of(method, path)
        if call is None:
            return function()
        error, lost, cut = self._verdict(call)
        if error is not None:
            raise error
        result = function()
        if lost is not None:
            raise lost
        return result if cut is None else cast("T", _cut(result, cut))

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        return _FaultyWriter(self, path, super().writer(path, options, size))

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        verdicts = {path: self._verdict(self._call_of("delete", path) or Call("delete", path, None)) for path in paths}
        failed = {path: verdict.error for path, verdict in verdicts.items() if verdict.error is not None}
        lost = {path: verdict.lost for path, verdict in verdicts.items() if verdict.lost is not None}
        done = self._backend.delete_batch([path for path in paths if path not in failed])
        return {**done, **lost, **failed}

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return type(exc) if isinstance(exc, StorageError) else self._backend.classify(exc)


class _FaultyWriter:
    def __init__(self, backend: FaultyBackend, path: str, writer: Writer) -> None:
        self._backend, self._path, self._writer = backend, path, writer

    def write(self, data: bytes | memoryview) -> None:
        self._writer.write(data)

    def commit(self) -> Stat:
        return self._backend._run("commit", self._path, self._writer.commit)  # noqa: SLF001

    def abort(self) -> None:
        self._writer.abort()


def _cut(result: Any, rule: Rule) -> Any:
    """What was read, so that it ends after ``rule.after`` bytes, with the rule's error."""
    if isinstance(result, Download):
        return result._replace(chunks=_CutChunks(result.chunks, rule))
    if len(result) > cast("int", rule.after):
        raise _exception(rule.error)
    return result


class _CutChunks:
    def __init__(self, chunks: Chunks, rule: Rule) -> None:
        self._chunks, self._rule = chunks, rule
        self._left = cast("int", rule.after)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left <= 0:
            raise _exception(self._rule.error)
        chunk = next(self._chunks)[: self._left]
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._chunks.close()
