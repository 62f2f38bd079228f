"""The gate's rules, by table."""

from __future__ import annotations

import pytest

from training.policies.gate_rules import evidence, guards, verdict_of, worth
from training.stats.answer_measures import refuses


@pytest.mark.parametrize(
    ("votes", "candidate", "value"),
    [
        (["a"], "a", 1),
        (["a"], "b", 0),
        (["b"], "b", 1),
        (["tie"], "a", 0.5),
        (["both_bad"], "b", 0.5),
        (["a", "a", "b"], "a", 2 / 3),
        (["a", "tie"], "b", 0.25),
        ([], "a", None),
    ],
)
def test_what_a_meeting_is_worth(votes, candidate, value):
    assert worth(votes, candidate) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "most", "verdict"),
    [
        (0, 0, 0, 400, "go on"),
        (5, 0, 0, 400, "go on"),
        (12, 0, 0, 400, "promote"),
        (0, 12, 0, 400, "reject"),
        (60, 40, 0, 400, "go on"),
        (120, 80, 0, 400, "promote"),
        (120, 80, 100, 400, "promote"),  # ties make no difference
        (80, 120, 0, 400, "reject"),
        (100, 100, 0, 400, "go on"),
        (200, 200, 0, 400, "reject"),  # the cap
        (0, 0, 400, 400, "reject"),
        (6, 4, 0, 10, "reject"),
        (12, 0, 0, 12, "promote"),  # proved with the last one
    ],
)
def test_verdicts(wins, losses, ties, most, verdict):
    tally = {1.0: wins, 0.0: losses, 0.5: ties}
    assert verdict_of(tally, most=most) == verdict


def test_evidence_agrees_with_its_verdict():
    for wins in range(0, 101, 5):
        weighed = evidence([1.0] * wins + [0.0] * (100 - wins), most=1000)
        assert weighed.share == pytest.approx(wins / 100)
        assert (weighed.verdict == "promote") == (weighed.low > 0.5)
        assert (weighed.verdict == "reject") == (weighed.high < 0.5)
        assert weighed.low <= weighed.share <= weighed.high


def test_rejected_at_the_cap_is_not_proved_worse():
    assert evidence([1.0, 0.0] * 50, most=100).is_cut_short
    assert not evidence([0.0] * 100, most=100).is_cut_short


def verdicts(**changes):
    answers = {"candidate": ["Paris."] * 20, "champion": ["Paris."] * 20, **changes}
    return [guard.holds for guard in guards(**answers)]


LOOP = "and so on " * 6


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, [True, True, True]),
        ({"candidate": ["Paris. Yes"] * 20}, [False, True, True]),
        ({"candidate": ["Paris!!!"] * 20}, [True, True, True]),
        ({"candidate": ["Pa"] * 20}, [True, True, True]),
        ({"candidate": [LOOP] * 2 + ["x"] * 18, "champion": ["x" * 9] * 20}, [True, False, True]),
        ({"candidate": [LOOP] * 20, "champion": [LOOP] * 20}, [True, True, True]),
        ({"candidate": ["Sorry."] * 3 + ["Paris."] * 17}, [True, True, False]),
        ({"candidate": ["Sorry."] * 2 + ["Paris."] * 18}, [True, True, True]),
        ({"chosen": [-40.0, -45.0]}, [True, True, True, True]),
        ({"chosen": [-40.0, -60.0, -53.0]}, [True, True, True, False]),
        ({"chosen": [-4.0, -8.0]}, [True, True, True, True]),  # too little to tell
        ({"chosen": [-40.0, -20.0]}, [True, True, True, True]),
        ({"chosen": [-40.0]}, [True, True, True]),
        ({"candidate": []}, []),
    ],
)
def test_guards(changes, holds):
    assert verdicts(**changes) == holds


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot do that.", True),
        ("I do not know, nor do I want to.", False),
        ("  As an AI language model, I have no opinion.", True),
        ("Es tut mir leid, das weiß ich nicht.", True),
        ("Das kann ich leider nicht sagen.", True),
        ("Ich kann gut schwimmen.", False),
        ("I can help with that.", False),
        ("The people were sorry.", False),
        ("", False),
    ],
)
def test_refusals(text, is_one):
    assert refuses(text) is is_one
