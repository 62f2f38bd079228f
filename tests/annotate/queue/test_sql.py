"""The queries behind every vote use an index, whatever is in the tables."""

from datetime import timedelta
from itertools import combinations

import pytest
from django.db import connection, transaction
from django.utils import timezone

from annotate.models import Comparison, Judgement
from annotate.queue import sql
from tests.factories import (
    join,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)

pytestmark = pytest.mark.django_db

NOW = timezone.now()
CODE = "0" * 32
CODE_INDEX = (
    "_code_" if connection.vendor == "postgresql" else "sqlite_autoindex_annotate_judgement"
)
PLANS = [
    (sql.FREE_COMPARISON, ("project", "rater"), "comparison_queue"),
    (sql.FRONT_PRIORITY, ("project", "rater"), "comparison_queue"),
    (sql.CARDS_HELD.statement, ("rater", "project"), "judgement_by_rater"),
    (sql.JUDGEMENT_BY_CODE.statement, ("code",), CODE_INDEX),
    (sql.COMPARISON_OF_CARD.statement, ("code", "rater"), CODE_INDEX),
    (sql.SIDES_OF_RATER, ("rater", "project"), "judgement_sides"),
    (sql.SIDES_IN_COMPARISON, ("comparison",), "annotate_judgement_comparison_id"),
    (sql.DECIDED_SINCE, ("rater", "project", NOW), "judgement_by_rater"),
]


@pytest.fixture
def history(db):
    """Sixty raters, a few hundred judged comparisons, and as many open ones."""
    project = make_project()
    prompt, policy = make_prompt(project), make_policy(project)
    answers = [make_completion(prompt, policy) for _ in range(40)]
    raters = [join(project, make_user()) for _ in range(60)]
    now = timezone.now()
    comparisons = Comparison.objects.bulk_create(
        Comparison(project=project, prompt=prompt, a=a, b=b, shuffle=a.pk * b.pk)
        for a, b in combinations(answers, 2)
    )
    Judgement.objects.bulk_create(
        Judgement(
            project=project,
            comparison=comparison,
            rater=raters[number % 60],
            swapped=False,
            outcome="a",
            served_at=now,
            expires_at=now,
            decided_at=now - timedelta(minutes=10 * number),
        )
        for number, comparison in enumerate(comparisons[::2])
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return {
        "project": project.pk,
        "rater": raters[0].pk,
        "comparison": comparisons[0].pk,
        "code": CODE,
    }


def plan(history, statement, names):
    """The database's query plan as text."""
    values = [history.get(name, name) for name in names]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {statement}", values)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize(("statement", "values", "index"), PLANS)
def test_an_index_answers(history, statement, values, index):
    query_plan = plan(history, statement, values)
    assert index in query_plan
    assert "SCAN annotate" not in query_plan
    assert "Seq Scan" not in query_plan


@pytest.mark.parametrize("statement", [sql.FREE_COMPARISON, sql.SIDES_OF_RATER])
def test_nothing_is_sorted(history, statement):
    values = next(values for known, values, _ in PLANS if known == statement)
    query_plan = plan(history, statement, values)
    assert "TEMP B-TREE" not in query_plan
    assert "Sort" not in query_plan


def test_todays_number_needs_the_index_alone(history):
    query_plan = plan(history, sql.DECIDED_SINCE, ("rater", "project", NOW))
    assert "COVERING INDEX" in query_plan or "Index Only Scan" in query_plan
