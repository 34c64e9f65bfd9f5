"""Signed URLs: what was signed works with a plain HTTP client, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from storage import SignedRequest, SigningError, Storage, UnsupportedOperationError
from storage.testing._base import Suite, apart
from storage.testing._harness import Lack
from storage.testing._http import Answer, send, send_request
from storage.testing._sources import Minimal, difference, pattern
from storage.testing._tables import KEYS


def md5(data: bytes) -> str:
    """``Content-MD5``."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


class SigningSuite(Suite):
    """What the tests of signed URLs share."""

    def _signs(self, storage: Storage) -> bool:
        """Whether signed requests can be sent. If not, asserts that signing is refused, or the form of what was signed."""
        if self.lacks(Lack.SIGNING):
            for call in (storage.get_signed_url, storage.get_upload_url, storage.sign_download, storage.sign_upload):
                with pytest.raises((UnsupportedOperationError, SigningError)):
                    call("a")
            return False
        if self.lacks(Lack.HTTP):
            for request in (
                storage.sign_download("a b/é"),
                storage.sign_upload("a b/é"),
                storage.sign_download("a", method="HEAD"),
            ):
                assert "?" in request.url
                assert request.url.startswith(("http://", "https://"))
            return False
        return True

    def _accepted(self, storage: Storage, request: SignedRequest, data: bytes, key: str = "a") -> None:
        """Asserts that the request as it was signed works: an upload of ``data``, or a download of what ``key`` has."""
        if request.method == "PUT":
            answer = send_request(request, data)
            assert 200 <= answer.status < 300, (request, answer)
            assert storage.get_bytes(key) == data
        else:
            storage.set(key, data)
            answer = send_request(request)
            assert (answer.status, answer.body) == (200, b"" if request.method == "HEAD" else data), (request, answer)

    def _refused(self, answer: Answer, exact: int = 403) -> None:
        """Asserts a 4xx; of this library's own server, that one."""
        if self.harness.exact_statuses:
            assert answer.status == exact, answer
        else:
            assert answer.refused, answer


class SigningTests(SigningSuite):
    """The contract: signed URLs on every backend."""

    # ---- downloads ---------------------------------------------------------------------------------------------

    def test_download(self, storage: Storage) -> None:
        """A signed URL gives the bytes, with type and length, to whoever has it."""
        if not self._signs(storage):
            return
        made = storage.set("dir/a.txt", "héllo", metadata={"m": "1"}, cache_control="max-age=7")
        answer = send("GET", storage.get_signed_url("dir/a.txt"))
        assert (answer.status, answer.body) == (200, "héllo".encode())
        assert answer.headers["content-type"].partition(";")[0] == "text/plain"
        assert answer.headers["content-length"] == str(made.size)
        assert answer.headers["cache-control"] == "max-age=7"
        assert answer.headers["etag"]
        request = storage.sign_download("dir/a.txt")
        assert (request.method, send_request(request).body) == ("GET", "héllo".encode())
        head = storage.sign_download("dir/a.txt", method="HEAD")
        answer = send_request(head)
        assert (head.method, answer.status, answer.body) == ("HEAD", 200, b"")
        assert answer.headers["content-length"] == str(made.size)

    def test_nasty_keys(self, storage: Storage) -> None:
        """Each key of the table can be signed, fetched and uploaded to, and is no other blob's URL."""
        if not self._signs(storage):
            return
        keys = apart(KEYS, self.harness)
        for key in keys:
            answer = send_request(storage.sign_upload(key), key.encode())
            assert 200 <= answer.status < 300, (key, answer)
        assert set(storage.list()) == set(keys)
        for key in keys:
            answer = send("GET", storage.get_signed_url(key))
            assert (answer.status, answer.body) == (200, key.encode()), key

    def test_response_headers(self, storage: Storage) -> None:
        """``content_disposition`` and ``content_type`` set the headers of the answer."""
        if not self._signs(storage):
            return
        storage.set("a.txt", b"1,2")
        disposition = 'attachment; filename="a b&c=d.csv"; x=%41+'
        for method in ("GET", "HEAD"):
            request = storage.sign_download(
                "a.txt", method=method, content_disposition=disposition, content_type="text/x; a=b"
            )
            answer = send_request(request)
            assert answer.status == 200
            if method == "HEAD" and self.lacks(Lack.SIGNED_HEAD_HEADERS):
                continue
            assert answer.headers["content-disposition"] == disposition
            assert answer.headers["content-type"] == "text/x; a=b"
        url = storage.get_signed_url("a.txt", content_disposition="inline", content_type="text/csv")
        assert send("GET", url).headers["content-type"] == "text/csv"

    def test_absent_blob(self, storage: Storage) -> None:
        """Signing does not look whether there is a blob; fetching is a 404 until there is one."""
        if not self._signs(storage):
            return
        url = storage.get_signed_url("a")
        assert send("GET", url).status == 404
        storage.set("a", b"1")
        assert send("GET", url).body == b"1"
        storage.set("a", b"2")
        assert send("GET", url).body == b"2"
        storage.delete("a")
        assert send("GET", url).status == 404

    def test_ranges_and_conditions(self, storage: Storage) -> None:
        """``Range`` gives a part, one past the end 416, and ``If-None-Match`` of the etag 304."""
        if not self._signs(storage):
            return
        storage.set("a", b"0123456789")
        url = storage.get_signed_url("a")
        for text, body, shown in (
            ("2-4", b"234", "2-4"),
            ("7-", b"789", "7-9"),
            ("-2", b"89", "8-9"),
            ("5-100", b"56789", "5-9"),
        ):
            answer = send("GET", url, {"Range": f"bytes={text}"})
            assert (answer.status, answer.body) == (206, body)
            assert answer.headers["content-range"] == f"bytes {shown}/10"
        assert send("GET", url, {"Range": "bytes=10-"}).status == 416
        etag = send("GET", url).headers["etag"]
        answer = send("GET", url, {"If-None-Match": etag})
        assert (answer.status, answer.body) == (304, b"")
        assert send("GET", url, {"If-None-Match": '"another"'}).status == 200
        storage.set("a", b"changed!!!")
        assert send("GET", url, {"If-None-Match": etag}).body == b"changed!!!"

    def test_large(self, storage: Storage) -> None:
        """A large blob goes up and comes down through signed URLs whole."""
        if not self._signs(storage):
            return
        data = pattern(self.harness.large_size)
        assert 200 <= send_request(storage.sign_upload("a"), data).status < 300
        assert not difference(storage.get_bytes("a"), data)
        storage.set("b", Minimal(data))
        assert not difference(send("GET", storage.get_signed_url("b")).body, data)

    # ---- uploads -----------------------------------------------------------------------------------------------

    def test_upload(self, storage: Storage) -> None:
        """An upload URL stores the body; what it leaves open the client decides."""
        if not self._signs(storage):
            return
        answer = send("PUT", storage.get_upload_url("a.txt"), body=b"one")
        assert 200 <= answer.status < 300
        assert storage.get("a.txt") == "one"
        send("PUT", storage.get_upload_url("a.txt"), {"Content-Type": "text/own"}, b"two")
        assert (storage.get("a.txt"), storage.info("a.txt").content_type) == ("two", "text/own")
        send("PUT", storage.get_upload_url("b", "tmp"), body=b"")
        assert storage.info("b", "tmp").size == 0
        assert storage.list() == ["a.txt"]

    def test_bound_options(self, storage: Storage) -> None:
        """With everything bound, what was signed is stored, with its type."""
        if not self._signs(storage):
            return
        data = b"a,b\n"
        options: list[dict[str, Any]] = [
            {"content_type": "text/csv"},
            {"content_length": 4},
            {"content_md5": md5(data)},
            {"overwrite": False},
            {"content_type": "text/csv", "content_length": 4, "content_md5": md5(data), "overwrite": False},
        ]
        for index, bound in enumerate(options):
            request = storage.sign_upload(f"k{index}", **bound)
            assert request.method == "PUT"
            answer = send_request(request, data)
            assert 200 <= answer.status < 300, (bound, answer)
            assert storage.get_bytes(f"k{index}") == data
            if "content_type" in bound:
                assert storage.info(f"k{index}").content_type == "text/csv"

    def test_bound_options_bind(self, storage: Storage) -> None:
        """Another type, length or MD5, and a bound header that is missing, are refused and change nothing."""
        if not self._signs(storage):
            return
        data = b"12345"
        typed = storage.sign_upload("a", content_type="text/csv")
        sized = storage.sign_upload("a", content_length=5)
        summed = storage.sign_upload("a", content_md5=md5(data))
        for request in (typed, sized, summed):
            self._accepted(storage, request, data)
        if self.lacks(Lack.SIGNATURES):
            return
        storage.set("a", b"old", content_type="text/old")
        attempts: list[Callable[[], Answer]] = [
            lambda: send_request(typed, data, content_type="text/html"),
            lambda: send_request(typed, data, content_type="text/csv; charset=utf-8"),
            lambda: send_request(typed, data, content_type=None),
            lambda: send_request(sized, data + b"6", content_length=None),
            lambda: send_request(sized, data[:4], content_length=None),
            lambda: send_request(sized, b"", content_length=None),
            lambda: send_request(summed, data, content_md5=md5(b"other")),
            lambda: send_request(summed, b"other", content_md5=md5(b"other")),
            lambda: send_request(summed, data, content_md5=None),
        ]
        for index, attempt in enumerate(attempts):
            answer = attempt()
            assert answer.refused, (index, answer)
            self._refused(answer)
            assert storage.get_bytes("a") == b"old", index
        assert storage.info("a").content_type == "text/old"

    def test_bound_length_without_a_length(self, storage: Storage) -> None:
        """A body whose length is not told is refused where the length is bound."""
        if not self._signs(storage):
            return
        request = storage.sign_upload("a", content_length=5)
        self._accepted(storage, request, b"12345")
        if self.lacks(Lack.SIGNATURES):
            return
        storage.set("a", b"old")
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        self._refused(send("PUT", request.url, headers, iter([b"12", b"345"]), chunked=True), 411)
        assert storage.get_bytes("a") == b"old"

    def test_bound_md5_of_another_body(self, storage: Storage) -> None:
        """A body that is not the one whose MD5 was signed is not stored."""
        if not self._signs(storage):
            return
        storage.set("a", b"old")
        answer = send_request(storage.sign_upload("a", content_md5=md5(b"12345")), b"54321")
        if self.lacks(Lack.SIGNED_MD5):
            assert storage.get_bytes("a") == b"54321"
            return
        self._refused(answer, 400)
        assert storage.get_bytes("a") == b"old"

    def test_create_only_upload(self, storage: Storage) -> None:
        """With ``overwrite=False`` an upload URL stores once."""
        if not self._signs(storage):
            return
        request = storage.sign_upload("a", overwrite=False)
        assert 200 <= send_request(request, b"first").status < 300
        answer = send_request(request, b"second")
        if self.lacks(Lack.SIGNED_CREATE_ONLY):
            assert storage.get_bytes("a") == b"second"
            return
        assert answer.status == 412
        assert storage.get_bytes("a") == b"first"
        if request.headers and not self.lacks(Lack.SIGNATURES):
            self._refused(send("PUT", request.url, body=b"third"))
            assert storage.get_bytes("a") == b"first"

    def test_a_body_that_ends_early(self, storage: Storage) -> None:
        """An upload that is cut off half way stores nothing."""
        if not self._signs(storage):
            return
        import socket
        from urllib.parse import urlsplit

        storage.set("a", b"old")
        request = storage.sign_upload("a", content_length=1000)
        parts = urlsplit(request.url)
        if parts.scheme != "http":
            assert parts.scheme == "https"
            return
        lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "content-length"]
        lines += ["Content-Length: 1000", "", ""]
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"x" * 500)
            connection.shutdown(socket.SHUT_WR)
            try:
                for _ in range(1000):  # an answer without an end must not hang the test
                    if not connection.recv(65536):
                        break
            except OSError:
                pass
        assert storage.get_bytes("a") == b"old"

    # ---- arguments ---------------------------------------------------------------------------------------------

    def test_expiry_range(self, storage: Storage) -> None:
        """``expires_in`` is from one second to seven days, in seconds or as a ``timedelta``."""
        week = 7 * 24 * 3600
        for wrong in (0, -1, week + 1, 0.5, timedelta(0), timedelta(days=8), float("nan"), float("inf")):
            for call in (storage.get_signed_url, storage.get_upload_url, storage.sign_download, storage.sign_upload):
                with pytest.raises(ValueError, match="expires_in"):
                    call("a", expires_in=wrong)
        if not self._signs(storage):
            return
        for seconds in (week, timedelta(days=7), 60.0, timedelta(hours=1)):
            expires_at = storage.sign_download("a", expires_in=seconds).expires_at
            assert expires_at.utcoffset() == timedelta(0)
            wanted = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
            assert abs(expires_at - datetime.now(timezone.utc) - wanted) < timedelta(seconds=30)

    def test_bad_options(self, storage: Storage) -> None:
        """Options that no request can have are refused when signing."""
        bad_uploads: list[dict[str, Any]] = [
            {"content_type": "a\nb"},
            {"content_type": ""},
            {"content_type": "é"},
            {"content_length": -1},
            {"content_md5": "not base64"},
            {"content_md5": "YQ=="},
            {"content_md5": "00000000000000000000000000000000"},
        ]
        for options in bad_uploads:
            for sign in (storage.sign_upload, storage.get_upload_url):
                with pytest.raises(ValueError, match=next(iter(options))):
                    sign("a", **options)
        bad_downloads: list[dict[str, Any]] = [
            {"content_disposition": "a\r\nX: y"},
            {"content_disposition": "é"},
            {"content_type": "x" * 1025},
        ]
        for options in bad_downloads:
            for sign_get in (storage.get_signed_url, storage.sign_download):
                with pytest.raises(ValueError, match=next(iter(options))):
                    sign_get("a", **options)
        for method in ("PUT", "get", "POST", ""):
            with pytest.raises(ValueError, match="method"):
                storage.sign_download("a", method=cast("Any", method))
        with pytest.raises(TypeError):
            storage.get_signed_url("a", content_md5=md5(b""))  # type: ignore[call-arg]
