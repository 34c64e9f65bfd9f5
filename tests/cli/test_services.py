"""Commands on real servers: what doctor says of them, and of what is wrong with them."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest

from tests.emulators.gcs import gcs  # noqa: F401
from tests.emulators.s3 import seaweedfs  # noqa: F401


@pytest.fixture
def s3_url(seaweedfs, monkeypatch):  # noqa: F811
    """A store in SeaweedFS, with credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
    return seaweedfs.url()


def wrong(ran):
    return [line.removeprefix("WRONG ") for line in ran.lines if line.startswith("WRONG")]


def test_doctor_on_seaweedfs(storage, s3_url):
    """SeaweedFS lacks nothing, and nothing is left behind."""
    ran = storage("doctor", "--url", s3_url)
    assert wrong(ran) == []
    assert ran.status == 0
    assert storage("ls", "-r", "--url", s3_url).out == b""


def test_doctor_on_gcs(storage, gcs, tmp_path, monkeypatch):  # noqa: F811
    """Cloud Storage lacks nothing."""
    (tmp_path / "account.json").write_text(json.dumps(gcs.account()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    ran = storage("doctor", "--url", gcs.url())
    assert wrong(ran) == []
    assert ran.status == 0


def test_doctor_finds_wrong_credentials(storage, s3_url, monkeypatch):
    """A wrong secret is told from a missing bucket, and the remedy named; the secret is not."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-tests")
    ran = storage("doctor", "--url", s3_url)
    assert ran.status == 3
    (line,) = wrong(ran)
    assert re.match("credentials|write", line)
    assert re.search("[Pp]ermission|[Cc]redentials", line)
    assert "wrong-secret" not in ran.out.decode() + ran.err


def test_doctor_finds_no_credentials(storage, s3_url, monkeypatch):
    """Without any credentials it says where to set them."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ran = storage("doctor", "--url", s3_url)
    assert ran.status == 3
    (line,) = wrong(ran)
    assert line.startswith("credentials: ")


def test_doctor_finds_a_missing_bucket(storage, s3_url):
    """A bucket that does not exist is named, with what makes it."""
    ran = storage("doctor", "--url", s3_url.replace("://bucket/", "://no-such-bucket/"))
    assert ran.status == 3
    (line,) = wrong(ran)
    assert line.startswith("bucket: ")
    assert "setup" in line


def test_statuses_of_a_cloud(storage, s3_url):
    """Absent is 1; no bucket and no network are 3, never 'absent'."""
    assert storage("exists", "nope", "--url", s3_url).status == 1
    missing = s3_url.replace("://bucket/", "://no-such-bucket/")
    for words in (["exists", "k"], ["get", "k"], ["rm", "k"], ["ls"], ["set", "k", "--text", "x"]):
        ran = storage(*words, "--url", missing)
        assert ran.status == 3, words
        assert ran.err.count("\n") == 1


def test_sign_and_upload_url(storage, s3_url):
    """What the commands print works with a plain client."""
    (shown,) = storage("upload-url", "k.txt", "--content-type", "text/plain", "--json", "--url", s3_url).objects
    request = urllib.request.Request(shown["url"], b"uploaded", shown["headers"], method=shown["method"])
    urllib.request.urlopen(request, timeout=30).close()
    (url,) = storage("sign", "k.txt", "--url", s3_url).lines
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"uploaded"
    assert storage("get", "k.txt", "--url", s3_url).out == b"uploaded"
