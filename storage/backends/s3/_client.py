"""The boto3 client: credentials, configuration, and one client a process."""

from __future__ import annotations

import os
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit
from weakref import WeakSet

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from storage._retry import Timeout
from storage.backends.s3._listing import keep_body
from storage.exceptions import ConfigurationError

__all__ = ["POOL_SIZE", "Settings", "SharedClient"]

POOL_SIZE = 64
"""Connections kept open: as many calls as pay off at once."""

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn")
_NEEDS_MD5 = ("DeleteObjects", "PutBucketCors", "PutBucketLifecycleConfiguration")
_AUTH_NAMES = ("access_key_id", "secret_access_key", "session_token")


@dataclass(frozen=True)
class Settings:
    """What a client is made from. Its ``repr`` shows no credentials.

    Attributes:
        auth: ``None``, a ``boto3.Session``, a ``botocore`` credentials object, or a mapping (checked here).
    """

    bucket: str
    timeout: Timeout
    auth: Any = field(default=None, repr=False)
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    addressing_style: str | None = None
    anonymous: bool = False

    def __post_init__(self) -> None:
        if self.auth is None:
            return
        if self.anonymous:
            raise ConfigurationError(f"s3://{self.bucket}: anonymous=true and auth=… exclude each other")
        if self.profile is not None:
            raise ConfigurationError(
                f"s3://{self.bucket}: profile and auth=… exclude each other; a boto3.Session can name one"
            )
        if isinstance(self.auth, Mapping):
            _check_mapping(self.auth)
        elif not isinstance(self.auth, (boto3.Session, Credentials, ReadOnlyCredentials)):
            raise ConfigurationError(
                f"auth for s3:// must be None, a boto3.Session, a botocore credentials object, or a mapping with "
                f"{', '.join(_AUTH_NAMES)}; not {type(self.auth).__name__}"
            )

    def session(self) -> boto3.Session:
        """A session with these credentials; the caller's own where they gave one."""
        auth = self.auth
        if isinstance(auth, boto3.Session):
            return auth
        core = botocore.session.Session(profile=self.profile)
        keys: tuple[Any, ...] = (None, None, None)
        if isinstance(auth, Mapping):
            keys = tuple(auth.get(name) for name in _AUTH_NAMES)
        elif isinstance(auth, ReadOnlyCredentials):
            keys = (auth.access_key, auth.secret_key, auth.token)
        elif auth is not None:
            # The object itself, not its present values: it may be one that refreshes itself.
            core.register_component("credential_provider", CredentialResolver([_Given(auth)]))
        return _with_shared_loader(core, *keys)


_loader: Any = None


def _with_shared_loader(
    core: botocore.session.Session, access_key: str | None, secret_key: str | None, token: str | None
) -> boto3.Session:
    """A boto3 session that reads botocore's description of S3, 100 ms of work, once a process."""
    global _loader  # noqa: PLW0603 (a cache; two at once make two)
    if _loader is None:
        _loader = core.get_component("data_loader")
    else:
        core.register_component("data_loader", _loader)
    session = boto3.Session(access_key, secret_key, token, botocore_session=core)
    # Each boto3 session adds its own directory to the loader.
    _loader.search_paths[:] = dict.fromkeys(_loader.search_paths)
    return session


def _check_mapping(auth: Mapping[str, Any]) -> None:
    unknown = sorted(str(name) for name in auth if name not in _AUTH_NAMES)
    if unknown:
        raise ConfigurationError(f"auth: unknown entry {unknown[0]!r}; allowed are {', '.join(_AUTH_NAMES)}")
    for name in _AUTH_NAMES[:2]:
        if not isinstance(auth.get(name), str) or not auth[name]:
            raise ConfigurationError(f"auth: {name!r} is missing or not a str")
    if not isinstance(auth.get("session_token"), (str, type(None))):
        raise ConfigurationError("auth: 'session_token' must be a str or None")


class _Given(CredentialProvider):
    """Provides one credentials object."""

    METHOD = "storage"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials


class SharedClient:
    """One boto3 client for every thread of a process, made at its first use, and anew in a child after ``fork``.

    A connection that two processes share gives one of them the other's answer.
    """

    _alive: ClassVar[WeakSet[SharedClient]] = WeakSet()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Any = None
        self._session: boto3.Session | None = None
        self._aws = True
        self._regional = settings.region is not None
        SharedClient._alive.add(self)

    def get(self) -> Any:
        """The client."""
        client = self._client
        return self._open() if client is None else client

    @property
    def aws(self) -> bool:
        """Whether it talks to AWS, and not to some other server."""
        self.get()
        return self._aws

    def credentials(self) -> Credentials | None:
        """The credentials that requests are signed with; ``None``: there are none."""
        self.get()
        if self._settings.anonymous or self._session is None:
            return None
        return self._session.get_credentials()

    def regional(self) -> Any:
        """The client, and sure of the bucket's region: for signing, which asks no server and so is told nothing.

        The first time, where no region is given anywhere, this looks at the bucket.
        """
        client = self.get()
        if self._regional or not self._aws:
            return client
        try:
            headers = client.head_bucket(Bucket=self._settings.bucket)["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as exc:
            headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        except BotoCoreError:
            return client
        with self._lock:
            region = headers.get("x-amz-bucket-region")
            if region and region != client.meta.region_name:
                client = self._client = self._build(region)
            self._regional = True
        return client

    def close(self) -> None:
        """Closes every connection. The next use opens new ones."""
        with self._lock:
            client, self._client, self._session = self._client, None, None
        if client is not None:
            client.close()

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._build(self._settings.region)
            return self._client

    def _build(self, region: str | None) -> Any:
        settings = self._settings
        session = self._session = self._session or settings.session()
        self._regional = self._regional or session.region_name is not None
        if region is None and session.region_name is None:
            region = "us-east-1"  # where AWS answers for buckets of every region, and what other servers expect
        options: dict[str, Any] = {}
        self._aws = settings.endpoint_url is None or _is_aws(settings.endpoint_url)
        while True:
            if not self._aws:
                # Other servers choke on AWS's newer checksums.
                options = {
                    name: "when_required"
                    for name in ("request_checksum_calculation", "response_checksum_validation")
                    if f"AWS_{name.upper()}" not in os.environ
                }
            client = session.client(
                "s3",
                region_name=region,
                endpoint_url=settings.endpoint_url,
                config=Config(
                    signature_version=UNSIGNED if settings.anonymous else "s3v4",
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    connect_timeout=settings.timeout.connect,
                    read_timeout=settings.timeout.read,
                    max_pool_connections=POOL_SIZE,
                    s3=cast(
                        "Any", {"addressing_style": settings.addressing_style} if settings.addressing_style else None
                    ),
                    **options,
                ),
            )
            if self._aws and not _is_aws(client.meta.endpoint_url):
                # AWS_ENDPOINT_URL, or a profile, named another server.
                self._aws = False
                client.close()
                continue
            break
        events = client.meta.events
        # It would cost a second round trip for a kilobyte.
        events.unregister("before-call.s3", add_expect_header)
        events.register("before-parse.s3.ListObjectsV2", keep_body)
        events.register_last("before-parameter-build.s3", _follow_no_redirect)
        if not self._aws:
            for operation in _NEEDS_MD5:
                events.register(f"before-sign.s3.{operation}", _use_md5)
        return client


def _follow_no_redirect(model: Any, context: dict[str, Any], **_: Any) -> None:
    """To know where a redirect leads botocore asks with HeadBucket: one that is itself redirected would ask for ever."""
    if model.name == "HeadBucket":
        context.setdefault("s3_redirect", {})["redirected"] = True


def _is_aws(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith(_AWS_HOSTS)


def _use_md5(request: Any, **_: Any) -> None:
    """Puts Content-MD5, which older servers insist on, in place of the newer checksum, which they do not know."""
    for name in list(request.headers):
        if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")):
            del request.headers[name]
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if isinstance(body, (bytes, bytearray)) and "Content-MD5" not in request.headers:
        request.headers["Content-MD5"] = b64encode(md5(body, usedforsecurity=False).digest()).decode()


def _forget_after_fork() -> None:
    for shared in list(SharedClient._alive):  # noqa: SLF001 (its own module)
        shared._lock = threading.Lock()  # noqa: SLF001
        shared._client = shared._session = None  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
