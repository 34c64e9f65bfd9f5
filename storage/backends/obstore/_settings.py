"""What a store is made from: credentials, region, endpoint, time limits, retries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, urlsplit

from obstore.store import S3Store

from storage._retry import Retries, Timeout
from storage.backends._sigv4 import Keys
from storage.exceptions import AuthenticationError, ConfigurationError, UnsupportedOperationError

__all__ = ["STATUSES", "Settings"]

STATUSES: Final = frozenset({408, 429, *range(500, 600)})
"""The answers that the Rust library tries again; it takes no list of its user's."""

_INSTALL: Final = "pip install 'storage-facade[obstore]'"

_AUTH_NAMES = ("access_key_id", "secret_access_key", "session_token")
# The Rust library asks again five minutes before credentials expire; what botocore hands out lives for ten at least.
_FRESH = timedelta(minutes=10)


@dataclass(frozen=True)
class Settings:
    """What a URL and the arguments of ``Storage`` say. The ``repr`` shows no credentials.

    Attributes:
        auth: ``None``, a ``boto3.Session``, a ``botocore`` credentials object, or a mapping (checked here).
    """

    bucket: str
    retries: Retries
    timeout: Timeout
    auth: Any = field(default=None, repr=False)
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    addressing_style: str | None = None
    anonymous: bool | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None

    def __post_init__(self) -> None:
        where = f"s3+obstore://{self.bucket}"
        if self.retries.statuses is not None and self.retries.statuses != STATUSES:
            raise ConfigurationError(
                f"{where}: this driver retries 408, 429 and every 5xx, and takes no other status_forcelist; leave it out, or use s3://"
            )
        if self.sse_kms_key_id is not None and self.sse == "AES256":
            raise ConfigurationError(f"{where}: sse_kms_key_id goes with sse=aws:kms")
        if self.auth is None:
            return
        if self.anonymous:
            raise ConfigurationError(f"{where}: anonymous=true and auth=… exclude each other")
        if self.profile is not None:
            raise ConfigurationError(f"{where}: profile and auth=… exclude each other; a boto3.Session can name one")
        if isinstance(self.auth, Mapping):
            _check_mapping(self.auth)
        elif not hasattr(self.auth, "get_credentials") and not _is_credentials(self.auth):
            raise ConfigurationError(
                f"auth for s3+obstore:// must be None, a boto3.Session, a botocore credentials object, or a mapping with "
                f"{', '.join(_AUTH_NAMES)}; not {type(self.auth).__name__}"
            )

    # ---- where ---------------------------------------------------------------------------------------------------

    @cached_property
    def found_region(self) -> str:
        """The region given, or that of session, environment or profile, or ``us-east-1``."""
        region = self.region or getattr(self.auth, "region_name", None)
        if region is None and self.profile is None:
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None and not isinstance(self.auth, Mapping):
            session = self._session
            region = None if session is None else session.get_config_variable("region")
        return region or "us-east-1"

    @cached_property
    def _host(self) -> tuple[str, bool]:
        """``http(s)://HOST[:PORT]`` without the bucket, and whether the bucket goes into the host's name."""
        given = self.endpoint_url or _environment_endpoint()
        if given is not None:
            # As botocore: a server of one's own seldom has a name for each bucket.
            return given.rstrip("/"), self.addressing_style == "virtual"
        tail = "amazonaws.com.cn" if self.found_region.startswith("cn-") else "amazonaws.com"
        # A certificate for *.s3.… does not cover a bucket with a dot.
        virtual = self.addressing_style == "virtual" or (self.addressing_style != "path" and "." not in self.bucket)
        return f"https://s3.{self.found_region}.{tail}", virtual

    @cached_property
    def base(self) -> str:
        """The bucket's own URL: what stands before a slash and a key."""
        endpoint, virtual = self._host
        if not virtual:
            return f"{endpoint}/{quote(self.bucket)}"
        scheme, _, rest = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{rest}"

    # ---- who -----------------------------------------------------------------------------------------------------

    @cached_property
    def _session(self) -> Any:
        """Botocore's session with this profile; ``None``: it is not installed."""
        try:
            from botocore.session import Session
        except ImportError:
            return None
        return Session(profile=self.profile)

    @cached_property
    def _credentials(self) -> Any:
        """A mapping, or botocore's credentials object, which refreshes itself."""
        if self.auth is not None:
            return self.auth.get_credentials() if hasattr(self.auth, "get_credentials") else self.auth
        env = os.environ
        if self.profile is None and env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
            return {
                "access_key_id": env["AWS_ACCESS_KEY_ID"],
                "secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
                "session_token": env.get("AWS_SESSION_TOKEN"),
            }
        if self._session is None:
            raise UnsupportedOperationError(
                f"s3+obstore://{self.bucket}: without auth= and AWS_ACCESS_KEY_ID, credentials are found by botocore, "
                f"which is not installed: {_INSTALL}"
            )
        return self._session.get_credentials()

    def keys(self) -> Keys | None:
        """The credentials of this moment; ``None``: anonymous.

        Raises:
            AuthenticationError: there are none.
        """
        if self.anonymous:
            return None
        found = self._credentials
        if isinstance(found, Mapping):
            return Keys(found["access_key_id"], found["secret_access_key"], found.get("session_token"))
        frozen = found.get_frozen_credentials() if hasattr(found, "get_frozen_credentials") else found
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise AuthenticationError(
                f"s3+obstore://{self.bucket}: there are no AWS credentials; pass auth=, set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY or a profile, or write anonymous=true for a public bucket"
            )
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def keys_expire(self) -> datetime | None:
        """When the credentials of this moment die, where that is known."""
        expiry = None if self.anonymous else getattr(self._credentials, "_expiry_time", None)
        return expiry if isinstance(expiry, datetime) else None

    def _provide(self) -> dict[str, Any]:
        keys = self.keys()
        if keys is None:
            raise AuthenticationError
        lasting = isinstance(self._credentials, Mapping)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": None if lasting else datetime.now(timezone.utc) + _FRESH,
        }

    @property
    def _sse(self) -> str | None:
        return self.sse or (None if self.sse_kms_key_id is None else "aws:kms")

    @property
    def encryption(self) -> dict[str, str]:
        """The headers that every write must have."""
        headers = {
            "x-amz-server-side-encryption": self._sse,
            "x-amz-server-side-encryption-aws-kms-key-id": self.sse_kms_key_id,
        }
        return {name: value for name, value in headers.items() if value is not None}

    # ---- what ----------------------------------------------------------------------------------------------------

    def store(self, retries: int | None = None, *, bulk_delete: bool = True) -> S3Store:
        """A new store, which opens connections when it is used.

        Args:
            retries: tries after the first; ``None``: as the user said.
            bulk_delete: whether ``delete`` sends many keys at once, or one by one.
        """
        self.keys()  # raises here, where the Rust library would ask the machine's metadata service for some
        endpoint, virtual = self._host
        config: dict[str, Any] = {
            "bucket": self.bucket,
            "region": self.found_region,
            "endpoint": self.base if virtual else endpoint,
            "virtual_hosted_style_request": virtual,
            "disable_bulk_delete": not bulk_delete,
            "skip_signature": bool(self.anonymous),
        }
        if self._sse is not None:
            config["server_side_encryption"] = self._sse
        if self.sse_kms_key_id is not None:
            config["sse_kms_key_id"] = self.sse_kms_key_id
        policy = self.retries
        return S3Store(
            config=config,  # type: ignore[arg-type]
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=self.timeout.connect),
                "read_timeout": timedelta(seconds=self.timeout.read),
                # Of a whole request, however much it carries: the two above watch over it.
                "timeout": timedelta(days=7),
            },
            retry_config={
                "max_retries": policy.total if retries is None else retries,
                "backoff": {
                    # It draws a number between this and its double, and panics where both are nothing.
                    "init_backoff": timedelta(seconds=max(policy.backoff_factor, 0.001)),
                    "max_backoff": timedelta(seconds=max(policy.backoff_max, 0.002)),
                    "base": 2,
                },
                # A signature is good for a quarter of an hour, and a request is not signed anew.
                "retry_timeout": timedelta(minutes=14),
            },
            credential_provider=None if self.anonymous else self._provide,  # type: ignore[arg-type]
        )


def _check_mapping(auth: Mapping[str, Any]) -> None:
    unknown = sorted(str(name) for name in auth if name not in _AUTH_NAMES)
    if unknown:
        raise ConfigurationError(f"auth: unknown entry {unknown[0]!r}; allowed are {', '.join(_AUTH_NAMES)}")
    for name in _AUTH_NAMES[:2]:
        if not isinstance(auth.get(name), str) or not auth[name]:
            raise ConfigurationError(f"auth: {name!r} is missing or not a str")
    if not isinstance(auth.get("session_token"), (str, type(None))):
        raise ConfigurationError("auth: 'session_token' must be a str or None")


def _is_credentials(auth: Any) -> bool:
    # Credentials, and ReadOnlyCredentials, which are only a tuple.
    return hasattr(auth, "get_frozen_credentials") or (hasattr(auth, "access_key") and hasattr(auth, "secret_key"))


def _environment_endpoint() -> str | None:
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        url = os.environ.get(name)
        if url:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ConfigurationError(f"the environment variable {name} is no http:// or https:// URL")
            return url
    return None
