"""64 clients at once, as a web service has them: ``AsyncStorage`` beside the asynchronous peers, and beside plain threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.measure import Bar, Call, Plan, Row, in_turn, prepared
from benchmarks.peers.s3 import Obstore, obstore_store
from benchmarks.servers import seaweedfs
from storage import AsyncStorage, Storage
from tests.emulators.s3 import S3Server

CLIENTS = 64
KEYS = 64
KIB = os.urandom(1024)


def run(plan: Plan) -> None:
    each = plan.size(8, 4)
    with seaweedfs() as server:
        with Storage(server.url("bench", query="&types=data:"), server.auth) as store:
            store.set_many({f"clients/{number}": KIB for number in range(KEYS)})
        for what in ("get", "set"):
            row = Row(
                f"s3.clients.{what}",
                f"s3, {CLIENTS} clients at once, 1 KiB, no latency: {what} (per call)",
                "what the server answers in a second, on the same cores",
                [_Ours.name],
                [Bar(_Ours.name, 1 / 0.9, _Obstore.name, "wall")] if what == "get" else [],
            )
            peers = [_Ours(server), _Obstore(server), _FastS3(server), _Threads(server), _ObstoreThreads(server)]

            def prepare(peer: Any, what: str = what) -> Call:
                return peer.together(what, each)

            in_turn(row, prepared(row, peers, prepare), rounds=plan.rounds(15), calls=1, warm=1, save=False)
            row.per(dict.fromkeys(row.samples, CLIENTS * each))
            row.save()
            for peer in peers:
                peer.close()


def _key(client: int, number: int) -> str:
    return f"clients/{(client + 7 * number) % KEYS}"


class _Async:
    """A contestant with coroutines: all its clients are tasks of one event loop."""

    name = ""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        self.loop.close()

    async def get(self, key: str) -> bytes:
        raise NotImplementedError

    async def put(self, key: str) -> object:
        raise NotImplementedError

    def together(self, what: str, each: int) -> Call:
        async def client(number: int) -> None:
            if what == "set":
                for step in range(each):
                    await self.put(_key(number, step))
            else:
                for step in range(each):
                    assert len(await self.get(_key(number, step))) == len(KIB)

        async def clients() -> None:
            await asyncio.gather(*map(client, range(CLIENTS)))

        return lambda _: self.loop.run_until_complete(clients())


class _Ours(_Async):
    name = "AsyncStorage s3://"

    def __init__(self, server: S3Server) -> None:
        super().__init__()
        self.store = AsyncStorage(server.url("bench", query="&types=data:"), server.auth)

    async def get(self, key: str) -> bytes:
        return await self.store.get_bytes(key)

    async def put(self, key: str) -> object:
        return await self.store.set(key, KIB)


class _Obstore(_Async):
    name = "obstore, async"

    def __init__(self, server: S3Server) -> None:
        super().__init__()
        self.store = obstore_store(server, server.endpoint_url)

    async def get(self, key: str) -> bytes:
        return bytes(await (await self.store.get_async(key)).bytes_async())

    async def put(self, key: str) -> object:
        return await self.store.put_async(key, KIB)


class _FastS3(_Async):
    name = "fast-s3 (aiohttp)"

    def __init__(self, server: S3Server) -> None:
        from fast_s3 import AsyncS3Client

        super().__init__()

        self.client = AsyncS3Client(
            server.endpoint_url,
            server.access_key,
            server.secret_key,
            server.region,
            server.bucket,
            addressing_style="path",
        )
        self.loop.run_until_complete(self.client.__aenter__())

    def close(self) -> None:
        self.loop.run_until_complete(self.client.__aexit__())
        super().close()

    async def get(self, key: str) -> bytes:
        return await self.client.get_object("bench/" + key)

    async def put(self, key: str) -> object:
        return await self.client.put_object("bench/" + key, KIB)


class _Threads:
    """``Storage`` in as many threads as there are clients."""

    name = "Storage s3://, 64 threads"

    def __init__(self, server: S3Server) -> None:
        store = Storage(server.url("bench", query="&types=data:"), server.auth)
        self.get, self.put = store.get_bytes, store.set
        self.pool = ThreadPoolExecutor(CLIENTS)

    def close(self) -> None:
        self.pool.shutdown()

    def together(self, what: str, each: int) -> Call:
        def client(number: int) -> None:
            for step in range(each):
                if what == "set":
                    self.put(_key(number, step), KIB)
                else:
                    assert len(self.get(_key(number, step))) == len(KIB)

        return lambda _: list(self.pool.map(client, range(CLIENTS)))


class _ObstoreThreads(_Threads):
    name = "obstore, 64 threads"

    def __init__(self, server: S3Server) -> None:
        peer = Obstore(server, server.endpoint_url)
        self.get, self.put = peer.get, peer.put
        self.pool = ThreadPoolExecutor(CLIENTS)
