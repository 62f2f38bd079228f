from datetime import timedelta
from random import Random

import pytest
from django.utils import timezone

from annotate.models import Comparison, Judgement, PreferencePair
from annotate.queue import cards
from annotate.queue.cards import serve_next
from annotate.queue.empty_queue import decided_today, why_empty
from annotate.queue.history import CannotUndo, can_undo, undo_last
from annotate.queue.leases import release_expired
from annotate.queue.record import UnknownJudgement, record_verdict
from annotate.queue.verdicts import outcome_of
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def known_coin(monkeypatch):
    """The same random draws in every run; the statistics of the draws are tested in test_sides."""
    monkeypatch.setattr(cards, "_draw", Random(4))


@pytest.fixture
def project():
    return make_project(judgements_wanted=1, lease_minutes=10)


@pytest.fixture
def rater(project):
    return join(project, make_user())


@pytest.fixture
def other(project):
    return join(project, make_user())


def judge(project, rater, choice="left"):
    judgement = serve_next(project=project, rater=rater)
    assert judgement is not None
    return record_verdict(code=judgement.code, rater=rater, choice=choice)


def test_the_same_card_comes_back_on_the_same_sides(project, rater):
    for _ in range(5):
        make_comparison(project)
    first = serve_next(project=project, rater=rater)
    again = serve_next(project=project, rater=rater)
    assert (again.code, again.swapped) == (first.code, first.swapped)


def test_two_raters_never_hold_the_one_slot(project, rater, other):
    make_comparison(project)
    assert serve_next(project=project, rater=rater) is not None
    assert serve_next(project=project, rater=other) is None


def test_overlap_serves_as_many_raters_as_wanted(project, rater, other):
    make_comparison(project, wanted=2)
    mine = serve_next(project=project, rater=rater)
    theirs = serve_next(project=project, rater=other)
    assert mine.comparison == theirs.comparison
    assert serve_next(project=project, rater=join(project, make_user())) is None


def test_no_rater_meets_a_comparison_twice(project, rater):
    make_comparison(project, wanted=3)
    judge(project, rater)
    assert serve_next(project=project, rater=rater) is None


def test_higher_priority_goes_first(project, rater):
    make_comparison(project)
    urgent = make_comparison(project, priority=3)
    assert serve_next(project=project, rater=rater).comparison == urgent


def test_a_paused_project_serves_nothing(project, rater):
    make_comparison(project)
    project.is_paused = True
    assert serve_next(project=project, rater=rater) is None
    assert why_empty(project=project, rater=rater).reason == "paused"


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("choice", "straight", "turned"),
    [("left", "a", "b"), ("right", "b", "a"), ("tie", "tie", "tie")],
)
def test_the_screen_is_translated(choice, straight, turned, swapped):
    assert outcome_of(choice, swapped=swapped) == (turned if swapped else straight)


def test_a_verdict_settles_into_the_right_pair(project, rater):
    comparison = make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    record_verdict(code=judgement.code, rater=rater, choice="left")
    left = comparison.b if judgement.swapped else comparison.a
    pair = PreferencePair.objects.get(comparison=comparison)
    assert pair.chosen == left
    assert pair.rejected != left
    comparison.refresh_from_db()
    assert (comparison.state, comparison.result) == ("settled", "pair")


def test_twice_sent_is_stored_once(project, rater):
    make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    first = record_verdict(code=judgement.code, rater=rater, choice="left")
    second = record_verdict(code=judgement.code, rater=rater, choice="left")
    assert (first.status, second.status) == ("stored", "repeated")
    assert Judgement.objects.count() == 1
    assert PreferencePair.objects.count() == 1


def test_another_verdict_on_the_same_card_is_refused(project, rater):
    make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    record_verdict(code=judgement.code, rater=rater, choice="left")
    assert record_verdict(code=judgement.code, rater=rater, choice="right").status == "conflicting"
    assert PreferencePair.objects.count() == 1


def test_nobody_judges_with_another_raters_code(project, rater, other):
    make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    with pytest.raises(UnknownJudgement):
        record_verdict(code=judgement.code, rater=other, choice="left")


def test_a_skip_gives_the_slot_to_others(project, rater, other):
    comparison = make_comparison(project)
    judge(project, rater, "skip")
    comparison.refresh_from_db()
    assert comparison.judgements_taken == 0
    assert serve_next(project=project, rater=rater) is None
    assert serve_next(project=project, rater=other) is not None


def test_an_expired_lease_returns_the_work(project, rater, other):
    comparison = make_comparison(project)
    serve_next(project=project, rater=rater)
    later = timezone.now() + timedelta(minutes=11)
    assert serve_next(project=project, rater=other, now=later).comparison == comparison
    comparison.refresh_from_db()
    assert comparison.judgements_taken == 1


def test_a_late_verdict_counts_where_it_still_can(project, rater):
    make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    later = timezone.now() + timedelta(minutes=11)
    assert release_expired(now=later) == 1
    done = record_verdict(code=judgement.code, rater=rater, choice="left", now=later)
    assert done.status == "stored"
    assert Comparison.objects.get().judgements_taken == 1


def test_a_late_verdict_is_told_and_kept_when_others_have_finished(project, rater, other):
    make_comparison(project)
    judgement = serve_next(project=project, rater=rater)
    later = timezone.now() + timedelta(minutes=11)
    theirs = serve_next(project=project, rater=other, now=later)
    record_verdict(code=theirs.code, rater=other, choice="tie", now=later)
    done = record_verdict(code=judgement.code, rater=rater, choice="left", now=later)
    assert done.status == "late"
    judgement.refresh_from_db()
    assert judgement.outcome == outcome_of("left", swapped=judgement.swapped)
    assert judgement.is_late
    assert judgement.retracted_at is not None
    assert Comparison.objects.get().result == "tie"


def test_undo_reopens_on_the_same_sides_and_keeps_the_old_record(project, rater):
    make_comparison(project)
    done = judge(project, rater, "left")
    again = undo_last(project=project, rater=rater)
    assert again.code != done.judgement.code
    assert again.swapped == done.judgement.swapped
    assert not PreferencePair.objects.exists()
    old = Judgement.objects.get(code=done.judgement.code)
    assert old.retracted_at is not None
    assert old.outcome is not None
    assert serve_next(project=project, rater=rater).code == again.code


def test_a_verdict_can_be_changed_after_undo(project, rater):
    comparison = make_comparison(project)
    judge(project, rater, "tie")
    again = undo_last(project=project, rater=rater)
    record_verdict(code=again.code, rater=rater, choice="both_bad")
    comparison.refresh_from_db()
    assert comparison.result == "both_bad"


def test_a_verdict_on_an_undone_card_is_not_counted(project, rater):
    make_comparison(project)
    done = judge(project, rater, "left")
    undo_last(project=project, rater=rater)
    status = record_verdict(code=done.judgement.code, rater=rater, choice="left").status
    assert status == "undone"


def test_a_frozen_verdict_stays(project, rater):
    make_comparison(project)
    judge(project, rater, "left")
    PreferencePair.objects.update(frozen_at=timezone.now())
    assert not can_undo(project=project, rater=rater)
    with pytest.raises(CannotUndo):
        undo_last(project=project, rater=rater)
    assert PreferencePair.objects.count() == 1


def test_undo_goes_back_further_each_time(project, rater):
    make_comparison(project)
    make_comparison(project)
    earlier, later = judge(project, rater), judge(project, rater)
    first = undo_last(project=project, rater=rater)
    second = undo_last(project=project, rater=rater)
    assert first.comparison == later.judgement.comparison
    assert second.comparison == earlier.judgement.comparison


def test_nothing_to_undo_is_said(project, rater):
    with pytest.raises(CannotUndo, match="nothing to undo"):
        undo_last(project=project, rater=rater)


def test_an_undone_skip_takes_its_slot_again(project, rater):
    make_comparison(project)
    judge(project, rater, "skip")
    undo_last(project=project, rater=rater)
    assert Comparison.objects.get().judgements_taken == 1


def test_sides_are_balanced_over_a_raters_cards(project, rater):
    for _ in range(60):
        make_comparison(project)
        judge(project, rater, "tie")
    swapped = Judgement.objects.filter(swapped=True).count()
    assert 24 <= swapped <= 36


def test_the_second_rater_likelier_sees_the_other_side(project, rater):
    comparisons = [make_comparison(project, wanted=2) for _ in range(40)]
    other = join(project, make_user())
    for _ in comparisons:
        judge(project, rater, "tie")
        judge(project, other, "tie")
    opposite = sum(
        len(set(comparison.judgements.values_list("swapped", flat=True))) == 2
        for comparison in comparisons
    )
    assert opposite > 18


def test_an_empty_queue_names_the_lease_that_blocks_it(project, rater, other):
    make_comparison(project)
    serve_next(project=project, rater=rater)
    empty = why_empty(project=project, rater=other)
    assert empty.reason == "with_others"
    assert "10 minutes" in empty.words


def test_caught_up_and_nothing_yet_differ(project, rater):
    assert why_empty(project=project, rater=rater).reason == "nothing_yet"
    make_comparison(project)
    judge(project, rater)
    assert why_empty(project=project, rater=rater).reason == "caught_up"


def test_todays_count_leaves_out_skips_and_undone(project, rater):
    for _ in range(3):
        make_comparison(project)
    judge(project, rater, "left")
    judge(project, rater, "skip")
    judge(project, rater, "right")
    assert decided_today(project=project, rater=rater) == 2
    undo_last(project=project, rater=rater)
    assert decided_today(project=project, rater=rater) == 1
