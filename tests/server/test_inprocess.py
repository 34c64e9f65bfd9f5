"""The server of the process: one, there when needed, gone when the process ends, made anew after a fork."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from storage import Storage
from storage.server import stop
from storage.testing._http import send


def port(url):
    return urlsplit(url).port


def run(code, *options):
    """Runs a program with every warning an error; its output."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_one_for_all():
    """All stores of a process share one server, on the loopback address."""
    with Storage("memory://") as first, Storage("memory://") as second:
        urls = [urlsplit(store.get_signed_url("a")) for store in (first, second, first)]
    assert {url.hostname for url in urls} == {"127.0.0.1"}
    assert len({url.port for url in urls}) == 1


def test_one_for_all_threads():
    """Threads that all sign first start one server between them."""
    stop()
    ports = []
    start = threading.Barrier(8)

    def sign():
        with Storage("memory://") as store:
            start.wait()
            ports.append(port(store.get_signed_url("a")))

    threads = [threading.Thread(target=sign) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ports) == 8
    assert len(set(ports)) == 1


def test_stop_leaves_no_thread():
    """``stop`` ends every thread of the server, and the next URL starts another that serves the same stores."""
    stop()
    before = set(threading.enumerate())
    with Storage("memory://") as store:
        store.set("a", b"1")
        old = store.get_signed_url("a")
        assert send("GET", old).body == b"1"
        assert {thread.daemon for thread in set(threading.enumerate()) - before} == {True}
        stop()
        deadline = time.monotonic() + 10
        while set(threading.enumerate()) - before and time.monotonic() < deadline:
            time.sleep(0.01)  # a worker thread that was told to end takes a moment
        assert set(threading.enumerate()) - before == set()
        with pytest.raises(ConnectionError):
            send("GET", old)
        assert send("GET", store.get_signed_url("a")).body == b"1"
    stop()
    stop()


def test_closing_a_store_keeps_its_urls():
    """As with a bucket, a URL outlives the object that signed it, as long as the store itself lives."""
    with Storage("memory://kept-by-its-name") as store:
        store.set("a", b"1")
        url = store.get_signed_url("a")
    assert send("GET", url).body == b"1"


def test_a_private_store_is_not_kept():
    """The server keeps no private store alive: its blobs go with its owner, and its URLs are then nobody's."""
    store = Storage("memory://")
    store.set("a", b"1")
    url = store.get_signed_url("a")
    assert send("GET", url).status == 200
    del store
    gc.collect()
    assert send("GET", url).status == 403


def test_nothing_is_started_before():
    """Neither importing the library nor using a store loads the server or starts a thread."""
    out = run(
        "import sys, threading\n"
        "from storage import Storage\n"
        "with Storage('memory://') as s:\n"
        "    s.set('a', b'1'); s.get('a'); s.delete('a')\n"
        "print([thread.name for thread in threading.enumerate()])\n"
        "print({'uvicorn', 'starlette', 'storage.server'} & set(sys.modules))"
    )
    assert out == "['MainThread']\nset()\n"


def test_a_stop_leaves_no_connection_open():
    """Connections that are cut, that idle, and that were accepted this moment are all closed before the loop is."""
    out = run(
        "import gc, socket\n"
        "from urllib.parse import urlsplit\n"
        "from storage import Storage\n"
        "from storage.server import _inprocess\n"
        "s = Storage('memory://')\n"
        "for _ in range(2):\n"
        "    url = urlsplit(s.get_upload_url('a'))\n"
        "    where = (url.hostname, url.port)\n"
        "    cut = socket.create_connection(where)\n"
        "    cut.sendall(f'PUT {url.path}?{url.query} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9\\r\\n\\r\\n1'.encode())\n"
        "    idle = [socket.create_connection(where) for _ in range(20)]\n"
        "    _inprocess.stop()\n"
        "    for client in (cut, *idle): client.close()\n"
        "    gc.collect()\n"
        "print('done')"
    )
    assert out == "done\n"


def test_the_process_ends_in_silence():
    """A program that signed, served, and holds connections open ends at once, without a warning or an error."""
    began = time.monotonic()
    out = run(
        "import http.client\n"
        "from urllib.parse import urlsplit\n"
        "from storage import Storage\n"
        "s = Storage('memory://')\n"
        "s.set('a', b'x' * 50_000_000)\n"
        "url = urlsplit(s.get_signed_url('a'))\n"
        "kept = [http.client.HTTPConnection(url.hostname, url.port) for _ in range(3)]\n"
        "for c in kept: c.connect()\n"
        "kept[0].request('GET', url.path + '?' + url.query); kept[0].getresponse().read()\n"
        "kept[1].request('GET', url.path + '?' + url.query)\n"  # never read
        "kept[0].close()\n"  # the others are still open when the program ends
        "print('done')\n"
        "import gc, warnings; gc.disable(); warnings.simplefilter('ignore')\n"  # their sockets are this program's own leak
    )
    assert out == "done\n"
    assert time.monotonic() - began < 30


def test_a_program_that_only_signs():
    """Ending right after the first URL is no race either, wherever the server is by then."""
    for delay in ("0", "0.01", "0.05"):
        code = (
            f"from storage import Storage\nStorage('memory://').get_signed_url('a')\nimport time; time.sleep({delay})"
        )
        assert run(code) == ""
    assert (
        run("from storage import Storage\nprint(Storage('memory://').get_signed_url('a')[:16])") == "http://127.0.0.1\n"
    )


FORK = """
import gc, os, sys
from storage import Storage
from storage.testing._http import send
s = Storage('memory://')
s.set('a', b'before')
parent_url = s.get_signed_url('a')
assert send('GET', parent_url).body == b'before'
pid = os.fork()
if pid == 0:
    s.set('a', b'child')
    child_url = s.get_signed_url('a')
    assert child_url.split('/')[2] != parent_url.split('/')[2], 'the same port'
    assert send('GET', child_url).body == b'child'
    assert send('GET', parent_url).body == b'before'
    gc.collect()
    {end}
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert send('GET', parent_url).body == b'before'
assert send('PUT', s.get_upload_url('b'), body=b'x').status == 200
print('done')
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_fork(end):
    """A child has a server of its own for its own copy of the store, and the parent's goes on; no warning in either."""
    assert run(FORK.replace("{end}", end), "-W", "ignore::DeprecationWarning") == "done\n"


def test_a_child_does_not_hold_the_port():
    """A forked child that lives on does not keep the port of a parent's server that has ended."""
    with Storage("memory://") as store:
        url = store.get_signed_url("a")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        assert send("GET", url).status == 404
        stop()
        with pytest.raises(ConnectionError):
            send("GET", url)
    finally:
        os.close(write)
        os.waitpid(pid, 0)
        os.close(read)


def test_without_the_extra(monkeypatch):
    """Without uvicorn, signing says what to install."""
    code = (
        "import sys\n"
        "sys.modules['uvicorn'] = None\n"
        "from storage import Storage, MissingDependencyError\n"
        "try:\n"
        "    Storage('memory://').get_signed_url('a')\n"
        "except MissingDependencyError as exc:\n"
        "    print(exc)"
    )
    assert "pip install 'storage-facade[server]'" in run(code)


def test_the_hosts_own_log_is_left_alone():
    """Starting the server changes nothing of the logging of a host application that runs on uvicorn itself."""
    out = run(
        "import logging, logging.config, uvicorn.config\n"
        "logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)\n"
        "names = ('uvicorn', 'uvicorn.access', 'uvicorn.error')\n"
        "see = lambda: [(l.level, l.propagate, len(l.handlers)) for l in map(logging.getLogger, names)]\n"
        "before = see()\n"
        "logging.getLogger('uvicorn').setLevel('CRITICAL'); logging.getLogger('uvicorn.error').setLevel('CRITICAL')\n"
        "levelled = see()\n"
        "from storage import Storage\n"
        "from storage.testing._http import send\n"
        "send('GET', Storage('memory://').get_signed_url('a'))\n"
        "print(see() == levelled)"
    )
    assert out == "True\n"
