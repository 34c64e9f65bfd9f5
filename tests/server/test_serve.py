"""``storage serve``: a process of its own for the signed URLs of directories."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from storage import SigningError, Storage
from storage.testing._http import send
from tests.server.serving import serve


def refused(*invocations):
    """The exit status and the one line of each invocation that does not start; all in one process, which is quicker."""
    code = (
        "import json, sys\nfrom storage.cli import main\n"
        "for options in json.loads(sys.argv[1]):\n    print(main(['serve', *options]), flush=True)"
    )
    command = [sys.executable, "-c", code, json.dumps(invocations)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    statuses, lines = done.stdout.splitlines(), done.stderr.splitlines()
    assert len(statuses) == len(lines) == len(invocations), done
    return list(zip(map(int, statuses), lines, strict=True))


def test_another_process_signs(tmp_path):
    """The server answers what other processes sign, for each directory by its own keys, and logs no signature."""
    with serve("--url", f"file://{tmp_path}/store", "--max-upload", "1000") as (process, (base,)):
        assert base.startswith("http://127.0.0.1:")
        with (
            Storage(f"file://{tmp_path}/store?serve_url={base}") as store,
            Storage(f"file://{tmp_path}/other?serve_url={base}") as other,
        ):
            upload = store.sign_upload("a b.txt", content_type="text/x", overwrite=False)
            assert upload.url.startswith(base + "/")
            assert send("PUT", upload.url, upload.headers, b"1").status == 200
            assert store.info("a b.txt").content_type == "text/x"
            assert send("GET", store.get_signed_url("a b.txt")).body == b"1"
            assert send("PUT", store.get_upload_url("b"), body=b"x" * 1001).status == 413
            other.set("a b.txt", b"2")
            assert send("GET", other.get_signed_url("a b.txt")).status == 403
            url = store.get_signed_url("a b.txt")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert out == ""
        assert "/data/a%20b.txt" in err
        assert "signature" not in err
        assert "expires=" not in err
        assert "Traceback" not in err
        with pytest.raises(ConnectionError):
            send("GET", url)


def test_the_secret_is_shared_and_rotated(tmp_path):
    """Every process that opens the directory finds its secret; a new one signs at once, an old one verifies until removed."""
    with (
        serve("--url", f"file://{tmp_path}/s") as (_, (base,)),
        Storage(f"file://{tmp_path}/s?serve_url={base}") as store,
    ):
        store.set("a", b"1")
        old = store.get_signed_url("a")
        secret = Path(tmp_path, "s", ".storage~", "secret")
        assert secret.stat().st_mode & 0o777 == 0o600
        before = secret.read_text()
        secret.write_text("n" * 64 + "\n" + before)
        new = store.get_signed_url("a")
        assert [send("GET", url).status for url in (old, new)] == [200, 200]
        secret.write_text("n" * 64 + "\n")
        assert [send("GET", url).status for url in (old, new)] == [403, 200]
        assert list(store.list()) == ["a"]


def test_a_secret_file(tmp_path):
    """``?secret_file=`` is a secret that somebody else looks after: stores may share it, and still no URL."""
    (tmp_path / "secret").write_text("k" * 40)
    query = f"?secret_file={tmp_path}/secret"
    with (
        serve("--url", f"file://{tmp_path}/one{query}") as (_, (base,)),
        Storage(f"file://{tmp_path}/one{query}&serve_url={base}") as one,
        Storage(f"file://{tmp_path}/two{query}&serve_url={base}") as two,
    ):
        one.set("a", b"1")
        two.set("a", b"2")
        assert send("GET", one.get_signed_url("a")).body == b"1"
        assert send("GET", two.get_signed_url("a")).status == 403
        assert not Path(tmp_path, "one", ".storage~", "secret").exists()
    with (
        Storage(f"file://{tmp_path}/one?secret_file={tmp_path}/absent") as store,
        pytest.raises(SigningError, match=r"absent.*secret_file"),
    ):
        store.get_signed_url("a")


def test_wrong_usage(tmp_path):
    """What cannot be served is refused with status 2 and one line that says what to do."""
    url = f"file://{tmp_path}/s"
    cases = [
        (("--url", url, "--browse", "--host", "0.0.0.0"), "127.0.0.1"),
        (("--url", url, "--browse", "--host", "localhost"), "127.0.0.1"),
        (("--url", url, "--port", "99999"), "65535"),
        (("--url", url, "--host", "203.0.113.7"), "no address of this machine"),
        (("--url", "memory://"), "file://"),
        (("--url", "s3://bucket?region=eu-central-1"), "--browse"),
        (("--url", "s3:bucket"), "s3://bucket"),
    ]
    for (options, word), (status, line) in zip(cases, refused(*(options for options, _ in cases)), strict=True):
        assert status == 2, (options, line)
        assert word in line
        assert line.startswith("storage: ")


def test_a_port_that_is_taken(tmp_path):
    """A port in use is another error, and says which."""
    with serve("--url", f"file://{tmp_path}/s") as (_, (base,)):
        port = base.rpartition(":")[2]
        ((status, line),) = refused(("--url", f"file://{tmp_path}/s", "--port", port))
        assert status == 3
        assert f"port {port}" in line


def test_an_unreadable_secret(tmp_path):
    """The command says at the start that it could not verify anything."""
    home = tmp_path / "s" / ".storage~"
    home.mkdir(parents=True)
    (home / "id").write_text("0" * 32)
    (home / "secret").write_text("short")
    ((status, line),) = refused(("--url", f"file://{tmp_path}/s"))
    assert status == 3
    assert "secret_file" in line


def test_the_page(tmp_path):
    """With ``--browse`` the second line is the page, whose token is in the fragment only."""
    with serve("--url", f"file://{tmp_path}/s", "--browse", lines=2) as (process, (base, page)):
        assert page.startswith(f"{base}/#token=")
        with urllib.request.urlopen(page) as answer:
            assert b"<title>storage</title>" in answer.read()
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert page.partition("#token=")[2] not in err


def test_one_warning(tmp_path, caplog, monkeypatch):
    """A directory without a server of its own is served by the process, which says so once."""
    from storage.server._inprocess import process_server

    monkeypatch.setattr(process_server, "_warned", False)
    caplog.set_level(logging.WARNING, logger="storage")
    with Storage(f"file://{tmp_path}/s") as store:
        store.set("a", b"1")
        assert send("GET", store.get_signed_url("a")).body == b"1"
        store.get_upload_url("b")
    with Storage(f"file://{tmp_path}/t") as store:
        store.get_upload_url("b")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING and record.name == "storage"]
    assert "storage serve" in record.getMessage()
    assert "serve_url" in record.getMessage()
    assert "signature" not in record.getMessage()


def test_a_named_server_needs_no_extra(tmp_path):
    """With ``serve_url`` signing loads no server."""
    code = (
        "import sys; from storage import Storage\n"
        f"Storage('file://{tmp_path}/s?serve_url=http://files.example/x').get_signed_url('a')\n"
        "print('uvicorn' in sys.modules, 'storage.server' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"


def test_a_store_that_moves(tmp_path):
    """Keys live with the directory: moved or reopened it keeps its URLs."""
    with Storage(f"file://{tmp_path}/s?serve_url=http://x") as store:
        store.set("a", b"1")
        url = store.get_signed_url("a")
    os.rename(tmp_path / "s", tmp_path / "moved")
    with serve("--url", f"file://{tmp_path}/moved") as (_, (base,)):
        assert send("GET", url.replace("http://x", base)).body == b"1"


def test_ours_is_never_served(tmp_path):
    """Nothing below ``.storage~`` can be signed, and the key files are no blobs."""
    from storage import InvalidKeyError

    with Storage(f"file://{tmp_path}/s?types=data:") as store:
        store.set("a", b"1")
        store.get_signed_url("a")
        assert store.list() == ["a"]
        for key in (".storage~/secret", ".storage~/id", "../secret"):
            with pytest.raises(InvalidKeyError):
                store.get_signed_url(key)
