"""Chooses how requests are sent: over our own transport, or through boto3's client. Decided once for a store.

The short way serves a bucket at a plain endpoint, signed with SigV4. The other way serves the rest, so that no feature of boto3
is lost: event handlers, proxies, client certificates, directory buckets, access points, accelerated endpoints, and whatever
tests put in botocore's place.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import parse_qs, quote, urlsplit

from storage.backends.s3 import _sdk
from storage.backends.s3._checksums import Kind
from storage.backends.s3._environment import Configuration, configuration
from storage.backends.s3._sdk_client import SharedClient, is_aws
from storage.backends.s3._sdk_wire import SdkWire
from storage.backends.s3._settings import Settings, given_keys, is_boto3_session
from storage.backends.s3._sigv4 import Keys, Secrets
from storage.backends.s3._wire import Target, Wire

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HOST_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# Directory buckets, and buckets on Outposts, are signed otherwise.
_OTHER_BUCKETS: Final = ("--x-s3", "--op-s3")
_SUFFIXES: Final = {
    "amazonaws.com": re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+|us-gov-[a-z]+-\d+"),
    "amazonaws.com.cn": re.compile(r"cn-[a-z]+-\d+"),
}
_DETOURS: Final = 3  # so often a redirect is followed before the short way is given up


class _LongWay(Exception):  # noqa: N818 (never seen outside)
    """Requests go through boto3's client; its text says why."""


class Gate:
    """Decides at the first request, and tells when it was wrong.

    Attributes:
        shared: boto3's client.
        sdk: the way through it.
        reason: why requests go through it; ``None``: they do not, or it is not decided yet.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.shared = SharedClient(settings, lambda: self.shut("an event handler was registered at the client"))
        self.reason: str | None = None
        self.sdk = SdkWire(self.shared.get, settings.bucket)
        self._wire: Wire | None = None
        self._region: str | None = None  # which the server has told
        self._detours = 0
        self._aws: bool | None = None

    def wire(self) -> Wire | SdkWire:
        """The way of the next request."""
        if self.reason is not None or _sdk.intercepted():
            return self.sdk
        return self._wire or self._open()

    def _open(self) -> Wire | SdkWire:
        try:
            wire = self._wire = self._decide()
        except _LongWay as exc:
            self.shut(str(exc))
            return self.sdk
        return wire

    def shut(self, reason: str) -> None:
        """Sends everything through boto3's client from now on."""
        if self.reason is None:
            self.reason = reason
            if "logging" in sys.modules:
                import logging

                logging.getLogger("storage.s3").debug("s3://%s: through boto3, since %s", self._settings.bucket, reason)

    def elsewhere(self, region: str | None) -> None:
        """Called when boto3 has found the bucket where the wire did not; the next request goes to this region."""
        self._detours += 1
        self._region = region
        self._leave_wire()
        if self._detours > _DETOURS:
            self.shut("the server goes on redirecting")

    @property
    def aws(self) -> bool:
        """Whether the bucket is at AWS."""
        if self._aws is None:
            way = self.wire()
            self._aws = way.target.aws if isinstance(way, Wire) else self.shared.aws
        return self._aws

    @property
    def checksums(self) -> Kind | None:
        """The kind of checksum that an upload carries for the server to check."""
        if not self._settings.checksums:
            return None
        return "crc32" if self.aws else "md5"

    def describe(self) -> str:
        """One line for a person: which way requests go, and why."""
        way = self.wire()
        if isinstance(way, Wire):
            return f"requests go straight to {way.target.host}"
        return f"requests go through boto3, since {self.reason or 'something stands between botocore and the network'}"

    def close(self) -> None:
        """Closes every connection. The next request opens new ones."""
        self._leave_wire()
        self.shared.close()

    def _leave_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    # ---- the decision ------------------------------------------------------------------------------------------

    def _decide(self) -> Wire:
        settings = self._settings
        if not _BUCKET.fullmatch(settings.bucket) or settings.bucket.endswith(_OTHER_BUCKETS):
            raise _LongWay("the bucket is an access point or a directory bucket")
        handlers = sys.modules.get("botocore.handlers")
        if handlers is not None and any(_sdk.is_foreign(entry[1]) for entry in handlers.BUILTIN_HANDLERS):
            raise _LongWay("somebody added an event handler to botocore's own")
        if is_boto3_session(settings.auth) and _sdk.strangers(settings.auth.events):
            raise _LongWay("the session has event handlers")
        own_keys = settings.auth is not None or settings.anonymous
        plain = None if is_boto3_session(settings.auth) else configuration(settings.profile, own_keys=own_keys)
        if self._region is not None:
            settings = settings.__replace__(region=self._region)
        target = None if plain is None else _computed(settings, plain)
        if target is None:
            target = _learned(settings, self.shared)
            if self._region is not None:  # botocore finds the host then, but signs for the client's own region
                target = target._replace(region=self._region)
        if _proxied(target):
            raise _LongWay("there is a proxy")
        return Wire(target, self._secrets(plain), settings.timeout)

    def _secrets(self, plain: Configuration | None) -> Callable[[], Secrets] | None:
        auth = self._settings.auth
        if self._settings.anonymous:
            return None
        if isinstance(auth, Mapping):
            keys = Keys(*given_keys(auth))
            return lambda: keys
        if isinstance(auth, tuple):  # botocore's ReadOnlyCredentials
            return lambda: cast("Secrets", auth)
        if plain is not None and plain.keys is not None:
            keys = plain.keys
            return lambda: keys
        if auth is not None and not is_boto3_session(auth):
            return cast("Callable[[], Secrets]", auth.get_frozen_credentials)
        return self._of_the_chain

    def _of_the_chain(self) -> Secrets:
        credentials = self.shared.credentials()
        if credentials is None:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError
        return cast("Secrets", credentials.get_frozen_credentials())


def _computed(settings: Settings, plain: Configuration) -> Target | None:
    """The bucket's address by the rules of plain endpoints; ``None``: only botocore's rules give it."""
    style = settings.addressing_style
    region = settings.region or plain.region or "us-east-1"
    endpoint = settings.endpoint_url or plain.endpoint_url
    bundle = settings.ca_bundle or plain.ca_bundle
    if plain.request_checksums is not None:
        return None
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if style == "virtual" or parts.hostname is None or parts.query:
            return None
        base = f"{parts.path.rstrip('/')}/{quote(settings.bucket)}"
        return Target(parts.scheme, parts.hostname, parts.port, base, region, is_aws(endpoint), _bundle(bundle))
    suffix = next((suffix for suffix, regions in _SUFFIXES.items() if regions.fullmatch(region)), None)
    if suffix is None:
        return None
    # The name that AWS gives to its first region.
    host = "s3.amazonaws.com" if region == "us-east-1" else f"s3.{region}.{suffix}"
    if style != "path" and _HOST_LABEL.fullmatch(settings.bucket):
        return Target("https", f"{settings.bucket}.{host}", None, "", region, aws=True, ca_bundle=_bundle(bundle))
    return Target("https", host, None, f"/{settings.bucket}", region, aws=True, ca_bundle=_bundle(bundle))


def _learned(settings: Settings, shared: SharedClient) -> Target:
    """The bucket's address as boto3's client signs for it; refused unless the signature is plain SigV4."""
    client = shared.get()
    config = client.meta.config
    if config.proxies or getattr(config, "client_cert", None):
        raise _LongWay("the client is configured with a proxy or a client certificate")
    if shared.core().get_default_client_config() is not None:
        raise _LongWay("the session has a client configuration of its own")
    if (config.s3 or {}).get("payload_signing_enabled") is not None:
        raise _LongWay("the configuration says how bodies are signed")
    url = client.generate_presigned_url("head_bucket", Params={"Bucket": settings.bucket})
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    region = settings.region or client.meta.region_name
    if not settings.anonymous:
        scope = query.get("X-Amz-Credential", [""])[0].split("/")[-4:]
        if query.get("X-Amz-Algorithm") != ["AWS4-HMAC-SHA256"] or scope[2:3] != ["s3"] or len(scope) != 4:
            raise _LongWay("requests are signed otherwise than with SigV4 for S3")
        region = scope[1]
    if parts.hostname is None or any("s3session" in name.lower() for name in query):
        raise _LongWay("the bucket has sessions of its own")
    bundle = (
        settings.ca_bundle or shared.core().get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    )
    base = parts.path.rstrip("/")
    return Target(parts.scheme, parts.hostname, parts.port, base, region, shared.aws, _bundle(bundle))


def _bundle(path: str | None) -> str | None:
    """The certificates that botocore trusts: those that are configured, certifi's, or its own."""
    if path is not None:
        return path
    try:
        from certifi import where
    except ImportError:
        from importlib.util import find_spec

        spec = find_spec("botocore")
        folder = (spec.submodule_search_locations if spec else None) or [""]
        return os.path.join(folder[0], "cacert.pem")
    return where()


def _proxied(target: Target) -> bool:
    """Whether the environment sends requests to this host through a proxy."""
    named = any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value for name, value in os.environ.items()
    )
    if not named and sys.platform != "darwin":  # where the system knows of proxies too
        return False
    from botocore.utils import get_environ_proxies

    port = "" if target.port is None else f":{target.port}"
    proxies = get_environ_proxies(f"{target.scheme}://{target.host}{port}/")
    return target.scheme in proxies or "all" in proxies
