"""How many requests each call makes, as docs/s3.md says, and what they look like."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from storage import NotFoundError
from storage.testing.faults import FaultProxy
from tests.s3.conftest import at_once

PAGE = Path(__file__).parents[2] / "docs" / "s3.md"
BIG = bytes(20 * 1024 * 1024)
MD5_OF_V = "9e3669d19b675bd57058fd4664205d2a"  # the etag of "v"

# What stands in the table of the docs, as code; `big` is a blob of 20 MiB, `k` a small one, `none` is absent.
CALLS = {
    "set(key, value)": lambda s: s.set("k", "v"),
    "set(key, value, overwrite=False)": lambda s: s.set("fresh", "v", overwrite=False),
    "get(key), get_bytes(key, start=…, end=…)": lambda s: s.get_bytes("k", start=0, end=1),
    "get_bytes(key, start=-100)": lambda s: s.get_bytes("k", start=-100),
    "get(key) of an absent blob": lambda s: s.get("none"),
    "info(key), exists(key)": lambda s: s.exists("k"),
    "exists(key) of an absent blob": lambda s: s.exists("none"),
    "delete(key)": lambda s: s.delete("k"),
    "delete(key) of an absent blob": lambda s: s.delete("none"),
    "delete(key, if_match=etag)": lambda s: s.delete("k", if_match=MD5_OF_V),
    "delete_many(1,000 keys)": lambda s: s.delete_many(f"m{n}" for n in range(1000)),
    "delete_prefix(prefix), for each 1,000 keys": lambda s: s.delete_prefix("p/"),
    "copy(key, new_key)": lambda s: s.copy("k", "k2"),
    "copy(key, new_key, overwrite=False)": lambda s: s.copy("k", "k3", overwrite=False),
    "move(key, new_key)": lambda s: s.move("k", "k4"),
    "set_metadata(key, metadata=…)": lambda s: s.set_metadata("k", metadata={"a": "1"}),
    "list(), iter_info(), iter_dir(), for each 1,000 keys": lambda s: s.list(),
    "set_file(key, 20 MiB)": lambda s: s.set_file("big", io.BytesIO(BIG)),
    "get_file(key, name) of 20 MiB": lambda s: s.get_file("big", Path("big")),
    "open(key).read(10)": lambda s: s.open("k").read(10),
    "get_signed_url(key), sign_upload(key), sign_form(key)": lambda s: (s.get_signed_url("k"), s.sign_form("k")),
}


def table() -> dict[str, int]:
    """The table of the page: call, requests."""
    rows = re.findall(r"^\| `(.+?)` \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {call.replace("`", ""): int(count) for call, count in rows}


def test_the_table_has_these_calls() -> None:
    """The page and this test name the same calls."""
    assert list(table()) == list(CALLS)


def test_requests_a_call(open_store, proxy, tmp_path, monkeypatch) -> None:
    """Each call makes as many requests as the page says."""
    monkeypatch.chdir(tmp_path)
    store = open_store(proxy.url)
    store.set("big", BIG)
    store.set("p/1", "v")
    counted = {}
    for name, call in CALLS.items():
        store.set("k", "v")
        proxy.requests.clear()
        try:
            call(store)
        except NotFoundError:
            assert "absent" in name
        counted[name] = len(proxy.requests)
    assert counted == table()


def test_a_small_put_is_one_round_trip(store, proxy) -> None:
    """No ``Expect: 100-continue``, and nothing chunked: one packet there, one back."""
    store.set("k", b"x" * 1024)
    store.set("k", b"x" * 1024, overwrite=False) if not store.exists("k") else None
    with store.open("big", "wb") as file:
        file.write(bytes(11_000_000))
    assert [r.method for r in proxy.requests].count("PUT") >= 4
    for request in proxy.requests:
        assert "expect" not in request.headers
        assert "transfer-encoding" not in request.headers
        assert "x-amz-decoded-content-length" not in request.headers


def test_another_server_gets_no_new_checksums(store, proxy) -> None:
    """What is not AWS gets Content-MD5 where a checksum is needed, and no CRC anywhere."""
    store.set("k", "v")
    store.delete_many(["k"])
    store.setup(cors_origins=["https://example.com"])
    store.setup(cors_origins=[])
    for request in proxy.requests:
        assert not [name for name in request.headers if "checksum" in name], request
    for request in proxy.requests:
        if request.target.endswith(("?delete", "?cors")) and request.method in ("POST", "PUT"):
            assert "content-md5" in request.headers


def test_the_users_listing_stays_as_it_is(store) -> None:
    """The fast parser serves this library alone: the client's own listing is botocore's."""
    store.set("a b", "1")
    found = store.backend.client.list_objects_v2(Bucket="bucket", Prefix=store._core.routes["data"].prefix)
    assert found["Contents"][0]["Key"].endswith("/data/a b")
    assert found["Contents"][0]["Size"] == 1
    assert store.list() == ["a b"]


def test_concurrent_calls_reuse_connections(open_store, seaweedfs) -> None:
    """As many connections as calls at once, however many calls."""
    with FaultProxy(seaweedfs.endpoint_url) as proxy:  # moto closes each connection
        store = open_store(proxy.url, retries=at_once(0))
        store.set_many({f"k{n}": "v" for n in range(60)}, concurrency=8)
        store.set_many({f"k{n}": "v" for n in range(60)}, concurrency=8)
        assert len(proxy.requests) == 120
        assert max(request.connection for request in proxy.requests) <= 12


@pytest.mark.parametrize("size", [0, 1, 5 * 1024 * 1024])
def test_one_put_up_to_a_part(store, proxy, size) -> None:
    """A file of one part's size goes up in one request."""
    store.set_file("k", io.BytesIO(bytes(size)))
    assert [request.method for request in proxy.requests] == ["PUT"]
    assert store.info("k").size == size
