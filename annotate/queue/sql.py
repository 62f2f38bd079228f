"""The statements that run at every vote, written out for both databases.

Each is held by one index, named beside it; ``tests/annotate/queue/test_sql.py`` looks at the
plans. Whole rows are read by ``annotate.db.fast_rows``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from annotate.db.fast_rows import Reading
from annotate.models import Comparison, Completion, Judgement, Project, Prompt


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


_FREE = """
    FROM annotate_comparison AS comparison
    WHERE project_id = %s AND state = 'open' AND judgements_taken < judgements_wanted
    AND purpose <> 'gold' AND NOT EXISTS (
        SELECT 1 FROM annotate_judgement
        WHERE comparison_id = comparison.id AND rater_id = %s
    )
    ORDER BY priority DESC, shuffle, id LIMIT 1"""
FREE_COMPARISON = f"SELECT id {_FREE}"
FRONT_PRIORITY = f"SELECT priority {_FREE}"
TAKE_FIRST = """
    UPDATE annotate_comparison SET judgements_taken = judgements_taken + 1
    WHERE id = ({free}) RETURNING id"""
LOCKED = f"{FREE_COMPARISON} FOR UPDATE OF comparison"


def take_first(rater: int, project: int) -> int | None:
    """One slot at the front of the queue: open, with a slot left, never met by that rater.

    The comparison; None where there is none. Gold items are passed over: ``annotate.quality.gold``
    says when one comes. The index is comparison_queue.

    Raters who come at the same time pass over what another is just taking; only where nothing
    else is left do they wait for it.
    """
    queries = [FREE_COMPARISON]  # one writer
    if connection.features.has_select_for_update:
        queries = [f"{LOCKED} SKIP LOCKED", LOCKED]
    for query in queries:
        if taken := _rows(TAKE_FIRST.format(free=query), project, rater):
            return int(taken[0][0])
    return None


def front_priority(rater: int, project: int) -> int | None:
    """The priority of what ``take_first`` would take; None where there is nothing.
    comparison_queue"""
    rows = _rows(FRONT_PRIORITY, project, rater)
    return int(rows[0][0]) if rows else None


TAKE_SLOT = """
    UPDATE annotate_comparison SET judgements_taken = judgements_taken + 1
    WHERE id = %s AND state = 'open' AND judgements_taken < judgements_wanted"""


def take_slot(comparison: int) -> bool:
    """One slot of an open comparison; False where none is left. Primary key"""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_SLOT, [comparison])
        return bool(cursor.rowcount > 0)


CARDS_HELD = Reading(
    """
    SELECT {judgement} FROM annotate_judgement AS judgement
    JOIN annotate_comparison AS comparison ON comparison.id = judgement.comparison_id
    WHERE judgement.rater_id = %s AND judgement.project_id = %s
    AND judgement.retracted_at IS NULL AND judgement.decided_at IS NULL
    AND comparison.state = 'open'""",
    judgement=Judgement,
)


def cards_held(rater: int, project: int) -> list[Judgement]:
    """A rater's undecided cards in the order in which they are shown: reopened ones first, the
    latest of them before the others; last those whose slots were given back. judgement_by_rater

    Put into order here: asked for in order, SQLite would walk through all that the rater ever did.
    """
    held = [judgement for (judgement,) in CARDS_HELD(rater, project)]
    return sorted(
        held, key=lambda card: (-(card.replaces_id or 0), card.released_at is not None, card.pk)
    )


FULL_CARD = Reading(
    """
    SELECT {judgement}, {former}, {comparison}, {prompt}, {a}, {b}
    FROM annotate_judgement AS judgement
    JOIN annotate_comparison AS comparison ON comparison.id = judgement.comparison_id
    JOIN annotate_prompt AS prompt ON prompt.id = comparison.prompt_id
    JOIN annotate_completion AS a ON a.id = comparison.a_id
    JOIN annotate_completion AS b ON b.id = comparison.b_id
    LEFT JOIN annotate_judgement AS former ON former.id = judgement.replaces_id
    WHERE judgement.id = %s""",
    judgement=Judgement,
    former=Judgement,
    comparison=Comparison,
    prompt=Prompt,
    a=Completion,
    b=Completion,
)


def full_card(pk: int) -> Judgement:
    """A judgement with all that its card shows. Primary keys"""
    ((judgement, former, comparison, prompt, a, b),) = FULL_CARD(pk)
    comparison.prompt, comparison.a, comparison.b = prompt, a, b
    judgement.comparison, judgement.replaces = comparison, former
    return judgement  # type: ignore[no-any-return]


COMPARISON_OF_CARD = Reading(
    """
    SELECT {comparison} FROM annotate_comparison AS comparison
    JOIN annotate_judgement AS judgement ON judgement.comparison_id = comparison.id
    WHERE judgement.code = %s AND judgement.rater_id = %s""",
    comparison=Comparison,
)
COMPARISON_OF_CARD_LOCKED = Reading(
    f"{COMPARISON_OF_CARD.template} FOR UPDATE OF comparison", comparison=Comparison
)


def locked_comparison(code: UUID, rater: int) -> Comparison | None:
    """The comparison of the card ``code``, if it was served to that rater; its row is held until
    the transaction ends. The code's unique index"""
    with_locks = connection.features.has_select_for_update  # else there is one writer anyway
    reading = COMPARISON_OF_CARD_LOCKED if with_locks else COMPARISON_OF_CARD
    row = reading.first(_stored(code), rater)
    return row[0] if row else None


JUDGEMENT_BY_CODE = Reading(
    """
    SELECT {judgement}, {project} FROM annotate_judgement AS judgement
    JOIN annotate_project AS project ON project.id = judgement.project_id
    WHERE judgement.code = %s""",
    judgement=Judgement,
    project=Project,
)


def judgement_by_code(code: UUID) -> Judgement:
    """A judgement that is there, with its project. The code's unique index"""
    ((judgement, project),) = JUDGEMENT_BY_CODE(_stored(code))
    judgement.project = project
    return judgement  # type: ignore[no-any-return]


def _stored(code: UUID) -> UUID | str:
    return code if connection.features.has_native_uuid_field else code.hex


def lock_rater(pk: int) -> None:
    """Hold a rater's row until the transaction ends; where there is one writer, nothing."""
    if connection.features.has_select_for_update:
        _rows("SELECT id FROM annotate_user WHERE id = %s FOR NO KEY UPDATE", pk)


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
