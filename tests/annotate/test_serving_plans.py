"""The statements of every vote find their rows in an index, whatever is in the tables."""

import pytest
from django.db import connection, transaction
from django.utils import timezone

from annotate.serving import statements
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db

PLANS = [
    (statements.FREE_COMPARISONS, (1, 1, 20), "comparison_queue"),
    (statements.CARDS_HELD, (1, 1, 2), "judgement_by_rater"),
    (statements.SIDES_OF_RATER, (1, 1), "judgement_sides"),
    (statements.SIDES_IN_COMPARISON, (1,), "annotate_judgement_comparison_id"),
    (statements.DECIDED_SINCE, (1, 1, timezone.now()), "judgement_by_rater"),
]


def plan(statement, values):
    """The database's own words for how it would answer."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {statement}", values)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize(("statement", "values", "index"), PLANS)
def test_an_index_answers(statement, values, index):
    project = make_project()
    make_comparison(project)
    join(project, make_user())
    told = plan(statement, values)
    assert index in told
    assert "SCAN annotate" not in told
    assert "Seq Scan" not in told


@pytest.mark.parametrize("statement", [statements.FREE_COMPARISONS, statements.SIDES_OF_RATER])
def test_nothing_is_sorted(statement):
    values = next(values for known, values, _ in PLANS if known == statement)
    told = plan(statement, values)
    assert "TEMP B-TREE" not in told
    assert "Sort" not in told


def test_todays_number_needs_the_index_alone():
    told = plan(statements.DECIDED_SINCE, (1, 1, timezone.now()))
    assert "COVERING INDEX" in told or "Index Only Scan" in told
