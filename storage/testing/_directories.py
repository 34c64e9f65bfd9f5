"""Whole prefixes: delete them, and move them from and to local directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage import (
    AlreadyExistsError,
    InvalidKeyError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    Storage,
)
from storage.testing._base import Suite
from storage.testing._harness import Lack
from storage.testing._spy import Spy

TREE = {"a.txt": b"one", "css/b.css": b"two", "css/deep/ü x.bin": bytes(1000), "z": b""}


def plant(directory: Path) -> Path:
    """``directory`` with the files of ``TREE``."""
    for name, data in TREE.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def files_in(directory: Path) -> dict[str, bytes]:
    """The files below ``directory`` with their bytes."""
    found = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


class DirectoryTests(Suite):
    """The contract: ``delete_prefix``, ``set_dir``, ``get_dir``, ``mapping``."""

    def test_delete_prefix(self, storage: Storage) -> None:
        """Everything that starts with the string goes, in this type alone, and is counted."""
        keys = ["p/a", "p/b/c", "p/b/d", "pq", "q"]
        storage.set_many(dict.fromkeys(keys, "x"))
        storage.set("p/a", "x", "tmp")
        assert storage.delete_prefix("p/") == 3
        assert set(storage.list()) == {"pq", "q"}
        assert storage.delete_prefix("p") == 1
        assert storage.delete_prefix("p") == 0
        assert storage.list() == ["q"]
        assert storage.list(storage_type="tmp") == ["p/a"]
        with pytest.raises(ValueError, match="everything"):
            storage.delete_prefix("")
        for bad in ("/", "a//b", None, b"q"):
            with pytest.raises(InvalidKeyError):
                storage.delete_prefix(bad)  # type: ignore[arg-type]
        assert storage.list() == ["q"]

    def test_delete_prefix_reports_the_failure(self, storage: Storage, name: str) -> None:
        """What cannot be deleted is an error with its key, once the others have ended."""
        storage.set_many(dict.fromkeys(["p/a", "p/b"], "x"))

        def forbid(call: str) -> None:
            if call.startswith("delete"):
                raise PermissionDeniedError

        watched = Storage(backend=Spy(self.open(name).backend, forbid), storage_types={"data": self._prefix_of(name)})
        with pytest.raises(PermissionDeniedError) as caught:
            watched.delete_prefix("p/")
        assert caught.value.key is not None
        assert caught.value.key.startswith("p/")

    def _prefix_of(self, name: str) -> str:
        return self.open(name)._core.route("data").prefix  # noqa: SLF001 (the same store, through another backend)

    def test_a_directory_goes_there_and_back(self, storage: Storage, tmp_path: Path) -> None:
        """Every file becomes a blob, and every blob a file, with all bytes; ``progress`` hears of each."""
        moved: list[int] = []
        assert storage.set_dir("site/", plant(tmp_path / "from"), progress=moved.append) == len(TREE)
        assert sum(moved) == sum(map(len, TREE.values()))
        assert {key: storage.get_bytes(key) for key in storage.iter_list("site/")} == {
            f"site/{name}": data for name, data in TREE.items()
        }
        moved.clear()
        assert storage.get_dir("site/", tmp_path / "to" / "here", progress=moved.append) == len(TREE)
        assert sum(moved) == sum(map(len, TREE.values()))
        assert files_in(tmp_path / "to" / "here") == TREE
        assert storage.get_dir("nothing/", tmp_path / "empty") == 0

    def test_patterns(self, storage: Storage, tmp_path: Path) -> None:
        """``include`` and ``exclude`` are held against the path below the directory."""
        source = plant(tmp_path / "from")
        assert storage.set_dir("s/", source, include=["css/"], exclude=["*.bin"]) == 1
        assert storage.list("s/") == ["s/css/b.css"]
        storage.set_dir("s/", source)
        assert storage.get_dir("s/", tmp_path / "to", exclude=["css/"]) == 2
        assert sorted(files_in(tmp_path / "to")) == ["a.txt", "z"]

    def test_what_a_store_keeps_of_its_own_is_left_out(self, storage: Storage, tmp_path: Path) -> None:
        """A directory that is a store itself goes up without the store's own files, as a sync takes it."""
        source = plant(tmp_path / "from")
        Storage(source).set("own", "blob")
        assert (source / ".storage~").is_dir()
        assert storage.set_dir("s/", source) == len(TREE) + 1
        assert storage.get("s/data/own") == "blob"

    def test_links_are_not_followed(self, storage: Storage, tmp_path: Path) -> None:
        """Going up they are left out; coming down one in the way is an error, and one at a file's place is replaced."""
        source = plant(tmp_path / "from")
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (source / "link").symlink_to(outside / "secret")
        (source / "folder").symlink_to(outside)
        assert storage.set_dir("s/", source) == len(TREE)
        target = tmp_path / "to"
        target.mkdir()
        (target / "css").symlink_to(outside)
        (target / "a.txt").symlink_to(outside / "secret")
        with pytest.raises(OSError, match="link"):
            storage.get_dir("s/", target)
        (target / "css").unlink()
        storage.get_dir("s/", target)
        assert files_in(target) == TREE
        assert files_in(outside) == {"secret": b"secret"}

    def test_bad_names_are_found_before_anything_is_sent(self, storage: Storage, tmp_path: Path) -> None:
        """A file whose name makes no portable key stops all of it."""
        source = plant(tmp_path / "from")
        (source / "z\\y").write_text("x")
        with pytest.raises(InvalidKeyError, match="backslash"):
            storage.set_dir("s/", source)
        assert storage.list() == []
        with pytest.raises(FileNotFoundError):
            storage.set_dir("s/", tmp_path / "absent")
        with pytest.raises(InvalidKeyError):
            storage.set_dir("/", source)

    def test_two_keys_that_would_be_one_file(self, storage: Storage, tmp_path: Path) -> None:
        """Both are named, and nothing is written."""
        storage.set_many(dict.fromkeys(["p/a", "p/a-b", "p/a/b"], "x"), concurrency=1)
        with pytest.raises(InvalidKeyError, match="'p/a' and 'p/a/b'"):
            storage.get_dir("p/", tmp_path / "to")
        assert files_in(tmp_path / "to") == {}
        assert storage.get_dir("p/", tmp_path / "to", exclude=["a"]) == 2

    def test_get_dir_keeps_what_stood_there(
        self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A failure leaves each file old or new, and no temporary file."""
        storage.set_dir("s/", plant(tmp_path / "from"))
        target = tmp_path / "to"
        target.mkdir()
        (target / "a.txt").write_text("old")
        backend = storage.backend

        def fail(*_: object, **__: object) -> object:
            raise PermissionDeniedError

        with monkeypatch.context() as patch:
            patch.setattr(backend, "stream", fail)
            with pytest.raises(PermissionDeniedError) as caught:
                storage.get_dir("s/", target)
        assert caught.value.key is not None
        assert (target / "a.txt").read_text() == "old"
        assert {name for name in os.listdir(target) if name.startswith(".storage~")} == set()

    def test_mapping(self, storage: Storage) -> None:
        """A store as a dictionary of bytes."""
        shelf = storage.mapping()
        shelf["b"] = b"2"
        shelf["a"] = b"1"
        assert (len(shelf), list(shelf), dict(shelf)) == (2, ["a", "b"], {"a": b"1", "b": b"2"})
        assert "a" in shelf
        assert "c" not in shelf
        assert "" not in shelf
        assert shelf.get("c", b"none") == b"none"
        for use in (lambda: shelf["c"], lambda: shelf.pop("c"), lambda: shelf.__delitem__("c")):
            with pytest.raises(KeyError) as caught:
                use()
            assert isinstance(caught.value.__cause__, NotFoundError)
        del shelf["a"]
        shelf.clear()
        assert storage.list() == []
        assert len(storage.mapping("tmp")) == 0

    def test_options_of_a_batch(self, storage: Storage) -> None:
        """``set_many`` takes the options of ``set``, for all."""
        values = {"a": "1", "b": "2"}
        storage.set_many(values, content_type="text/x", cache_control="no-store", metadata={"m": "1"})
        for info in (storage.info("a"), storage.info("b")):
            assert (info.content_type, info.cache_control, info.metadata) == ("text/x", "no-store", {"m": "1"})
        if not self.lacks(Lack.CREATE_ONLY):
            with pytest.raises(AlreadyExistsError) as caught:
                storage.set_many({"a": "3"}, overwrite=False)
            assert caught.value.key == "a"
        if not self.lacks(Lack.IF_MATCH):
            with pytest.raises(PreconditionFailedError) as failed:
                storage.set_many({"b": "3"}, if_match=storage.set("a", "4").etag + "0")
            assert failed.value.key == "b"
            storage.set_many({"a": "5"}, if_match=storage.info("a").etag)
            assert (storage.get("a"), storage.get("b")) == ("5", "2")
        with pytest.raises(TypeError, match="pairs"):
            storage.set_many([""])  # type: ignore[list-item]
