"""Signs requests and sends them over our own transport, which costs a fraction of boto3's CPU."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from storage._backend import trace
from storage.backends._http import Pool, Response, header_lines, http_date, tls_context
from storage.backends.s3 import _documents
from storage.backends.s3._calls import Call
from storage.backends.s3._settings import POOL_SIZE
from storage.backends.s3._sigv4 import EMPTY, UNSIGNED, Secrets, hash_of, sign
from storage.exceptions import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from ssl import SSLContext

    from storage._retry import Timeout

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~/-]*")
_UNSIGNED_BODIES: Final = frozenset({"put_object", "upload_part"})
_BARE: Final = {"delete=": "delete", "uploads=": "uploads"}  # as every client sends them; they are signed with the sign
_NOT_SIGNED: Final = "accept-encoding:identity\nuser-agent:storage-facade\n"  # since something between may change them
_SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_ELSEWHERE: Final = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})


class Target(NamedTuple):
    """A bucket's address.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a name or an address, an IPv6 one without brackets.
        port: ``None``: the scheme's.
        base: the path of the bucket, percent-encoded, without a slash at its end; ``""``: the host is the bucket's own.
        region: which requests are signed for.
        aws: whether it is at AWS.
        ca_bundle: a file or directory of CA certificates; ``None``: the system's.
    """

    scheme: str
    host: str
    port: int | None
    base: str
    region: str
    aws: bool
    ca_bundle: str | None = None


class ElsewhereError(Exception):
    """The bucket is in another region (``None``: the answer tells none), or at another host: boto3 knows how to find it."""

    def __init__(self, region: str | None) -> None:
        super().__init__(region)
        self.region = region


class Wire:
    """Sends requests to one bucket. ``secrets`` gives the credentials of each request; ``None``: nothing is signed."""

    def __init__(self, target: Target, secrets: Callable[[], Secrets] | None, timeout: Timeout) -> None:
        self.target = target
        self._secrets = secrets
        self._region, self._base = target.region, target.base
        self._tls = target.scheme == "https"
        self._pool = Pool(
            target.scheme,
            target.host,
            target.port,
            connections=POOL_SIZE,
            connect_timeout=timeout.connect,
            read_timeout=timeout.read,
            tls=_trusting(target.ca_bundle) if self._tls else None,
        )
        self._skew = 0.0  # seconds that this machine's clock is behind the server's

    def send(self, call: Call, *, stream: bool = False) -> Response:
        """Makes a request, and returns its answer. ``stream``: the body is left to ``read``.

        Raises:
            ClientError: the service refuses; as boto3's client raises it.
            ElsewhereError: the bucket is not here.
            TransportError: there is no answer.
            UnavailableError: there is one, and it is not the service's.
        """
        response = self._exchange(call, stream=stream)
        if response.status < 300:
            return response
        code, refusal = self._refusal(call, response)
        date = http_date(response.headers.get("date", ""))
        if code in _SKEWED and date is not None:
            skew = date.timestamp() - time.time()
            if abs(skew - self._skew) > 1:  # else it is not the clock
                self._skew = skew
                response = self._exchange(call, stream=stream)
                if response.status < 300:
                    return response
                code, refusal = self._refusal(call, response)
        raise refusal

    def _exchange(self, call: Call, *, stream: bool) -> Response:
        name, method, path, query, headers, body, _, repeatable = call
        if path is None:
            path = self._base or "/"
        elif _PLAIN.fullmatch(path):
            path = f"{self._base}/{path}"
        else:
            path = f"{self._base}/{quote(path, errors='surrogateescape')}"
        sent = {"host": self._pool.authority, **headers}
        if self._secrets is None:
            lines = header_lines(sent.items())
        else:
            if not body:
                payload = EMPTY
            elif self._tls and name in _UNSIGNED_BODIES and _is_checked(headers):
                payload = UNSIGNED
            else:
                payload = hash_of(body)
            lines = sign(
                method,
                path,
                query,
                sent,
                payload,
                keys=self._secrets(),
                region=self._region,
                now=time.time() + self._skew,
            )
        target = f"{path}?{_BARE.get(query, query)}" if query else path
        response = self._pool.request(method, target, lines + _NOT_SIGNED, body, repeatable=repeatable, stream=True)
        trace.request_id = response.headers.get("x-amz-request-id")
        if response.status < 300 and not stream and response.length != 0:
            response.load(_documents.MAX_DOCUMENT)
        return response

    def _refusal(self, call: Call, response: Response) -> tuple[str, Exception]:
        """The error code of an answer that is no success, and what to raise."""
        status, headers = response.status, response.headers
        fields = _documents.error(response.body) if response.body else {}
        code = (fields or {}).get("Code", "")
        region = headers.get("x-amz-bucket-region") or (fields or {}).get("Region") or self._region
        if status < 400 or code in _ELSEWHERE or (status == 400 and region != self._region):
            return code, ElsewhereError(None if region == self._region else region)
        if fields is None:
            if status < 500:
                return "", UnavailableError(
                    f"an answer with status {status} that is not the service's; check proxies and gateways on the way"
                )
            fields = {}
        return code, client_error(call.name, status, headers, fields)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._pool.close()


def _trusting(bundle: str | None) -> SSLContext:
    """Trusts these certificates alone."""
    try:
        return tls_context(bundle)
    except OSError as exc:
        raise ConfigurationError(
            f"the CA certificates in {bundle!r} cannot be read ({exc.strerror or exc}); check the profile's ca_bundle, "
            "AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE"
        ) from exc


def client_error(name: str, status: int, headers: Mapping[str, str], fields: Mapping[str, str]) -> Exception:
    """The exception that boto3's client raises for an answer.

    Args:
        name: the client's method.
        status: the answer's.
        headers: names in lower case.
        fields: of its error document; ``{}``: there was none.
    """
    from botocore.exceptions import ClientError  # 15 ms, which programs that meet no error never need

    error = {**fields, "Code": fields.get("Code") or str(status), "Message": fields.get("Message", "")}
    request_id = headers.get("x-amz-request-id") or fields.get("RequestId")
    metadata: dict[str, Any] = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers), "RetryAttempts": 0}
    if request_id:
        metadata["RequestId"] = request_id
    if "x-amz-id-2" in headers:
        metadata["HostId"] = headers["x-amz-id-2"]
    operation = "".join(map(str.capitalize, name.split("_")))
    return ClientError({"Error": error, "ResponseMetadata": metadata}, operation)  # type: ignore[typeddict-item]


def _is_checked(headers: Mapping[str, str]) -> bool:
    return "content-md5" in headers or "x-amz-checksum-crc32" in headers
