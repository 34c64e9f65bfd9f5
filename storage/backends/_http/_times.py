"""Parses the times in headers, and those in JSON and XML. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Final

_MONTHS: Final = dict(zip("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13), strict=True))  # noqa: SIM905


@lru_cache(maxsize=64)  # many answers have the same, and a change of the second is one miss
def http_date(text: str) -> datetime | None:
    """The time in a header; ``None``: it cannot be parsed."""
    try:
        # "Sun, 22 Nov 2026 19:05:11 GMT": what every server sends.
        return datetime(
            int(text[12:16]),
            _MONTHS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=timezone.utc,
        )
    except (ValueError, KeyError):
        from email.utils import parsedate_to_datetime  # 9 ms, for the other forms that are allowed

        try:
            moment = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError):
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def iso_time(text: str) -> datetime:
    """An ISO 8601 time in UTC, with any number of digits after the point (Python 3.10 reads three or six).

    Raises:
        ValueError: it cannot be parsed.
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00" if fraction else f"{whole}+00:00")
