"""Every use of an undocumented name of botocore, boto3 and moto; ``tests/s3/test_sdk.py`` fails when one disappears."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import FunctionType
from typing import Any, Final

# What tests and tracers replace: where one of these is not botocore's own, a request must pass through it.
_PARTS: Final = (
    ("botocore.client", "BaseClient", "__init__"),
    ("botocore.client", "BaseClient", "_make_api_call"),
    ("botocore.endpoint", "Endpoint", "_send"),
    ("botocore.httpsession", "URLLib3Session", "send"),
    ("botocore.awsrequest", "AWSConnection", "request"),
)
_CONNECTIONS: Final = ("AWSHTTPConnection", "AWSHTTPSConnection")
_OURS: Final = ("boto3.", "botocore.", "s3transfer.", "storage.backends.s3.")


# Those parts, once all of them were found to be botocore's own: where each was, by which name, and what it was.
_own: list[tuple[Mapping[str, Any], str, object]] = []


def intercepted() -> bool:
    """Whether something stands between botocore and the network at this moment: ``mock_aws``, a patched method, a recorder.

    Each request asks, so what was found once is only compared.
    """
    modules = sys.modules
    moto = modules.get("moto.core.models")
    if moto is not None and moto.botocore_stubber.enabled:
        return True
    if "botocore.client" not in modules:
        return False
    for place, name, part in _own:
        if place.get(name) is not part:
            return _is_replaced()
    return not _own and _is_replaced()


def _is_replaced() -> bool:
    """Whether one of the parts is somebody's; else, once botocore is loaded whole, they are remembered."""
    modules = sys.modules
    found: list[tuple[Mapping[str, Any], str, Any]] = [(modules, "botocore.client", modules["botocore.client"])]
    for module, owner, name in _PARTS:
        kind = getattr(modules.get(module), owner, None)
        part = getattr(kind, name, None)
        if part is None:
            return False  # another thread is importing it
        if type(part) is not FunctionType or part.__module__ != module:
            return True
        found += (vars(modules[module]), owner, kind), (vars(kind), name, part)
    requests = vars(modules["botocore.awsrequest"])
    connections = [(requests, name, requests[name]) for name in _CONNECTIONS]
    if any(kind.__module__ != "botocore.awsrequest" for _, _, kind in connections):
        return True
    _own[:] = [*found, *connections]
    return False


def is_foreign(handler: object) -> bool:
    """Whether an event handler is somebody's own: not botocore's, boto3's or this driver's.

    moto's is known, and counts while it is switched on; that of botocore's ``Stubber`` answers in a test's place.
    """
    owner: Any = getattr(handler, "func", handler)  # a partial
    owner = getattr(owner, "__self__", owner)  # a bound method
    module = owner.__module__ if isinstance(owner, (FunctionType, type)) else type(owner).__module__
    if module == "moto.core.botocore_stubber":
        return False
    return not f"{module}.".startswith(_OURS) or module == "botocore.stub"


def strangers(emitter: Any) -> bool:
    """Whether any handler that is registered at an emitter is foreign."""
    return any(is_foreign(handler) for handler in _handlers(_hierarchy(emitter)._handlers._root))  # noqa: SLF001


def _hierarchy(emitter: Any) -> Any:
    return getattr(emitter, "_emitter", emitter)  # a client's translates names first


def _handlers(node: dict[str, Any]) -> Iterator[object]:
    for group in node["values"] or ():
        yield from group
    for child in node["children"].values():
        yield from _handlers(child)


def watch(emitter: Any, told: Callable[[], object]) -> None:
    """Calls ``told`` when a foreign handler is registered at a client's emitter from now on."""

    def watched(register: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(event_name: str, handler: Any, *args: Any, **kwargs: Any) -> Any:
            if is_foreign(handler):
                told()
            return register(event_name, handler, *args, **kwargs)

        return wrapper

    for name in ("register", "register_first", "register_last"):
        setattr(emitter, name, watched(getattr(emitter, name)))


def core_of(session: Any) -> Any:
    """The ``botocore.session.Session`` in a ``boto3.Session``."""
    return session._session  # noqa: SLF001


def expiry_of(credentials: Any) -> datetime | None:
    """When credentials end; ``None``: never, or they do not say."""
    end = getattr(credentials, "_expiry_time", None)
    return end if isinstance(end, datetime) else None
