"""Writes docs/troubleshooting.md: every message of the library under the advice for it.

    python docs/generate_troubleshooting.py

Messages are found in the source. One that no group takes is an error, so that a new message gets its advice.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"

INTRODUCTION = """# Troubleshooting by message

<!-- Written by `python docs/generate_troubleshooting.py` from the source; do not edit. -->

A message begins with the call, its key, storage type and store, as in `get('a.txt') of type 'data' in s3://bucket/app:`. Then comes what is listed
here, where `…` stands for a value. What the SDK or the system raised stands in brackets at the end, and is the exception's `__cause__`.

`storage doctor --url URL` looks for most of these causes by itself. With `storage --debug COMMAND` a traceback is shown.

**A folder `storage/` of your own** beside your program is imported instead of this library: `ImportError: cannot import name 'Storage'`. Rename it.
"""


class Group(NamedTuple):
    """Messages with one cause and one remedy."""

    title: str
    advice: str
    kinds: str  # a pattern of the names of exceptions
    messages: str = ""  # a pattern of messages


GROUPS = (
    Group(
        "There is no such blob",
        "The key, the storage type or the prefix of the URL is another than you think: `storage ls -r` shows the whole keys. "
        "`delete(missing_ok=True)` and `mapping().get(key)` take absence as an answer.",
        "NotFoundError",
    ),
    Group(
        "There is a blob already, or another version",
        "Another writer was there first, which is what the condition is for: read again, decide, and try again with the new "
        "etag. Where a read raises it, the blob was replaced while it was being read: read it again.",
        "AlreadyExistsError|PreconditionFailedError",
    ),
    Group(
        "The bucket or directory is missing",
        "Check the name in the URL. `storage setup --create-bucket` makes a bucket; a directory is made by the first write, unless "
        "the URL says `create=false`. A path that is a file, or lies below one, cannot be a store.",
        "BucketNotFoundError",
    ),
    Group(
        "Credentials and permissions",
        "`storage doctor` shows which credentials are found and what they may do. The least that a policy must allow stands on the pages "
        "[S3](s3.md) and [Google Cloud Storage](gcs.md). Without leave to list, S3 answers 403 to a question about an absent blob.",
        "PermissionDeniedError|AuthenticationError",
    ),
    Group(
        "Signing",
        "The credentials hold no key that could sign, or a local store's secret cannot be read. On Google Cloud name "
        "`?service_account_email=…` to sign through IAM. On files look at `.storage~/` in the store, or name `?secret_file=`.",
        "SigningError",
    ),
    Group(
        "What stands in the URL",
        "Write the URL as the message says; [keys and storage types](keys-and-types.md) lists the parameters. Credentials go into `auth=` "
        "or the environment, never into the URL.",
        "ConfigurationError",
        r"URL|query parameter|scheme|bucket|directory|host|path|cache|anonymous|profile|sse_kms|types=|url must|file://|server",
    ),
    Group(
        "Arguments of `Storage`",
        "Look at the argument that the message names: [production](production.md) explains timeouts, retries and credentials, "
        "[keys and storage types](keys-and-types.md) the types.",
        "ConfigurationError",
    ),
    Group(
        "Keys and prefixes",
        "A key must work on every backend, so some names are refused everywhere: [keys](keys-and-types.md#keys) lists the rules. "
        "`pathlib` paths: `path.as_posix()`. A bucket that holds other names opens with `?keys=raw`.",
        "InvalidKeyError|InvalidStorageTypeError",
    ),
    Group(
        "A package is missing",
        "Run the `pip install` line of the message, in the environment that runs the program.",
        "MissingDependencyError",
    ),
    Group(
        "The blob is not text",
        "`get` gives text. `get_bytes` gives any blob; `open(key, encoding=…)` reads text in another encoding.",
        "NotTextError",
    ),
    Group(
        "No answer in time, or none at all",
        "Is the address right, and can this machine reach it? The retries are used up. [Production](production.md) explains "
        "timeouts and retries.",
        "StorageTimeoutError",
    ),
    Group(
        "The outcome is unknown",
        "The answer to a write or delete was lost, and another try cannot tell whether the first one did it. Read the blob and decide.",
        "UnavailableError",
        "unknown",
    ),
    Group(
        "The answer is not the service's",
        "Something between this program and the service answered in its place, or cut the answer: a proxy, a login page, a "
        "load balancer, another server at the same address. Ask for the same URL with `curl -v` from the same machine.",
        "UnavailableError",
        r"answer|service's|circle|cut|nobody asked|sent it|tell|whole",
    ),
    Group(
        "The service or the disk is in the way for now",
        "Try again. If it stays: the service's status page, the space and the permissions of the disk, and other programs that change the same "
        "blobs at the same time.",
        "UnavailableError",
    ),
    Group(
        "Bytes that do not match",
        "What came, or what was stored, is not what was sent or asked for. Nothing wrong was returned or published. Try again; "
        "if it stays, something on the way changes bytes or ignores ranges: a proxy, a cache, a faulty server. `Storage.check()` finds some of them.",
        "IntegrityError",
    ),
    Group(
        "The backend cannot do that",
        "The message says what to do instead. [Guarantees](guarantees.md) and the pages of the backends say what each can do.",
        "UnsupportedOperationError",
    ),
    Group(
        "Something of the store itself is damaged",
        "The message names the file. Blobs are not touched by deleting it.",
        "StorageError|SyncError",
    ),
)


def messages() -> Iterator[tuple[str, str]]:
    """The name of the exception and the message of each place in the library that makes one; ``…`` for values."""
    sys.path.insert(0, str(ROOT))
    from storage import exceptions
    from storage._facade.errors import _WORDS

    names = set(exceptions.__all__)
    for kind, words in _WORDS.items():
        yield kind.__name__, words
    for path in sorted((ROOT / "storage").rglob("*.py")):
        if {"testing", "cli"} & set(path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                text = _text(node.args[0])
                if name in names and text is not None:
                    yield name, text


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def page() -> str:
    """The text of the page."""
    found: dict[int, set[str]] = {}
    for name, text in messages():
        for number, group in enumerate(GROUPS):
            if re.fullmatch(group.kinds, name) and re.search(group.messages, text):
                found.setdefault(number, set()).add(re.sub(r"^(… ?:? ?)+", "", text).strip() or text)
                break
        else:
            raise SystemExit(f"no group takes {name}: {text}")
    parts = [INTRODUCTION]
    for number, group in enumerate(GROUPS):
        lines = "\n".join(f"- {_code(text)}" for text in sorted(found.get(number, ()), key=str.lower))
        parts.append(f"## {group.title}\n\n`{group.kinds.replace('|', '`, `')}`\n\n{group.advice}\n\n{lines}\n")
    return "\n".join(parts)


def _code(text: str) -> str:
    text = " ".join(text.split())
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
