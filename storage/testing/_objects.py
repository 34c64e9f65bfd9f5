"""The ``Storage`` object itself: construction, pickling, errors, the log, ``setup`` and ``check``."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import (
    AlreadyExistsError,
    BucketNotFoundError,
    ConfigurationError,
    InvalidKeyError,
    NotFoundError,
    NotTextError,
    PreconditionFailedError,
    Storage,
    StorageError,
)
from storage.testing._base import Suite
from storage.testing._harness import Lack
from storage.testing._sources import Minimal
from storage.testing._spy import Spy


class ObjectTests(Suite):
    """The contract: construction, exceptions, the log, ``setup`` and ``check``."""

    def test_nothing_is_done_before_the_first_call(self, name: str) -> None:
        """A ``Storage`` can be made before there is anything to talk to, and closed at once."""
        url = self.harness.missing_url()
        store = self.open(name) if url is None else Storage(url, **self.harness.kwargs())
        store.close()
        store.close()

    def test_context_manager(self, name: str) -> None:
        """``with`` gives the store itself, and what was stored stays when it is closed."""
        store = self.open(name)
        with store as same:
            assert same is store
            same.set("a", b"1")
        assert self.open(name).get("a") == "1"

    def test_a_closed_store_opens_again(self, storage: Storage) -> None:
        """``close`` gives back connections and threads; a later call has new ones."""
        storage.set("k", "before")
        storage.close()
        assert storage.get("k") == "before"
        storage.set("k", "after")
        storage.close()
        storage.close()
        assert storage.list() == ["k"]
        assert storage.get("k") == "after"

    def test_url_and_backend_exclude_each_other(self, storage: Storage, name: str) -> None:
        """``url`` with ``backend`` is a ``TypeError``; a ready backend serves without a URL."""
        with pytest.raises(TypeError):
            Storage(self.harness.url(name), backend=storage.backend)
        with pytest.raises(TypeError):
            Storage(backend="memory://")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            Storage(self.harness.url(name), colour="red")  # type: ignore[call-arg]
        with Storage(backend=Spy(storage.backend)) as store:
            store.set("a", b"1", "tmp")
            assert store.get("a", "tmp") == "1"
            store.delete("a", "tmp")

    def test_arguments_that_cannot_be(self, name: str) -> None:
        """Bad ``retries``, ``timeout`` and query parameters are ``ConfigurationError``s at once."""
        for options in (
            {"retries": -1},
            {"retries": "3"},
            {"retries": 1.5},
            {"timeout": 0},
            {"timeout": (1, -1)},
            {"timeout": "5"},
        ):
            with pytest.raises(ConfigurationError) as caught:
                self.open(name, **options)
            assert isinstance(caught.value, ValueError)
        url = self.harness.url(name)
        mark = "&" if "?" in url else "?"
        for query in (
            "colour=red",
            "types=data",
            "types=data:a,data:b",
            "types=a:x,b:x",
            "=",
            "colour",
            "types=a:&types=b:",
        ):
            with pytest.raises(ConfigurationError):
                Storage(f"{url}{mark}{query}", **self.harness.kwargs())
        scheme, _, rest = url.partition("://")
        for wrong in (f"{scheme}://user:TOPSECRET@{rest}", f"no-such-{url}", rest, url + "#TOPSECRET"):
            with pytest.raises(ConfigurationError) as caught:
                Storage(wrong, **self.harness.kwargs())
            assert "TOPSECRET" not in str(caught.value)

    def test_arguments_that_serve_every_backend(self, name: str) -> None:
        """``retries``, ``timeout`` and storage types in the URL are taken by each."""
        from urllib3.util.retry import Retry

        for options in ({"retries": 0}, {"retries": Retry(total=2)}, {"timeout": 5}, {"timeout": (1.5, 30)}):
            self.open(name, **options).set("a", b"1")
        url = self.harness.url(name)
        with Storage(f"{url}{'&' if '?' in url else '?'}types=mine:data/,rest:other", **self.harness.kwargs()) as store:
            assert store.storage_types == ("mine", "rest")
            assert store.get("a", "mine") == "1"

    def test_pickle(self, name: str) -> None:
        """A ``Storage`` goes through pickle to the same place, unless that would write a secret down."""
        store = self.open(name)
        store.set("a", b"1")
        if self.harness.kwargs().get("auth") is not None:
            with pytest.raises(TypeError, match="auth"):
                pickle.dumps(store)
        else:
            data = pickle.dumps(store)
            for secret in self.harness.secrets:
                assert secret.encode() not in data
            with pickle.loads(data) as copy:  # noqa: S301 (our own)
                assert copy.get("a") == "1"
                assert repr(copy) == repr(store)
                copy.set("b", b"2")
            assert store.get("b") == "2"

    def test_repr(self, name: str) -> None:
        """``repr`` names the place, and no secret."""
        store = self.open(name)
        url = self.harness.url(name).partition("?")[0].rstrip("/")
        assert url.rpartition("/")[2] in repr(store)
        assert "Storage(" in repr(store)
        for secret in self.harness.secrets:
            assert secret not in repr(store) + repr(store.backend) + repr(vars(store.backend))

    # ---- errors ------------------------------------------------------------------------------------------------

    def test_errors_say_where(self, storage: Storage, name: str) -> None:
        """Each error carries key, storage type and URL, names them in its message, and survives pickle."""
        storage.set("a", b"\xff", "tmp")
        attempts: list[tuple[type[StorageError], Callable[[], object]]] = [
            (NotFoundError, lambda: storage.get("absent/é", "tmp")),
            (NotFoundError, lambda: storage.delete("absent/é", "tmp")),
            (NotFoundError, lambda: storage.copy("absent/é", "b", "tmp")),
            (NotFoundError, lambda: storage.open("absent/é", "rb", "tmp")),
            (NotFoundError, lambda: list(storage.iter_bytes("absent/é", "tmp"))),
            (NotTextError, lambda: storage.get("a", "tmp")),
        ]
        if Lack.IF_MATCH not in self.harness.lacks:
            attempts.append((PreconditionFailedError, lambda: storage.set("a", b"", "tmp", if_match="no")))
        if Lack.CREATE_ONLY not in self.harness.lacks:
            attempts.append((AlreadyExistsError, lambda: storage.set("a", b"", "tmp", overwrite=False)))
        for expected, attempt in attempts:
            with pytest.raises(expected) as caught:
                attempt()
            error = caught.value
            assert type(error) is expected
            assert error.key in ("absent/é", "a")
            assert repr(error.key) in str(error)
            assert error.storage_type == "tmp"
            assert error.url
            assert name in error.url
            assert "?" not in error.url
            again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
            assert (type(again), str(again), again.key) == (expected, str(error), error.key)
            for secret in self.harness.secrets:
                assert secret not in str(error) + repr(error) + repr(error.__cause__)

    def test_missing_bucket(self) -> None:
        """Where the bucket or directory itself is missing, each call says so; nothing reads as an absent blob."""
        url = self.harness.missing_url()
        if url is None:  # there is no such thing as a missing store: the first call finds an empty one
            assert self.open("always-there").list() == []
            return
        with Storage(url, **self.harness.kwargs()) as store:
            attempts: list[Callable[[], object]] = [
                lambda: store.get("a"),
                lambda: store.get_bytes("a", start=1),
                lambda: list(store.iter_bytes("a")),
                lambda: store.info("a"),
                lambda: store.exists("a"),
                lambda: store.set("a", b"1"),
                lambda: store.set("a", [b"1"], metadata={"a": "b"}),
                lambda: store.set("a", Minimal(bytes(self.harness.large_size))),
                lambda: store.delete("a"),
                lambda: store.delete("a", missing_ok=True),
                lambda: store.delete_many(["a", "b"]),
                lambda: store.copy("a", "b"),
                lambda: store.move("a", "b"),
                store.list,
                lambda: list(store.iter_info()),
                lambda: list(store.iter_dir()),
                lambda: store.open("a"),
            ]
            for index, attempt in enumerate(attempts):
                with pytest.raises(BucketNotFoundError) as caught:
                    attempt()
                assert not isinstance(caught.value, NotFoundError), index
                assert caught.value.url, index
                for secret in self.harness.secrets:
                    assert secret not in str(caught.value) + repr(caught.value.__cause__)

    # ---- the log -----------------------------------------------------------------------------------------------

    def test_one_line_a_call(self, storage: Storage, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        """At DEBUG each call leaves one line with its name, storage type, key, bytes and tries, whatever it took."""
        size = 3 * storage.backend.chunk_size + 5
        calls: list[tuple[str, str, int | None, Callable[[], object]]] = [
            ("set", "a", 5, lambda: storage.set("a", b"12345", "tmp")),
            ("set", "b", size, lambda: storage.set("b", Minimal(bytes(size)), "tmp")),
            ("set_file", "c", 3, lambda: storage.set_file("c", Minimal(b"123"), "tmp")),
            ("get", "a", 5, lambda: storage.get("a", "tmp")),
            ("get_bytes", "a", 2, lambda: storage.get_bytes("a", "tmp", start=3)),
            ("iter_bytes", "b", size, lambda: list(storage.iter_bytes("b", "tmp", chunk_size=1000_000))),
            ("get_file", "b", size, lambda: storage.get_file("b", tmp_path / "b", "tmp")),
            ("info", "a", None, lambda: storage.info("a", "tmp")),
            ("exists", "a", None, lambda: storage.exists("a", "tmp")),
            ("exists", "absent", None, lambda: storage.exists("absent", "tmp")),
            ("copy", "a", None, lambda: storage.copy("a", "d", "tmp")),
            ("move", "d", None, lambda: storage.move("d", "e", "tmp")),
            ("delete", "e", None, lambda: storage.delete("e", "tmp")),
            ("list", "None", None, lambda: storage.list(storage_type="tmp")),
        ]
        for name, key, moved, call in calls:
            caplog.clear()
            with caplog.at_level(logging.DEBUG, logger="storage"):
                call()
            records = [
                record for record in caplog.records if record.name == "storage" and record.levelno == logging.DEBUG
            ]
            lines = [record.getMessage() for record in records]
            assert len(lines) == 1, (name, lines)
            assert lines[0].startswith(f"{name} "), lines
            for part in ("tmp", key, *([str(moved)] if moved is not None else []), "ms=", "tries=1"):
                assert part in lines[0], (part, lines)

    def test_failures_are_logged_too(self, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        """A call that fails leaves its line as well, and an invalid key none, since nothing was asked."""
        with caplog.at_level(logging.DEBUG, logger="storage"):
            with pytest.raises(NotFoundError):
                storage.get("absent")
            with pytest.raises(InvalidKeyError):
                storage.get("../x")
        lines = [record.getMessage() for record in caplog.records if record.name == "storage"]
        assert len(lines) == 1
        assert "'absent'" in lines[0]

    def test_no_secret_in_the_log(self, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        """No record of any call, nor the native exception behind an error, holds a secret or a signature."""
        signed: list[str] = []
        with caplog.at_level(logging.DEBUG, logger="storage"):
            storage.set("a", b"1", metadata={"m": "1"})
            storage.get("a")
            storage.list()
            if Lack.SIGNING not in self.harness.lacks:
                signed.append(storage.get_signed_url("a"))
                request = storage.sign_upload("a", content_type="text/plain")
                signed.append(request.url)
                assert request.url not in repr(request)
                assert "?" not in repr(request).replace("?…", "")
            storage.delete("a")
        text = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
        for secret in (*self.harness.secrets, *signed, *(url.partition("?")[2] for url in signed)):
            assert secret not in text

    # ---- setup and check ---------------------------------------------------------------------------------------

    def test_setup_twice(self, storage: Storage) -> None:
        """``setup`` says what it changed, and the second time that there was nothing to change."""
        storage.set("a", b"1")
        first = storage.setup(create_bucket=True)
        assert all(isinstance(line, str) for line in first)
        assert list(storage.setup(create_bucket=True)) == []
        assert list(storage.setup()) == []
        assert storage.get("a") == "1"

    def test_setup_checks_its_arguments(self, storage: Storage) -> None:
        """Origins that are none, and days below one, are refused before anything is changed."""
        with pytest.raises(TypeError):
            storage.setup(cors_origins="https://example.com")
        with pytest.raises(ValueError, match="origin"):
            storage.setup(cors_origins=["example.com"])
        for days in (0, -1):
            with pytest.raises(ValueError, match="tmp_days"):
                storage.setup(tmp_days=days)

    def test_check_finds_what_is_declared(self, storage: Storage) -> None:
        """``check`` tries the store for real, reports what it lacks and nothing else, and leaves nothing behind."""
        storage.set("mine", b"1")
        lines = list(storage.check())
        words = {
            Lack.CREATE_ONLY: "create-only writes",
            Lack.IF_MATCH: "conditional writes",
            Lack.CREATE_ONLY_COPY: "create-only copies",
            Lack.CREATE_ONLY_COPY_IGNORED: "create-only copies",
            Lack.DELETE_IF_MATCH: "conditional deletes",
            Lack.DELETE_IF_MATCH_IGNORED: "conditional deletes",
            Lack.SET_METADATA: "set_metadata",
            Lack.LISTING_ORDER: "listing order",
            Lack.SIGNED_MD5: "checksums",
            Lack.SIGNING: "signing",
            Lack.SIGNATURES: "signing",
            Lack.HTTP: "signing",
        }
        declared = {word for lack, word in words.items() if self.lacks(lack)}
        assert {line.partition(":")[0] for line in lines} == declared, lines
        for storage_type in storage.storage_types:
            assert storage.list(storage_type=storage_type) == (["mine"] if storage_type == "data" else [])
