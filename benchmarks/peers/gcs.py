"""Google Cloud Storage: the driver of this library, and its peers. The emulator speaks only the JSON API."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.peers import Peer
from storage import Storage


class Ours(Peer):
    name = "storage gs://"
    package = "storage-facade"

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.store = Storage(f"gs://{bucket}/bench?endpoint_url={endpoint}&anonymous=true&types=data:")

    def put(self, key: str, data: bytes) -> object:
        return self.store.set(key, data)

    def get(self, key: str) -> bytes:
        return self.store.get_bytes(key)

    def exists(self, key: str) -> bool:
        return self.store.exists(key)

    def delete(self, key: str) -> object:
        return self.store.delete(key)

    def count(self, prefix: str) -> int:
        return sum(1 for _ in self.store.iter_list(prefix))

    def upload(self, key: str, path: str) -> object:
        return self.store.set_file(key, path)

    def download(self, key: str, path: str) -> object:
        return self.store.get_file(key, path)

    def get_many(self, keys: list[str]) -> int:
        return sum(len(data) for _, data in self.store.get_many(keys))

    def set_many(self, items: dict[str, bytes]) -> object:
        return self.store.set_many(items)


class OursInParts(Ours):
    """Told what it would find out of the service itself: that uploads in parts work here."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        super().__init__(endpoint, bucket)
        self.store.backend.parallel_uploads = True  # type: ignore[attr-defined]


class Google(Peer):
    name = package = "google-cloud-storage"

    def __init__(self, endpoint: str, bucket: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        self.client: Any = storage.Client("project", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
        self.bucket = self.client.bucket(bucket)

    def put(self, key: str, data: bytes) -> object:
        return self.bucket.blob("bench/" + key).upload_from_string(data)

    def get(self, key: str) -> bytes:
        return self.bucket.blob("bench/" + key).download_as_bytes()

    def exists(self, key: str) -> bool:
        return self.bucket.blob("bench/" + key).exists()

    def delete(self, key: str) -> object:
        return self.bucket.blob("bench/" + key).delete()

    def upload(self, key: str, path: str) -> object:
        return self.bucket.blob("bench/" + key).upload_from_filename(path, checksum=None)

    def download(self, key: str, path: str) -> object:
        return self.bucket.blob("bench/" + key).download_to_filename(path)

    def count(self, prefix: str) -> int:
        return sum(1 for _ in self.client.list_blobs(self.bucket, prefix="bench/" + prefix))


class Manager(Google):
    """The transfer manager, whose workers are threads or processes."""

    name = "transfer_manager, 8 threads"
    kind = "thread"

    def upload(self, key: str, path: str) -> object:
        from google.cloud.storage import transfer_manager

        blob = self.bucket.blob("bench/" + key)
        return transfer_manager.upload_chunks_concurrently(path, blob, worker_type=self.kind)

    def download(self, key: str, path: str) -> object:
        from google.cloud.storage import transfer_manager

        blob = self.bucket.blob("bench/" + key)
        return transfer_manager.download_chunks_concurrently(blob, path, worker_type=self.kind)


class Processes(Manager):
    name = "transfer_manager, 8 processes"
    kind = "process"


class Gcsfs(Peer):
    name = package = "gcsfs"

    def __init__(self, endpoint: str, bucket: str) -> None:
        # It would ask over gRPC what kind of bucket this is, which the emulator does not speak, for a minute.
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        import gcsfs

        self.fs = gcsfs.GCSFileSystem(
            token="anon", endpoint_url=endpoint, use_listings_cache=False, skip_instance_cache=True
        )
        self.root = f"{bucket}/bench/"

    def put(self, key: str, data: bytes) -> object:
        return self.fs.pipe_file(self.root + key, data)

    def get(self, key: str) -> bytes:
        return self.fs.cat_file(self.root + key)

    def exists(self, key: str) -> bool:
        return self.fs.exists(self.root + key)

    def delete(self, key: str) -> object:
        return self.fs.rm_file(self.root + key)

    def count(self, prefix: str) -> int:
        return len(self.fs.find(self.root + prefix))

    def get_many(self, keys: list[str]) -> int:
        return sum(map(len, self.fs.cat([self.root + key for key in keys]).values()))

    def set_many(self, items: dict[str, bytes]) -> object:
        return self.fs.pipe({self.root + key: data for key, data in items.items()})


SMALL = [Ours, Google, Gcsfs]
