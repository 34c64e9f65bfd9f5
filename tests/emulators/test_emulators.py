"""The servers of the test run start, are shared and answer."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.testing._processes import Launch, answers_http, free_ports, shared_server
from tests.emulators.s3 import S3Server, moto_s3, seaweedfs  # noqa: F401


@pytest.mark.parametrize("name", ["moto_s3", "seaweedfs"])
def test_answers(name: str, request: pytest.FixtureRequest) -> None:
    """A server that a fixture gives takes requests."""
    server: S3Server = request.getfixturevalue(name)
    assert answers_http(server.endpoint_url)


def test_seaweedfs_checks_signatures(seaweedfs: S3Server) -> None:  # noqa: F811
    """SeaweedFS refuses a request that nobody signed: else the tests of signed URLs would prove nothing."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{seaweedfs.endpoint_url}/{seaweedfs.bucket}/key", timeout=10)
    assert caught.value.code == 403
    caught.value.close()


def test_free_ports_are_distinct() -> None:
    """No port is given twice."""
    assert len(set(free_ports(50))) == 50


# It keeps its process id where it is told to, so that a test can kill it.
_SERVER = """
import http.server, os, sys
open(sys.argv[2], "w").write(str(os.getpid()))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def _serving(pid: Path, failures: int = 0) -> Callable[[Path], Launch]:
    """A server whose first ``failures`` processes end at once."""
    launched: list[Path] = []

    def launch(data: Path) -> Launch:
        assert not list(data.iterdir()), "what an earlier attempt left"
        (data / "left").touch()
        launched.append(data)
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        argv = [sys.executable, "-c", _SERVER, str(port), str(pid)]
        if len(launched) <= failures:
            argv = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
        return Launch(argv, lambda: answers_http(url), facts={"url": url})

    return launch


def test_a_server_that_ends_at_once_is_started_again(tmp_path: Path) -> None:
    """A port that another program took first costs one attempt, and not every test of the run."""
    with shared_server("name", tmp_path, _serving(tmp_path / "pid", failures=2)) as facts:
        assert answers_http(facts["url"])


def test_a_server_that_never_comes_up_says_why_to_every_user(tmp_path: Path) -> None:
    """The end of its log is in the message, also of the second user's; one that would come up is then taken."""
    for _ in range(2):
        with (
            pytest.raises(RuntimeError, match=r"(?s)did not come up.*the port is taken"),
            shared_server("name", tmp_path, _serving(tmp_path / "pid", failures=3)),
        ):
            pass
    with shared_server("name", tmp_path, _serving(tmp_path / "pid")) as facts:
        assert answers_http(facts["url"])


def test_one_that_is_not_ready_yet_may_cut_the_connection(tmp_path: Path) -> None:
    """An error of the network while it starts is not the end of the attempt."""
    launch = _serving(tmp_path / "pid")
    asked: list[str] = []

    def cut_once(data: Path) -> Launch:
        what = launch(data)

        def ready() -> bool:
            asked.append("")
            if len(asked) == 1:
                raise ConnectionResetError
            return what.ready()

        return Launch(what.argv, ready, facts=what.facts)

    with shared_server("name", tmp_path, cut_once) as facts:
        assert answers_http(facts["url"])
    assert len(asked) > 1


def test_a_server_that_was_killed_is_started_for_the_next_user(tmp_path: Path) -> None:
    """Its facts go with it."""
    pid = tmp_path / "pid"
    with shared_server("name", tmp_path, _serving(pid)) as first:
        os.kill(int(pid.read_text()), signal.SIGKILL)
        facts = tmp_path / "server-name" / "facts.json"
        deadline = time.monotonic() + 20
        while facts.exists():
            assert time.monotonic() < deadline, "the supervisor did not see that its server ended"
            time.sleep(0.02)
        with shared_server("name", tmp_path, _serving(pid)) as second:
            assert first != second
            assert answers_http(second["url"])
