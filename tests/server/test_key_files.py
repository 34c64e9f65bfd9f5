"""The files of ids and secrets: made once, by whoever comes first, and read as they are now."""

from __future__ import annotations

import multiprocessing
import os
import stat

import pytest

from storage import SigningError
from storage.backends.filesystem._signing_keys import KeyFiles


def make(tmp_path, secret_file=None):
    """The key files of a directory, and what makes that directory."""
    home = tmp_path / ".storage~"
    return KeyFiles(str(home), None if secret_file is None else str(secret_file)), lambda: home.mkdir(exist_ok=True)


def test_nothing_is_made_by_reading(tmp_path):
    """``load`` of a store that never signed gives nothing and writes nothing."""
    files, _ = make(tmp_path)
    assert files.load() is None
    assert list(tmp_path.iterdir()) == []


def test_made_once_and_found_again(tmp_path):
    """Who opens the store later, also another object, finds the same keys; the secret is for its owner only."""
    files, mkdir = make(tmp_path)
    keys = files.ensure(mkdir)
    assert files.ensure(mkdir) == keys == make(tmp_path)[0].load()
    secret = tmp_path / ".storage~/secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert sorted(path.name for path in secret.parent.iterdir()) == ["id", "secret"]
    assert secret.read_bytes().strip() == keys.secrets[0]


def _ensure(directory, start, queue):
    files = KeyFiles(directory)
    start.wait()
    keys = files.ensure(lambda: os.makedirs(directory, exist_ok=True))
    queue.put((keys.store_id, keys.secrets))


def test_processes_race_for_the_first(tmp_path):
    """Of many processes that sign first at once, all get the keys of one."""
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        start, queue = context.Event(), context.Queue()
        directory = str(tmp_path / f"{attempt}" / ".storage~")
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
        assert sorted(os.listdir(directory)) == ["id", "secret"]


def test_rotation_counts_at_once(tmp_path):
    """A new first line signs from the next call on, also for who has read the file before; comments do not count."""
    files, mkdir = make(tmp_path)
    old = files.ensure(mkdir)
    secret = tmp_path / ".storage~/secret"
    secret.write_text(f"# new\n{'n' * 40}\n\n{old.secrets[0].decode()}\n")
    assert files.load().secrets == (b"n" * 40, *old.secrets)
    secret.write_text("n" * 40)
    assert files.load() == (old.store_id, (b"n" * 40,))


def test_a_secret_file_of_ones_own(tmp_path):
    """``secret_file`` is read, never made; the store still has an id of its own. It may be a link, as mounted secrets are."""
    given = tmp_path / "given"
    files, mkdir = make(tmp_path, given)
    with pytest.raises(SigningError, match=r"given.*secret_file"):
        files.ensure(mkdir)
    (tmp_path / "real").write_text("x" * 32)
    given.symlink_to("real")
    keys = files.ensure(mkdir)
    assert keys.secrets == (b"x" * 32,)
    assert [path.name for path in (tmp_path / ".storage~").iterdir()] == ["id"]


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"# only a comment, however long it may be\n", b"\xff" * 40, b"x" * 40 + b"\nshort\n"]
)
def test_a_file_without_secrets(tmp_path, content):
    """What holds no secrets is an error that names the file and the remedy, and does not show its content."""
    given = tmp_path / "given"
    given.write_bytes(content)
    files, mkdir = make(tmp_path, given)
    with pytest.raises(SigningError, match=r"given.*\?secret_file=") as caught:
        files.ensure(mkdir)
    assert "short" not in str(caught.value)


def test_links_and_pipes_are_no_secrets(tmp_path):
    """In the library's own directory a link or a pipe is not followed or waited for."""
    files, mkdir = make(tmp_path)
    files.ensure(mkdir)
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
    real, mkdir = make(tmp_path)
    real.ensure(mkdir)
    other = tmp_path / "other"
    other.mkdir()
    (other / ".storage~").symlink_to(tmp_path / ".storage~")
    with pytest.raises(SigningError):
        KeyFiles(str(other / ".storage~")).load()


def test_unreadable(tmp_path, monkeypatch):
    """A secret that may not be read is an error that names the file and the remedy (also when the test runs as root)."""
    files, mkdir = make(tmp_path)
    files.ensure(mkdir)
    real = os.open

    def deny(path, *args, **kwargs):
        if path == "secret":
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(SigningError, match=r"\.storage~/secret.*Permission denied.*\?secret_file="):
        make(tmp_path)[0].load()


def test_a_store_that_cannot_be_written(tmp_path):
    """Where no id can be made, signing says so and names the file."""
    files, _ = make(tmp_path)

    def denied():
        raise PermissionError(13, "Permission denied")

    with pytest.raises(SigningError, match=r"\.storage~/id.*Permission denied"):
        files.ensure(denied)


def test_a_broken_id(tmp_path):
    """An id that is none is an error that says what to do."""
    files, mkdir = make(tmp_path)
    files.ensure(mkdir)
    (tmp_path / ".storage~/id").write_text("../../x")
    with pytest.raises(SigningError, match=r"id.*delete"):
        make(tmp_path)[0].load()
