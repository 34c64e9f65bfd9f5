"""A web service that passes blobs through in both directions without holding them: with ranges, etags and signed uploads.

Run it: ``pip install 'storage-facade[async,server]' fastapi uvicorn``, then ``uvicorn examples.fastapi_app:app``, and

    curl -T big.iso http://127.0.0.1:8000/blobs/big.iso
    curl -r 0-99 http://127.0.0.1:8000/blobs/big.iso | sha256sum
    curl -X POST 'http://127.0.0.1:8000/uploads?key=cat.png&content_type=image/png'

``STORAGE_URL`` says where the blobs are; the code is the same for each backend.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from storage import AsyncStorage, InvalidKeyError, NotFoundError

RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})|bytes=-(\d{1,18})")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncStorage() as app.state.storage:
        yield


app = FastAPI(lifespan=lifespan)


def opened(request: Request) -> AsyncStorage:
    """The store of the application."""
    storage: AsyncStorage = request.app.state.storage
    return storage


Store = Annotated[AsyncStorage, Depends(opened)]


@app.put("/blobs/{key:path}", status_code=201)
async def upload(key: str, request: Request, storage: Store) -> dict[str, str | int]:
    # The body goes to the store as it comes. A client that goes away leaves the blob that was there before.
    try:
        info = await storage.set(key, request.stream(), content_type=request.headers.get("content-type"))
    except InvalidKeyError as error:
        raise HTTPException(422, str(error)) from error
    return {"key": info.key, "size": info.size, "etag": info.etag}


@app.get("/blobs/{key:path}")
async def download(
    key: str,
    storage: Store,
    span: Annotated[str | None, Header(alias="range")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    try:
        info = await storage.info(key)
    except (NotFoundError, InvalidKeyError) as error:
        raise HTTPException(404, str(error)) from error
    headers = {"ETag": f'"{info.etag}"', "Accept-Ranges": "bytes"}
    if if_none_match is not None and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    start, end, status = 0, info.size, 200
    if (match := RANGE.fullmatch(span or "")) is not None:
        first, last, suffix = match.groups()
        start = int(first) if suffix is None else max(0, info.size - int(suffix))
        end = min(int(last) + 1, info.size) if last else info.size
        if start >= end:
            raise HTTPException(416, headers={"Content-Range": f"bytes */{info.size}"})
        headers["Content-Range"], status = f"bytes {start}-{end - 1}/{info.size}", 206
    headers["Content-Length"] = str(end - start)
    body = storage.iter_bytes(key, start=start, end=end)
    return StreamingResponse(body, status, headers, media_type=info.content_type)


@app.post("/uploads")
async def sign(key: str, content_type: str, storage: Store) -> dict[str, Any]:
    """Lets a browser send a blob straight to the store, once, within ten minutes: this service never sees the bytes."""
    try:
        request = await storage.sign_upload(key, content_type=content_type, expires_in=600, overwrite=False)
    except (InvalidKeyError, ValueError) as error:
        raise HTTPException(422, str(error)) from error
    return {"method": request.method, "url": request.url, "headers": dict(request.headers)}
