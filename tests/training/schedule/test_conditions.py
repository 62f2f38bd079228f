"""What starts a round automatically, by table: the rules, the facts, the outcome, the message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from annotate.quality.recent_rates import Recent
from training.schedule.conditions import StartFacts, StartRules, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = StartFacts(now=NOW, new_pairs=50)
CAME = replace(FACTS, window=NOW - timedelta(minutes=1))
PAIRS = StartRules(after_pairs=50)
PLAN = StartRules(has_plan=True)
EITHER = StartRules(after_pairs=50, has_plan=True)
BOTH = replace(EITHER, needs_all=True)


@pytest.mark.parametrize(
    ("rules", "facts", "trigger"),
    [
        (StartRules(), CAME, None),
        (PAIRS, FACTS, "pairs"),
        (PAIRS, replace(FACTS, new_pairs=49), None),
        (PLAN, FACTS, None),
        (PLAN, CAME, "plan"),
        (PLAN, replace(CAME, new_pairs=0), None),
        (EITHER, replace(CAME, new_pairs=1), "plan"),
        (EITHER, FACTS, "pairs"),
        (BOTH, FACTS, None),
        (BOTH, replace(CAME, new_pairs=1), None),
        (BOTH, CAME, "plan"),
        (StartRules(after_minutes=60), FACTS, "time"),
        (
            StartRules(after_minutes=60),
            replace(FACTS, last_started=NOW - timedelta(minutes=59)),
            None,
        ),
        (
            StartRules(after_minutes=60),
            replace(FACTS, last_started=NOW - timedelta(hours=1)),
            "time",
        ),
        (PAIRS, replace(FACTS, is_paused=True), None),
        (PAIRS, replace(FACTS, hindrance="Round 1 has not finished yet."), None),
        (replace(PAIRS, gold_floor=80), replace(FACTS, gold=Recent(80, 100)), "pairs"),
        (replace(PAIRS, gold_floor=80), replace(FACTS, gold=Recent(79, 100)), None),
        (replace(PAIRS, gold_floor=80), replace(FACTS, gold=Recent(19, 19)), None),
        (replace(PAIRS, agreement_floor=60), replace(FACTS, agreement=Recent(30, 50)), "pairs"),
        (replace(PAIRS, agreement_floor=60), replace(FACTS, agreement=Recent(29, 50)), None),
        (replace(PAIRS, needs_decision=True), FACTS, "pairs"),
        (replace(PAIRS, needs_decision=True), replace(FACTS, undecided=["round-1"]), None),
        (PAIRS, replace(FACTS, undecided=["round-1"], gold=Recent(0, 100)), "pairs"),
    ],
)
def test_what_starts_a_round(rules, facts, trigger):
    verdict = decide(rules, facts)
    assert (verdict.starts, verdict.trigger) == (trigger is not None, trigger)
    assert bool(verdict.why) != verdict.starts


@pytest.mark.parametrize(
    ("rules", "facts", "key", "state", "message"),
    [
        (PAIRS, FACTS, "pairs", "met", "50 new pairs of 50."),
        (PAIRS, FACTS, "plan", "not required", "no schedule"),
        (PLAN, FACTS, "plan", "not met", "dealt with"),
        (replace(PAIRS, gold_floor=80), FACTS, "gold", "not met", "Too few to tell: 0"),
        (
            replace(PAIRS, gold_floor=80),
            replace(FACTS, gold=Recent(75, 100)),
            "gold",
            "not met",
            "75.0 %: 75 of the newest 100 gold verdicts are right. At least 80 % is required.",
        ),
        (
            replace(PAIRS, needs_decision=True),
            replace(FACTS, undecided=["round-1", "round-2"]),
            "decided",
            "not met",
            "round-1, round-2",
        ),
        (PAIRS, replace(FACTS, is_paused=True), "running", "not met", "paused"),
    ],
)
def test_each_condition_is_said(rules, facts, key, state, message):
    (condition,) = [
        condition for condition in decide(rules, facts).conditions if condition.key == key
    ]
    assert condition.state == state
    assert message in condition.words


def test_every_condition_is_always_named():
    keys = [condition.key for condition in decide(StartRules(), FACTS).conditions]
    assert keys == [
        "pairs",
        "time",
        "plan",
        "possible",
        "running",
        "new",
        "gold",
        "agreement",
        "decided",
    ]
