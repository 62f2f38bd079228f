"""What a round's numbers warn of, in words with advice. A pure function of its metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Literal

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from training.stats.win_rates import in_percent

Curve = Sequence[tuple[int, float]]
"""(step, value), by step."""

WarningKind = Literal[
    "overfitting", "contradiction", "chosen_falls", "kl", "length", "nothing_learnt", "gradient"
]

RISE = 0.05
"""By how much the held-out loss is above its best before it is said: beyond its usual ups and
downs on a hundred pairs."""
FALL = 5.0
"""Nats that the chosen answers lose before it is said."""
KL_PER_TOKEN = 1.0
"""Nats a token: at that distance the reference would give what the policy says next, on average,
less than 1/e of its likelihood."""
KL_LEAP = 3.0
"""Times its value at the half of the run so far: growth that speeds up instead of levelling off."""
KL_NOTABLE = 10.0
"""Nats an answer below which no leap is worth a word."""
GROWTH = 1.5
"""Times its length at the start."""
MORE_TOKENS = 8.0
GRADIENT_LEAP = 10.0
"""Times the median of the earlier steps."""
FLAT_MARGIN = 0.05
"""A margin of rewards that is none."""
FLAT_ACCURACY = 0.55


@dataclasses.dataclass(frozen=True)
class RunWarning:
    """One warning: what was seen, with its figure, and what to do about it."""

    kind: WarningKind
    seen: str
    advice: str
    prefill: str = ""
    """The query of a new round's form that has the remedy filled in."""
    offer: str = ""
    """The words of the link to it."""


LOOKED_AT = (
    *("held_out/loss", "held_out/reward_accuracy", "held_out/reward_margin"),
    *("held_out/logp_chosen", "held_out/logp_rejected", "train/reward_margin", "train/grad_norm"),
    *("answers/kl", "answers/kl_per_token", "answers/tokens"),
)
"""The metrics that decide."""


def run_warnings(
    curves: Mapping[str, Curve], *, config: Mapping[str, Any] | None = None
) -> list[RunWarning]:
    """What a manager should know; none where the numbers look sound.

    ``curves`` maps metric names ("held_out/loss") to their values so far; ``config`` is the
    engine's job, from which the remedies start.
    """
    config = config or {}
    loss = str(config.get("loss", "sigmoid"))
    optimisation = config.get("optimisation") or {}
    warnings = [
        _overfitting(curves.get("held_out/loss", ()), float(optimisation.get("epochs", 1.0))),
        _contradiction(curves, loss),
        _chosen_falls(curves, loss),
        _kl(curves, float(config.get("beta", 0.1))),
        _length(curves),
        _nothing_learnt(curves, float(optimisation.get("learning_rate", 2e-5))),
        _gradient(curves.get("train/grad_norm", ())),
    ]
    kinds = {warning.kind for warning in warnings if warning}
    hidden = {"nothing_learnt"} if "contradiction" in kinds else set()
    return [warning for warning in warnings if warning and warning.kind not in hidden]


def _overfitting(curve: Curve, epochs: float) -> RunWarning | None:
    if len(curve) < 3:
        return None
    step, best = min(curve, key=lambda point: point[1])
    now = curve[-1][1]
    if now <= best + RISE:
        return None
    seen = _(
        "The held-out loss was best at step %(step)s (%(best)s) and has risen to %(now)s "
        "since: the round has begun to overfit."
    )
    return RunWarning(
        "overfitting",
        seen % {"step": step, "best": _number(best, 2), "now": _number(now, 2)},
        _("Fewer epochs or a lower learning rate would stop it earlier; more pairs help most."),
        f"epochs={epochs / 2:g}",
        _("Prepare a round with half the epochs"),
    )


def _contradiction(curves: Mapping[str, Curve], loss: str) -> RunWarning | None:
    curve = curves.get("held_out/reward_accuracy", ())
    if len(curve) < 3 or curve[-1][1] >= 0.5 or curve[-2][1] >= 0.5:
        return None
    seen = _(
        "On held-out pairs the policy prefers the chosen answer only %(share)s of the "
        "time, less often than chance."
    )
    return RunWarning(
        "contradiction",
        seen % {"share": in_percent(curve[-1][1])},
        _(
            "The verdicts may contradict each other: look at the raters' agreement, and raise "
            "label smoothing if it is low."
        ),
        ("" if loss in ("sigmoid", "robust") else "loss=robust&") + "label_smoothing=0.1",
        _("Prepare a round for noisy verdicts"),
    )


def _chosen_falls(curves: Mapping[str, Curve], loss: str) -> RunWarning | None:
    chosen = _change(curves, "logp_chosen")
    rejected = _change(curves, "logp_rejected")
    if chosen is None or rejected is None or not rejected < chosen < -FALL:
        return None
    seen = _(
        "The chosen answers, too, are becoming less likely: by %(chosen)s nats since the start, "
        "the rejected ones by %(rejected)s."
    )
    values = {"chosen": _number(-chosen, 1), "rejected": _number(-rejected, 1)}
    if loss == "dpop":
        return RunWarning(
            "chosen_falls",
            seen % values,
            _("DPOP is in use already: a larger λ or a lower learning rate would hold them."),
        )
    return RunWarning(
        "chosen_falls",
        seen % values,
        _(
            "Watch the new answers for odd wording. The DPOP loss adds a penalty for exactly this; "
            "a term of SFT does, too."
        ),
        "loss=dpop",
        _("Prepare a round with DPOP"),
    )


def _kl(curves: Mapping[str, Curve], beta: float) -> RunWarning | None:
    answers = curves.get("answers/kl", ())
    tokens = curves.get("answers/kl_per_token", ())
    if len(answers) < 2:
        return None
    now, half = answers[-1][1], _at(answers, answers[-1][0] / 2)
    far = bool(tokens) and tokens[-1][1] > KL_PER_TOKEN
    leaping = len(answers) >= 4 and now > KL_NOTABLE and now > KL_LEAP * max(half, 1.0)
    if not (far or leaping):
        return None
    if far:
        seen = _(
            "The policy is %(kl)s nats an answer away from its reference, %(token)s a token: "
            "it has drifted very far from it."
        )
    else:
        seen = _(
            "The distance to the reference is growing fast: %(kl)s nats an answer, %(half)s "
            "half-way."
        )
    values = {
        "kl": _number(now, 1),
        "half": _number(half, 1),
        "token": _number(tokens[-1][1], 2) if tokens else "",
    }
    return RunWarning(
        "kl",
        seen % values,
        _("A larger β or a lower learning rate keeps it closer."),
        f"beta={3 * beta:g}",
        _("Prepare a round with a larger β"),
    )


def _length(curves: Mapping[str, Curve]) -> RunWarning | None:
    curve = curves.get("answers/tokens", ())
    if len(curve) < 3:
        return None
    first, now = curve[0][1], fmean(value for _step, value in curve[-2:])
    if now < GROWTH * first or now < first + MORE_TOKENS:
        return None
    seen = _("Its answers have grown from %(first)s to %(now)s tokens on average.")
    return RunWarning(
        "length",
        seen % {"first": _number(first, 0), "now": _number(now, 0)},
        _(
            "If raters do not want length, R-DPO counters it; check whether chosen answers "
            "are the longer ones."
        ),
        "loss=length_regularised",
        _("Prepare a round with R-DPO"),
    )


def _nothing_learnt(curves: Mapping[str, Curve], rate: float) -> RunWarning | None:
    margin = curves.get("held_out/reward_margin", ())
    accuracy = curves.get("held_out/reward_accuracy", ())
    last = margin[-1][0] if margin else 0
    trained = curves.get("train/reward_margin", ())
    if len(margin) < 4 or len(accuracy) < 4 or (trained and trained[-1][0] > 2 * last):
        return None
    if abs(margin[-1][1]) >= FLAT_MARGIN or accuracy[-1][1] >= FLAT_ACCURACY:
        return None
    seen = _(
        "Nothing is being learnt: after %(step)s steps the held-out margin is %(margin)s "
        "and the chosen answer is preferred %(share)s of the time."
    )
    return RunWarning(
        "nothing_learnt",
        seen
        % {
            "step": last,
            "margin": _number(margin[-1][1], 3),
            "share": in_percent(accuracy[-1][1]),
        },
        _("The learning rate may be far too low for this model, or the pairs too few or alike."),
        f"learning_rate={5 * rate:g}",
        _("Prepare a round with a higher rate"),
    )


def _gradient(curve: Curve) -> RunWarning | None:
    if len(curve) < 8:
        return None
    recent = [value for _step, value in curve[-3:]]
    usual = median(value for _step, value in curve[:-3])
    if median(recent) <= GRADIENT_LEAP * max(usual, 1e-3):
        return None
    seen = _("The gradient norm has jumped to %(now)s; until now it was around %(usual)s.")
    return RunWarning(
        "gradient",
        seen % {"now": _number(median(recent), 1), "usual": _number(usual, 1)},
        _("Training may become unstable: lower the learning rate or clip more tightly."),
    )


def _change(curves: Mapping[str, Curve], name: str) -> float | None:
    """From first to last on held-out pairs, in nats."""
    curve = curves.get(f"held_out/{name}", ())
    return curve[-1][1] - curve[0][1] if len(curve) >= 2 else None


def _at(curve: Curve, step: float) -> float:
    """The last value up to ``step``."""
    return next((value for at, value in reversed(curve) if at <= step), curve[0][1])


def _number(value: float, digits: int) -> str:
    return number_format(f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")
