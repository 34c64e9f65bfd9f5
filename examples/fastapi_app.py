"""A web service that passes blobs through in both directions without holding them.

Run it: ``pip install 'storage-facade[async]' fastapi uvicorn``, then ``uvicorn examples.fastapi_app:app``, and

    curl -T big.iso http://127.0.0.1:8000/blobs/big.iso
    curl http://127.0.0.1:8000/blobs/big.iso | sha256sum

Where the blobs live is ``STORAGE_URL``'s to say; nothing here knows it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from storage import AsyncStorage, InvalidKeyError, NotFoundError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncStorage() as app.state.storage:
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/blobs/{key:path}", status_code=201)
async def upload(key: str, request: Request) -> dict[str, str | int]:
    # The body goes to the store as it comes. A client that goes away leaves the blob that was there before.
    try:
        info = await request.app.state.storage.set(
            key, request.stream(), content_type=request.headers.get("content-type")
        )
    except InvalidKeyError as error:
        raise HTTPException(422, str(error)) from error
    return {"key": info.key, "size": info.size, "etag": info.etag}


@app.get("/blobs/{key:path}")
async def download(key: str, request: Request) -> StreamingResponse:
    storage: AsyncStorage = request.app.state.storage
    try:
        info = await storage.info(key)
    except (NotFoundError, InvalidKeyError) as error:
        raise HTTPException(404, str(error)) from error
    return StreamingResponse(
        storage.iter_bytes(key), media_type=info.content_type, headers={"Content-Length": str(info.size)}
    )
