"""S3: the driver of this library, and its peers. With TLS they trust ``AWS_CA_BUNDLE``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from storage import Storage
from tests.emulators.s3 import S3Server


class Ours(Peer):
    name = "storage s3://"
    package = "storage-facade"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        self.store = Storage(server.url("bench", endpoint_url=endpoint, query="&types=data:"), server.auth)

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

    def delete_many(self, keys: list[str]) -> object:
        return self.store.delete_many(keys)

    def read(self, key: str) -> int:
        with self.store.open(key) as file:
            return _pieces(file)


def _pieces(file: Any) -> int:
    """Reads from front to back, a MiB at a time; how many bytes."""
    count = 0
    while piece := file.read(1024 * 1024):
        count += len(piece)
    return count


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

    def delete_many(self, keys: list[str]) -> object:
        objects = [{"Key": "bench/" + key} for key in keys]
        return self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})

    def upload(self, key: str, path: str) -> object:
        return self.client.upload_file(path, self.bucket, "bench/" + key)

    def download(self, key: str, path: str) -> object:
        return self.client.download_file(self.bucket, "bench/" + key, path)


class Boto3OneConnection(Boto3):
    """What ``get_object`` and ``put_object`` of a file do: one connection."""

    name = "boto3, one connection"

    def read(self, key: str) -> int:
        return _pieces(self.client.get_object(Bucket=self.bucket, Key="bench/" + key)["Body"])

    def upload(self, key: str, path: str) -> object:
        with open(path, "rb") as file:
            return self.client.put_object(Bucket=self.bucket, Key="bench/" + key, Body=file)

    def download(self, key: str, path: str) -> object:
        body = self.client.get_object(Bucket=self.bucket, Key="bench/" + key)["Body"]
        with open(path, "wb") as file:
            while chunk := body.read(1024 * 1024):
                file.write(chunk)
        return None


def obstore_store(server: S3Server, endpoint: str) -> Any:
    from obstore.store import S3Store

    options: dict[str, Any] = {"allow_http": True}
    if endpoint.startswith("https:"):
        options["root_certificate"] = Path(os.environ["AWS_CA_BUNDLE"]).read_bytes()
    return S3Store(
        server.bucket,
        prefix="bench",
        endpoint=endpoint,
        region=server.region,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        client_options=options,
    )


class Obstore(Peer):
    name = package = "obstore"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        self.store = obstore_store(server, endpoint)

    def put(self, key: str, data: bytes) -> object:
        return self.store.put(key, data)

    def get(self, key: str) -> bytes:
        return bytes(self.store.get(key).bytes())

    def exists(self, key: str) -> bool:
        return bool(self.store.head(key))

    def delete(self, key: str) -> object:
        return self.store.delete(key)

    def delete_many(self, keys: list[str]) -> object:
        return self.store.delete(keys)

    def count(self, prefix: str) -> int:
        return sum(len(page) for page in self.store.list(prefix, chunk_size=1000))

    def read(self, key: str) -> int:
        import obstore

        return _pieces(obstore.open_reader(self.store, key, buffer_size=8 * 1024 * 1024))

    def upload(self, key: str, path: str) -> object:
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

    def read(self, key: str) -> int:
        with self.opener(self.root + key, "rb", transport_params={"client": self.client}) as file:
            return _pieces(file)

    exists = Peer.exists
    delete = Peer.delete
    delete_many = Peer.delete_many
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


class FastS3(Peer):
    """Batches only: what a client costs that does nothing else."""

    name = "fast-s3"
    package = "fast-s3"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        self.options = {
            "endpoint_url": endpoint,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "region_name": server.region,
            "bucket_name": server.bucket,
            "addressing_style": "path",
        }

    def get_many(self, keys: list[str]) -> int:
        from fast_s3 import Fetcher

        found = Fetcher(paths=["bench/" + key for key in keys], ordered=True, **self.options)
        return sum(len(file.content) for file in found)

    def set_many(self, items: dict[str, bytes]) -> object:
        from fast_s3 import Uploader

        with Uploader(**self.options) as uploader:
            uploader.queue_upload(source=list(items.values()), destination=["bench/" + key for key in items])
            return uploader.await_upload()


class Pyreqwest(Peer):
    """A URL that was signed before, through a Rust client that knows no S3: what sending and receiving cost there."""

    name = "pyreqwest, signed before"
    package = "pyreqwest"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        from pyreqwest.client import SyncClientBuilder

        builder = SyncClientBuilder()
        if endpoint.startswith("https:"):
            builder = builder.add_root_certificate_pem(Path(os.environ["AWS_CA_BUNDLE"]).read_bytes())
        self.client = builder.build()
        self.boto3, self.bucket = boto3_client(server, endpoint, signature_version="s3v4"), server.bucket
        self.urls: dict[tuple[str, str], str] = {}

    def _url(self, method: str, key: str) -> str:
        url = self.urls.get((method, key))
        if url is None:
            params = {"Bucket": self.bucket, "Key": "bench/" + key}
            url = self.urls[method, key] = self.boto3.generate_presigned_url(method, Params=params)
        return url

    def get(self, key: str) -> bytes:
        answer = self.client.get(self._url("get_object", key)).build().send()
        return bytes(answer.bytes())

    def exists(self, key: str) -> bool:
        return bool(self.client.head(self._url("head_object", key)).build().send().status == 200)


class Expat(Peer):
    """Signed requests for pages, and expat: the least that a listing in Python takes."""

    name = "bare client with expat"

    def __init__(self, server: S3Server, endpoint: str) -> None:
        import http.client
        from urllib.parse import urlsplit

        self.boto3, self.bucket = boto3_client(server, endpoint, signature_version="s3v4"), server.bucket
        self.connection = http.client.HTTPConnection(urlsplit(endpoint).netloc)

    def count(self, prefix: str) -> int:
        count, token = 0, ""
        while True:
            params = {"Bucket": self.bucket, "Prefix": "bench/" + prefix, "MaxKeys": 1000}
            if token:
                params["ContinuationToken"] = token
            url = self.boto3.generate_presigned_url("list_objects_v2", Params=params)
            self.connection.request("GET", url)
            keys, token = _page(self.connection.getresponse().read())
            count += len(keys)
            if not token:
                return count


def _page(body: bytes) -> tuple[list[str], str]:
    from xml.parsers.expat import ParserCreate

    keys: list[str] = []
    text: list[str] = []
    token = ""

    def begin(*_: object) -> None:
        text.clear()

    def end(name: str) -> None:
        nonlocal token
        if name == "Key":
            keys.append("".join(text))
        elif name == "NextContinuationToken":
            token = "".join(text)

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text.append
    parser.Parse(body, True)
    return keys, token


SMALL = [Ours, Boto3, Obstore, Pyreqwest, OpenDAL, SmartOpen, Cloudpathlib, Minio]
