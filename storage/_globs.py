"""Matches keys against the patterns of ``include`` and ``exclude``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class Filter:
    r"""Says which keys are meant, by patterns.

    A key is taken if it matches one of ``include`` (or there is none) and none of ``exclude``. In a pattern ``*`` and ``?``
    stand for anything but a slash, ``**`` for anything, ``[abc]`` for one character; ``\`` takes the next one literally. A
    pattern with a slash is matched against the whole key, one without against the last segment; one that ends in a slash
    takes everything below.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self.include, self.exclude = _patterns("include", include), _patterns("exclude", exclude)
        self._included, self._excluded = _matcher("include", self.include), _matcher("exclude", self.exclude)

    def __call__(self, key: str) -> bool:
        if self._included is not None and self._included(key) is None:
            return False
        return self._excluded is None or self._excluded(key) is None

    def __reduce__(self) -> tuple[type[Filter], tuple[tuple[str, ...], tuple[str, ...]]]:
        return Filter, (self.include, self.exclude)


def _patterns(name: str, patterns: Iterable[str]) -> tuple[str, ...]:
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise TypeError(f"{name} must be a list of patterns, not {patterns!r:.60}")
    found = tuple(patterns)
    if not all(isinstance(pattern, str) and pattern for pattern in found):
        raise ValueError(f"{name}: a pattern must be a str that is not empty")
    return found


def _matcher(name: str, patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{_regex(name, pattern)})" for pattern in patterns), re.DOTALL).fullmatch


def _regex(name: str, pattern: str) -> str:
    whole = "/" in pattern.removesuffix("/")
    if pattern.endswith("/"):
        pattern += "**"
    text, index = "", 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if pattern.startswith("**/", index - 1) and (index == 1 or pattern[index - 2] == "/"):
            text, index = text + "(?:.*/)?", index + 2
        elif pattern.startswith("**", index - 1):
            text, index = text + ".*", index + 1
        elif char == "*":
            text += "[^/]*"
        elif char == "?":
            text += "[^/]"
        elif char == "[":
            part, index = _class(name, pattern, index)
            text += part
        elif char == "\\" and index < len(pattern):
            text, index = text + re.escape(pattern[index]), index + 1
        else:
            text += re.escape(char)
    return text.removeprefix("/") if whole else f"(?:.*/)?{text}"


def _class(name: str, pattern: str, index: int) -> tuple[str, int]:
    """The regular expression of a ``[class]`` whose bracket stands before ``index``, and the index after it."""
    end = pattern.find("]", index + 1 if pattern[index : index + 1] not in ("!", "^") else index + 2)
    if end < 0:
        raise ValueError(f"{name} {pattern!r}: a '[' is not closed; write '[[]' for the character itself")
    body = pattern[index:end]
    negated = body[:1] in ("!", "^")
    body = body[1:] if negated else body
    escaped = body.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^").replace("&", "\\&").replace("~", "\\~")
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        raise ValueError(f"{name} {pattern!r}: [{body}] is no class of characters") from None
    return (f"(?!/)[^{escaped}]" if negated else f"[{escaped}]"), end + 1
