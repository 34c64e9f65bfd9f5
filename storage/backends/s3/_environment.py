"""Reads the SDK's configuration and credentials without the SDK, where variables and files are simple.

botocore's session takes 130 ms of CPU to load, which is more than all the rest of a first call. So the usual cases are read
here: keys, region and endpoint in the environment, or in a profile that says no more. Everything else is left to botocore, which
is always right: ``None`` means "ask it".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from storage.backends.s3._settings import is_key
from storage.backends.s3._sigv4 import Keys

# Variables that are read here, or that change nothing about how S3 is reached.
_KNOWN: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCOUNT_ID",
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_OUTPUT",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_EXECUTION_ENV",
        "AWS_MAX_ATTEMPTS",
        "AWS_PAGER",
        "AWS_PROFILE",
        "AWS_REGION",  # botocore does not look at it
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)
_HARMLESS: Final = ("AWS_LAMBDA_", "AWS_XRAY_")

_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# Entries of a profile that say where credentials come from, and nothing about how S3 is reached.
_SOURCES: Final = frozenset(
    {
        "credential_process",
        "credential_source",
        "duration_seconds",
        "external_id",
        "mfa_serial",
        "role_arn",
        "role_session_name",
        "source_profile",
        "sso_account_id",
        "sso_region",
        "sso_role_name",
        "sso_session",
        "sso_start_url",
        "web_identity_token_file",
    }
)
_IDLE: Final = frozenset({"cli_auto_prompt", "cli_pager", "max_attempts", "output", "retry_mode"})
_READ: Final = frozenset({*_KEYS, "ca_bundle", "endpoint_url", "region"})
# An empty value of these is a value to botocore.
_NEVER_EMPTY: Final = (
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
)
_MAX_FILE: Final = 1024 * 1024  # bytes


class Configuration(NamedTuple):
    """The configuration that the SDK would read.

    Attributes:
        region: ``None``: nobody says.
        endpoint_url: of a server that is not AWS's.
        ca_bundle: a file or directory of CA certificates.
        request_checksums: ``when_supported`` or ``when_required``; ``None``: nobody says.
        keys: credentials; ``None``: botocore must be asked for them.
    """

    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    request_checksums: str | None = None
    keys: Keys | None = None

    def __repr__(self) -> str:
        return "Configuration(…)"


def configuration(
    profile: str | None = None, *, own_keys: bool = False, environ: Mapping[str, str] = os.environ
) -> Configuration | None:
    """Reads the environment and the profile; ``None``: only the SDK can.

    Args:
        profile: one that was asked for by name.
        own_keys: the caller has credentials, and looks for none here; a profile that is not there is no error then.
        environ: the environment.
    """
    if any(
        name.startswith("AWS_") and name not in _KNOWN and not name.startswith(_HARMLESS) for name in environ
    ) or environ.get("BOTOCORE_EXPERIMENTAL__PLUGINS"):
        return None
    if any(not environ.get(name, "set") for name in _NEVER_EMPTY):
        return None
    named = profile or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE")
    files = _files(named or "default", environ)
    if files is None:
        return None
    section = {name: value for entries in files for name, value in entries.items()}
    if section.keys() - _READ - _SOURCES - _IDLE or (named and not section and not own_keys):
        return None  # there may be no such profile, which is botocore's to say
    return Configuration(
        environ.get("AWS_DEFAULT_REGION") or section.get("region"),
        environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or section.get("endpoint_url"),
        environ.get("AWS_CA_BUNDLE") or section.get("ca_bundle") or environ.get("REQUESTS_CA_BUNDLE"),
        environ.get("AWS_REQUEST_CHECKSUM_CALCULATION"),
        None if own_keys else _keys(files, environ, by_name=profile is not None),
    )


def _keys(files: Sequence[Mapping[str, str]], environ: Mapping[str, str], *, by_name: bool) -> Keys | None:
    if not by_name and environ.get("AWS_ACCESS_KEY_ID"):
        secret = environ.get("AWS_SECRET_ACCESS_KEY")
        token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN")
        return _plain_keys(environ["AWS_ACCESS_KEY_ID"], secret, token)
    if any(entries.keys() & _SOURCES for entries in files) or (
        environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and not by_name
    ):
        return None
    for entries in reversed(files):
        access, secret, token = (entries.get(name) for name in _KEYS)
        if access is not None:
            return _plain_keys(access, secret, token)
    return None


def _plain_keys(access: str, secret: str | None, token: str | None) -> Keys | None:
    # What botocore finds is checked, and an error says what is wrong with it.
    return (
        Keys(access, secret, token or None) if access and secret and all(map(is_key, (access, secret, token))) else None
    )


def _files(profile: str, environ: Mapping[str, str]) -> list[dict[str, str]] | None:
    """The entries of a profile in each file, the stronger last; ``None``: a file takes more than is done here."""
    files = []
    for variable, usual, name in (
        ("AWS_CONFIG_FILE", "~/.aws/config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
    ):
        path = os.path.expanduser(os.path.expandvars(environ.get(variable, usual)))
        if not os.path.isfile(path):
            continue
        sections = _sections(path)
        if sections is None or any(map(_is_quoted, sections)):
            return None
        files.append(sections.get(name, {}))
    # An entry over several lines is a section of its own.
    return None if any("\n" in value for entries in files for value in entries.values()) else files


def _is_quoted(section: str) -> bool:
    """Whether the name of a section is one that must be split as a shell would."""
    return section.startswith("profile") and (
        section == "profile default" or re.fullmatch(r"profile [\w.@-]+", section) is None
    )


def _sections(path: str) -> dict[str, dict[str, str]] | None:
    import configparser  # 2 ms, which only those who have such files pay for

    parser = configparser.RawConfigParser()
    try:
        if os.path.getsize(path) > _MAX_FILE or not parser.read([path]):
            return None
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except (OSError, configparser.Error, UnicodeDecodeError):
        return None
