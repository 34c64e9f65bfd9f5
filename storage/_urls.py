"""Parses URLs and their query, and finds the factory of a scheme. Opens no connection."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from storage._backend import Factory
from storage._frozen import Frozen
from storage.exceptions import ConfigurationError, MissingDependencyError

ENTRY_POINTS: Final = "storage.backends"

Kind = type[str] | type[bool] | type[int] | tuple[str, ...] | Callable[[str], Any]


class Driver(NamedTuple):
    """The module with a scheme's ``create(url, *, auth, retries, timeout)``, and the extra that installs its packages."""

    module: str
    extra: str | None = None


# A driver's module, and with it its SDK, is imported when its scheme is first used.
DRIVERS: Final = {
    "file": Driver("storage.backends.filesystem"),
    "gcs": Driver("storage.backends.gcs", "gcs"),
    "gs": Driver("storage.backends.gcs", "gcs"),
    "gs+google": Driver("storage.backends.gcs", "gcs"),
    "memory": Driver("storage.backends.memory"),
    "s3": Driver("storage.backends.s3", "s3"),
    "s3+boto3": Driver("storage.backends.s3", "s3"),
}

# A scheme ``NAME+SCHEME`` is a backend around that of SCHEME.
WRAPPERS: Final = {
    "cached": Driver("storage.backends.cached"),
    "readonly": Driver("storage.backends.readonly"),
}

_HOST = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?", re.ASCII)
_NO_BLANKS = re.compile(r"[!-~]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_registered: dict[str, Factory] = {}


class StorageURL(Frozen):
    """A parsed URL.

    Attributes:
        scheme: in lower case.
        bucket: what stands between ``//`` and the next slash.
        path: what follows, percent-decoded once, without the first slash.
        query: the parameters, percent-decoded; each given once.
    """

    scheme: str
    bucket: str
    path: str
    query: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> StorageURL:
        """Parses ``SCHEME://BUCKET/PATH?NAME=VALUE&…``.

        Raises:
            ConfigurationError: no scheme, a fragment, a user name, a repeated parameter, or an escape that is not UTF-8. No
                message repeats what may be a secret.
        """
        scheme, separator, rest = text.partition("://")
        scheme = scheme.lower()
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ConfigurationError(
                f"the URL {_shown(text)} has no scheme; write file:///absolute/dir (or pass a pathlib.Path), memory://, "
                "s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
            )
        if not rest.isascii() and any("\ud800" <= char <= "\udfff" for char in rest):
            raise ConfigurationError(f"{scheme}:// URL: it has a lone surrogate, which is no text; pass a pathlib.Path")
        if "#" in rest:
            raise ConfigurationError(f"{scheme}:// URL: it has a '#', which begins a fragment; write it as %23")
        rest, _, query = rest.partition("?")
        bucket, _, path = rest.partition("/")
        if "@" in bucket:
            raise ConfigurationError(
                f"{scheme}:// URL: a user name or password does not belong in a URL; pass auth=… or use the environment"
            )
        return cls(scheme, _decode(scheme, bucket), _decode(scheme, path), _parse_query(scheme, query))

    @classmethod
    def from_path(cls, path: str | bytes | os.PathLike[Any]) -> StorageURL:
        """The ``file://`` URL of a directory, taken literally (a relative one from the current directory)."""
        return cls("file", "", os.path.abspath(os.fsdecode(path)).lstrip("/"), {})

    def without(self, *names: str) -> StorageURL:
        """The same URL without some of its query parameters."""
        return self.__replace__(query={name: value for name, value in self.query.items() if name not in names})

    def options(self, **kinds: Kind) -> dict[str, Any]:
        """The query parameters, parsed and checked: what a factory calls, also a third party's.

        Args:
            kinds: for each parameter that is allowed, what it is: ``str`` (not empty), ``bool`` (``true`` or ``false``),
                ``int``, a tuple of the values allowed, or a function from the text that raises ``ValueError`` with a reason.

        Returns:
            A value for each of ``kinds``; ``None`` where it is not given.

        Raises:
            ConfigurationError: a parameter that is not in ``kinds``, or a value that does not parse.
        """
        unknown = sorted(set(self.query) - set(kinds))
        if unknown:
            allowed = ", ".join(sorted([*kinds, "types"]))
            raise ConfigurationError(f"{self}: unknown query parameter {unknown[0]!r}; allowed are {allowed}")
        return {name: self._option(name, kind) for name, kind in kinds.items()}

    def _option(self, name: str, kind: Kind) -> Any:
        text = self.query.get(name)
        if text is None:
            return None
        try:
            if kind is bool:
                return {"true": True, "false": False}[text]
            if isinstance(kind, tuple):
                return {choice: choice for choice in kind}[text]
            if kind is str and not text:
                raise ValueError("it is empty")  # noqa: TRY301
            return kind(text)
        except KeyError:
            choices = ("true", "false") if kind is bool else kind
            reason = f"use {' or '.join(map(repr, choices))}"  # type: ignore[arg-type]
        except ValueError as exc:
            reason = "use a whole number" if kind is int else str(exc)
        raise ConfigurationError(f"{self}: query parameter {name!r}: {reason}")

    def __str__(self) -> str:
        """The URL without its query, which may hold what should not be shown."""
        return f"{self.scheme}://{_quote(self.bucket, '')}{'/' if self.path else ''}{_quote(self.path)}"

    def full(self) -> str:
        """The URL with its query; ``parse`` gives back an equal one."""
        query = "&".join(f"{_quote(name, '')}={_quote(value, '/:,')}" for name, value in self.query.items())
        return f"{self.scheme}://{_quote(self.bucket, '')}/{_quote(self.path)}{'?' if query else ''}{query}"


def endpoint(text: str) -> str:
    """The kind of an ``endpoint_url`` parameter: ``http://HOST[:PORT]`` or ``https://…``, without user name and query."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    host = parts.hostname or ""
    is_url = parts.scheme in ("http", "https") and (":" in host or _HOST.fullmatch(host))
    if not is_url or not _NO_BLANKS.fullmatch(text) or parts.query or parts.fragment:
        raise ValueError("use http://HOST[:PORT] or https://HOST[:PORT]")
    if "@" in parts.netloc:
        raise ValueError("a user name or password does not belong in a URL; pass auth=… or use the environment")
    return text.rstrip("/")


def register(scheme: str, factory: Factory) -> None:
    """Makes ``Storage("SCHEME://…")`` use ``factory``, in this process. A package does it with an entry point instead.

    Args:
        scheme: lower case, as in a URL; registering it again replaces the factory.
        factory: ``factory(url, *, auth, retries, timeout) -> Backend``, which gets a :class:`StorageURL` and checks its
            query with :meth:`StorageURL.options`.

    Raises:
        ConfigurationError: not a scheme, or a built-in one.
    """
    if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
        raise ConfigurationError(f"scheme {scheme!r}: use a-z, then a-z, 0-9, '+', '.' or '-'")
    if scheme in DRIVERS or scheme.partition("+")[0] in WRAPPERS:
        raise ConfigurationError(f"scheme {scheme!r} is built in; register another name")
    if not callable(factory):
        raise ConfigurationError(
            f"scheme {scheme!r}: the factory is a {type(factory).__name__}, which cannot be called"
        )
    _registered[scheme] = factory


def factory_for(scheme: str) -> Factory:
    """The factory of a scheme: built in, registered, or an entry point of an installed package.

    Raises:
        ConfigurationError: there is no such scheme.
        MissingDependencyError: the driver's package is not installed; the message has the ``pip`` line.
    """
    driver = DRIVERS.get(scheme) or (WRAPPERS.get(scheme.partition("+")[0]) if "+" in scheme else None)
    if driver is not None:
        try:
            return importlib.import_module(driver.module).create  # type: ignore[no-any-return]
        except ModuleNotFoundError as exc:
            if driver.extra is None or exc.name is None or exc.name.partition(".")[0] == "storage":
                raise
            raise MissingDependencyError(
                f"{scheme}:// needs the package {exc.name.partition('.')[0]!r}: pip install 'storage-facade[{driver.extra}]'"
            ) from exc
    if scheme in _registered:
        return _registered[scheme]
    from importlib.metadata import entry_points  # 40 ms, which the built-in schemes never need

    found = entry_points(group=ENTRY_POINTS)
    for point in found:
        if point.name == scheme:
            return point.load()  # type: ignore[no-any-return]
    known = ", ".join(f"{name}://" for name in sorted({*DRIVERS, *_registered, *found.names}))
    raise ConfigurationError(f"unknown scheme {scheme!r}; there are {known}")


def _parse_query(scheme: str, text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for item in filter(None, text.split("&")):
        name, separator, value = item.partition("=")
        name = _decode(scheme, name)
        if not separator:
            raise ConfigurationError(f"{scheme}:// URL: query parameter {name!r} has no value; write {name}=VALUE")
        if name in query:
            raise ConfigurationError(f"{scheme}:// URL: query parameter {name!r} is given twice; give it once")
        query[name] = _decode(scheme, value)
    return query


def _shown(text: str, most: int = 100) -> str:
    """A text that is no URL, as a message may show it: without anything that may be a secret."""
    text = text.partition("?")[0]
    if "@" in text or not text:
        return "that was given"
    return repr(text if len(text) <= most else f"{text[: most - 1]}…")


def _decode(scheme: str, text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # 4 ms, which import need not take

    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{scheme}:// URL: a percent escape in it is not UTF-8; a pathlib.Path is taken literally"
        ) from None


def _quote(text: str, safe: str = "/") -> str:
    from urllib.parse import quote

    return quote(os.fsencode(text), safe)
