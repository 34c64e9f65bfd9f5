"""The asynchronous API, in memory and on files."""

import asyncio
import tempfile

from storage import AsyncStorage


async def main() -> None:
    for url in ("memory://", "file://" + tempfile.mkdtemp()):
        async with AsyncStorage(url) as store:
            await asyncio.gather(*(store.set(f"k{n}", str(n)) for n in range(20)))
            assert await store.get("k7") == "7"
            assert len([key async for key in store.iter_list()]) == 20
            async with store.open("k7") as file:
                assert await file.read() == b"7"
            assert await store.delete_prefix("k") == 20


asyncio.run(main())
