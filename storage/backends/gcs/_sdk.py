"""google-cloud-storage's own client, for what this library does not do. Nothing else of the driver loads that package."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from storage.backends.gcs._client import Connection, Settings
from storage.exceptions import ConfigurationError

__all__ = ["client"]


def client(settings: Settings, connection: Connection) -> Any:
    """A client with the credentials and the endpoint of ``connection``."""
    anonymous: Any = AnonymousCredentials
    credentials = anonymous() if connection.authority is None else connection.authority.credentials
    options = {}
    if connection.given_endpoint is not None:
        options["api_endpoint"] = connection.endpoint
    if connection.universe != "googleapis.com":
        options["universe_domain"] = connection.universe
    try:
        # Without a project it would look for one, on the network too.
        return Client(project=settings.project, credentials=credentials, client_options=options or None)
    except ValueError as exc:  # such as a universe together with a client certificate
        raise ConfigurationError(f"gs://{settings.bucket}: the client cannot be made: {exc}") from exc
