"""Serves the signed URLs of local stores over HTTP: an ASGI application, and the server of this process.

``memory://`` and ``file://`` start the latter by themselves when they sign their first URL; see ``docs/server.md``.
"""

from __future__ import annotations

from storage.exceptions import MissingDependencyError

try:
    from storage.server._app import DEFAULT_MAX_UPLOAD, SignedURLs
    from storage.server._inprocess import stop
except ModuleNotFoundError as _exc:
    if _exc.name is None or _exc.name.partition(".")[0] == "storage":
        raise
    raise MissingDependencyError(
        f"serving signed URLs needs the package {_exc.name.partition('.')[0]!r}: pip install 'storage-facade[server]'"
    ) from _exc

__all__ = ["DEFAULT_MAX_UPLOAD", "SignedURLs", "stop"]
