from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import Judgement, Policy
from annotate.queue.cards import serve_next
from annotate.queue.history import undo_last
from annotate.queue.record import record_verdict
from tests.factories import (
    join,
    make_comparison,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)
from training.projects import overview
from training.stats.win_rates import HeadToHeadCount

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project()


@pytest.fixture
def rater(project):
    return join(project, make_user("rater"))


def judge(project, rater, choice="left"):
    card = serve_next(project=project, rater=rater)
    record_verdict(code=card.code, rater=rater, choice=choice)
    return card


def test_the_stations_count_what_is_there(project, rater):
    for held_out in (True, False):
        make_comparison(project, prompt=make_prompt(project, held_out=held_out), wanted=2)
    judge(project, rater)
    counts = overview.counts(project)
    assert (counts.prompts, counts.prompts_held_out, counts.completions) == (2, 1, 4)
    assert (counts.judgements, counts.judgements_today, counts.pairs) == (1, 1, 0)
    assert (counts.open_comparisons, counts.open_slots) == (2, 3)
    assert counts.hours_of_queue == 72


def test_skips_and_what_was_taken_back_are_no_verdicts(project, rater):
    make_comparison(project)
    make_comparison(project)
    judge(project, rater, "skip")
    judge(project, rater)
    undo_last(project=project, rater=rater)
    assert overview.counts(project).judgements == 0


def test_yesterdays_judgements_are_not_todays(project, rater):
    make_comparison(project)
    card = judge(project, rater)
    Judgement.objects.filter(pk=card.pk).update(decided_at=timezone.now() - timedelta(days=2))
    counts = overview.counts(project)
    assert (counts.judgements, counts.judgements_today, counts.hours_of_queue) == (1, 0, None)


def test_another_projects_work_does_not_count(project, rater):
    other = make_project()
    make_comparison(other)
    judge(other, join(other, make_user()))
    assert overview.counts(project) == overview.counts(make_project())


def test_bouts_name_both_policies_and_the_outcome(project, rater):
    old, new = make_policy(project), make_policy(project)
    prompt = make_prompt(project, held_out=True)
    comparison = make_comparison(
        project, prompt=prompt, a=make_completion(prompt, old), b=make_completion(prompt, new)
    )
    judge(project, rater, "tie")
    assert overview.bouts(project) == [HeadToHeadCount(old.pk, new.pk, True, "tie", 1)]
    assert comparison.project == project


def test_the_champion_stands_on_top_and_the_retired_below(project):
    retired = make_policy(project, state=Policy.State.RETIRED)
    champion = make_policy(project, state=Policy.State.CHAMPION)
    candidate = make_policy(project, state=Policy.State.CANDIDATE)
    policies = [rung.policy for rung in overview.ladder(project, [])]
    assert policies == [champion, candidate, retired]


def test_raters_by_what_they_did(project, rater):
    make_comparison(project, wanted=2)
    make_comparison(project, wanted=2)
    colleague = join(project, make_user("colleague"))
    judge(project, rater)
    judge(project, colleague)
    judge(project, colleague)
    rows = [(row.name, row.today, row.total) for row in overview.raters(project)]
    assert rows == [("colleague", 2, 2), ("rater", 1, 1)]
