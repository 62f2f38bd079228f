"""Each loss against a number worked out by hand."""

from __future__ import annotations

import pytest
import torch

from training.engine.losses.preference import LOSSES, LossSettings, PairLogps, sft_term


def one_pair(**changes: float) -> PairLogps:
    """log π(y_w) = -10, log π_ref(y_w) = -12, log π(y_l) = -9, log π_ref(y_l) = -8, in fp64.

    The chosen ratio is 2, the rejected ratio -1, so h = 3; 4 and 2 tokens long.
    """
    values = {
        "chosen": -10.0,
        "rejected": -9.0,
        "ref_chosen": -12.0,
        "ref_rejected": -8.0,
        "chosen_tokens": 4.0,
        "rejected_tokens": 2.0,
    }
    return PairLogps(
        **{n: torch.tensor([v], dtype=torch.float64) for n, v in (values | changes).items()}
    )


def value(name: str, pair: PairLogps, **settings: float) -> float:
    return float(LOSSES[name](pair, LossSettings(**settings)))


def test_sigmoid() -> None:
    """β h = 0.5 · 3 = 1.5; -log σ(1.5) = log(1 + e^-1.5) = log(1.22313016) = 0.20141328."""
    assert value("sigmoid", one_pair(), beta=0.5) == pytest.approx(0.20141328, abs=1e-8)


def test_sigmoid_with_label_smoothing() -> None:
    """-log σ(-1.5) = 1.5 + 0.20141328 = 1.70141328; 0.9 · 0.20141328 + 0.1 · 1.70141328."""
    smoothed = value("sigmoid", one_pair(), beta=0.5, label_smoothing=0.1)
    assert smoothed == pytest.approx(0.35141328, abs=1e-8)


def test_robust() -> None:
    """(0.9 · 0.20141328 - 0.1 · 1.70141328) / 0.8 = 0.01113062 / 0.8 = 0.01391328."""
    robust = value("robust", one_pair(), beta=0.5, label_smoothing=0.1)
    assert robust == pytest.approx(0.01391328, abs=1e-8)


def test_ipo() -> None:
    """h̄ = 2/4 - (-1)/2 = 1; target 1/(2 · 0.25) = 2; (1 - 2)² = 1."""
    assert value("ipo", one_pair(), beta=0.25) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("beta", "expected"), [(0.2, 0.4), (0.5, 0.0)])
def test_hinge(beta: float, expected: float) -> None:
    """max(0, 1 - 0.2 · 3) = 0.4; max(0, 1 - 0.5 · 3) = 0."""
    assert value("hinge", one_pair(), beta=beta) == pytest.approx(expected, abs=1e-12)


def test_dpop_is_dpo_while_the_chosen_answer_gains() -> None:
    """The chosen ratio is 2 > 0, so the penalty is 0 and the loss is DPO's 0.20141328."""
    assert value("dpop", one_pair(), beta=0.5, dpop_lambda=5) == pytest.approx(0.20141328, abs=1e-8)


def test_dpop_penalises_a_falling_chosen_answer() -> None:
    """log π_ref(y_w) = -9: ratio -1, penalty 1, h = -1 + 1 = 0; -log σ(0.5 (0 - 5)) = log(1+e^2.5).

    log(1 + 12.18249396) = 2.57888973
    """
    pair = one_pair(ref_chosen=-9.0)
    assert value("dpop", pair, beta=0.5, dpop_lambda=5) == pytest.approx(2.57888973, abs=1e-8)


def test_length_regularised() -> None:
    """1.5 + 0.25 (4 - 2) = 2; log(1 + e^-2) = log(1.13533528) = 0.12692801."""
    loss = value("length_regularised", one_pair(), beta=0.5, length_alpha=0.25)
    assert loss == pytest.approx(0.12692801, abs=1e-8)


def test_sft_term() -> None:
    """10 / 4 tokens = 2.5."""
    assert float(sft_term(one_pair())) == pytest.approx(2.5)


@pytest.mark.parametrize("name", ["sigmoid", "dpop"])
def test_a_policy_equal_to_its_reference_has_loss_ln_2(name: str) -> None:
    pair = one_pair(ref_chosen=-10.0, ref_rejected=-9.0)
    assert value(name, pair) == pytest.approx(0.69314718, abs=1e-8)


def test_extreme_log_ratios_stay_finite() -> None:
    """-log σ(-β h) for β h = -5000 is 5000, not infinity: logsigmoid, not log(sigmoid)."""
    assert value("sigmoid", one_pair(chosen=-50011.0), beta=0.1) == pytest.approx(4999.8, abs=0.2)
