"""Django: a ``Storage`` as a file storage, for ``STORAGES`` in the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage as FileStorage
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri
from django.utils.timezone import make_naive

from storage import AlreadyExistsError, NotFoundError, ObjectInfo, SignedForm, Storage

__all__ = ["DjangoStorage"]


class _File(File):  # type: ignore[misc]
    """A file that stores nothing where its block fails; Django's would close it, and so store what was written."""

    def __exit__(self, *exc: object) -> None:
        self.file.__exit__(*exc)


@deconstructible(path="storage.integrations.django.DjangoStorage")
class DjangoStorage(FileStorage):  # type: ignore[misc]  # Django has no types
    """Files of models and static files as the blobs of one storage type; a file's name is its key.

    The store is opened at the first use. Two saves under one name at the same moment get two names, in every process.

    Args:
        url: as for :class:`storage.Storage`, like ``auth``, ``retries``, ``timeout`` and ``storage_types``.
        storage_type: one of the store's types.
        base_url: where the files are served without a signature, as in ``"https://cdn.example.org/"``. ``None``: ``url()`` signs.
        expires_in: how long a signed URL lives: seconds or a ``timedelta``, at most 7 days.
        cache_control: stored with each new file, for whoever serves it.
    """

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        *,
        auth: Any = None,
        retries: Any = None,
        timeout: Any = None,
        storage_types: Mapping[str, str] | None = None,
        storage_type: str = "data",
        base_url: str | None = None,
        expires_in: float | timedelta = 3600,
        cache_control: str | None = None,
    ) -> None:
        self._make = partial(Storage, url, auth, retries, timeout=timeout, storage_types=storage_types)
        self.storage_type = storage_type
        self.base_url = base_url
        self.expires_in = expires_in
        self.cache_control = cache_control

    @cached_property
    def storage(self) -> Storage:
        """The store itself, for what Django has no name for."""
        return self._make()

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        try:
            file = self.storage.open(_key(name), mode, self.storage_type)
        except NotFoundError as exc:
            raise FileNotFoundError(f"{name}: {exc}") from exc
        return _File(file, name)

    def _save(self, name: str, content: File[Any]) -> str:
        while True:
            if content.seekable():
                content.seek(0)
            try:
                self.storage.set(
                    _key(name), content, self.storage_type, overwrite=False, cache_control=self.cache_control
                )
            except AlreadyExistsError:
                if not content.seekable():
                    raise
                name = self.get_available_name(name)  # another process took it since Django asked
            else:
                return _key(name)

    def delete(self, name: str) -> None:
        """Deletes the file, if there is one."""
        self.storage.delete(_key(name), self.storage_type, missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether the name is taken. Only absence is ``False``: no permission and no network raise."""
        return self.storage.exists(_key(name), self.storage_type)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files below ``path``."""
        folder = _key(path).strip("/") + "/" if path.strip("./\\") else ""
        folders, files = [], []
        for entry in self.storage.iter_dir(folder, self.storage_type):
            if isinstance(entry, str):
                folders.append(entry[len(folder) : -1])
            else:
                files.append(entry.key[len(folder) :])
        return folders, files

    def size(self, name: str) -> int:
        """Bytes of the file."""
        return self._info(name).size

    def get_modified_time(self, name: str) -> datetime:
        """When the file was written: aware where ``USE_TZ`` is set, else naive in Django's time zone."""
        moment: datetime = self._info(name).last_modified
        return moment if settings.USE_TZ else make_naive(moment)

    def get_created_time(self, name: str) -> datetime:
        """As ``get_modified_time``: a blob is written once, as a whole."""
        return self.get_modified_time(name)

    def _info(self, name: str) -> ObjectInfo:
        try:
            return self.storage.info(_key(name), self.storage_type)
        except NotFoundError as exc:
            raise FileNotFoundError(f"{name}: {exc}") from exc

    def url(self, name: str | None) -> str:
        """Where a browser finds the file: below ``base_url``, or signed."""
        if name is None:
            raise ValueError("this file has no name, and so no URL")
        if self.base_url is not None:
            return urljoin(self.base_url, str(filepath_to_uri(_key(name))))
        return self.storage.get_signed_url(_key(name), self.storage_type, expires_in=self.expires_in)

    def sign_form(self, name: str, **options: Any) -> SignedForm:
        """A form that a browser posts to the store: as ``Storage.sign_form``. ``get_available_name`` finds a free name."""
        return self.storage.sign_form(_key(name), self.storage_type, **options)


def _key(name: str) -> str:
    return name.replace("\\", "/")
