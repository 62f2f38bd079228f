"""Automatic starts: each window once, missed windows made up for once, and the dry run."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotate.models import Comparison, GoldItem, Judgement, Policy, PreferencePair
from annotate.quality import recent_rates
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import join, make_comparison, make_policy, make_project, make_prompt, make_user
from training.models import Gate, LoopSettings, PlanWindow, Round
from training.policies.pool import ensure_base
from training.schedule import auto_start

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 11, 16, 1, 0, tzinfo=UTC)  # 02:00 in Berlin
PLAN = {"days": [0, 3], "times": ["02:00"], "zone": "Europe/Berlin"}


@pytest.fixture
def project():
    project = make_project("sharpen")
    LoopSettings.objects.create(
        project=project,
        base_model="some/model",
        round_plan=PLAN,
        round_plan_since=MONDAY - timedelta(days=1),
    )
    return project


@pytest.fixture
def rater(project):
    return join(project, make_user())


def judge(project, rater, count=1):
    for _ in range(count):
        make_comparison(project, prompt=make_prompt(project, held_out=False))
        card = serve_next(project=project, rater=rater)
        record_verdict(code=card.code, rater=rater, choice="left")


def tick(after):
    """Start the rounds due this long after Monday's window; running rounds are ended first."""
    Round.objects.filter(state__in=Round.UNFINISHED).update(state="cancelled")
    return auto_start.start_due_rounds(now=MONDAY + after)


def test_a_window_starts_one_round(project, rater):
    judge(project, rater)
    assert tick(-timedelta(minutes=1)) == []
    (made,) = tick(timedelta(0))
    assert (made.trigger, made.window.at) == ("plan", MONDAY)
    judge(project, rater)
    assert tick(timedelta(minutes=1)) == []
    assert tick(timedelta(days=2)) == []
    (other,) = tick(timedelta(days=3))
    assert other.window.at == MONDAY + timedelta(days=3)


def test_of_many_missed_windows_one_is_made_up_for(project, rater):
    judge(project, rater)
    (made,) = tick(timedelta(days=30))
    judge(project, rater)
    assert tick(timedelta(days=30, minutes=1)) == []
    assert made.window.at == datetime(2026, 12, 14, 1, tzinfo=UTC)
    assert PlanWindow.objects.count() == 1


def test_a_window_without_anything_new_passes_and_says_so(project, rater):
    assert tick(timedelta(minutes=5)) == []
    window = PlanWindow.objects.get()
    assert "no preference pairs" in window.words
    judge(project, rater)
    assert tick(timedelta(minutes=6)) == []


def test_a_clock_that_died_half_way_starts_no_second_round(project, rater):
    """The round was queued, then the process died before the window was marked as done."""
    judge(project, rater)
    tick(timedelta(0))
    PlanWindow.objects.update(decided_at=None)
    judge(project, rater)
    assert tick(timedelta(minutes=1)) == []


def test_the_database_lets_no_two_rounds_name_one_window(project, rater):
    judge(project, rater)
    (made,) = tick(timedelta(0))
    Round.objects.update(state="cancelled")
    with pytest.raises(IntegrityError), transaction.atomic():
        Round.objects.create(
            project=project,
            number=2,
            snapshot=made.snapshot,
            start=made.start,
            reference=made.reference,
            window=made.window,
        )


def test_windows_before_the_plan_was_made_do_not_count(project, rater):
    judge(project, rater)
    LoopSettings.objects.update(round_plan_since=MONDAY + timedelta(minutes=1))
    assert tick(timedelta(hours=1)) == []
    assert not PlanWindow.objects.exists()


def test_a_paused_project_lets_its_windows_pass(project, rater):
    judge(project, rater)
    project.is_paused = True
    project.save()
    assert tick(timedelta(0)) == []
    project.is_paused = False
    project.save()
    assert tick(timedelta(minutes=1)) == []


def test_an_undecided_candidate_holds_rounds_up(project, rater):
    LoopSettings.objects.update(round_plan=None, round_after_pairs=1, round_needs_decision=True)
    judge(project, rater)
    (made,) = tick(timedelta(0))
    candidate = make_policy(project, "round-1", kind="adapter", state=Policy.State.CANDIDATE)
    Round.objects.filter(pk=made.pk).update(state="succeeded", policy=candidate)
    judge(project, rater)
    assert auto_start.start_due_rounds() == []
    Policy.objects.filter(pk=candidate.pk).update(state=Policy.State.ACTIVE)
    gate = Gate.objects.create(
        project=project, candidate=candidate, champion=ensure_base(project=project)
    )
    assert auto_start.start_due_rounds() == []
    gate.delete()
    assert len(auto_start.start_due_rounds()) == 1


def test_only_pairs_that_pass_the_projects_filter_count_as_new(project, rater):
    LoopSettings.objects.update(
        round_plan=None,
        round_after_pairs=1,
        round_recipe={"selection": {"min_agreement": 0.9}},
    )
    judge(project, rater, 2)
    PreferencePair.objects.update(agreement=0.6)
    assert auto_start.start_due_rounds() == []
    PreferencePair.objects.filter(pk=PreferencePair.objects.first().pk).update(agreement=1.0)
    (made,) = auto_start.start_due_rounds()
    assert made.snapshot.counts["train"] == 1
    Round.objects.update(state="cancelled")
    assert auto_start.start_due_rounds() == []  # the other one is still new, and still left out


# --- the dry run ---


def test_a_dry_run_changes_nothing(project, rater):
    judge(project, rater)
    before = (Policy.objects.count(), PlanWindow.objects.count(), Round.objects.count())
    seen = auto_start.dry_run(project, now=MONDAY)
    assert (seen.verdict.starts, seen.verdict.trigger) == (True, "plan")
    assert seen.next_window == MONDAY + timedelta(days=3)
    after = (Policy.objects.count(), PlanWindow.objects.count(), Round.objects.count())
    assert after == before
    assert PreferencePair.objects.get().frozen_at is None


def test_the_command_says_it_in_words(project, rater):
    LoopSettings.objects.update(round_plan=None, round_after_pairs=3, gold_floor=80)
    judge(project, rater)
    out = StringIO()
    call_command("dry_run", project="sharpen", stdout=out)
    report = " ".join(out.getvalue().split())
    assert "No round would start automatically now. 1 new pair of 3." in report
    assert "- Gold accuracy is high enough: Too few to tell: 0 gold verdicts recently" in report
    with pytest.raises(CommandError, match="no project"):
        call_command("dry_run", project="absent")


# --- the page ---

WHEN = reverse("round_when", args=["sharpen"])
RULES = {
    "round_after_pairs": "",
    "round_after_minutes": "60",
    "plan_days": ["0", "3"],
    "plan_times": "2:00, 14:30",
    "plan_zone": "Europe/Berlin",
    "needs": "all",
    "gold_floor": "80",
    "agreement_floor": "",
    "round_needs_decision": "on",
}


@pytest.fixture
def manager(project, client_of):
    return client_of(join(project, make_user("boss"), role="manager"))


def test_the_rules_are_saved_and_said(manager):
    page = manager.post(WHEN, RULES, follow=True).content.decode()
    loop = LoopSettings.objects.get()
    assert loop.round_plan == {**PLAN, "times": ["02:00", "14:30"]}
    assert (loop.round_after_minutes, loop.gold_floor, loop.round_needs_all) == (60, 80, True)
    assert loop.round_plan_since > MONDAY
    assert "No round would start automatically now." in page
    assert "(Europe/Berlin)" in page
    assert 'value="02:00, 14:30"' in page


def test_the_same_plan_saved_again_goes_on_from_where_it_was(manager):
    manager.post(WHEN, RULES | {"plan_times": "02:00"})
    assert LoopSettings.objects.get().round_plan_since == MONDAY - timedelta(days=1)
    manager.post(WHEN, RULES | {"plan_days": [], "plan_times": ""})
    assert LoopSettings.objects.get().round_plan is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"plan_times": "25:00"}, "plan_times"),
        ({"plan_times": "noon"}, "plan_times"),
        ({"plan_times": ""}, "plan_times"),
        ({"plan_days": []}, "plan_days"),
        ({"plan_zone": "Mars/Olympus"}, "plan_zone"),
        ({"gold_floor": "101"}, "gold_floor"),
    ],
)
def test_wrong_rules_save_nothing(manager, changes, field):
    response = manager.post(WHEN, RULES | changes)
    assert field in response.context["form"].errors
    assert LoopSettings.objects.get().round_plan == PLAN


# --- how well raters do lately ---


def test_gold_is_counted_over_the_newest_verdicts(project, rater):
    source = make_comparison(project)
    gold = make_comparison(
        project, prompt=source.prompt, a=source.a, b=source.b, purpose=Comparison.Purpose.GOLD
    )
    GoldItem.objects.create(project=project, comparison=gold, source=source, expected=["a"])
    now = datetime.now(UTC)
    for days, outcome in ((1, "a"), (2, "b"), (40, "a"), (3, "skip")):
        Judgement.objects.create(
            comparison=gold,
            rater=join(project, make_user()),
            outcome=outcome,
            swapped=False,
            served_at=now,
            expires_at=now,
            decided_at=now - timedelta(days=days),
        )
    assert recent_rates.recent_gold(project) == recent_rates.Recent(1, 2)
    assert recent_rates.recent_agreement(project) == recent_rates.Recent(0, 0)


def test_agreement_is_counted_over_meetings_of_two(project):
    comparison = make_comparison(project, wanted=3)
    now = datetime.now(UTC)
    for outcome in ("a", "a", "b"):
        Judgement.objects.create(
            comparison=comparison,
            rater=join(project, make_user()),
            outcome=outcome,
            swapped=False,
            served_at=now,
            expires_at=now,
            decided_at=now,
        )
    assert recent_rates.recent_agreement(project) == recent_rates.Recent(1, 3)
