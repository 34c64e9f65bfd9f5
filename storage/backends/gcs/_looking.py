"""Reads the current version of a blob and its age, to find out what a write did whose answer was lost."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from storage.backends._http import Answer, iso_time
from storage.backends.gcs import _answers
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._requests import Session

_SKEW: Final = timedelta(seconds=2)  # between the clocks of two of the service's machines


class Look(NamedTuple):
    """A blob as it was found."""

    resource: dict[str, Any]  # as the service describes it
    date: datetime | None  # when it said so, by its own clock; None: it did not tell
    monotonic: float  # when the answer was here, by ours

    @property
    def generation(self) -> str:
        """The blob's generation."""
        return str(self.resource["generation"])

    @property
    def metageneration(self) -> str:
        """The blob's metageneration, which changes with its metadata."""
        return _answers.number(self.resource, "metageneration")

    def existed(self, began: float) -> bool:
        """Whether this version was certainly there when ``time.monotonic()`` was ``began``.

        Only the service's own clock is used, and how long ago ``began`` is.
        """
        if self.date is None:
            return False
        return iso_time(self.resource["timeCreated"]) < self.date - timedelta(seconds=self.monotonic - began) - _SKEW


def look(session: Session, path: str) -> Look | None:
    """The blob that is there now, with its metageneration; ``None``: there is none."""

    def parse(answer: Answer) -> Look:
        found = _answers.told(answer, path)
        _answers.stat_of(found)  # raises for what is no blob's
        return Look(found, _answers.time_of(answer, "date"), time.monotonic())

    target = f"{session.connection.objects}{session.object(path)}"
    fields = f"{_answers.FIELDS},metageneration"
    try:
        return session.call("GET", f"{target}?prettyPrint=false&fields={fields}", parse=parse)
    except native() as exc:
        if status_of(exc) == 404:
            return None
        raise
