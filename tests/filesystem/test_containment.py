"""Nothing outside of the root is ever read or written, even if the facade checked nothing."""

from __future__ import annotations

import ast
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage._backend import Changes
from storage.backends.filesystem import FilesystemBackend, _folders, _system
from storage.exceptions import InvalidKeyError, NotFoundError, StorageError, UnsupportedOperationError
from tests.filesystem.helpers import ONCE, PLAIN, listed

UPWARDS = (
    "../",
    "..\\",
    "./../",
    "a/../",
    "a/b/../../",
    "..//",
    "//",
    "/",
    "\\",
    "....//../",
    "..;/../",
    "\x00../",
    "../../",
    "a/./../../",
)
TARGETS = ("secret", "outside/secret", "etc/passwd", "windows\\win.ini")
WHOLE = (
    "..", ".", "", "/", "//", "a/..", "a/.", "./a", "a//b", "a/", "/a", "\\\\host\\share", "file:///etc/passwd", "~/../x",
    "a\x00b", "a\x00", "\x00", "a\nb", "..\x00", "\ud800", "a/\udcff", ".storage~", ".storage~/secret", ".storage~blob",
    "a/.storage~blob", ".storage~/tmp/x", ".storage~x", "a/.storage~tmp~x", "x" * 256, "é" * 128, "/".join(["x" * 100] * 11),
)  # fmt: skip
CORPUS = sorted({up * times + target for up in UPWARDS for times in (1, 2, 8) for target in TARGETS} | set(WHOLE))
# What other software decodes or folds to an escape is a plain name here.
PLAIN_NAMES = (
    "%2e%2e%2fsecret", "%2e%2e/secret", "..%2fsecret", "..%c0%afsecret", "%252e%252e%252fsecret", "..%00/secret", ".../secret",
    "....", "\uff0e\uff0e\uff0fsecret", "\u2025/secret", "..\u2215secret", "C:secret", "CON", "nul.txt", "a:b", "-rf", "$HOME",
    "`id`", "|id", "*", "?", "~", "~root", ".. ", " ..", "..a", "a..",
)  # fmt: skip


@pytest.fixture
def outside(root: Path) -> Iterator[Path]:
    """A directory beside the root that must stay as it is."""
    folder = root.parent / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    (folder / "empty").mkdir()
    (root.parent / "secret").write_bytes(b"secret")
    yield folder
    assert sorted(os.listdir(folder)) == ["empty", "secret"]
    assert (folder / "secret").read_bytes() == b"secret"
    assert os.listdir(folder / "empty") == []
    assert (root.parent / "secret").read_bytes() == b"secret"


def calls_with(store: FilesystemBackend, path: str) -> list[Callable[[], object]]:
    """Every call that takes a path or a prefix."""
    return [
        lambda: store.get(path),
        lambda: store.get(path, if_match="x"),
        lambda: store.stat(path),
        lambda: store.stream(path),
        lambda: store.put(path, b"x", PLAIN),
        lambda: store.put(path, b"x", ONCE),
        lambda: store.writer(path, PLAIN),
        lambda: store.delete(path),
        lambda: store.delete(path, if_match="x"),
        lambda: store.delete_batch(["a/b/c", path]),
        lambda: store.probe(path),
        lambda: store.update(path, Changes(content_type="a/b")),
        lambda: store.copy(path, "x", overwrite=True),
        lambda: store.copy("a/b/c", path, overwrite=True),
        lambda: store.move(path, "x", overwrite=True),
        lambda: store.move("a/b/c", path, overwrite=True),
        lambda: listed(store, f"{path}/"),
        lambda: store.find_foreign_names(f"{path}/"),
    ]


@pytest.mark.usefixtures("opener", "outside")
def test_a_path_that_is_no_portable_key_is_refused_by_every_method(store, root):
    store.put("a/b/c", b"", PLAIN)
    before = sorted(path.name for path in root.rglob("*"))
    for path in CORPUS:
        for call in calls_with(store, path):
            with pytest.raises(InvalidKeyError):
                call()
    assert sorted(path.name for path in root.rglob("*")) == before


@pytest.mark.usefixtures("opener", "outside")
def test_what_only_looks_like_an_escape_is_a_plain_name(store, root):
    for path in PLAIN_NAMES:
        store.put(path, path.encode(), PLAIN)
        assert (root / path).read_bytes() == path.encode()
    assert listed(store) == sorted(PLAIN_NAMES)


@pytest.mark.usefixtures("opener")
def test_no_link_below_the_root_is_followed(store, root, outside):
    store.put("a", b"", PLAIN)
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    assert listed(store) == ["a"]
    for path in ("out/secret", "out/empty/x", "up/secret", "up/outside/secret", "self/a"):
        for read in (store.get, store.stat, store.probe, store.stream, store.delete):
            with pytest.raises(NotFoundError):
                read(path)
        with pytest.raises(NotFoundError):
            store.update(path, Changes(content_type="a/b"))
        assert store.delete_batch([path]) == {}
        for write in (PLAIN, ONCE):
            with pytest.raises(UnsupportedOperationError, match="symbolic link"):
                store.put(path, b"x", write)
        with pytest.raises(UnsupportedOperationError, match="symbolic link"):
            store.move("a", path, overwrite=True)
        assert listed(store, f"{path.partition('/')[0]}/") == []
    assert store.get("a") == b""


@pytest.mark.usefixtures("opener")
def test_a_link_that_is_swapped_in_between_check_and_use_leads_nowhere(store, root, outside):
    """A directory and a link to the outside change places while every kind of call goes through the name."""
    store.put("d/secret", b"inside", PLAIN)
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        fd = os.open(root, os.O_RDONLY)
        while not stop.is_set():
            _system.exchange(fd, "d", fd, "link")
        os.close(fd)

    thread = threading.Thread(target=swap)
    thread.start()
    done: list[str] = []

    def attempt(name: str, call: Callable[[], object]) -> object:
        try:
            result = call()
        except StorageError:
            return None
        done.append(name)
        return result

    try:
        for number in range(150):
            path = f"d/new{number}"
            assert attempt("get", lambda: store.get("d/secret")) in (None, b"inside")
            attempt("put", lambda path=path: store.put(path, b"x", PLAIN))
            attempt("create", lambda path=path: store.put(path + "/deep", b"x", ONCE))
            attempt("move", lambda path=path: store.move(path, "d/empty/moved", overwrite=True))
            attempt("copy", lambda: store.copy("d/secret", "d/copied", overwrite=True))
            assert attempt("copied", lambda: store.get("d/copied")) in (None, b"inside")
            attempt("delete", lambda: store.delete("d/empty/moved"))
            for found in attempt("list", lambda: listed(store)) or ():
                assert attempt("read", lambda found=found: store.get(found)) in (None, b"inside", b"x")
    finally:
        stop.set()
        thread.join()
    assert {"get", "put", "create", "move", "copy", "delete", "list", "read"} <= set(done)


@pytest.mark.usefixtures("opener")
def test_our_own_directory_swapped_for_a_link_leads_nowhere(root, outside):
    root.mkdir()
    (root / ".storage~").symlink_to(outside)
    store = FilesystemBackend(str(root), fsync=False)
    for call in (lambda: store.put("a", b"", PLAIN), lambda: store.writer("a", PLAIN), store.sweep):
        with contextlib.suppress(StorageError, OSError):
            call()
    (root / ".storage~").unlink()
    (root / ".storage~").mkdir()
    (root / ".storage~/tmp").symlink_to(outside)
    store.sweep()
    with pytest.raises(UnsupportedOperationError):
        store.put("a", b"", PLAIN)


@pytest.mark.usefixtures("opener", "no_attributes")
@pytest.mark.parametrize("swapped", [".storage~/meta", ".storage~", "d"])
def test_a_sweep_whose_directory_is_swapped_for_a_link_while_it_waits_deletes_nothing_outside(
    store, root, outside, monkeypatch, swapped
):
    store.put("d/a", b"1", PLAIN)
    (root / "d/a").write_bytes(b"edited")  # so that its record is nobody's
    (record,) = os.listdir(root / ".storage~/meta")
    victims = [outside.parent / "victims" / name for name in (record, "meta", "tmp")]
    for victim in victims:
        victim.parent.mkdir(exist_ok=True)
        victim.write_bytes(b"precious")
    locking, waited = _folders.lock, []

    def late(tree, fd):
        if not waited:
            waited.append(fd)
            (root / swapped).rename(root.parent / "moved")
            (root / swapped).symlink_to(outside.parent / "victims")
        return locking(tree, fd)

    monkeypatch.setattr(_folders, "lock", late)
    with contextlib.suppress(StorageError, OSError):
        store.sweep()
    assert waited
    assert [victim.read_bytes() for victim in victims] == [b"precious"] * 3


@pytest.mark.usefixtures("no_attributes")
def test_a_sidecar_that_was_replaced_by_something_else_is_left_alone(store, root, outside):
    store.put("a", b"1", PLAIN)
    meta = root / ".storage~/meta"
    (record,) = meta.iterdir()
    record.unlink()
    record.symlink_to(outside / "secret")
    (meta / "folder").mkdir()
    os.mkfifo(meta / "pipe")
    (meta / "damaged").write_bytes(b"../outside/secret\nrecord")
    (meta / "empty").write_bytes(b"")
    assert store.stat("a").metadata == {}
    assert store.sweep() == ["2 records of blobs that are gone"]
    assert sorted(os.listdir(meta)) == sorted([record.name, "folder", "pipe"])


CALLS_BY_PATH = {
    "open", "stat", "lstat", "unlink", "remove", "rename", "replace", "link", "symlink", "mkdir", "makedirs", "rmdir", "access",
    "scandir", "listdir", "chmod", "utime", "readlink", "setxattr", "getxattr", "walk", "truncate", "lexists", "exists",
    "realpath",
}  # fmt: skip
# What is named by a path is the root itself or lies above it, or is a file of the caller's.
ALLOWED = {
    ("_system.py", "walk_inside"): {"open"},
    ("_tree.py", "_resolve_root"): {"realpath", "stat"},
    ("_tree.py", "_follow_root"): {"stat"},
    ("_tree.py", "exists"): {"stat"},
    ("_tree.py", "no_root"): {"lexists"},
    ("_folders.py", "make_root"): {"makedirs", "open"},
    ("_backend.py", "location"): {"realpath"},
    ("_signing_keys.py", "_opened"): {"open"},
}


def test_no_call_in_the_driver_names_a_path_below_the_root():
    """Each goes through a descriptor: ``dir_fd``, or an open file. A new call by path has to be justified here."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in Path(_system.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                owner = ast.unparse(call.func.value)
                if owner not in ("os", "os.path", "shutil") or call.func.attr not in CALLS_BY_PATH:
                    continue
                is_descriptor = any("fd" in (keyword.arg or "") for keyword in call.keywords) or (
                    call.args and ast.unparse(call.args[0]) in ("fd", "folder", "self.fd", "staged.fd")
                )
                if not is_descriptor:
                    found.setdefault((file.name, function.name), set()).add(call.func.attr)
    assert found == ALLOWED
