"""The statements that run at every vote, written out for both databases.

Putting them together from objects took several times as long as the database's answer. Each is
held by one index, named beside it; ``tests/annotate/test_serving_plans.py`` looks at the plans.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


FREE_COMPARISONS = """
    SELECT id FROM annotate_comparison AS comparison
    WHERE project_id = %s AND state = 'open' AND judgements_taken < judgements_wanted
    AND purpose <> 'gold' AND NOT EXISTS (
        SELECT 1 FROM annotate_judgement
        WHERE comparison_id = comparison.id AND rater_id = %s
    )
    ORDER BY priority DESC, shuffle, id LIMIT %s"""


def free_comparisons(rater: int, project: int, count: int) -> list[int]:
    """The front of the queue: open, with a slot left, never met by that rater. comparison_queue"""
    return [pk for (pk,) in _rows(FREE_COMPARISONS, project, rater, count)]


TAKE_SLOT = """
    UPDATE annotate_comparison SET judgements_taken = judgements_taken + 1
    WHERE id = %s AND state = 'open' AND judgements_taken < judgements_wanted"""


def take_slot(comparison: int) -> bool:
    """One slot of an open comparison; False where none is left. Primary key"""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_SLOT, [comparison])
        return bool(cursor.rowcount > 0)


CARDS_HELD = """
    SELECT judgement.id FROM annotate_judgement AS judgement
    JOIN annotate_comparison AS comparison ON comparison.id = judgement.comparison_id
    WHERE judgement.rater_id = %s AND judgement.project_id = %s
    AND judgement.retracted_at IS NULL AND judgement.decided_at IS NULL
    AND judgement.released_at IS NULL AND judgement.replaces_id IS NULL
    AND comparison.state = 'open'"""


def cards_held(rater: int, project: int) -> list[int]:
    """A rater's undecided cards whose slot is theirs, reopened ones apart. judgement_by_rater

    Put into order here: asked for in order, SQLite would walk through all that the rater ever did.
    """
    return sorted(pk for (pk,) in _rows(CARDS_HELD, rater, project))


SIDES_IN_COMPARISON = """
    SELECT COUNT(*) FILTER (WHERE swapped), COUNT(*) FILTER (WHERE NOT swapped)
    FROM annotate_judgement WHERE comparison_id = %s"""


def sides_in_comparison(comparison: int) -> tuple[int, int]:
    """How often its cards were swapped and straight. Index of the foreign key"""
    ((swapped, straight),) = _rows(SIDES_IN_COMPARISON, comparison)
    return swapped, straight


SIDES_OF_RATER = """
    SELECT COUNT(*) FILTER (WHERE swapped), COUNT(*) FILTER (WHERE NOT swapped)
    FROM (
        SELECT swapped FROM annotate_judgement
        WHERE rater_id = %s AND project_id = %s ORDER BY id DESC LIMIT 100
    ) AS recent"""


def sides_of_rater(rater: int, project: int) -> tuple[int, int]:
    """The same of the rater's last hundred cards. judgement_sides"""
    ((swapped, straight),) = _rows(SIDES_OF_RATER, rater, project)
    return swapped, straight


DECIDED_SINCE = """
    SELECT COUNT(*) FROM annotate_judgement
    WHERE rater_id = %s AND project_id = %s AND retracted_at IS NULL
    AND decided_at >= %s AND outcome <> 'skip'"""


def decided_since(rater: int, project: int, moment: datetime) -> int:
    """How many verdicts count, skips apart. judgement_by_rater, which holds all it asks for"""
    value = connection.ops.adapt_datetimefield_value(moment)
    ((count,),) = _rows(DECIDED_SINCE, rater, project, value)
    return int(count)
