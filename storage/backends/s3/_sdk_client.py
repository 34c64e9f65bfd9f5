"""Makes boto3's client, one for each process; the user gets the same one as `Storage.backend.client`."""

from __future__ import annotations

import os
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Any, Final, cast
from urllib.parse import urlsplit

from storage.backends._http import header_lines
from storage.backends.s3 import _sdk
from storage.backends.s3._sdk_wire import keep_body
from storage.backends.s3._settings import POOL_SIZE, Settings, check_found, given_keys, is_boto3_session

_AWS_HOSTS: Final = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
)
_NEEDS_MD5: Final = ("DeleteObjects", "PutBucketCors", "PutBucketLifecycleConfiguration")


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is one of Amazon's own."""
    return (urlsplit(endpoint_url).hostname or "").endswith(_AWS_HOSTS)


class _State:
    """The sessions and clients of one process: on a connection that two processes share, one gets the other's answer."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.core: Any = None
        self.session: Any = None
        self.client: Any = None
        self.aws = True
        self.regional = False


class SharedClient:
    """One botocore session and one boto3 client for every thread of a process, each made at its first use.

    ``told`` is called when the user registers an event handler at the client.
    """

    def __init__(self, settings: Settings, told: Callable[[], object] = lambda: None) -> None:
        self._settings, self._told = settings, told
        self._state = _State()

    def _mine(self) -> _State:
        state = self._state
        if state.process != os.getpid():
            state = self._state = _State()
        return state

    def core(self) -> Any:
        """The botocore session: credentials and configuration."""
        state = self._mine()
        if state.core is None:
            with state.lock:
                if state.core is None:
                    core = _make_core(self._settings)
                    if not self._settings.anonymous:
                        check_found(core.get_credentials())
                    state.core = core
        return state.core

    def get(self) -> Any:
        """The client."""
        state = self._mine()
        if state.client is None:
            self.core()
            with state.lock:
                if state.client is None:
                    state.client = self._build(state, self._settings.region)
        return state.client

    @property
    def aws(self) -> bool:
        """Whether the client talks to AWS, and not to some other server."""
        self.get()
        return self._mine().aws

    def credentials(self) -> Any:
        """The credentials that requests are signed with; ``None``: there are none."""
        return None if self._settings.anonymous else self.core().get_credentials()

    def regional(self) -> Any:
        """The client, and sure of the bucket's region: for signing, which asks no server and so is told nothing.

        The first time, where no region is given anywhere, this looks at the bucket.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client, state = self.get(), self._mine()
        if state.regional or not state.aws:
            return client
        try:
            headers = client.head_bucket(Bucket=self._settings.bucket)["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as exc:
            headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        except BotoCoreError:
            return client
        with state.lock:
            region = headers.get("x-amz-bucket-region")
            if region and region != client.meta.region_name:
                client = state.client = self._build(state, region)
            state.regional = True
        return client

    def close(self) -> None:
        """Closes every connection. The next use opens new ones."""
        state, self._state = self._mine(), _State()
        if state.client is not None:
            state.client.close()

    def _build(self, state: _State, region: str | None) -> Any:
        from botocore.handlers import add_expect_header

        settings, core = self._settings, state.core
        if state.session is None:
            state.session = settings.auth if is_boto3_session(settings.auth) else _with_shared_loader(core)
        session = state.session
        state.regional = (region or session.region_name) is not None
        if region is None and session.region_name is None:
            region = "us-east-1"  # where AWS answers for buckets of every region, and what other servers expect
        state.aws = settings.endpoint_url is None or is_aws(settings.endpoint_url)
        client = self._make(state, region)
        if state.aws and not is_aws(client.meta.endpoint_url):
            # AWS_ENDPOINT_URL, or a profile, named another server.
            state.aws = False
            client.close()
            client = self._make(state, region)
        events = client.meta.events
        # It would cost a second round trip for a kilobyte.
        events.unregister("before-call.s3", add_expect_header)
        events.register("before-parse.s3", keep_body)
        events.register_last("before-parameter-build.s3", _follow_no_redirect)
        events.register_last("request-created.s3", _refuse_line_breaks)
        if not state.aws:
            for operation in _NEEDS_MD5:
                events.register(f"before-sign.s3.{operation}", _use_md5)
        _sdk.watch(events, self._told)
        return client

    def _make(self, state: _State, region: str | None) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config

        settings, options = self._settings, {}
        if not state.aws:
            # Other servers choke on AWS's newer checksums.
            options = {
                name: "when_required"
                for name in ("request_checksum_calculation", "response_checksum_validation")
                if f"AWS_{name.upper()}" not in os.environ
            }
        config = Config(
            signature_version=UNSIGNED if settings.anonymous else "s3v4",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=settings.timeout.connect,
            read_timeout=settings.timeout.read,
            max_pool_connections=POOL_SIZE,
            s3=cast("Any", self._addressing(state.core)),
            **cast("Any", options),
        )
        return state.session.client(
            "s3", region_name=region, endpoint_url=settings.endpoint_url, verify=settings.ca_bundle, config=config
        )

    def _addressing(self, core: Any) -> dict[str, str] | None:
        style = self._settings.addressing_style
        if style in (None, "auto") and self._settings.endpoint_url is None and self._mine().aws:
            # Left to itself botocore signs for a host that newer regions refuse. The bucket's name goes into the path still
            # where no host can have it.
            style = None if style is None and _has_style(core) else "virtual"
        return {"addressing_style": style} if style else None


def _has_style(core: Any) -> bool:
    """Whether the SDK's configuration names an addressing style."""
    section = core.get_scoped_config().get("s3")
    return isinstance(section, dict) and "addressing_style" in section


def _make_core(settings: Settings) -> Any:
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    auth = settings.auth
    if is_boto3_session(auth):
        return _sdk.core_of(auth)
    core = Session(profile=settings.profile)
    if auth is not None:
        try:
            core.get_scoped_config()
        except ProfileNotFound:
            # A variable names a profile that is not there; with credentials given nobody needs it.
            core = Session(session_vars={"profile": (None, None, None, None)})
    if isinstance(auth, Mapping):
        core.set_credentials(*given_keys(auth))
    elif isinstance(auth, tuple):  # botocore's ReadOnlyCredentials
        core.set_credentials(*auth[:3])
    elif auth is not None:
        # The object itself, not its present values: it may be one that refreshes itself.
        core.register_component("credential_provider", _Given(auth))
    return core


class _Given:
    """Resolves to one credentials object."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Any:
        return self._credentials


_loader: Any = None


def _with_shared_loader(core: Any) -> Any:
    """A boto3 session that reads botocore's description of S3, 100 ms of work, once a process."""
    global _loader  # noqa: PLW0603 (a cache; two at once make two)
    import boto3

    if _loader is None:
        _loader = core.get_component("data_loader")
    else:
        core.register_component("data_loader", _loader)
    session = boto3.Session(botocore_session=core)
    # Each boto3 session adds its own directory to the loader.
    _loader.search_paths[:] = dict.fromkeys(_loader.search_paths)
    return session


# ---- event handlers ----------------------------------------------------------------------------------------------------


def _follow_no_redirect(model: Any, context: dict[str, Any], **_: Any) -> None:
    """To know where a redirect leads botocore asks with HeadBucket: one that is itself redirected would ask for ever."""
    if model.name == "HeadBucket":
        context.setdefault("s3_redirect", {})["redirected"] = True


def _refuse_line_breaks(request: Any, **_: Any) -> None:
    """Checks a signed request, whose keys may have been refreshed: an error of http.client would show a session token."""
    header_lines(request.headers.items())


def _use_md5(request: Any, **_: Any) -> None:
    """Puts Content-MD5, which older servers insist on, in place of the newer checksum, which they do not know."""
    for name in list(request.headers):
        if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")):
            del request.headers[name]
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if isinstance(body, (bytes, bytearray)) and "Content-MD5" not in request.headers:
        request.headers["Content-MD5"] = b64encode(md5(body, usedforsecurity=False).digest()).decode()
