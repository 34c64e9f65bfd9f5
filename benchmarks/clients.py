"""64 clients at once, as a web service has them: ``AsyncStorage`` beside the asynchronous peers, and beside plain threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.measure import Call, Plan, Row, in_turn, prepared
from benchmarks.servers import seaweedfs
from storage import AsyncStorage, Storage
from tests.servers.s3 import S3Server

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
            )
            peers = [_Ours(server), _OursOnThreads(server), _Obstore(server), _S3fs(server)]
            threads = [_Threads(server, "s3+obstore"), _Threads(server, "s3")]

            def prepare(peer: Any, what: str = what) -> Call:
                return peer.together(what, each)

            in_turn(row, prepared(row, [*peers, *threads], prepare), rounds=plan.rounds(5), calls=1, warm=1)
            calls = CLIENTS * each
            for who, samples in row.samples.items():
                row.samples[who] = [(wall / calls, cpu / calls) for wall, cpu in samples]
            row.save()


def _key(client: int, number: int) -> str:
    return f"clients/{(client + 7 * number) % KEYS}"


class _Async:
    """A contestant with coroutines: all its clients are tasks of one event loop."""

    name = ""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

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
    name = "AsyncStorage s3+obstore://"
    scheme = "s3+obstore"

    def __init__(self, server: S3Server) -> None:
        super().__init__()
        self.store = AsyncStorage(server.url("bench", scheme=self.scheme, query="&types=data:"), server.auth)

    async def get(self, key: str) -> bytes:
        return await self.store.get_bytes(key)

    async def put(self, key: str) -> object:
        return await self.store.set(key, KIB)


class _OursOnThreads(_Ours):
    name = "AsyncStorage s3://"
    scheme = "s3"


class _Obstore(_Async):
    name = "obstore, async"

    def __init__(self, server: S3Server) -> None:
        from obstore.store import S3Store

        super().__init__()
        self.store = S3Store(
            server.bucket,
            prefix="bench",
            endpoint=server.endpoint_url,
            region=server.region,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            client_options={"allow_http": True},
        )

    async def get(self, key: str) -> bytes:
        return bytes(await (await self.store.get_async(key)).bytes_async())

    async def put(self, key: str) -> object:
        return await self.store.put_async(key, KIB)


class _S3fs(_Async):
    name = "s3fs (aiobotocore)"

    def __init__(self, server: S3Server) -> None:
        import s3fs

        super().__init__()
        self.root = f"{server.bucket}/bench/"
        self.fs = s3fs.S3FileSystem(
            key=server.access_key,
            secret=server.secret_key,
            endpoint_url=server.endpoint_url,
            asynchronous=True,
            skip_instance_cache=True,
            config_kwargs={"max_pool_connections": CLIENTS},
        )
        self.loop.run_until_complete(self.fs.set_session())

    async def get(self, key: str) -> bytes:
        return await self.fs._cat_file(self.root + key)  # noqa: SLF001 (so are its coroutines named)

    async def put(self, key: str) -> object:
        return await self.fs._pipe_file(self.root + key, KIB)  # noqa: SLF001


class _Threads:
    """``Storage`` in as many threads as there are clients."""

    def __init__(self, server: S3Server, scheme: str) -> None:
        self.name = f"storage {scheme}://, threads"
        self.store = Storage(server.url("bench", scheme=scheme, query="&types=data:"), server.auth)

    def together(self, what: str, each: int) -> Call:
        store, pool = self.store, ThreadPoolExecutor(CLIENTS)

        def client(number: int) -> None:
            for step in range(each):
                if what == "set":
                    store.set(_key(number, step), KIB)
                else:
                    assert len(store.get_bytes(_key(number, step))) == len(KIB)

        return lambda _: list(pool.map(client, range(CLIENTS)))
