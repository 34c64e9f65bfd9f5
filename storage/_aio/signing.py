"""Signed URLs."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from storage._aio.core import AsyncCore, same_as
from storage._storage import Storage
from storage._types import SignedRequest

__all__ = ["AsyncSigning"]


class AsyncSigning(AsyncCore):
    """What ``AsyncStorage`` signs."""

    @same_as(Storage.get_signed_url)
    async def get_signed_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        return await self._workers.run(
            lambda: self._sync.get_signed_url(
                key,
                storage_type,
                expires_in=expires_in,
                content_disposition=content_disposition,
                content_type=content_type,
            )
        )

    @same_as(Storage.get_upload_url)
    async def get_upload_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_type: str | None = None,
        content_length: int | None = None,
        content_md5: str | None = None,
        overwrite: bool = True,
    ) -> str:
        return await self._workers.run(
            lambda: self._sync.get_upload_url(
                key,
                storage_type,
                expires_in=expires_in,
                content_type=content_type,
                content_length=content_length,
                content_md5=content_md5,
                overwrite=overwrite,
            )
        )

    @same_as(Storage.sign_download)
    async def sign_download(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> SignedRequest:
        return await self._workers.run(
            lambda: self._sync.sign_download(
                key,
                storage_type,
                expires_in=expires_in,
                content_disposition=content_disposition,
                content_type=content_type,
                method=method,
            )
        )

    @same_as(Storage.sign_upload)
    async def sign_upload(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_type: str | None = None,
        content_length: int | None = None,
        content_md5: str | None = None,
        overwrite: bool = True,
    ) -> SignedRequest:
        return await self._workers.run(
            lambda: self._sync.sign_upload(
                key,
                storage_type,
                expires_in=expires_in,
                content_type=content_type,
                content_length=content_length,
                content_md5=content_md5,
                overwrite=overwrite,
            )
        )
