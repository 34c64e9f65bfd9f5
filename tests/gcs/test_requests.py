"""What is sent: the parameters that make a write conditional or a read of one version, and how many requests a call costs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from storage import (
    AlreadyExistsError,
    BucketNotFoundError,
    ConfigurationError,
    NotFoundError,
    PreconditionFailedError,
    Storage,
)
from tests.emulators.gcs import BUCKET, GCSServer
from tests.gcs.conftest import Proxied

UPLOAD = f"POST /upload/storage/v1/b/{BUCKET}/o"
OBJECT = f"/storage/v1/b/{BUCKET}/o"
MIB = 1024 * 1024


def test_small_writes_carry_their_condition(proxied: Proxied) -> None:
    """A small write is one request, with the generation that it depends on."""
    etag = proxied.store.set("a", "1").etag
    proxied.store.set("a", "2", if_match=etag)
    with pytest.raises(AlreadyExistsError):
        proxied.store.set("a", "3", overwrite=False)
    assert proxied.seen() == [
        f"{UPLOAD}?uploadType=multipart",
        f"{UPLOAD}?ifGenerationMatch={etag}&uploadType=multipart",
        f"{UPLOAD}?ifGenerationMatch=0&uploadType=multipart",
    ]


def test_large_writes_carry_their_condition(proxied: Proxied) -> None:
    """A resumable upload carries the condition where it begins, so that the service checks it at the end as well."""
    proxied.store.set("a", io.BytesIO(b"x" * (12 * MIB)), overwrite=False)
    upload = f"PUT /upload/storage/v1/b/{BUCKET}/o?uploadType=resumable"
    assert proxied.seen() == [f"{UPLOAD}?ifGenerationMatch=0&uploadType=resumable", upload, upload]


@pytest.mark.parametrize("etag", ["0", "00", "", "abc", "9" * 25, "１２"])
def test_an_etag_that_no_blob_can_have(proxied: Proxied, etag: str) -> None:
    """It is never sent: a generation of 0 would mean "there is no blob"."""
    with pytest.raises(PreconditionFailedError):
        proxied.store.set("a", "1", if_match=etag)
    assert proxied.seen() == []
    assert not proxied.store.exists("a")


def test_reads_are_held_to_one_version(proxied: Proxied) -> None:
    """A streamed read asks for the generation that its first answer named."""
    etag = proxied.store.set("a", b"x" * 1000).etag
    proxied.seen()
    assert len(b"".join(proxied.store.iter_bytes("a"))) == 1000
    assert proxied.seen() == [f"GET {OBJECT}/a", f"GET /download{OBJECT}/a?alt=media&ifGenerationMatch={etag}"]


def test_a_copy_that_creates_carries_its_condition(proxied: Proxied) -> None:
    """A copy without overwriting depends on generation 0 of its target, in every call it takes."""
    proxied.honest.set("a", b"x" * (5 * MIB))
    proxied.store.copy("a", "b", overwrite=False)
    one, two = proxied.seen()
    rewrite = f"POST {OBJECT}/a/rewriteTo/b/{BUCKET}/o/b?ifGenerationMatch=0"
    assert one == rewrite
    assert two.startswith(f"{rewrite}&rewriteToken=")
    assert proxied.store.info("b").size == 5 * MIB
    with pytest.raises(AlreadyExistsError):
        proxied.store.copy("a", "b", overwrite=False)


def test_listings_ask_for_what_they_need(proxied: Proxied) -> None:
    """Names alone for names; size, generation and time for infos; prefixes only for one level."""
    proxied.store.set("a/b", "1")
    fields = []
    calls: list[Callable[[Storage], object]] = [
        lambda s: s.list(),
        lambda s: list(s.iter_info()),
        lambda s: list(s.iter_dir()),
    ]
    for call in calls:
        proxied.proxy.requests.clear()
        call(proxied.store)
        (request,) = proxied.proxy.requests
        fields.append(parse_qs(urlsplit(request.target).query)["fields"][0])
    assert fields == [
        "kind,nextPageToken,items(name)",
        "kind,nextPageToken,items(name,size,generation,timeCreated)",
        "kind,nextPageToken,items(name,size,generation,timeCreated),prefixes",
    ]


def test_start_after_is_not_given_again(proxied: Proxied) -> None:
    """The service's offset includes the key it names; ours does not."""
    for key in ("a", "a/b", "a/c", "b"):
        proxied.store.set(key, "1")
    assert proxied.store.list(start_after="a") == ["a/b", "a/c", "b"]
    assert proxied.store.list(start_after="a/b") == ["a/c", "b"]
    assert proxied.store.list("a/", start_after="0") == ["a/b", "a/c"]
    assert proxied.store.list("a/", start_after="b") == []


def test_no_request_before_the_first_operation(proxied: Proxied) -> None:
    """Construction, ``repr`` and ``close`` touch no network."""
    with proxied.open() as store:
        assert "gs://" in repr(store)
        assert store.backend.location == f"{proxied.proxy.url}/{BUCKET}"
    assert proxied.seen() == []


def test_location() -> None:
    """A bucket is one place at every host of Google's, and another at another server."""
    places = {
        "gs://b/x": "gs://b",
        "gcs://b/y?project=p": "gs://b",
        "gs://b?endpoint_url=https://storage.us-east1.rep.googleapis.com": "gs://b",
        "gs://b?endpoint_url=http://127.0.0.1:1/": "http://127.0.0.1:1/b",
        "gs://b?endpoint_url=http://127.0.0.1:2": "http://127.0.0.1:2/b",
    }
    assert {url: Storage(url).backend.location for url in places} == places


def test_one_name_at_two_servers() -> None:
    """Types in buckets of one name at two servers do not overlap; at one server they do."""
    url = "gs://b?endpoint_url=http://127.0.0.1:{}"
    Storage(url.format(1), storage_types={"data": "", "tmp": url.format(2)})
    with pytest.raises(ConfigurationError, match="overlap"):
        Storage(url.format(1), storage_types={"data": "", "tmp": url.format(1)})


def test_checksum_goes_with_the_bytes(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is damaged on the way up is refused by the service, in one piece or in chunks, and nothing is stored."""
    from storage import IntegrityError
    from storage.backends.gcs import _writing

    monkeypatch.setattr(_writing, "checksum", lambda data, crc=0: 12345)
    for value in (b"small", io.BytesIO(b"x" * (9 * MIB))):
        with pytest.raises(IntegrityError):
            proxied.store.set("a", value)
        assert not proxied.honest.exists("a")


# ---- requests per call -----------------------------------------------------------------------------------------------


def costs(server: GCSServer, proxied: Proxied) -> dict[str, int]:
    """How many requests each call makes: the measurement behind the table in docs/gcs.md."""
    store, honest = proxied.store, proxied.honest
    etag, one = honest.set("there", b"x" * 100).etag, honest.set("one", b"1").etag
    honest.set("large", b"x" * (40 * MIB))
    honest.set("for-move", b"1")
    honest.set_many({f"many/{n:03}": b"1" for n in range(150)})

    def store_etag(key: str) -> str:
        return honest.info(key).etag

    plain: dict[str, Callable[[], object]] = {
        "`set`, up to 5 MiB": lambda: store.set("new", b"1"),
        "`set`, 12 MiB, one chunk after the other": lambda: store.set("new", io.BytesIO(b"x" * (12 * MIB))),
        "`get`, `get_bytes`, a range": lambda: store.get_bytes("there", start=1, end=5),
        "`iter_bytes`, `get_file`, up to 32 MiB": lambda: store.get_file("there", io.BytesIO()),
        "`exists`, the blob is there": lambda: store.exists("there"),
        "`exists`, it is not": lambda: store.exists("absent"),
        "`info`": lambda: store.info("there"),
        "`set_metadata`, headers only": lambda: store.set_metadata("there", content_type="a/b"),
        "`set_metadata`, with `metadata`": lambda: store.set_metadata("there", metadata={"m": "1"}),
        "`get_bytes`, the last bytes": lambda: store.get_bytes("there", start=-5),
        "`copy` of one version, `if_match`": lambda: store.copy("there", "copy", if_match=etag),
        "`delete` of one version, `if_match`": lambda: store.delete("one", if_match=one),
        "`delete`": lambda: store.delete("there"),
        "`copy`": lambda: store.copy("for-move", "copied"),
        "`copy`, `overwrite=False`": lambda: store.copy("for-move", "copied-once", overwrite=False),
        "`move`": lambda: store.move("for-move", "moved"),
        "`move` of one version, `if_match`": lambda: store.move("moved", "moved-on", if_match=store_etag("moved")),
        "`open(key).read(10)`": lambda: store.open("large").read(10),
        "`list`, each page of 1,000": lambda: store.list("many/"),
        "`delete_many`, each 100": lambda: store.delete_many([f"many/{n:03}" for n in range(100)]),
        "`delete_prefix`, each 100": lambda: store.delete_prefix("many/"),
        "`get_signed_url`, `sign_upload`, `sign_form`, with a key": lambda: (
            store.get_signed_url("there"),
            store.sign_upload("there"),
            store.sign_form("there"),
        ),
    }
    found = {}
    for name, call in plain.items():
        proxied.proxy.requests.clear()
        call()
        found[name] = len(proxied.proxy.requests)
    store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    proxied.proxy.requests.clear()
    store.set("new", io.BytesIO(b"x" * (12 * MIB)))
    found["`set`, 12 MiB, in parallel parts of 5 MiB"] = len(proxied.proxy.requests)
    proxied.proxy.requests.clear()
    with pytest.raises(NotFoundError):
        store.get("absent")
    found["`get`, the blob is not there"] = len(proxied.proxy.requests)
    proxied.proxy.requests.clear()
    with pytest.raises(NotFoundError):
        store.delete("absent")
    found["`delete`, the blob is not there"] = len(proxied.proxy.requests)
    with Storage(
        server.url(bucket="no-such-bucket-here", endpoint_url=proxied.proxy.url), auth=server.account()
    ) as lost:
        proxied.proxy.requests.clear()
        with pytest.raises(BucketNotFoundError):
            lost.set("a", b"1")
    found["`set`, the bucket is not there"] = len(proxied.proxy.requests)
    return found


def test_table_of_costs(gcs: GCSServer, proxied: Proxied) -> None:
    """The table of requests per call in the documentation says what is measured."""
    page = (Path(__file__).parents[2] / "docs" / "gcs.md").read_text(encoding="utf-8")
    documented = {
        match[1].strip(): int(match[2]) for match in re.finditer(r"^\|([^|]+)\|\s*(\d+)\s*\|\s*$", page, re.MULTILINE)
    }
    measured = costs(gcs, proxied)
    assert documented == measured, json.dumps(measured, indent=1)
