"""What Cloud Storage tells browsers, by the CORS rules of a bucket. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cors_headers"]

SIMPLE = {"accept", "accept-language", "content-language"}


def cors_headers(rules: Sequence[Mapping[str, Any]], method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers to add to an answer; none where no rule matches, and then the browser refuses.

    A rule's ``responseHeader`` is both what a request may send and what a page may read.
    """
    origin = headers.get("origin")
    if origin is None:
        return {}
    wanted = headers.get("access-control-request-method", "") if method == "OPTIONS" else method
    asked = {
        name.strip().lower() for name in headers.get("access-control-request-headers", "").split(",") if name.strip()
    }
    for rule in rules:
        if wanted not in rule.get("method", ()) or not {"*", origin} & set(rule.get("origin", ())):
            continue
        names = list(rule.get("responseHeader", ()))
        if not asked <= {name.lower() for name in names} | SIMPLE:
            continue
        found = {
            "Access-Control-Allow-Origin": origin,
            "Vary": "Origin",
            "Access-Control-Expose-Headers": ", ".join(names),
        }
        if method == "OPTIONS":
            found["Access-Control-Allow-Methods"] = ", ".join(rule["method"])
            found["Access-Control-Allow-Headers"] = ", ".join(names)
            found["Access-Control-Max-Age"] = str(rule.get("maxAgeSeconds", 3600))
        return found
    return {}
