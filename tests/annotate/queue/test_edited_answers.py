from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.content.demonstrations import people_policy
from annotate.content.export import pair_lines, pairs_of
from annotate.models import Comparison, Completion, Policy, PreferencePair
from annotate.pairing.comparisons import make_comparisons
from annotate.queue.cards import serve_next
from annotate.queue.history import CannotUndo, undo_last
from annotate.queue.leases import release_expired
from annotate.queue.record import record_verdict
from annotate.queue.verdicts import Given
from tests.factories import join, make_comparison, make_policy, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(editing_on=True)


@pytest.fixture
def rater(project):
    return join(project, make_user())


def judge(project, rater, choice="left", edit="My **own** answer.", side="left", **named):
    card = serve_next(project=project, rater=rater, **named)
    details = Given(edit=edit, edited_from=side)
    return record_verdict(
        code=card.code, rater=rater, choice=choice, given=details, **named
    ).judgement


def kinds():
    return sorted(PreferencePair.objects.values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("left", ["edit", "edit", "vote"]),
        ("tie", ["edit", "edit"]),
        ("both_bad", ["edit", "edit"]),
        ("skip", []),
    ],
)
def test_an_edit_is_preferred_to_both_answers(project, rater, choice, expected):
    comparison = make_comparison(project)
    judge(project, rater, choice)
    assert kinds() == expected
    edits = PreferencePair.objects.filter(kind="edit")
    if expected:
        assert {pair.chosen.text for pair in edits} == {"My **own** answer."}
        assert {pair.rejected for pair in edits} == {comparison.a, comparison.b}
        assert all((pair.weight, pair.agreement) == (1, 1) for pair in edits)


def test_the_edit_is_a_completion_of_people_outside_the_pool(project, rater):
    make_comparison(project)
    judgement = judge(project, rater)
    policy = judgement.demonstration.policy
    assert (policy.slug, policy.kind) == ("people", Policy.Kind.PEOPLE)
    assert not policy.is_in_pool
    assert "<strong>own</strong>" in judgement.demonstration.html
    assert make_comparisons(project=project) == 0


def test_an_import_named_people_stays_apart(project, rater):
    make_policy(project, "people")
    assert people_policy(project).slug == "people-2"
    assert people_policy(project).slug == "people-2"


def test_the_same_words_of_two_raters_are_one_completion(project, rater):
    make_comparison(project, wanted=2)
    judge(project, rater)
    assert kinds() == []  # not settled yet
    judge(project, join(project, make_user()))
    assert Completion.objects.filter(policy__kind="people").count() == 1
    assert kinds().count("edit") == 4


def test_an_edit_into_the_other_answer_is_none(project, rater):
    comparison = make_comparison(project)
    card = serve_next(project=project, rater=rater)
    other = comparison.a if card.swapped else comparison.b
    assert judge(project, rater, edit=other.text, side="left").edited_text == ""
    assert kinds() == ["vote"]


def test_undo_takes_all_pairs_back_and_the_edit_is_offered_again(project, rater):
    make_comparison(project)
    judge(project, rater)
    again = undo_last(project=project, rater=rater)
    assert kinds() == []
    assert again.replaces.edited_text == "My **own** answer."


def test_a_frozen_edit_stays(project, rater):
    make_comparison(project)
    judge(project, rater, "tie")
    PreferencePair.objects.filter(kind="edit").update(frozen_at=timezone.now())
    with pytest.raises(CannotUndo):
        undo_last(project=project, rater=rater)
    assert kinds() == ["edit", "edit"]


def test_a_changed_verdict_makes_the_pairs_anew(project, rater):
    make_comparison(project)
    judge(project, rater)
    undo_last(project=project, rater=rater)
    judge(project, rater, edit="Another.")
    edits = PreferencePair.objects.filter(kind="edit")
    assert {pair.chosen.text for pair in edits} == {"Another."}


def test_an_abandoned_change_brings_the_pairs_back(project, rater):
    make_comparison(project)
    judge(project, rater)
    undo_last(project=project, rater=rater)
    release_expired(now=timezone.now() + timedelta(minutes=11))
    assert kinds() == ["edit", "edit", "vote"]


def test_a_late_edit_makes_nothing(project, rater):
    make_comparison(project)
    card = serve_next(project=project, rater=rater)
    later = timezone.now() + timedelta(minutes=11)
    other = join(project, make_user())
    judge(project, other, "tie", edit="", now=later)
    done = record_verdict(
        code=card.code,
        rater=rater,
        choice="left",
        given=Given(edit="Mine.", edited_from="left"),
        now=later,
    )
    assert done.status == "late"
    assert done.judgement.edited_text == "Mine."
    assert not PreferencePair.objects.exists()


def test_edits_are_exported_with_their_prompts_split(project, rater):
    comparison = make_comparison(project)
    judge(project, rater, "tie")
    lines = list(pair_lines(pairs_of(project)))
    split = "held_out" if comparison.prompt.is_held_out else "train"
    assert len(lines) == 2
    assert all(f'"split": "{split}"'.encode() in line for line in lines)
    assert Comparison.objects.get().result == "tie"
