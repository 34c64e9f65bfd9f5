"""The application inside others."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from storage import AsyncStorage, Storage
from storage.server import SignedURLs
from storage.testing._http import send
from tests.server.serving import moved, serving


def application(store, **options):
    """An application of somebody, with our URLs below ``/deep/files``."""
    return Starlette(
        routes=[
            Route("/", lambda _: PlainTextResponse("home")),
            Mount("/deep", routes=[Mount("/files", SignedURLs(store))]),
        ],
        **options,
    )


@pytest.mark.parametrize("options", [{}, {"middleware": [Middleware(GZipMiddleware)]}])
def test_below_a_path(options):
    """Mounted two levels down, signed URLs work there and nowhere else, with and without middleware around it."""
    with Storage("memory://") as store, serving(application(store, **options)) as base:
        key = "a b/ü?#%41.txt"
        url = moved(store.get_upload_url(key), f"{base}/deep/files")
        assert send("PUT", url, body=b"x" * 3_000_000).status == 200
        url = store.get_signed_url(key)
        assert send("GET", moved(url, f"{base}/deep/files")).body == b"x" * 3_000_000
        for wrong in ("", "/deep", "/files", "/deep/files/x"):
            assert send("GET", moved(url, base + wrong)).status in (403, 404)
        assert send("GET", f"{base}/").body == b"home"


def test_in_fastapi():
    """FastAPI mounts it like any application."""
    app = FastAPI()
    with Storage("memory://") as store, serving(app) as base:
        app.mount("/files", SignedURLs(store))
        assert send("PUT", moved(store.get_upload_url("a b"), f"{base}/files"), body=b"1").status == 200
        assert send("GET", moved(store.get_signed_url("a b"), f"{base}/files")).body == b"1"
        assert send("GET", f"{base}/files/x").status == 403
        assert send("GET", f"{base}/docs").status == 200


def test_beside_another_application():
    """Where a framework cannot mount (Django), one ``if`` before it does: the path is cut, ``raw_path`` is left."""
    with Storage("memory://") as store:
        files, other = SignedURLs(store), Starlette(routes=[Route("/", lambda _: PlainTextResponse("home"))])

        async def app(scope, receive, send):
            if scope["type"] == "http" and scope["path"].startswith("/files/"):
                await files({**scope, "root_path": "/files"}, receive, send)
            else:
                await other(scope, receive, send)

        with serving(app) as base:
            assert send("PUT", moved(store.get_upload_url("é%"), f"{base}/files"), body=b"1").status == 200
            assert send("GET", moved(store.get_signed_url("é%"), f"{base}/files")).body == b"1"
            assert send("GET", f"{base}/").body == b"home"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_another_event_loop(backend):
    """Also under trio."""
    import anyio

    async def main():
        with Storage("memory://") as store:
            transport = httpx.ASGITransport(SignedURLs(store))
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                assert (
                    await client.put(moved(store.get_upload_url("a"), "http://t"), content=b"x" * 3_000_000)
                ).status_code == 200
                answer = await client.get(moved(store.get_signed_url("a"), "http://t"))
                return answer.status_code, len(answer.content)

    assert anyio.run(main, backend=backend) == (200, 3_000_000)


def test_a_store_with_types_elsewhere():
    """A ``Storage`` whose types live in different places is served whole."""
    with (
        Storage("memory://", storage_types={"data": "data/", "tmp": "memory://served-elsewhere"}) as store,
        serving(SignedURLs(store)) as base,
    ):
        for storage_type in ("data", "tmp"):
            store.set("a", storage_type, storage_type)
            assert send("GET", moved(store.get_signed_url("a", storage_type), base)).body == storage_type.encode()


def test_an_asynchronous_store():
    """``AsyncStorage`` is served as ``Storage`` is."""
    import anyio

    async def main():
        async with AsyncStorage("memory://") as store:
            transport = httpx.ASGITransport(SignedURLs(store))
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                await store.set("a", b"1")
                return (await client.get(moved(await store.get_signed_url("a"), "http://t"))).content

    assert anyio.run(main) == b"1"
