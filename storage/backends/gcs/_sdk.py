"""Makes google-cloud-storage's own client, which is for the user alone. Nothing else of the driver loads that package."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from storage.exceptions import ConfigurationError


def client(bucket: str, credentials: Any, project: str | None, endpoint: str | None, universe: str) -> Any:
    """The SDK's client. ``credentials=None``: anonymous; ``endpoint=None``: as the SDK chooses it."""
    anonymous: Any = AnonymousCredentials
    options = {}
    if endpoint is not None:
        options["api_endpoint"] = endpoint
    if universe != "googleapis.com":
        options["universe_domain"] = universe
    try:
        # Without a project it would look for one, on the network too.
        return Client(project=project, credentials=credentials or anonymous(), client_options=options or None)
    except ValueError as exc:  # such as a universe together with a client certificate
        raise ConfigurationError(f"gs://{bucket}: the client cannot be made: {exc}") from exc
