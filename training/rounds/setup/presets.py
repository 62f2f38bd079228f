"""Presets of a round's form: changes to what the project says, and what each is for.

They change rates and lengths in proportion, because what is right for a small model is far from
right for a large one. Pure functions of the form's values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Preset:
    """``change`` gives the fields that differ from the project's, by the form's names."""

    slug: str
    name: str | Promise
    purpose: str | Promise
    change: Callable[[Values], Values]


def _first(values: Values) -> Values:
    return {
        "kind": "dpo",
        "start": "base",
        "reference": "anchor",
        "pairs_from": "all",
        "half_life": None,
        "loss": "sigmoid",
        "label_smoothing": 0.0,
        "eval_percent": 10,
        "patience": 3,
        "epochs": max(1.0, values["epochs"]),
    }


def _careful(values: Values) -> Values:
    return {
        "loss": "dpop",
        "label_smoothing": 0.0,
        "beta": _rounded(values["beta"] * 2),
        "learning_rate": _rounded(values["learning_rate"] / 2),
        "eval_percent": 5,
        "patience": 3,
    }


def _fast(values: Values) -> Values:
    rank = min(8, values["lora_r"])
    return {
        "epochs": min(1.0, values["epochs"]),
        "lora_r": rank,
        "lora_alpha": max(1, values["lora_alpha"] * rank // values["lora_r"]),
        "max_length": min(1024, values["max_length"]),
        "eval_percent": 25,
        "patience": 0,
    }


def _noisy(values: Values) -> Values:
    return {
        "loss": "robust",
        "label_smoothing": 0.15,
        "min_agreement": 60,
        "eval_percent": 10,
        "patience": 3,
        "epochs": min(2.0, values["epochs"]),
    }


PRESETS = (
    Preset(
        "project",
        _("Project defaults"),
        _("What rounds that start automatically use."),
        lambda _values: {},
    ),
    Preset(
        "first",
        _("First round"),
        _("Plain DPO from the base model on all pairs; stops when held-out pairs gain no more."),
        _first,
    ),
    Preset(
        "careful",
        _("Careful"),
        _(
            "For a model in use: half the learning rate, a larger β, and a loss that keeps "
            "chosen answers likely."
        ),
        _careful,
    ),
    Preset(
        "fast",
        _("Fast"),
        _("For trying things out: at most one epoch, a small adapter, few evaluations."),
        _fast,
    ),
    Preset(
        "noisy",
        _("Noisy raters"),
        _(
            "Where raters often disagree: only pairs with high agreement, and a loss that "
            "assumes 15 % wrong labels."
        ),
        _noisy,
    ),
)


def preset(slug: str) -> Preset:
    """The preset of that name, or the project's own."""
    return next((candidate for candidate in PRESETS if candidate.slug == slug), PRESETS[0])


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
