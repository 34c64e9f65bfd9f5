"""Signs URLs and forms for every backend.

A cloud signs by itself. For a local store the URL is signed here with the store's keys, and the server is started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage._backend import Backend, FormOptions, SigningKeys, SignOptions, servable
from storage._types import SignedForm, SignedRequest
from storage.exceptions import SigningError

if TYPE_CHECKING:
    from storage._backend import ServableBackend


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
