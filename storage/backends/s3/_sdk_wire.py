"""Sends requests through boto3's client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from storage import _stop
from storage._backend import trace
from storage.backends._http import Answer
from storage.backends.s3._calls import Call
from storage.backends.s3._headers import META
from storage.exceptions import UnsupportedOperationError

# The SDK names the kind of listing itself, and counts a checksum whose algorithm is named.
_SDKS_OWN: Final = ("list-type", "x-amz-checksum-crc32")
_SUMS: Final = ("content-md5", "x-amz-sdk-checksum-algorithm")  # which it adds where a request must have one


class _Raw(threading.local):
    """Whether this thread wants answers unparsed: the client is also the user's, whose answers stay as they are."""

    wanted: bool = False


_raw = _Raw()
_BODY: Final = "storage-body"


def keep_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Keeps an answer's body from botocore's parser, and hands it on as it is."""
    if _raw.wanted and response_dict["status_code"] < 300:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"<Result/>"


class SdkWire:
    """Sends requests through boto3's client, so that whatever its user configured or registered takes part."""

    def __init__(self, client: Callable[[], Any], bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def send(self, call: Call, *, stream: bool = False) -> SdkAnswer:
        """Makes a request; ``stream``: the answer's body is left to ``read``. Raises what botocore raises."""
        _stop.check()
        client = self._client()
        parameters = self._parameters(client, call)
        _raw.wanted = not stream
        try:
            response = getattr(client, call.name)(**parameters)
        finally:
            _raw.wanted = False
        trace.request_id = response["ResponseMetadata"].get("RequestId")
        answer = SdkAnswer(response)
        if not stream:
            answer.load()
        return answer

    def _parameters(self, client: Any, call: Call) -> dict[str, Any]:
        """The call as boto3's client takes it, by the names in botocore's own description of S3."""
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[call.name])
        members = {
            shape.serialization["name"].lower(): (name, shape.type_name)
            for name, shape in model.input_shape.members.items()
            if shape.serialization.get("location") in ("header", "querystring")
        }
        parameters: dict[str, Any] = {"Bucket": self._bucket}
        if call.path is not None:
            parameters["Key"] = call.path
        metadata = {name[len(META) :]: value for name, value in call.headers.items() if name.startswith(META)}
        if metadata:
            parameters["Metadata"] = metadata
        for name, value in (*call.headers.items(), *parse_qsl(call.query)):
            if name.startswith(META) or name in _SDKS_OWN:
                continue
            if name.lower() in members:
                parameter, kind = members[name.lower()]
                parameters[parameter] = int(value) if kind in ("integer", "long") else value
            elif name not in _SUMS:
                raise UnsupportedOperationError(f"{name}: this version of boto3 cannot send it; install a newer one")
        parameters.update(self._body(call))
        if "CopySource" in parameters:
            bucket, _, key = unquote(parameters["CopySource"]).partition("/")
            parameters["CopySource"] = {"Bucket": bucket, "Key": key}
        return parameters

    @staticmethod
    def _body(call: Call) -> dict[str, Any]:
        if call.document is not None:
            return call.document()
        return {"Body": bytes(call.body)} if call.body else {}


class SdkAnswer(Answer):
    """An answer of boto3's client. botocore compares what came with what was announced when ``read`` gives ``b""``."""

    def __init__(self, response: dict[str, Any]) -> None:
        metadata = response["ResponseMetadata"]
        headers: Mapping[str, str] = metadata["HTTPHeaders"]
        length = headers.get("content-length", "")
        body, self._stream = response.get(_BODY, b""), response.get("Body")
        super().__init__(metadata["HTTPStatusCode"], headers, body, int(length) if length.isdigit() else None)

    def load(self) -> None:
        if self._stream is not None:
            try:
                self.body = self._stream.read()
            finally:
                self._stream.close()

    def read(self, size: int) -> bytes:
        return b"" if self._stream is None else self._stream.read(size)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
