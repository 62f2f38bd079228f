from datetime import UTC, datetime, timedelta

import pytest

from training.rounds import is_due

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("new_pairs", "after_pairs", "after_minutes", "minutes_ago", "expected"),
    [
        (0, None, None, None, None),
        (500, None, None, 9999, None),
        (99, 100, None, None, None),
        (100, 100, None, None, "pairs"),
        (0, 100, 60, 9999, None),
        (1, None, 60, 59, None),
        (1, None, 60, 60, "time"),
        (1, None, 60, None, "time"),
        (100, 100, 60, 9999, "pairs"),
        (99, 100, 60, 60, "time"),
    ],
)
def test_is_due(new_pairs, after_pairs, after_minutes, minutes_ago, expected):
    last = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    due = is_due(
        now=NOW,
        new_pairs=new_pairs,
        after_pairs=after_pairs,
        after_minutes=after_minutes,
        last_started=last,
    )
    assert due == expected
