"""TLS: whom the transport trusts, and that it reads and writes there as it does without."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from storage.backends._http import (
    BodyCutError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    tls_context,
)
from tests.http.certificates import Authority
from tests.http.scripted import Server, ok, pool_of

LARGE = bytes(range(256)) * 20_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def trusted(authority):
    return authority.server()


@pytest.fixture
def tls(authority):
    return tls_context(str(authority.bundle))


def get(pool, **options):
    return pool.request("GET", "/", {}, **{"repeatable": True} | options)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_requests_share_a_connection(authority, tls, version):
    import ssl

    context = authority.server()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with Server(tls=context) as server, pool_of(server.port, tls=tls) as pool:
        server._scripts = (server.answering(*[ok(b"body")] * 5, ok(LARGE), ok(LARGE), ok(), ok()),)
        for _ in range(5):
            assert get(pool).body == b"body"
        assert get(pool).body == LARGE
        with get(pool, stream=True) as answer:
            pieces = list(answer)
        assert b"".join(pieces) == LARGE
        assert max(map(len, pieces)) <= 256 * 1024
        pool.request("PUT", "/", {}, LARGE, repeatable=True)
        pool.request("PUT", "/", {}, [b"a" * 70_000, memoryview(LARGE), b"z"], repeatable=True)
    assert server.accepted == 1
    assert [body for _, body in server.requests[-2:]] == [LARGE, b"a" * 70_000 + LARGE + b"z"]


def test_the_server_learns_the_name_and_the_protocol(authority, tls, monkeypatch):
    context = authority.server("blobs.example")
    context.set_alpn_protocols(["h2", "http/1.1"])
    names, protocols = [], []
    context.sni_callback = lambda _, name, __: names.append(name)

    def script(peer):
        protocols.append(peer.sock.selected_alpn_protocol())
        peer.request()
        peer.send(ok())

    with Server(script, tls=context) as server:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
        with pool_of(server.port, host="blobs.example", tls=tls) as pool:
            assert get(pool).status == 200
    assert (names, protocols) == (["blobs.example"], ["http/1.1"])


@pytest.mark.parametrize(
    "host, days, message",
    [
        ("127.0.0.2", 30, "IP address mismatch"),
        ("blobs.example", 30, "IP address mismatch"),
        ("127.0.0.1", -1, "certificate has expired"),
    ],
)
def test_a_certificate_of_another_host_or_of_yesterday_is_refused(authority, tls, host, days, message):
    requests = []
    context = authority.server(host, days=days)
    with (
        Server(lambda peer: requests.append(peer.head()), tls=context) as server,
        pool_of(server.port, tls=tls) as pool,
    ):
        with pytest.raises(CertificateError, match=message) as caught:
            get(pool)
        assert not caught.value.sent
        assert len(pool._idle) == 0
    assert requests in ([], [b""])


def test_a_certificate_of_another_authority_is_refused(tmp_path, tls):
    with (
        Server(lambda peer: peer.head(), tls=Authority(tmp_path).server()) as server,
        pool_of(server.port, tls=tls) as pool,
        pytest.raises(CertificateError, match="unable to get local issuer|self-signed|verify failed"),
    ):
        get(pool)


def test_a_server_that_speaks_no_tls(tls):
    with (
        Server(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        pool_of(server.port, tls=tls) as pool,
        pytest.raises(ConnectError, match="no TLS") as caught,
    ):
        get(pool)
    assert not isinstance(caught.value, CertificateError)


def test_a_server_that_closes_instead_of_a_handshake(tls):
    with Server(lambda _: None) as server, pool_of(server.port, tls=tls) as pool, pytest.raises(ConnectError):
        get(pool)


def test_a_server_that_does_not_shake_hands(tls):
    began = time.monotonic()
    with (
        Server(lambda peer: peer.wait_for_the_end()) as server,
        pool_of(server.port, tls=tls, connect_timeout=0.3) as pool,
    ):
        with pytest.raises(ConnectTimeoutError):
            get(pool)
        assert 0.25 <= time.monotonic() - began < 2


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "head", [b"Content-Length: 400000\r\n", b"Transfer-Encoding: chunked\r\n"], ids=["length", "chunked"]
)
def test_a_body_that_is_cut_is_an_error(trusted, tls, politely, stream, head):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"20000\r\n" + b"x" * 0x20000)
        if politely:
            peer.sock.unwrap()

    with Server(script, tls=trusted) as server, pool_of(server.port, tls=tls) as pool, pytest.raises(BodyCutError):
        list(get(pool, stream=stream))


def test_a_body_until_close_ends_with_the_word_of_the_server_only(trusted, tls):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)
        peer.sock.unwrap()

    with Server(script, tls=trusted) as server, pool_of(server.port, tls=tls) as pool:
        assert get(pool).body == LARGE

    def cut(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)

    with Server(cut, tls=trusted) as server, pool_of(server.port, tls=tls) as pool, pytest.raises(BodyCutError):
        get(pool)


@pytest.mark.parametrize("extra", [b"x", ok(b"another's")], ids=["x", "an answer"])
@pytest.mark.parametrize("body", [b"b", b"b" * 300_000], ids=["small", "large"])
def test_what_comes_behind_an_answer_is_nobodys(trusted, tls, extra, body):
    def script(peer):
        peer.request()
        peer.send(ok(body) + extra)
        peer.wait_for_the_end()

    with Server(tls=trusted) as server, pool_of(server.port, tls=tls) as pool:
        server._scripts = (script, server.answering(ok(b"second")))
        assert get(pool).body == body
        assert get(pool, repeatable=False).body == b"second"


@pytest.mark.parametrize("politely", [True, False])
def test_a_connection_that_the_server_has_closed_is_not_used(trusted, tls, politely):
    closed = threading.Event()

    def script(peer):
        peer.request()
        peer.send(ok(b"1"))
        if politely:
            with suppress(OSError):
                peer.sock.settimeout(0)
                peer.sock.unwrap()  # says so, and would wait for the client's word
        peer.close()
        closed.set()

    with Server(tls=trusted) as server, pool_of(server.port, tls=tls) as pool:
        server._scripts = (script, server.answering(ok(b"2")))
        assert get(pool).body == b"1"
        assert closed.wait(5)
        assert get(pool, repeatable=False).body == b"2"


def test_a_request_on_a_connection_that_was_closed_is_sent_again(trusted, tls):
    def script(peer):
        peer.request()
        peer.send(ok(b"1"))
        peer.request()

    with Server(tls=trusted) as server, pool_of(server.port, tls=tls) as pool:
        server._scripts = (script, server.answering(ok(b"2")))
        assert get(pool).body == b"1"
        assert get(pool).body == b"2"
    assert server.accepted == 2


def test_an_answer_to_an_upload_that_the_server_does_not_read_is_taken(trusted, tls):
    done = threading.Event()

    def script(peer):
        peer.head()
        peer.send(ok(b"too large", status="413 Payload Too Large"))
        assert done.wait(5)

    with Server(script, tls=trusted) as server, pool_of(server.port, tls=tls) as pool:
        answer = pool.request("PUT", "/", {}, LARGE * 5, repeatable=True)
        done.set()
        assert (answer.status, answer.body) == (413, b"too large")
        assert len(pool._idle) == 0


def test_an_upload_that_is_broken_off_is_an_error(trusted, tls):
    with (
        Server(lambda peer: peer.head(), tls=trusted) as server,
        pool_of(server.port, tls=tls) as pool,
        pytest.raises(ConnectionLostError) as caught,
    ):
        pool.request("PUT", "/", {}, LARGE * 5, repeatable=True)
    assert (caught.value.sent, caught.value.answered) == (True, False)


def test_a_bundle_is_read_once_until_it_changes(tmp_path):
    bundle = Authority(tmp_path).bundle
    context = tls_context(str(bundle))
    assert tls_context(str(bundle)) is context
    bundle.write_bytes(bundle.read_bytes() * 2)
    assert tls_context(str(bundle)) is not context


def test_a_directory_is_a_bundle_too(tmp_path):
    import ssl

    authority = Authority(tmp_path)
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    context = ssl.create_default_context(cafile=str(authority.bundle))
    # OpenSSL finds a certificate by a hash of its subject, which `openssl rehash` would make the name of a link.
    (subject,) = context.get_ca_certs(binary_form=True)
    (certificates / f"{_subject_hash(subject)}.0").write_bytes(authority.bundle.read_bytes())
    with Server(tls=authority.server()) as server, pool_of(server.port, tls=tls_context(str(certificates))) as pool:
        server._scripts = (server.answering(ok(b"trusted")),)
        assert get(pool).body == b"trusted"


def _subject_hash(certificate: bytes) -> str:
    """OpenSSL's: the first bytes of the SHA-1 of the subject, each string in lower-case UTF-8, without the outer sequence."""
    import hashlib

    from cryptography import x509

    name = x509.load_der_x509_certificate(certificate).subject
    (attribute,) = list(name)
    text = str(attribute.value).lower().encode()
    oid = bytes.fromhex("0603550403")  # commonName
    value = b"\x0c" + bytes([len(text)]) + text
    pair = b"\x30" + bytes([len(oid + value)]) + oid + value
    digest = hashlib.sha1(b"\x31" + bytes([len(pair)]) + pair).digest()
    return digest[:4][::-1].hex()


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_bundle_that_is_none(tmp_path: Path, content):
    if content is not None:
        (tmp_path / "bundle.pem").write_bytes(content)
    with pytest.raises(OSError):
        tls_context(str(tmp_path / "bundle.pem"))


def test_the_systems_certificates_are_the_default():
    context = tls_context()
    assert context is tls_context()
    assert context.check_hostname


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_socket_that_is_dropped_alone_closes_without_a_warning(authority, tls, secure):
    """The collector may come to the socket of a dropped store before it comes to the connection."""
    ended = threading.Semaphore(0)

    def script(peer):
        peer.request()
        peer.send(ok(b"1"))
        peer.wait_for_the_end()
        ended.release()

    with (
        Server(script, tls=authority.server() if secure else None) as server,
        pool_of(server.port, tls=tls if secure else None) as pool,
    ):
        get(pool)
        (connection,) = pool._idle
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            connection._socket = None
        assert ended.acquire(timeout=5)
        assert [str(warning.message) for warning in caught] == []
