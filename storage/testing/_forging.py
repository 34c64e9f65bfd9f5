"""Signed URLs that somebody has tampered with."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from storage import SignedRequest, Storage
from storage.testing._harness import Lack
from storage.testing._http import altered, repath, send, send_request
from storage.testing._signing import SigningSuite

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH")


class ForgingTests(SigningSuite):
    """The contract: a request that is not exactly what was signed gets a 4xx and changes nothing."""

    def _requests(self, storage: Storage, key: str) -> list[SignedRequest]:
        """One of each kind for ``key``. Each was tried, and works as it was signed."""
        requests = [
            storage.sign_download(key),
            storage.sign_download(key, content_disposition="inline", content_type="text/x"),
            storage.sign_download(key, method="HEAD"),
            storage.sign_upload(key),
            storage.sign_upload(key, content_type="text/x", content_length=3),
        ]
        for request in requests:
            self._accepted(storage, request, b"new", key)
        return requests

    def test_other_methods(self, storage: Storage) -> None:
        """A URL serves the method that it was signed for, and no other."""
        if not self._signs(storage):
            return
        requests = self._requests(storage, "a")
        if self.lacks(Lack.SIGNATURES):
            return
        storage.set("a", b"old")
        for request in requests:
            for method in METHODS:
                if method == request.method:
                    continue
                body = b"new" if method in ("PUT", "POST", "PATCH") else None
                # A length that is announced, with no body to follow, would only make the server wait.
                headers = {n: v for n, v in request.headers.items() if body or n.lower() != "content-length"}
                answer = send(method, request.url, headers, body)
                assert answer.refused, (request.method, method, answer)
                if self.harness.exact_statuses:
                    assert answer.status == (403 if method in ("GET", "HEAD", "PUT") else 405), (method, answer)
                assert storage.get_bytes("a") == b"old", method

    def test_other_keys(self, storage: Storage) -> None:
        """A URL serves the key and storage type that it was signed for, and no other."""
        if not self._signs(storage):
            return
        requests = self._requests(storage, "a")
        if self.lacks(Lack.SIGNATURES):
            return
        places = (("a", "data"), ("b", "data"), ("a", "tmp"), ("a/b", "data"), ("A", "data"))
        for key, storage_type in places[:4]:
            storage.set(key, b"old", storage_type)
        for request in requests:
            body = b"new" if request.method == "PUT" else None
            for key, storage_type in places[1:]:
                url = repath(request.url, storage.get_signed_url(key, storage_type))
                self._refused(send(request.method, url, request.headers, body))
            for path in ("/", "/../a", "/%2e%2e/a"):
                answer = send(request.method, request.url.replace("?", path + "?", 1), request.headers, body)
                assert answer.refused, (path, answer)
        assert {storage.get(key, storage_type) for key, storage_type in places[:4]} == {"old"}
        assert sorted(storage.list()) == ["a", "a/b", "b"]

    def test_altered_in_each_parameter(self, storage: Storage) -> None:
        """A URL in which any query parameter is changed, missing, renamed or repeated is refused."""
        if not self._signs(storage):
            return
        requests = self._requests(storage, "a")
        if self.lacks(Lack.SIGNATURES):
            return
        storage.set("a", b"old")
        for request in requests:
            body = b"new" if request.method == "PUT" else None
            for label, url in altered(request.url):
                if label == "X-Amz-Signature twice" and self.lacks(Lack.SIGNED_TWICE):
                    continue
                answer = send(request.method, url, request.headers, body)
                assert answer.refused, (request.method, label, answer)
                if self.harness.exact_statuses:
                    assert answer.status == 403, (request.method, label, answer)
            assert storage.get_bytes("a") == b"old"
            assert send_request(request, body).status < 300
            storage.set("a", b"old")

    def test_expired(self, storage: Storage) -> None:
        """A URL works until it expires, and then it is refused."""
        if not self._signs(storage):
            return
        storage.set("a", b"old")
        began = datetime.now(timezone.utc)
        requests = [
            storage.sign_download("a", expires_in=1),
            storage.sign_download("a", expires_in=timedelta(seconds=1), method="HEAD"),
            storage.sign_upload("a", expires_in=1),
        ]
        for request in requests:
            assert began <= request.expires_at + timedelta(seconds=1)
            assert request.expires_at <= datetime.now(timezone.utc) + timedelta(seconds=1)
        if self.lacks(Lack.EXPIRY):
            for request in requests:
                self._accepted(storage, request, b"new")
            return
        self.harness.expire(max(request.expires_at for request in requests))
        for request in requests:
            self._refused(send_request(request, b"new" if request.method == "PUT" else None))
        assert storage.get_bytes("a") == b"old"
