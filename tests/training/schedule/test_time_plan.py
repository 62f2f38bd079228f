"""Time plans on real calendars, including days with 23 and 25 hours."""

from datetime import UTC, datetime, time

import pytest

from training.schedule.time_plan import Plan, latest_window, next_window

BERLIN = "Europe/Berlin"
MON_THU = Plan((0, 3), (time(2, 0),), BERLIN)
EARLY = Plan((6,), (time(2, 30),), BERLIN)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("plan", "now", "expected"),
    [
        # 2026-11-16 is a Monday; Berlin is an hour ahead in winter, two in summer
        (MON_THU, "2026-11-16T00:59", "2026-11-16T01:00"),
        (MON_THU, "2026-11-16T01:00", "2026-11-19T01:00"),
        (MON_THU, "2026-07-06T00:00", "2026-07-09T00:00"),
        (Plan((0,), (time(2),), "UTC"), "2026-11-16T03:00", "2026-11-23T02:00"),
        (Plan((0,), (time(2), time(14, 30)), "UTC"), "2026-11-16T03:00", "2026-11-16T14:30"),
        # Sunday 2026-03-29, 02:30 does not exist in Berlin: an hour later, at 03:30
        (EARLY, "2026-03-28T12:00", "2026-03-29T01:30"),
        # Sunday 2026-10-25, 02:30 comes twice: the first one counts, at +2
        (EARLY, "2026-10-24T12:00", "2026-10-25T00:30"),
        (EARLY, "2026-10-25T00:30", "2026-11-01T01:30"),
        # far from Greenwich the day begins at another time
        (Plan((0,), (time(0, 15),), "Pacific/Kiritimati"), "2026-11-15T00:00", "2026-11-15T10:15"),
        (Plan((6,), (time(23, 45),), "Pacific/Pago_Pago"), "2026-11-16T00:00", "2026-11-16T10:45"),
        # half an hour of summer time, and a midnight that the clocks skip
        (Plan((6,), (time(2, 15),), "Australia/Lord_Howe"), "2026-10-03T00:00", "2026-10-03T15:45"),
        (Plan((6,), (time(0, 0),), "America/Santiago"), "2026-09-05T12:00", "2026-09-06T04:00"),
    ],
)
def test_the_next_window(plan, now, expected):
    assert next_window(plan, now=at(now)) == at(expected)


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        ("2026-11-12T01:00", "2026-11-16T00:59", None),
        ("2026-11-12T01:00", "2026-11-16T01:00", "2026-11-16T01:00"),
        ("2026-11-16T01:00", "2026-11-18T23:00", None),
        ("2026-01-01T00:00", "2026-11-18T23:00", "2026-11-16T01:00"),  # the last of many missed
    ],
)
def test_the_latest_window(after, until, expected):
    window = latest_window(MON_THU, after=at(after), until=at(until))
    assert window == (at(expected) if expected else None)


@pytest.mark.parametrize("plan", [EARLY, Plan(tuple(range(7)), (time(2, 30), time(3, 30)), BERLIN)])
def test_every_window_comes_once_in_a_year_of_minutes_that_jump(plan):
    """The window that ``next_window`` gives is what ``latest_window`` finds at that moment."""
    now = at("2026-01-01T00:00")
    count = 0
    while now < at("2027-01-01T00:00"):
        following = next_window(plan, now=now)
        assert following > now
        assert latest_window(plan, after=now, until=following) == following
        now, count = following, count + 1
    # 02:30 on the day without it is 03:30: one moment, not two
    assert count == (53 if plan is EARLY else 2 * 365)


def test_a_plan_survives_its_row():
    assert Plan.from_dict(MON_THU.as_dict()) == MON_THU
    assert Plan.from_dict(None) is None
