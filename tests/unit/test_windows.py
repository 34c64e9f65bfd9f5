"""Systems without ``fcntl`` and ``poll``, as Windows is: everything but ``file://`` works, and that is one clear error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.answers.test_answers import SERVICES, URLS
from tests.answers.wire import ScriptedServer, Wire

# What Windows lacks of what this library may use anywhere.
PROLOGUE = """
import os, select, socket, sys
import asyncio, platformdirs, ssl, tempfile  # the parts of them for Windows run nowhere else
for name in ("fcntl", "pwd", "grp", "resource", "termios", "posix"):
    sys.modules[name] = None
for name in (
    "register_at_fork", "fork", "pread", "pwrite", "getxattr", "setxattr", "listxattr", "copy_file_range", "geteuid", "fchmod",
    "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY",
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("poll", "epoll", "POLLIN", "POLLOUT"):
    delattr(select, name)
for name in ("MSG_DONTWAIT", "SO_RCVTIMEO"):
    delattr(socket, name)
sys.platform = "win32"
"""


def run(code: str) -> str:
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + code], cwd=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memory_works_without_fcntl():
    run("""
from storage import Storage, NotFoundError
with Storage("memory://") as store:
    store.set("a/b", "1", metadata={"x": "1"})
    assert store.get("a/b") == "1"
    with store.open("c", "wb") as file:
        file.write(b"x" * 3_000_000)
    assert store.get_bytes("c", start=2_999_990) == b"x" * 10
    store.set_many({f"k{number}": b"" for number in range(50)}, concurrency=4)
    assert len(store.list()) == 52
    store.copy("a/b", "d")
    store.move("d", "e")
    store.delete("e")
    try:
        store.get("e")
    except NotFoundError:
        print("done")
""")


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_the_network_works_without_poll(scheme):
    service = SERVICES[scheme]()
    with ScriptedServer() as server:
        server.script = lambda request: Wire(service.answer(request).raw(request.method))
        run(f"""
from storage import Storage, NotFoundError, UnavailableError
auth = {{"access_key_id": "A", "secret_access_key": "S"}} if {scheme!r} == "s3" else None
with Storage({URLS[scheme].format(url=server.url)!r}, auth=auth, retries=0, timeout=10) as store:
    store.set("a", "1")
    store.set_many({{f"k{{number}}": b"x" for number in range(20)}}, concurrency=4)
    with store.open("large", "wb") as file:
        file.write(b"x" * 20_000_000)
    assert store.get("a") == "1"
    assert store.get_bytes("large") == b"x" * 20_000_000
    assert len(store.list()) == 22
    store.delete("a")
    assert not store.exists("a")
# Nobody listens there.
with Storage({URLS[scheme].format(url="http://127.0.0.1:9")!r}, auth=auth, retries=0, timeout=10) as store:
    try:
        store.get("a")
    except UnavailableError as exc:
        assert "refused" in str(exc), exc
    else:
        raise AssertionError
""")
        assert sorted(key.rpartition("/")[2] for key in service.blobs) == sorted(
            ["large", *(f"k{n}" for n in range(20))]
        )


@pytest.mark.parametrize(
    "url", ["'file:///C:/data'", "'file:///data?fsync=false'", "__import__('pathlib').Path('/data')", "None"]
)
def test_a_directory_is_one_clear_error_without_fcntl(url):
    printed = run(f"""
from storage import Storage, ConfigurationError
try:
    Storage({url})
except ConfigurationError as exc:
    print(exc)
""")
    assert "file:// works on Linux and macOS only; use memory://, s3:// or gs://" in printed


def test_the_driver_can_be_imported_without_fcntl():
    run("import storage.backends.filesystem, storage.backends.memory, storage.testing")
