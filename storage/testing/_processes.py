"""Server processes for tests: one of each for a whole run, however many workers it has, and none left behind.

The first worker that wants a server starts it under a small supervisor (this file, run as a script). Every user holds a
shared lock on a file; when the supervisor gets that lock, exclusively, it stops the server. The kernel gives a lock back
however its holder ends, so a crashed test run leaves no server running. A server that ends by itself is started anew for the
next user.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pytest

_START_SECONDS = 60.0
_ATTEMPTS = 3  # another program may take the free port first, and a loaded machine may be slow
# They outlive their starter on purpose; a Popen that is collected while its process runs warns.
_supervisors: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Launch:
    """How to start a server.

    Attributes:
        argv: the command.
        ready: tells whether it takes requests; called until it does. An error of the network says that it does not.
        env: variables besides those of this process.
        facts: what its users need to know (ports, credentials), as JSON; every user gets it.
    """

    argv: Sequence[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, below the range that outgoing connections take theirs from."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = random.randrange(10_000, 32_000)  # noqa: S311 (no secret)
            probe = held.enter_context(socket.socket())
            # `weed` takes a port and the one 10,000 above it where it is not told otherwise.
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def answers_http(url: str) -> bool:
    """Whether a server answers at ``url``, with any status."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (of this machine)
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary directory that all xdist workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextlib.contextmanager
def shared_server(name: str, directory: Path, launch: Callable[[Path], Launch]) -> Iterator[dict[str, Any]]:
    """The server ``name`` of the test run whose common temporary directory is ``directory``; yields its ``facts``.

    Args:
        name: one server a name.
        directory: the same for every worker of a run, and for no other run.
        launch: called for each attempt to start it, with an empty directory for the server's data.

    Raises:
        RuntimeError: it does not come up in three attempts; the message has the end of its log.
    """
    home = directory / f"server-{name}"
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "users.lock", "a+b") as users, open(home / "start.lock", "a+b") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while a supervisor stops the server of earlier users
        facts_file = home / "facts.json"
        if not facts_file.exists():
            _start(home, launch, facts_file)
        facts = json.loads(facts_file.read_text())
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield facts


def _start(home: Path, launch: Callable[[Path], Launch], facts_file: Path) -> None:
    data, log = home / "data", home / "log.txt"
    for _ in range(_ATTEMPTS):
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        what = launch(data)
        if _comes_up(what, home, log):
            facts_file.write_text(json.dumps(dict(what.facts)))
            return
    raise RuntimeError(f"{what.argv[0]} did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def _comes_up(what: Launch, home: Path, log: Path) -> bool:
    spec = {"argv": list(what.argv), "home": str(home), "log": str(log)}
    supervisor = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-S", __file__, json.dumps(spec)],
        env={**os.environ, **what.env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that ctrl-C reaches the test run, which ends, and not the server first
    )
    _supervisors.append(supervisor)
    deadline = time.monotonic() + _START_SECONDS
    is_up = False
    try:
        while not is_up and supervisor.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            is_up = _is_ready(what)
    finally:
        if not is_up:
            supervisor.terminate()
            supervisor.wait()
    return is_up


def _is_ready(what: Launch) -> bool:
    try:
        return what.ready()
    except (OSError, http.client.HTTPException):  # it listens, and does not serve yet
        return False


def _supervise(spec: dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    home = Path(spec["home"])
    with open(spec["log"], "wb") as log:
        server = subprocess.Popen(  # noqa: S603 (our own command)
            spec["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=home
        )
    try:
        with open(home / "users.lock", "a+b") as users:
            while server.poll() is None and not _has_no_users(users):
                time.sleep(0.2)
            _stop(server)
            shutil.rmtree(home / "data", ignore_errors=True)
            (home / "facts.json").unlink(missing_ok=True)  # last: from here on another may start
    finally:
        _stop(server)


def _has_no_users(users: BinaryIO) -> bool:
    """Whether nobody holds the lock of users; it is this process's from then on."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


if __name__ == "__main__":
    _supervise(json.loads(sys.argv[1]))
