"""Gates: which policies raters compare, and what is decided from that."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from annotate.models import Comparison, Judgement, Policy
from annotate.pairing.comparisons import make_comparisons
from annotate.queue.cards import serve_next
from tests.factories import make_completion, make_policy, make_prompt
from tests.training.voting import judge
from training.errors import Refused
from training.models import ChampionTerm, Gate, LoopSettings
from training.policies import gates, pool

PROMPTS = 16


@pytest.fixture
def loop(cast):
    return LoopSettings.objects.create(
        project=cast.project, promotion=LoopSettings.Promotion.AUTOMATIC, gate_votes=40
    )


@pytest.fixture
def champion(cast):
    return make_policy(cast.project, "base", state=Policy.State.CHAMPION)


@pytest.fixture
def candidate(cast, champion):
    return make_policy(cast.project, "round-1", state=Policy.State.CANDIDATE, parent=champion)


@pytest.fixture
def prompts(cast, champion, candidate):
    """Held-out prompts with two answers from each policy, and two training prompts."""
    made = [make_prompt(cast.project, held_out=number < PROMPTS) for number in range(PROMPTS + 2)]
    for prompt in made:
        for policy in (champion, candidate):
            for _ in range(2):
                make_completion(prompt, policy)
    return made


def settle_all(cast, winner, *, times=10**6):
    """Judge open gate meetings so that ``winner`` (or nobody) wins."""
    meetings = Comparison.objects.filter(purpose="gate", state="open").select_related("a")
    for comparison in meetings.order_by("shuffle")[:times]:
        side = "a" if comparison.a.policy_id == winner.pk else "b"
        judge(comparison, cast.rater, side)


def test_a_candidate_meets_the_champion_on_held_out_prompts_alone(cast, prompts):
    made = gates.arrange(project=cast.project)
    met = list(Comparison.objects.filter(purpose="gate").select_related("prompt", "a", "b"))
    assert made == len(met) == 2 * PROMPTS
    assert all(meeting.prompt.is_held_out for meeting in met)
    assert all(
        {meeting.a.policy.slug, meeting.b.policy.slug} == {"base", "round-1"} for meeting in met
    )
    assert len({meeting.a_id for meeting in met} | {meeting.b_id for meeting in met}) == 4 * PROMPTS
    assert Gate.objects.get().state == Gate.State.OPEN


def test_every_prompt_comes_before_one_comes_twice(cast, loop, prompts):
    loop.gate_votes = PROMPTS
    loop.save()
    assert gates.arrange(project=cast.project) == PROMPTS
    assert Comparison.objects.values("prompt").distinct().count() == PROMPTS


def test_arranging_again_adds_only_what_is_new(cast, loop, prompts, candidate, champion):
    gates.arrange(project=cast.project)
    assert gates.arrange(project=cast.project) == 0
    prompt = make_prompt(cast.project, held_out=True)
    for policy in (candidate, champion):
        make_completion(prompt, policy)
    assert gates.arrange(project=cast.project) == 1
    assert Gate.objects.count() == 1


def test_the_cap_counts_what_there_is(cast, loop, prompts):
    loop.gate_votes = 20
    loop.save()
    assert gates.arrange(project=cast.project) == 20
    assert gates.arrange(project=cast.project) == 0


def test_sides_and_order_do_not_tell_the_candidate(cast, prompts, candidate):
    gates.arrange(project=cast.project)
    met = list(Comparison.objects.filter(purpose="gate").select_related("a").order_by("shuffle"))
    first = [meeting.a.policy_id == candidate.pk for meeting in met]
    assert 0 < sum(first) < len(first)


def test_a_gates_cards_lie_among_the_candidates_others(cast, prompts):
    gates.arrange(project=cast.project)
    make_comparisons(project=cast.project)
    priorities = dict(Comparison.objects.values_list("purpose", "priority"))
    assert set(priorities) == {"gate", "normal"}
    assert len(set(priorities.values())) == 1
    purposes = list(
        Comparison.objects.order_by("-priority", "shuffle").values_list("purpose", flat=True)
    )
    assert len(set(purposes[:-1])) > 1
    assert serve_next(project=cast.project, rater=cast.rater) is not None


def test_training_prompts_are_paired_as_ever(cast, prompts, candidate, champion):
    gates.arrange(project=cast.project)
    make_comparisons(project=cast.project)
    normal = Comparison.objects.filter(purpose="normal")
    assert normal.count() == 4
    assert not any(comparison.prompt.is_held_out for comparison in normal)


def test_the_parent_is_met_where_it_is_not_the_champion(cast, prompts, candidate, champion):
    """One answer is reserved for the policy that the candidate was trained from."""
    parent = make_policy(cast.project, "parent")
    Policy.objects.filter(pk=candidate.pk).update(parent=parent)
    for prompt in prompts:
        make_completion(prompt, parent)
    assert gates.arrange(project=cast.project) == PROMPTS
    make_comparisons(project=cast.project)
    with_parent = [
        comparison
        for comparison in Comparison.objects.filter(purpose="normal").select_related("a", "b")
        if {comparison.a.policy_id, comparison.b.policy_id} == {candidate.pk, parent.pk}
    ]
    assert len(with_parent) >= PROMPTS


def test_equal_answers_and_those_that_met_never_meet(cast, champion, candidate):
    same, met = (make_prompt(cast.project, held_out=True) for _ in range(2))
    make_completion(same, champion, "Paris.")
    make_completion(same, candidate, " Paris. ")
    a, b = make_completion(met, champion), make_completion(met, candidate)
    Comparison.objects.create(project=cast.project, prompt=met, a=b, b=a, shuffle=1)
    assert gates.arrange(project=cast.project) == 0
    assert not Gate.objects.exists()


def test_without_champion_or_candidate_nothing_is_arranged(cast, champion):
    assert gates.arrange(project=cast.project) == 0
    Policy.objects.update(state=Policy.State.CANDIDATE)
    assert gates.arrange(project=cast.project) == 0


# --- deciding ---


def test_who_wins_is_promoted(cast, loop, prompts, candidate, champion):
    gates.arrange(project=cast.project)
    settle_all(cast, candidate)
    (gate,) = gates.decide_due()
    candidate.refresh_from_db()
    champion.refresh_from_db()
    assert (gate.state, gate.decided_by) == (Gate.State.PROMOTED, None)
    assert (candidate.state, champion.state) == (Policy.State.CHAMPION, Policy.State.ACTIVE)
    assert gate.figures["meetings"] == 2 * PROMPTS
    assert gate.figures["low"] > 0.5
    assert ChampionTerm.objects.get(ended_at=None).gate == gate
    assert gates.decide_due() == []


def test_who_loses_is_retired(cast, loop, prompts, candidate, champion):
    gates.arrange(project=cast.project)
    settle_all(cast, champion)
    (gate,) = gates.decide_due()
    candidate.refresh_from_db()
    assert (gate.state, candidate.state) == (Gate.State.REJECTED, Policy.State.RETIRED)


def test_too_few_meetings_decide_nothing(cast, loop, prompts, candidate):
    gates.arrange(project=cast.project)
    settle_all(cast, candidate, times=5)
    assert gates.decide_due() == []
    assert gates.standing(Gate.objects.get()).waiting == 2 * PROMPTS - 5


@pytest.mark.parametrize("change", ["button", "paused"])
def test_a_manager_who_wants_the_button_keeps_it(cast, loop, prompts, candidate, change):
    gates.arrange(project=cast.project)
    settle_all(cast, candidate)
    if change == "button":
        LoopSettings.objects.update(promotion=LoopSettings.Promotion.BUTTON)
    else:
        cast.project.is_paused = True
        cast.project.save()
    assert gates.decide_due() == []
    assert gates.standing(Gate.objects.get()).may_promote


def test_a_guard_holds_back_what_the_votes_would_promote(cast, loop, champion, candidate):
    for _ in range(PROMPTS):
        prompt = make_prompt(cast.project, held_out=True)
        make_completion(prompt, champion)
        make_completion(prompt, candidate, "a much longer answer than that " * 9)
    gates.arrange(project=cast.project)
    settle_all(cast, candidate)
    stands = gates.standing(Gate.objects.get())
    assert stands.evidence.verdict == "promote"
    assert len(stands.objections) >= 1
    assert gates.decide_due() == []


def test_only_counted_verdicts_of_settled_gate_meetings_count(cast, loop, prompts, candidate):
    gates.arrange(project=cast.project)
    settle_all(cast, candidate, times=6)
    Judgement.objects.filter(pk=Judgement.objects.first().pk).update(
        retracted_at="2026-01-01T00:00Z"
    )
    Comparison.objects.filter(state="open").update(purpose="normal")
    settled = gates.standing(Gate.objects.get()).evidence
    assert (settled.meetings, settled.share) == (5, 1)


def test_judgements_of_one_meeting_are_one_observation(cast, loop, prompts, candidate):
    cast.project.judgements_wanted = 3
    cast.project.save()
    gates.arrange(project=cast.project)
    comparison = Comparison.objects.filter(purpose="gate").select_related("a").first()
    ours = "a" if comparison.a.policy_id == candidate.pk else "b"
    theirs = "b" if ours == "a" else "a"
    for rater, outcome in ((cast.rater, ours), (cast.colleague, theirs), (cast.manager, ours)):
        judge(comparison, rater, outcome)
    evidence = gates.standing(Gate.objects.get()).evidence
    assert (evidence.meetings, evidence.share) == (1, pytest.approx(2 / 3))


def test_a_deposed_champion_ends_the_gate_and_another_opens(cast, loop, prompts, candidate):
    gates.arrange(project=cast.project)
    third = make_policy(cast.project, "third")
    for prompt in prompts:
        make_completion(prompt, third)
    gates.promote(policy=third, by=cast.manager)
    assert gates.arrange_due() == PROMPTS
    old, new = Gate.objects.order_by("pk")
    assert (old.state, new.state) == (Gate.State.CLOSED, Gate.State.OPEN)
    assert new.champion == third
    assert gates.arrange_due() == 0


# --- by hand ---


def test_a_managers_word_ends_the_gate(cast, loop, prompts, candidate):
    gates.arrange(project=cast.project)
    gates.promote(policy=candidate, by=cast.manager)
    gate = Gate.objects.get()
    assert (gate.state, gate.decided_by) == (Gate.State.PROMOTED, cast.manager)
    term = ChampionTerm.objects.get(ended_at=None)
    assert (term.policy, term.begun_by, term.gate) == (candidate, cast.manager, gate)


def test_retiring_by_hand_loses_the_gate(cast, loop, prompts, candidate):
    gates.arrange(project=cast.project)
    gates.retire(policy=candidate, by=cast.manager)
    assert Gate.objects.get().state == Gate.State.REJECTED


def test_the_champion_is_not_retired_and_its_gates_stay(cast, prompts, champion):
    gates.arrange(project=cast.project)
    with pytest.raises(Refused):
        gates.retire(policy=champion)
    assert Gate.objects.get().state == Gate.State.OPEN


def test_rolling_back_and_forth(cast, champion, candidate):
    with pytest.raises(Refused):
        pool.roll_back(project=cast.project)
    gates.promote(policy=candidate, by=cast.manager)
    assert pool.former_champion(cast.project) == champion
    assert pool.roll_back(project=cast.project, by=cast.manager) == champion
    assert pool.roll_back(project=cast.project) == candidate
    history = list(
        ChampionTerm.objects.order_by("pk").values_list("policy__slug", "is_rollback", "ended_at")
    )
    assert [(slug, back) for slug, back, _ in history] == [
        ("base", False),
        ("round-1", False),
        ("base", True),
        ("round-1", True),
    ]
    assert [ended is None for _, _, ended in history] == [False, False, False, True]


def test_promoting_the_champion_changes_nothing(cast, champion):
    pool.promote(policy=champion)
    assert not ChampionTerm.objects.exists()


def test_the_database_holds_the_rules(cast, candidate, champion):
    def refused(make):
        with pytest.raises(IntegrityError), transaction.atomic():
            make()

    project = cast.project
    Gate.objects.create(project=project, candidate=candidate, champion=champion)
    refused(lambda: Gate.objects.create(project=project, candidate=candidate, champion=champion))
    refused(lambda: Gate.objects.create(project=project, candidate=champion, champion=champion))
    refused(lambda: Gate.objects.update(state=Gate.State.REJECTED))
    ChampionTerm.objects.create(project=project, policy=champion)
    refused(lambda: ChampionTerm.objects.create(project=project, policy=candidate))
