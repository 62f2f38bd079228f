"""Warnings from a round's curves. The demo's own round, as it was trained, has none."""

import json
from pathlib import Path

import pytest

from training.rounds.run_warnings import run_warnings

DEMO = {
    name: [(step, value) for step, value in curve]
    for name, curve in json.loads(Path(__file__).with_name("demo_round.json").read_text()).items()
}
"""The demo project's first round after 400 simulated judgements, 96 steps on a CPU."""
SOUND = {
    "held_out/loss": [(0, 0.69), (5, 0.6), (10, 0.55)],
    "held_out/reward_accuracy": [(0, 0.5), (5, 0.6), (10, 0.7)],
    "held_out/logp_chosen": [(0, -30), (10, -29)],
    "held_out/logp_rejected": [(0, -30), (10, -45)],
}
FALLING = {
    "held_out/logp_chosen": [(0, -30), (10, -40)],
    "held_out/logp_rejected": [(0, -30), (10, -60)],
}


def steps(*values, every=10):
    return [(every * at, value) for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("change", "kind", "figures"),
    [
        ({"held_out/loss": steps(0.69, 0.5, 0.6)}, "overfitting", ["step 10", "0.50", "0.60"]),
        ({"held_out/reward_accuracy": steps(0.5, 0.45, 0.4)}, "contradiction", ["40"]),
        (FALLING, "chosen_falls", ["10.0", "30.0"]),
        (
            {"answers/kl": steps(0, 9, 30), "answers/kl_per_token": steps(0, 0.4, 1.3)},
            "kl",
            ["30.0", "1.30"],
        ),
        ({"answers/kl": steps(0, 1, 2, 6, 25)}, "kl", ["25.0", "2.0"]),
        ({"answers/tokens": steps(20, 30, 36, 40)}, "length", ["20", "38"]),
        (
            {
                "held_out/reward_margin": steps(0, 0.001, -0.002, 0.003, 0.004),
                "held_out/reward_accuracy": steps(0.5, 0.51, 0.52, 0.5, 0.53),
            },
            "nothing_learnt",
            ["40 steps", "0.004", "53"],
        ),
        ({"train/grad_norm": steps(*8 * [1.5], 40, 60, 50)}, "gradient", ["50.0", "1.5"]),
    ],
)
def test_each_danger_is_named_with_its_figure_and_advice(change, kind, figures):
    (warning,) = run_warnings(SOUND | change)
    assert warning.kind == kind
    for figure in figures:
        assert figure in warning.seen
    assert warning.advice


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"held_out/loss": steps(0.69, 0.5, 0.53)},  # its usual ups and downs
        {"held_out/reward_accuracy": steps(0.5, 0.6, 0.49)},  # once is not enough
        {"held_out/logp_chosen": [(0, -30), (10, -34)]},
        {"answers/kl": steps(0, 4, 7, 9, 12), "answers/kl_per_token": steps(0, 0.1, 0.2, 0.3, 0.4)},
        {"answers/tokens": steps(6, 9, 10, 11)},  # half as long again, but only by a few words
        {"answers/tokens": steps(100, 110, 120, 130)},
        {"train/grad_norm": steps(*8 * [0.5], 0.6, 40, 0.5)},  # one unlucky step
        {"train/grad_norm": steps(*5 * [0.5], 40)},
    ],
)
def test_sound_numbers_raise_no_concern(change):
    assert run_warnings(SOUND | change) == []


@pytest.mark.parametrize("upto", [0, 10, 29, 48, 68, 96])
def test_a_healthy_round_is_left_in_peace_all_the_way(upto):
    so_far = {name: [p for p in curve if p[0] <= upto] for name, curve in DEMO.items()}
    assert run_warnings(so_far) == []


def test_before_the_first_number_there_is_no_concern():
    assert run_warnings({}) == []


def test_falling_likelihood_offers_dpop_unless_it_is_in_use():
    (warning,) = run_warnings(SOUND | FALLING)
    assert warning.prefill == "loss=dpop"
    assert warning.offer
    (again,) = run_warnings(SOUND | FALLING, config={"loss": "dpop"})
    assert not again.prefill


@pytest.mark.parametrize(
    ("change", "prefill"),
    [
        ({"held_out/loss": steps(0.69, 0.5, 0.6)}, "epochs=1.5"),
        ({"answers/kl": steps(0, 1, 2, 6, 25)}, "beta=0.6"),
        (
            {"held_out/reward_accuracy": steps(0.5, 0.45, 0.4)},
            "loss=robust&label_smoothing=0.1",
        ),
    ],
)
def test_a_remedy_starts_from_the_rounds_own_settings(change, prefill):
    config = {"loss": "ipo", "beta": 0.2, "optimisation": {"epochs": 3}}
    (warning,) = run_warnings(SOUND | change, config=config)
    assert warning.prefill == prefill


def test_contradicting_verdicts_are_not_called_too_slow_as_well():
    curves = {
        "held_out/reward_margin": steps(0, 0.001, -0.002, 0.003, 0.004),
        "held_out/reward_accuracy": steps(0.5, 0.47, 0.46, 0.45, 0.44),
    }
    assert [warning.kind for warning in run_warnings(curves)] == ["contradiction"]
