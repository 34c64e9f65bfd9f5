"""The files of ids and secrets: made once, by whoever comes first, and read as they are now."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat

import pytest

from storage import SigningError
from storage.backends.filesystem import FilesystemBackend
from storage.backends.filesystem._signing_keys import KeyFiles
from storage.backends.filesystem._tree import Tree


def make(root, secret_file=None):
    """The key files of the store in ``root``."""
    return KeyFiles(Tree(str(root), create=True, fsync=False), None if secret_file is None else str(secret_file))


def names(root):
    """What is in the directory for all that is ours, but for temporary files."""
    return sorted(set(os.listdir(root / ".storage~")) - {"tmp"})


def test_nothing_is_made_by_reading(tmp_path):
    """``load`` of a store that never signed gives nothing and writes nothing."""
    files = make(tmp_path)
    assert files.load() is None
    assert list(tmp_path.iterdir()) == []


def test_made_once_and_found_again(tmp_path):
    """Who opens the store later, also another object, finds the same keys; the secret is for its owner only."""
    files = make(tmp_path)
    keys = files.ensure()
    assert files.ensure() == keys == make(tmp_path).load()
    secret = tmp_path / ".storage~/secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert names(tmp_path) == ["id", "secret"]
    assert secret.read_bytes().strip() == keys.secrets[0]


def _ensure(directory, start, queue):
    files = make(directory)
    start.wait()
    keys = files.ensure()
    queue.put((keys.store_id, keys.secrets))


def test_processes_race_for_the_first(tmp_path):
    """Of many processes that sign first at once, all get the keys of one."""
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        start, queue = context.Event(), context.Queue()
        directory = tmp_path / f"{attempt}"
        workers = [context.Process(target=_ensure, args=(directory, start, queue)) for _ in range(6)]
        for worker in workers:
            worker.start()
        start.set()
        found = {queue.get(timeout=20) for _ in workers}
        for worker in workers:
            worker.join(20)
            assert worker.exitcode == 0
        queue.close()
        queue.join_thread()
        assert len(found) == 1
        assert names(directory) == ["id", "secret"]


def test_rotation_counts_at_once(tmp_path):
    """A new first line signs from the next call on, also for who has read the file before; comments do not count."""
    files = make(tmp_path)
    old = files.ensure()
    secret = tmp_path / ".storage~/secret"
    secret.write_text(f"# new\n{'n' * 40}\n\n{old.secrets[0].decode()}\n")
    assert files.load().secrets == (b"n" * 40, *old.secrets)
    secret.write_text("n" * 40)
    assert files.load() == (old.store_id, (b"n" * 40,))


def test_a_secret_file_of_ones_own(tmp_path):
    """``secret_file`` is read, never made; the store still has an id of its own. It may be a link, as mounted secrets are."""
    given = tmp_path / "given"
    files = make(tmp_path, given)
    with pytest.raises(SigningError, match=r"given.*secret_file"):
        files.ensure()
    (tmp_path / "real").write_text("x" * 32)
    given.symlink_to("real")
    keys = files.ensure()
    assert keys.secrets == (b"x" * 32,)
    assert names(tmp_path) == ["id"]


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"# only a comment, however long it may be\n", b"\xff" * 40, b"x" * 40 + b"\nshort\n"]
)
def test_a_file_without_secrets(tmp_path, content):
    """What holds no secrets is an error that names the file and the remedy, and does not show its content."""
    given = tmp_path / "given"
    given.write_bytes(content)
    files = make(tmp_path, given)
    with pytest.raises(SigningError, match=r"given.*\?secret_file=") as caught:
        files.ensure()
    assert "short" not in str(caught.value)


def test_links_and_pipes_are_no_secrets(tmp_path):
    """In the library's own directory a link or a pipe is not followed or waited for."""
    files = make(tmp_path)
    files.ensure()
    secret = tmp_path / ".storage~/secret"
    content = secret.read_bytes()
    secret.unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    secret.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SigningError, match="secret"):
        files.load()
    secret.unlink()
    os.mkfifo(secret)
    with pytest.raises(SigningError, match="not a regular file"):
        files.load()


def test_a_linked_home_is_not_followed(tmp_path):
    """``.storage~`` itself may not be a link either."""
    real = make(tmp_path)
    real.ensure()
    other = tmp_path / "other"
    other.mkdir()
    (other / ".storage~").symlink_to(tmp_path / ".storage~")
    with pytest.raises(SigningError):
        make(other).load()


@pytest.mark.parametrize("name", ["id", "secret"])
def test_unreadable(tmp_path, monkeypatch, name):
    """A file that may not be read is an error that names the file and the remedy, and no absence: nothing new is made."""
    make(tmp_path).ensure()
    files = make(tmp_path)
    opening = files._tree.open

    def deny(path, flags):
        if path.endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return opening(path, flags)

    monkeypatch.setattr(files._tree, "open", deny)
    for call in (files.load, files.ensure):
        with pytest.raises(SigningError, match=rf"\.storage~/{name}.*Permission denied.*\?secret_file="):
            call()
    assert "Permission denied" in files.find_problems()[0]


def test_a_store_that_cannot_be_written(tmp_path, monkeypatch):
    """Where no id can be made, signing says so and names the file."""
    files = make(tmp_path)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", denied)
    with pytest.raises(SigningError, match=r"\.storage~/id.*Permission denied"):
        files.ensure()


def test_a_broken_id(tmp_path):
    """An id that is none is an error that says what to do."""
    files = make(tmp_path)
    files.ensure()
    (tmp_path / ".storage~/id").write_text("../../x")
    with pytest.raises(SigningError, match=r"id.*delete"):
        make(tmp_path).load()


def test_the_secret_can_never_be_read_by_others_while_it_is_made(tmp_path, monkeypatch):
    """The file has its mode from the moment it is there, and not only when its content is."""
    modes = []
    opening = os.open

    def watched(path, flags, mode=0o777, *, dir_fd=None):
        fd = opening(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    monkeypatch.setattr(os, "open", watched)
    make(tmp_path).ensure()
    assert modes == [0o644, 0o600]


def test_a_copied_store_gets_an_id_of_its_own_once_the_copied_one_is_deleted(tmp_path):
    """``cp -a`` copies the id, by which a server knows a store: two stores of one id are told by it, and the remedy works."""
    original = make(tmp_path / "one").ensure()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = FilesystemBackend(str(tmp_path / "one")), FilesystemBackend(str(tmp_path / "two"))
    assert one.signing_keys() == two.signing_keys() == original
    assert one.location != two.location
    (tmp_path / "two/.storage~/id").unlink()
    assert two.signing_keys() is None
    renewed = make(tmp_path / "two").ensure()
    assert renewed.store_id != original.store_id
    assert renewed.secrets == original.secrets
    assert two.signing_keys() == renewed


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_secret_that_others_can_use_is_told(tmp_path, mode):
    """``doctor`` hears of it from ``find_problems``, with the remedy; a store that never signed has nothing to tell."""
    store = FilesystemBackend(str(tmp_path / "store"))
    assert store.find_problems() == []
    assert not (tmp_path / "store").exists()
    make(tmp_path / "store").ensure()
    assert store.find_problems() == []
    secret = tmp_path / "store/.storage~/secret"
    secret.chmod(mode)
    (line,) = store.find_problems()
    assert f"{mode:04o}" in line
    assert f"chmod 600 {secret}" in line
    secret.chmod(0o400)
    assert store.find_problems() == []
    secret.write_text("short")
    assert "32 characters" in store.find_problems()[0]


def test_a_secret_file_of_ones_own_that_others_can_read_is_told(tmp_path):
    given = tmp_path / "given"
    given.write_text("x" * 32)
    given.chmod(0o644)
    files = make(tmp_path / "store", given)
    files.ensure()
    assert str(given) in files.find_problems()[0]
