"""A retired policy's unrated comparisons leave the queue, and return if the policy does."""

import pytest

from annotate.models import Comparison, Policy
from annotate.pairing.comparisons import make_comparisons
from annotate.queue.cards import serve_next
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
from training.policies.pool import rejoin, retire

pytestmark = pytest.mark.django_db


@pytest.fixture
def two():
    project = make_project()
    return project, make_policy(project), make_policy(project)


def met(project, mine, theirs, **fields):
    prompt = make_prompt(project)
    a, b = make_completion(prompt, mine), make_completion(prompt, theirs)
    return make_comparison(project, prompt=prompt, a=a, b=b, **fields)


def state_of(comparison):
    comparison.refresh_from_db()
    return comparison.state


def test_what_nobody_has_rated_is_withdrawn_and_comes_back(two):
    project, leaving, staying = two
    waiting, other = met(project, leaving, staying), met(project, staying, staying)
    retire(policy=leaving)
    assert (state_of(waiting), state_of(other)) == ("void", "open")
    rejoin(policy=leaving)
    assert state_of(waiting) == "open"
    assert waiting.withdrawn_at is None


def test_what_a_rater_has_on_the_screen_stays_and_counts(two):
    project, leaving, staying = two
    comparison = met(project, leaving, staying)
    rater = join(project, make_user())
    card = serve_next(project=project, rater=rater)
    retire(policy=leaving)
    assert state_of(comparison) == "open"
    assert record_verdict(code=card.code, rater=rater, choice="left").status == "stored"


def test_it_stays_away_while_the_other_one_is_retired(two):
    project, leaving, staying = two
    comparison = met(project, leaving, staying)
    retire(policy=leaving)
    retire(policy=staying)
    rejoin(policy=leaving)
    assert state_of(comparison) == "void"
    rejoin(policy=staying)
    assert state_of(comparison) == "open"


def test_what_was_set_aside_for_practice_does_not_come_back(two):
    project, leaving, staying = two
    comparison = met(project, leaving, staying)
    Comparison.objects.filter(pk=comparison.pk).update(state="void")
    retire(policy=leaving)
    rejoin(policy=leaving)
    assert state_of(comparison) == "void"


def test_a_left_partner_may_meet_another(two):
    project, leaving, staying = two
    comparison = met(project, leaving, staying)
    retire(policy=leaving)
    third = make_policy(project)
    answer = make_completion(comparison.prompt, third)
    assert make_comparisons(project=project) == 1
    made = Comparison.objects.get(state="open")
    assert {made.a_id, made.b_id} == {answer.pk, comparison.b_id}
    assert Policy.objects.get(pk=leaving.pk).state == "retired"
