"""What servers do differently in listings."""

from __future__ import annotations

import pytest

from storage import UnavailableError
from storage.testing.faults import answer


def page_of(keys: list[str], token: str | None) -> bytes:
    contents = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = str(token is not None).lower()
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{contents}</ListBucketResult>".encode()


def test_server_without_tokens(stub) -> None:
    """A server that gives no token is asked to go on after the last key."""
    proxy, store = stub
    truncated = page_of(["p/data/a", "p/data/b"], "x").replace(b"<NextContinuationToken>x</NextContinuationToken>", b"")
    proxy.script(answer(200, truncated), answer(200, page_of(["p/data/c"], None)))
    assert list(store.iter_list()) == ["a", "b", "c"]
    assert "start-after=p%2Fdata%2Fb" in proxy.requests[1].target


def test_seaweedfs_goes_on_inside_a_folder(stub) -> None:
    """After ``a`` SeaweedFS would leave out ``a/b``: it is asked to go on after ``a/``, once it is known."""
    proxy, store = stub
    server = {"Server": "SeaweedFS 4.48"}
    pages = [
        answer(200, page_of(["p/data/b"], None), server),
        answer(200, page_of(["p/data/a/b", "p/data/b"], None), server),
    ]
    proxy.script(*pages, pages[1])
    assert store.list(start_after="a") == ["a/b", "b"]
    assert store.list(start_after="a") == ["a/b", "b"]
    assert [request.target.partition("start-after=")[2].partition("&")[0] for request in proxy.requests] == [
        "p%2Fdata%2Fa",
        "p%2Fdata%2Fa%2F",
        "p%2Fdata%2Fa%2F",
    ]


@pytest.mark.parametrize("body", [page_of(["p/data/a"], None)[:-9], page_of([], "x").replace(b"x</Next", b"</Next")])
def test_page_that_is_none(stub, body) -> None:
    """What is cut, and an empty page that tells no way on, is an unavailable server, never the end of the listing."""
    proxy, store = stub
    proxy.plan = lambda _: answer(200, body)
    with pytest.raises(UnavailableError):
        store.list()
