"""What a round's numbers warn of, in words. A pure function of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

Curve = Sequence[tuple[int, float]]
"""(step, value), by step."""


def concerns(curves: Mapping[str, Curve]) -> list[str]:
    """Sentences for a manager; none where the numbers look sound.

    ``curves`` maps metric names ("held_out/loss") to their values so far.
    """
    found = []
    held_out = [value for _step, value in curves.get("held_out/loss", ())]
    if len(held_out) >= 3 and held_out[-1] > min(held_out) + 0.05:
        found.append(
            _(
                "The held-out loss has risen again since its best: the round has begun to learn "
                "its pairs by heart. Fewer epochs or a lower learning rate would stop it earlier."
            )
        )
    accuracy = [value for _step, value in curves.get("held_out/reward_accuracy", ())]
    if len(accuracy) >= 3 and accuracy[-1] < 0.5:
        found.append(
            _(
                "On held-out pairs the policy prefers the rejected answer more often than the "
                "chosen one. The verdicts may contradict each other."
            )
        )
    chosen = _change(curves, "logp_chosen")
    rejected = _change(curves, "logp_rejected")
    if chosen is not None and rejected is not None and rejected < chosen < -5:
        found.append(
            _(
                "The chosen answers are becoming less likely too, only more slowly than the "
                "rejected ones. Watch the new answers for odd wording."
            )
        )
    return found


def _change(curves: Mapping[str, Curve], name: str) -> float | None:
    """From first to last on held-out pairs, in nats."""
    curve = curves.get(f"held_out/{name}", ())
    return curve[-1][1] - curve[0][1] if len(curve) >= 2 else None
