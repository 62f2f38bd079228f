"""A project's ranking: which votes count, how they are weighted, and when it is recomputed."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from annotate.models import Comparison, Judgement, Policy
from tests.factories import make_policy, make_project, make_prompt, make_user
from tests.training.voting import judge, meet, vote
from training.policies import ranking as module
from training.policies.ranking import ranking_of


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def three(cast):
    """Good beats middling two times in three, and middling beats bad as often; two raters vote."""
    project = cast.project
    good, middling, bad = (make_policy(project, name) for name in ("good", "middling", "bad"))
    for better, worse in ((good, middling), (middling, bad)):
        for turn, outcome in enumerate(["a", "a", "a", "b", "tie", "a", "b", "a", "a"] * 2):
            rater = cast.rater if turn % 2 else cast.colleague
            vote(project, better, worse, rater, outcome, swapped=turn % 4 < 2)
    return project


def test_the_better_one_is_first_and_nobody_is_sure_after_few_votes(three):
    ranking = ranking_of(three)
    assert [row.slug for row in ranking.rated] == ["good", "middling", "bad"]
    assert ranking.rated[0].place == 1
    assert (ranking.votes, ranking.raters) == (36, 2)
    assert not ranking.clustered_by_rater
    assert all(row.points.low < row.points.value < row.points.high for row in ranking.rated)
    assert sum(row.points.value for row in ranking.rated) == pytest.approx(0, abs=1e-6)


def test_the_matrix_tells_the_votes_as_they_were(three):
    ranking = ranking_of(three)
    good_middling, good_bad = ranking.matrix[0][1], ranking.matrix[0][2]
    assert (good_middling.wins, good_middling.losses, good_middling.undecided) == (12, 4, 2)
    assert ranking.matrix[1][0].wins == 4
    assert good_bad is None
    assert ranking.matrix[0][0] is None
    assert ranking.rated[1].votes == 36


def test_against_a_policy_it_has_no_points(three):
    ranking = ranking_of(three, against="middling")
    by_slug = {row.slug: row.points for row in ranking.rated}
    assert by_slug["middling"].value == by_slug["middling"].low == 0
    assert by_slug["good"].value > 0 > by_slug["bad"].value
    assert ranking_of(three, against="unheard-of").against is None


def test_against_the_champion(three):
    Policy.objects.filter(slug="middling").update(state=Policy.State.CHAMPION)
    chances = {row.slug: row.versus_champion for row in ranking_of(three).rated}
    assert chances["middling"] is None
    assert chances["good"] > 0.5 > chances["bad"]


def test_what_does_not_count(three, cast):
    before = ranking_of(three)
    good, bad = (Policy.objects.get(slug=name) for name in ("good", "bad"))
    gold = meet(three, bad, good, purpose=Comparison.Purpose.GOLD, wanted=9)
    judge(gold, cast.rater, "a")
    vote(three, bad, good, cast.rater, "skip")
    taken_back = meet(three, bad, good, wanted=9)
    judge(taken_back, cast.rater, "a")
    Judgement.objects.filter(comparison=taken_back).update(retracted_at="2026-01-01T00:00Z")
    elsewhere = make_project()
    vote(elsewhere, make_policy(elsewhere), make_policy(elsewhere), cast.rater, "a")
    assert ranking_of(three).rated == before.rated


def test_a_gates_votes_count(three, cast):
    good, bad = (Policy.objects.get(slug=name) for name in ("good", "bad"))
    vote(three, good, bad, cast.rater, "a", purpose=Comparison.Purpose.GATE)
    assert ranking_of(three).votes == 37


def test_votes_make_it_anew_sooner_or_later(three, cast, monkeypatch, django_assert_num_queries):
    first = ranking_of(three)
    with django_assert_num_queries(2):
        assert ranking_of(three).made_at == first.made_at
    good, bad = (Policy.objects.get(slug=name) for name in ("good", "bad"))
    vote(three, good, bad, cast.rater, "a")
    monkeypatch.setattr(module, "KEPT_TIMES_ITS_COST", 1e9)
    assert ranking_of(three).votes == 36
    monkeypatch.setattr(module, "KEPT_TIMES_ITS_COST", 0)
    assert ranking_of(three).votes == 37


def test_a_raters_weight_of_nearly_nothing_takes_their_votes_out(cast):
    project = cast.project
    policy, other = make_policy(project, "one"), make_policy(project, "other")
    for _ in range(6):
        vote(project, policy, other, cast.rater, "a")
        vote(project, policy, other, cast.colleague, "b")
    assert ranking_of(project).rated[0].points.value == pytest.approx(0, abs=30)
    weighted = ranking_of(project, rater_weights={cast.colleague.pk: 0.05})
    assert weighted.rated[0].slug == "one"
    assert weighted.rated[0].points.value > 100


def test_length_that_wins_by_itself_is_taken_out(cast):
    """The longer answer wins six times in seven, and the wordy policy's is more often longer."""
    project = cast.project
    wordy, terse = make_policy(project, "wordy"), make_policy(project, "terse")
    raters = [make_user() for _ in range(10)]
    for turn in range(60):
        long = turn % 3 != 0
        wins = long if turn % 7 else not long
        vote(
            project,
            wordy,
            terse,
            raters[turn % 10],
            "a" if wins else "b",
            text_a=f"{turn} " + "so " * (40 if long else 4),
            text_b=f"{turn} " + "so " * (4 if long else 40),
        )
    controlled = ranking_of(project, against="terse").rated
    free = ranking_of(project, against="terse", control_length=False).rated
    points = [{row.slug: row.points.value for row in rows}["wordy"] for rows in (free, controlled)]
    assert points[0] > 50
    assert abs(points[1]) < 20
    assert ranking_of(project).twice.low > 0.5


def test_policies_without_a_link_are_named_not_ranked(three, cast):
    vote(three, make_policy(three, "apart"), make_policy(three, "away"), cast.rater, "a")
    ranking = ranking_of(three)
    assert ranking.unlinked == ["apart", "away"]
    assert len(ranking.rated) == 3


def test_tags_with_enough_votes_have_a_row(cast, monkeypatch):
    monkeypatch.setattr(module, "TAG_FROM", 8)
    project = cast.project
    policy, other = make_policy(project, "one"), make_policy(project, "other")
    for tag, winner in (("maths", "a"), ("poems", "b")):
        for turn in range(10):
            prompt = make_prompt(project)
            prompt.tags = [tag]
            prompt.save()
            vote(project, policy, other, cast.rater, winner if turn else "tie", prompt=prompt)
    ranking = ranking_of(project)
    order = [row.slug for row in ranking.rated]
    points = {row.tag: row.points[order.index("one")].value for row in ranking.tags}
    assert points["maths"] > 100
    assert points["poems"] < -100


def test_the_trend_begins_where_there_are_votes_enough_and_ends_at_all(three):
    ranking = ranking_of(three)
    assert ranking.trend_against == "good"
    assert ranking.trend[-1].votes == 36
    assert set(ranking.trend[-1].points) == {"good", "middling", "bad"}
    assert "bad" not in ranking.trend[3].points
    assert ranking.trend[-1].points["good"] == 0


def test_nothing_to_rank(cast):
    assert ranking_of(cast.project).rated == []
    policy = make_policy(cast.project)
    vote(cast.project, policy, policy, cast.rater, "a")
    ranking = ranking_of(cast.project)
    assert (ranking.rated, ranking.votes) == ([], 1)
