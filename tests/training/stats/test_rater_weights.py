"""Raters' weights from gold, by table; and that the ranking page uses them."""

import pytest

from annotate.models import Judgement
from annotate.quality.gold import make_gold_item
from tests.factories import join, make_comparison, make_project, make_user
from training.stats.rater_weights import LEAST, weights_from_gold
from training.views.policies.ranking import trusted


def test_nobody_is_told_apart_without_gold():
    assert weights_from_gold({}) == {}
    assert weights_from_gold({1: (0, 0)}) == {}
    assert weights_from_gold({1: (2, 10), 2: (3, 10)}) == {}


def test_who_is_right_more_often_weighs_more():
    weights = weights_from_gold({1: (40, 40), 2: (36, 40), 3: (20, 40)})
    assert weights[1] > 1 > weights[3]
    assert weights[1] > weights[2] > weights[3]
    assert weights[3] >= LEAST


def test_little_gold_says_little():
    few = weights_from_gold({1: (90, 100), 2: (0, 1)})[2]
    many = weights_from_gold({1: (90, 100), 2: (0, 20)})[2]
    assert 0.7 < few < 1
    assert many == LEAST


def test_equally_good_raters_weigh_one():
    assert weights_from_gold({1: (9, 10), 2: (18, 20)}) == {1: 1.0, 2: 1.0}


@pytest.mark.django_db
def test_the_ranking_takes_them_from_the_projects_gold():
    project = make_project()
    manager, good, poor = make_user(), *(join(project, make_user()) for _ in range(2))
    for _ in range(6):
        item = make_gold_item(comparison=make_comparison(project), expected=["a"], by=manager)
        for rater, outcome in ((good, "a"), (poor, "b")):
            Judgement.objects.create(
                comparison=item.comparison,
                rater=rater,
                swapped=False,
                outcome=outcome,
                served_at=item.comparison.created_at,
                expires_at=item.comparison.created_at,
                decided_at=item.comparison.created_at,
            )
    assert trusted(project) == {}  # half are right: the gold does not separate raters
    Judgement.objects.filter(rater=poor).order_by("pk").last().delete()
    weights = trusted(project)
    assert weights[good.pk] > 1 > weights[poor.pk]
