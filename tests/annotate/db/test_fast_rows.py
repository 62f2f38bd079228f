"""Prepared SQL statements read and write the same rows as Django's ORM."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.db.fast_rows import Reading, insert, update
from annotate.models import Comparison, Judgement, Project
from tests.factories import make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db

BOTH = Reading(
    "SELECT {comparison}, {judgement} FROM annotate_comparison AS comparison"
    " LEFT JOIN annotate_judgement AS judgement ON judgement.comparison_id = comparison.id"
    " WHERE comparison.id = %s",
    comparison=Comparison,
    judgement=Judgement,
)


def values(instance):
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.fields}


def judgement_on(comparison, **fields):
    now = timezone.now()
    return Judgement(
        project=comparison.project,
        comparison=comparison,
        rater=make_user(),
        swapped=True,
        served_at=now,
        expires_at=now + timedelta(minutes=1),
        criteria={"helpful": "a"},
        reason_tags=["short", "é"],
        **fields,
    )


def test_a_row_is_read_as_django_reads_it():
    comparison = make_comparison(make_project())
    judgement = insert(judgement_on(comparison))
    ((read, beside),) = BOTH(comparison.pk)
    assert values(read) == values(Comparison.objects.get(pk=comparison.pk))
    assert values(beside) == values(Judgement.objects.get(pk=judgement.pk))
    assert not read.get_deferred_fields()
    assert beside.criteria == {"helpful": "a"}
    assert beside.swapped is True


def test_what_a_join_does_not_find_is_none():
    ((_, judgement),) = BOTH(make_comparison(make_project()).pk)
    assert judgement is None
    assert BOTH(0) == []
    assert BOTH.first(0) is None


def test_an_inserted_row_is_whole_and_can_be_saved_again():
    project = insert(Project(slug="x", name="X"))
    assert project.created_at
    project.name = "Y"
    project.save()
    assert values(Project.objects.get()) == values(project)


def test_a_rule_of_the_database_holds():
    judgement = insert(judgement_on(make_comparison(make_project())))
    judgement.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(judgement)


def test_an_update_writes_only_what_it_is_told_and_only_where_it_may():
    comparison = make_comparison(make_project())
    comparison.priority, comparison.judgements_wanted = 7, 9
    assert not update(comparison, ["priority"], only="state = 'settled'")
    assert update(comparison, ["priority"], only="state = 'open'")
    stored = Comparison.objects.get(pk=comparison.pk)
    assert (stored.priority, stored.judgements_wanted) == (7, 1)
