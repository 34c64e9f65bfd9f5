"""Sets up the bucket: makes it, its CORS rule, and the lifecycle rule of the blobs that expire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from storage._backend import Setup
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._headers import JSON
from storage.backends.gcs._requests import Session
from storage.exceptions import ConfigurationError, UnavailableError

_METHODS: Final = ["GET", "HEAD", "PUT", "POST"]
# What a page may send: every header that `sign_upload` asks for. And what it may read: the rest of what an upload answers.
_HEADERS: Final = [
    "Content-Type", "Content-MD5", "x-goog-content-length-range", "x-goog-if-generation-match", "Range",
    "ETag", "Content-Length", "Content-Range", "x-goog-generation",
]  # fmt: skip
_MAX_AGE: Final = 3600
_RACES: Final = 5

Rule = dict[str, Any]


def exists(session: Session) -> bool:
    """Whether the bucket is there."""
    try:
        session.call("GET", f"{session.connection.bucket}?fields=name", parse=_named(session))
    except native() as exc:
        if status_of(exc) == 404:
            return False
        raise
    return True


def _named(session: Session) -> Callable[[Answer], None]:
    def parse(answer: Answer) -> None:
        if _answers.required(_answers.json_object(answer), "name") != session.settings.bucket:
            _answers.malformed("the description of another bucket")

    return parse


def setup(session: Session, wanted: Setup) -> list[str]:
    """Does what ``wanted`` asks for; a line for each change."""
    done: list[str] = []
    if wanted.create_bucket:
        done += _create(session)
    if wanted.cors_origins is not None:
        origins = wanted.cors_origins
        done += _change(session, "cors", lambda rules: _with_cors(rules, origins))
    if wanted.tmp_days is not None:
        days, prefix = wanted.tmp_days, wanted.tmp_prefix or ""
        done += _change(session, "lifecycle", lambda rules: _with_expiry(rules, prefix, days))
    return done


def _create(session: Session) -> list[str]:
    if exists(session):
        return []
    name = session.settings.bucket
    target = f"/storage/v1/b?project={quote(_project(session), safe='')}&fields=name"
    try:
        session.call("POST", target, json.dumps({"name": name}).encode(), JSON, parse=_named(session))
    except native() as exc:
        # 409: somebody has just made it, perhaps an earlier try of ours; or somebody else's bucket has this name.
        if status_of(exc) != 409 or not exists(session):
            raise
        return []
    return [f"made bucket {name!r}"]


def _project(session: Session) -> str:
    authority = session.connection.authority
    project = session.settings.project or getattr(getattr(authority, "credentials", None), "project_id", None)
    if not project and authority is not None and session.settings.credentials is None:
        import google.auth  # 30 ms

        try:
            project = google.auth.default()[1]
        except google.auth.exceptions.DefaultCredentialsError:
            project = None
    if not project:
        raise ConfigurationError(
            f"gs://{session.settings.bucket}: a bucket belongs to a project; give it, as in gs://BUCKET?project=NAME, "
            "or set GOOGLE_CLOUD_PROJECT"
        )
    return str(project)


def _change(session: Session, field: str, change: Callable[[list[Rule]], tuple[list[Rule], list[str]]]) -> list[str]:
    """Reads the rules, changes them, and writes them under the condition that nobody else has changed them meanwhile."""
    target = f"{session.connection.bucket}?fields={field},metageneration"
    conflict: BaseException | None = None

    def parse(answer: Answer) -> tuple[list[Rule], str]:
        return _rules(_answers.json_object(answer), field)

    for _ in range(_RACES):
        before, version = session.call("GET", target, parse=parse)
        after, lines = change(before)
        if after == before:
            return []
        body = {"cors": after} if field == "cors" else {"lifecycle": {"rule": after}}
        try:
            told, _ = session.call(
                "PATCH", f"{target}&ifMetagenerationMatch={version}", json.dumps(body).encode(), JSON, parse=parse
            )
        except native() as exc:
            if status_of(exc) != 412:
                raise
            conflict = exc
            continue
        if told != after:
            raise UnavailableError(f"gs://{session.settings.bucket}: the service did not store these {field} rules")
        return lines
    raise UnavailableError(
        f"gs://{session.settings.bucket}: others keep changing its {field} rules; try again"
    ) from conflict


def _rules(bucket: dict[str, Any], field: str) -> tuple[list[Rule], str]:
    """The rules of a bucket, and the version that they are of."""
    rules = bucket.get(field) or []
    if field == "lifecycle":
        rules = (rules.get("rule") or []) if type(rules) is dict else rules
    if type(rules) is not list or not all(type(rule) is dict for rule in rules):
        _answers.malformed(f"the {field} rules of a bucket are malformed")
    return rules, _answers.number(bucket, "metageneration")


def _with_cors(rules: list[Rule], origins: tuple[str, ...]) -> tuple[list[Rule], list[str]]:
    ours: Rule = {"origin": list(origins), "method": _METHODS, "responseHeader": _HEADERS, "maxAgeSeconds": _MAX_AGE}
    kept = [rule for rule in rules if {**rule, "origin": None} != {**ours, "origin": None}]
    if not origins:
        return kept, ["removed the CORS rule of this library"]
    return _with_ours(rules, kept, ours, f"browsers on {', '.join(origins)} may GET, HEAD and PUT")


def _with_expiry(rules: list[Rule], prefix: str, days: int) -> tuple[list[Rule], list[str]]:
    def is_ours(rule: Rule) -> bool:
        condition = rule.get("condition")
        if rule.get("action") != ours["action"] or type(condition) is not dict:
            return False
        return {**condition, "age": None} == {**ours["condition"], "age": None}

    ours: Rule = {"action": {"type": "Delete"}, "condition": {"age": days, "matchesPrefix": [prefix]}}
    kept = [rule for rule in rules if not is_ours(rule)]
    return _with_ours(rules, kept, ours, f"blobs under {prefix!r} expire after {days} day{'s' if days != 1 else ''}")


def _with_ours(rules: list[Rule], kept: list[Rule], ours: Rule, line: str) -> tuple[list[Rule], list[str]]:
    """The rules with ``ours`` in place of those that are not ``kept``, and what that changes."""
    if ours in rules and len(kept) == len(rules) - 1:
        return rules, []
    return [*kept, ours], [line]
