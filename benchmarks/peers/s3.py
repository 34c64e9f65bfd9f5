"""S3: the two drivers of this library, and seven peers."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.peers import Peer
from storage import Storage
from tests.servers.s3 import S3Server


class Ours(Peer):
    name = "storage s3://"
    package = "storage-facade"
    scheme = "s3"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        url = server.url("bench", endpoint_url=endpoint, scheme=self.scheme, query="&types=data:")
        self.store = Storage(url, server.auth)

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


class OursObstore(Ours):
    name = "storage s3+obstore://"
    scheme = "s3+obstore"


def boto3_client(server: S3Server, endpoint: str, **config: Any) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=server.region,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(**config),
    )


class Boto3(Peer):
    name = package = "boto3"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        self.client, self.bucket = boto3_client(server, endpoint), server.bucket

    def put(self, key: str, data: bytes) -> object:
        return self.client.put_object(Bucket=self.bucket, Key="bench/" + key, Body=data)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key="bench/" + key)["Body"].read()

    def exists(self, key: str) -> bool:
        return bool(self.client.head_object(Bucket=self.bucket, Key="bench/" + key))

    def delete(self, key: str) -> object:
        return self.client.delete_object(Bucket=self.bucket, Key="bench/" + key)

    def count(self, prefix: str) -> int:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="bench/" + prefix)
        return sum(1 for page in pages for _ in page.get("Contents", ()))

    def upload(self, key: str, path: str) -> object:
        return self.client.upload_file(path, self.bucket, "bench/" + key)

    def download(self, key: str, path: str) -> object:
        return self.client.download_file(self.bucket, "bench/" + key, path)


class Boto3OneConnection(Boto3):
    """What ``get_object`` and ``put_object`` of a file do: one connection."""

    name = "boto3, one connection"

    def upload(self, key: str, path: str) -> object:
        with open(path, "rb") as file:
            return self.client.put_object(Bucket=self.bucket, Key="bench/" + key, Body=file)

    def download(self, key: str, path: str) -> object:
        body = self.client.get_object(Bucket=self.bucket, Key="bench/" + key)["Body"]
        with open(path, "wb") as file:
            while chunk := body.read(1024 * 1024):
                file.write(chunk)
        return None


class Obstore(Peer):
    name = package = "obstore"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        from obstore.store import S3Store

        self.store = S3Store(
            server.bucket,
            prefix="bench",
            endpoint=endpoint,
            region=server.region,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            client_options={"allow_http": True},
        )

    def put(self, key: str, data: bytes) -> object:
        return self.store.put(key, data)

    def get(self, key: str) -> bytes:
        return bytes(self.store.get(key).bytes())

    def exists(self, key: str) -> bool:
        return bool(self.store.head(key))

    def delete(self, key: str) -> object:
        return self.store.delete(key)

    def count(self, prefix: str) -> int:
        return sum(len(page) for page in self.store.list(prefix, chunk_size=1000))

    def upload(self, key: str, path: str) -> object:
        from pathlib import Path

        return self.store.put(key, Path(path))

    def download(self, key: str, path: str) -> object:
        with open(path, "wb") as file:
            file.writelines(self.store.get(key).stream(min_chunk_size=1024 * 1024))
        return None

    def get_many(self, keys: list[str]) -> int:
        async def one(key: str) -> int:
            return len(bytes(await (await self.store.get_async(key)).bytes_async()))

        async def run() -> int:
            return sum(await asyncio.gather(*map(one, keys)))

        return asyncio.run(run())

    def set_many(self, items: dict[str, bytes]) -> object:
        async def run() -> object:
            return await asyncio.gather(*(self.store.put_async(key, data) for key, data in items.items()))

        return asyncio.run(run())


class OpenDAL(Peer):
    name = package = "opendal"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        import opendal

        self.operator = opendal.Operator(
            "s3",
            bucket=server.bucket,
            root="/bench",
            endpoint=endpoint,
            region=server.region,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
        )

    def put(self, key: str, data: bytes) -> object:
        return self.operator.write(key, data)

    def get(self, key: str) -> bytes:
        return bytes(self.operator.read(key))

    def exists(self, key: str) -> bool:
        return bool(self.operator.stat(key))

    def delete(self, key: str) -> object:
        return self.operator.delete(key)

    def count(self, prefix: str) -> int:
        return sum(1 for _ in self.operator.scan(prefix))


class S3fs(Peer):
    name = package = "s3fs"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        import s3fs

        self.fs = s3fs.S3FileSystem(
            key=server.access_key,
            secret=server.secret_key,
            endpoint_url=endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self.root = f"{server.bucket}/bench/"

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

    def upload(self, key: str, path: str) -> object:
        return self.fs.put_file(path, self.root + key)

    def download(self, key: str, path: str) -> object:
        return self.fs.get_file(self.root + key, path)

    def get_many(self, keys: list[str]) -> int:
        return sum(map(len, self.fs.cat([self.root + key for key in keys]).values()))

    def set_many(self, items: dict[str, bytes]) -> object:
        return self.fs.pipe({self.root + key: data for key, data in items.items()})


class SmartOpen(Boto3):
    name = "smart_open"
    package = "smart-open"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        import smart_open

        super().__init__(server, endpoint)
        self.opener = smart_open.open
        self.root = f"s3://{server.bucket}/bench/"

    def put(self, key: str, data: bytes) -> object:
        with self.opener(self.root + key, "wb", transport_params={"client": self.client}) as file:
            file.write(data)
        return None

    def get(self, key: str) -> bytes:
        with self.opener(self.root + key, "rb", transport_params={"client": self.client}) as file:
            return file.read()

    exists = Peer.exists
    delete = Peer.delete
    count = Peer.count
    upload = Peer.upload
    download = Peer.download


class Cloudpathlib(Peer):
    name = package = "cloudpathlib"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        from cloudpathlib import S3Client

        self.client = S3Client(
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            endpoint_url=endpoint,
            file_cache_mode="close_file",
        )
        self.root = self.client.CloudPath(f"s3://{server.bucket}/bench")

    def put(self, key: str, data: bytes) -> object:
        return (self.root / key).write_bytes(data)

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def exists(self, key: str) -> bool:
        return (self.root / key).exists()

    def delete(self, key: str) -> object:
        return (self.root / key).unlink()


class Minio(Peer):
    name = package = "minio"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        from urllib.parse import urlsplit

        import minio

        options: dict[str, Any] = {
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "region": server.region,
            "secure": False,
        }
        try:
            self.client = minio.Minio(urlsplit(endpoint).netloc, **options)
        except TypeError:  # before 7.3 it was positional
            self.client = minio.Minio(endpoint=urlsplit(endpoint).netloc, **options)
        self.bucket = server.bucket

    def put(self, key: str, data: bytes) -> object:
        from io import BytesIO

        return self.client.put_object(
            bucket_name=self.bucket, object_name="bench/" + key, data=BytesIO(data), length=len(data)
        )

    def get(self, key: str) -> bytes:
        answer = self.client.get_object(bucket_name=self.bucket, object_name="bench/" + key)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    def exists(self, key: str) -> bool:
        return bool(self.client.stat_object(bucket_name=self.bucket, object_name="bench/" + key))

    def delete(self, key: str) -> object:
        return self.client.remove_object(bucket_name=self.bucket, object_name="bench/" + key)

    def count(self, prefix: str) -> int:
        found = self.client.list_objects(bucket_name=self.bucket, prefix="bench/" + prefix, recursive=True)
        return sum(1 for _ in found)

    def upload(self, key: str, path: str) -> object:
        return self.client.fput_object(bucket_name=self.bucket, object_name="bench/" + key, file_path=path)

    def download(self, key: str, path: str) -> object:
        return self.client.fget_object(bucket_name=self.bucket, object_name="bench/" + key, file_path=path)


ALL = [Ours, OursObstore, Boto3, Obstore, OpenDAL, S3fs, SmartOpen, Cloudpathlib, Minio]
