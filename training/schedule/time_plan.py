"""Time plans: on which days at which times rounds may start, and the moments these make.

The moments are counted on the calendar of the plan's zone, where a day may lack an hour or have one
twice. Pure: knows no database and no clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

FURTHEST = 9
"""Days looked at in one direction: a plan is weekly, and a moment may move to the next day."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """``days``: 0 is Monday, as in Python; ``times`` are those of ``zone``'s clocks."""

    days: tuple[int, ...]
    times: tuple[time, ...]
    zone: str

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> Plan | None:
        """The plan that a row holds; None where it holds none."""
        if not data:
            return None
        times = (time.fromisoformat(text) for text in data["times"])
        return cls(tuple(sorted(data["days"])), tuple(sorted(times)), data["zone"])

    def as_dict(self) -> dict[str, Any]:
        return {
            "days": list(self.days),
            "times": [f"{moment:%H:%M}" for moment in self.times],
            "zone": self.zone,
        }


def latest_window(plan: Plan, *, after: datetime, until: datetime) -> datetime | None:
    """The last moment of ``plan`` later than ``after`` and not later than ``until``."""
    for day in _days(plan, until, step=-1):
        for moment in reversed(_moments(plan, day)):
            if after < moment <= until:
                return moment
    return None


def next_window(plan: Plan, *, now: datetime) -> datetime | None:
    """The first moment of ``plan`` that is still to come."""
    for day in _days(plan, now, step=1):
        for moment in _moments(plan, day):
            if moment > now:
                return moment
    return None


def _days(plan: Plan, around: datetime, *, step: int) -> Iterator[date]:
    """The plan's calendar, away from ``around``; from a day beyond it, for moments that moved."""
    today = around.astimezone(ZoneInfo(plan.zone)).date()
    return (today + timedelta(days=step * back) for back in range(-1, FURTHEST))


def _moments(plan: Plan, day: date) -> list[datetime]:
    """The plan's moments on ``day``, in UTC, in order, none twice.

    A time that the clocks jump over comes as much later as they jump; of a time that comes
    twice, the first counts.
    """
    if day.weekday() not in plan.days:
        return []
    zone = ZoneInfo(plan.zone)
    local = (
        datetime.combine(day, time_of_day, zone) for time_of_day in plan.times
    )  # fold 0: the first of two
    return sorted({moment.astimezone(UTC) for moment in local})
