"""The methods of ``Storage`` that sign URLs, requests and forms.

A cloud signs by itself. For a local store the URL is signed here with the store's keys, and the server is started.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from storage._backend import Backend, FormOptions, SigningKeys, SignOptions, servable
from storage._facade.call import Call
from storage._facade.core import Facade
from storage._facade.options import download_options, form_options, upload_options
from storage._types import SignedForm, SignedRequest
from storage.exceptions import SigningError

if TYPE_CHECKING:
    from storage._backend import ServableBackend


class Signing(Facade):
    def get_signed_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
        download_name: str | None = None,
    ) -> str:
        """A URL that anyone can GET until it expires. It does not check that the blob exists.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            expires_in: seconds or a ``timedelta``, 1 second to 7 days.
            content_disposition: the response's header, as in ``attachment; filename="a.csv"``.
            content_type: the response's header; ``None``: the blob's own.
            download_name: any text: a browser saves the blob under this name (instead of ``content_disposition``).

        Returns:
            The URL. It is a secret: whoever has it can read the blob.

        Raises:
            SigningError: these credentials cannot sign; the message says what to configure.
            ValueError: an expiry out of range, or a header that is not allowed.
        """
        options = download_options("GET", expires_in, content_disposition, content_type, download_name)
        return self._sign("get_signed_url", key, storage_type, options).url

    def get_upload_url(
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
        """A URL that anyone can PUT the blob's bytes to until it expires: the ``url`` of :meth:`sign_upload`.

        Args:
            key, storage_type, expires_in, content_type, content_length, content_md5, overwrite: as for :meth:`sign_upload`. The
                client must send the headers that go with what is bound; only :meth:`sign_upload` tells them.

        Returns:
            The URL. It is a secret: whoever has it can write the blob.

        Raises:
            SigningError, UnsupportedOperationError, ValueError: as for :meth:`sign_upload`.
        """
        options = upload_options(expires_in, content_type, content_length, content_md5, overwrite)
        return self._sign("get_upload_url", key, storage_type, options).url

    def sign_download(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
        download_name: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> SignedRequest:
        """Signs a download and returns the whole request. ``method="HEAD"`` needs a signature of its own.

        Args:
            key, storage_type, expires_in, content_disposition, content_type, download_name: as for :meth:`get_signed_url`.
            method: ``"GET"`` or ``"HEAD"``.

        Returns:
            The request, with the time at which it stops working.

        Raises:
            SigningError, ValueError: as for :meth:`get_signed_url`.
        """
        options = download_options(method, expires_in, content_disposition, content_type, download_name)
        return self._sign("sign_download", key, storage_type, options)

    def sign_upload(
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
        """A request that stores the blob, with the headers that the client must send. Every option is bound into the signature.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            expires_in: seconds or a ``timedelta``, 1 second to 7 days.
            content_type: another type is refused.
            content_length: bytes; another length is refused.
            content_md5: base64 of the digest; other bytes are refused.
            overwrite: ``False``: a key that has a blob is refused.

        Returns:
            The request, with the headers that the client must send.

        Raises:
            SigningError: these credentials cannot sign; the message says what to configure.
            UnsupportedOperationError: this backend cannot bind that option.
            ValueError: an expiry out of range, or an option that is not allowed.
        """
        options = upload_options(expires_in, content_type, content_length, content_md5, overwrite)
        return self._sign("sign_upload", key, storage_type, options)

    def sign_form(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        max_length: int | None = None,
        content_type: str | None = None,
    ) -> SignedForm:
        """A browser form (``multipart/form-data``) that stores the blob: the fields given here, then the field ``file``.

        A key, type or field other than what was signed is refused, and so is a longer file.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            expires_in: seconds or a ``timedelta``, 1 second to 7 days.
            max_length: bytes; ``None``: no limit.
            content_type: another type is refused; ``None``: not bound.

        Returns:
            The form's URL and fields.

        Raises:
            SigningError: these credentials cannot sign; the message says what to configure.
            UnsupportedOperationError: this backend has no forms.
            ValueError: an expiry out of range, or an option that is not allowed.
        """
        call = Call.about(self._core, "sign_form", key, storage_type)
        options = form_options(expires_in, max_length, content_type)
        return call.run(sign_form, call.route.backend, call.path, options)

    def _sign(self, name: str, key: str, storage_type: str, options: SignOptions) -> SignedRequest:
        call = Call.about(self._core, name, key, storage_type)
        return call.run(sign, call.route.backend, call.path, options)


def sign(backend: Backend, path: str, options: SignOptions) -> SignedRequest:
    """A request that anyone can send until it expires. As ``Backend.sign``, for every backend."""
    served = servable(backend)
    if served is None:
        return backend.sign(path, options)
    from storage import _url_signing  # hashing and quoting, 10 ms, which only signing needs

    return _url_signing.sign(_keys(served), _base_url(served), path, options, _url_signing.clock())


def sign_form(backend: Backend, path: str, options: FormOptions) -> SignedForm:
    """A form that anyone can post until it expires. As ``Backend.sign_form``, for every backend."""
    served = servable(backend)
    if served is None:
        return backend.sign_form(path, options)
    from storage import _url_signing

    return _url_signing.sign_form(_keys(served), _base_url(served), path, options, _url_signing.clock())


def _keys(served: ServableBackend) -> SigningKeys:
    keys = served.signing_keys(create=True)
    if keys is None:
        raise SigningError(f"{served.location}: it has no keys to sign with")
    return keys


def _base_url(served: ServableBackend) -> str:
    """The base of a backend's signed URLs: its ``serve_url``, or the server of this process."""
    if served.serve_url is not None:
        return served.serve_url
    from storage.server._inprocess import process_server  # the extra `server`, which only this needs

    return process_server.serve(served)
