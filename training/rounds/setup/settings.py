"""The settings of a round's training: each once, with its place in a job, its words and its limits.

From here follow the form's fields, what a project keeps, and docs/round-settings.md; the limits and
defaults are those of the engine's own job (``training.engine.config``).
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any, cast

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.engine.bounds import Bounds, bounds_within
from training.engine.config import DpoJob, Model, job_to_dict

Words = str | Promise
USUAL = job_to_dict(DpoJob(model=Model(base="any")))
"""A DPO job with the engine's defaults."""
BOUNDS = {name: bounds for name, bounds, _value in bounds_within(DpoJob(model=Model(base="any")))}


class PlainNumber(forms.NumberInput):
    """Writes 0.00001 and 1, not 1e-05 and 1.0."""

    def format_value(self, value: Any) -> str | None:
        if isinstance(value, float):
            plain = format(Decimal(repr(value)), "f")
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
        return cast("str | None", super().format_value(value))


@dataclasses.dataclass(frozen=True)
class RoundSetting:
    """``name``: the form's; ``place``: the dotted one in a job."""

    name: str
    place: str
    label: Words
    help: Words
    choices: Sequence[tuple[str, Words]] = ()
    is_percent: bool = False
    """Whether people see a hundred times what the job has."""

    @property
    def bounds(self) -> Bounds:
        return BOUNDS.get(self.place, Bounds())

    @property
    def default(self) -> Any:
        """The engine's own, as people see it."""
        return self.shown_in(USUAL)

    def shown_in(self, job: Mapping[str, Any]) -> Any:
        """The value in ``job`` as people see it. Raises KeyError or TypeError where it has none."""
        value = reduce(operator.getitem, self.place.split("."), cast(Any, job))
        return plain(100 * value) if self.is_percent else value

    def put(self, shown: Any, job: dict[str, Any]) -> None:
        """Put what people gave into ``job``, unless it is the engine's default."""
        value = shown / 100 if self.is_percent else shown
        path = self.place.split(".")
        if value != reduce(operator.getitem, path, USUAL):
            reduce(lambda inner, key: inner.setdefault(key, {}), path[:-1], job)[path[-1]] = value

    def field(self) -> forms.Field:
        """The form's field, with the limits that a number has on both sides."""
        options: dict[str, Any] = {"label": self.label, "help_text": self.help}
        usual = reduce(operator.getitem, self.place.split("."), USUAL)
        if self.choices:
            return forms.ChoiceField(**options, choices=self.choices)
        if isinstance(usual, bool):
            return forms.BooleanField(**options, required=False)
        if isinstance(usual, str):
            quiet = {"spellcheck": "false", "autocapitalize": "none"}
            return forms.CharField(**options, max_length=500, widget=forms.TextInput(attrs=quiet))
        scale = 100 if self.is_percent else 1
        most = self.bounds.cap if self.bounds.cap is not None else self.bounds.high
        options["min_value"] = scale * (self.bounds.low or 0)
        options["max_value"] = None if most is None else scale * most
        if isinstance(usual, int):
            return forms.IntegerField(**options)
        return forms.FloatField(**options, widget=PlainNumber(attrs={"step": "any"}))


def plain(number: float) -> float | int:
    """10, not 10.000000000000002."""
    rounded = round(number, 6)
    return int(rounded) if rounded == int(rounded) else rounded


SETTINGS = (
    RoundSetting(
        "loss",
        "loss",
        _("Loss"),
        _("What training minimises. Plain DPO is the usual choice."),
        choices=[
            ("sigmoid", _("DPO")),
            ("dpop", _("DPO that keeps chosen answers likely (DPOP)")),
            ("length_regularised", _("DPO with a length penalty (R-DPO)")),
            ("robust", _("DPO for wrong labels (robust DPO)")),
            ("ipo", _("IPO: a margin to reach, not to outgrow")),
            ("hinge", _("Hinge (SLiC)")),
        ],
    ),
    RoundSetting(
        "beta",
        "beta",
        "β",
        _(
            "How strongly the policy is held to the reference; larger values keep it closer. "
            "0.1 is common; the small built-in model needs 0.3."
        ),
    ),
    RoundSetting(
        "label_smoothing",
        "label_smoothing",
        _("Label smoothing"),
        _("The assumed share of wrong labels, from 0 to below 0.5. Only for DPO and robust DPO."),
    ),
    RoundSetting(
        "dpop_lambda",
        "dpop_lambda",
        _("DPOP's λ"),
        _("How strongly chosen answers are kept as likely as before. Only for DPOP."),
    ),
    RoundSetting(
        "length_alpha",
        "length_alpha",
        _("R-DPO's α"),
        _("How much of a preference is put down to length, per token. Only for R-DPO."),
    ),
    RoundSetting(
        "sft_weight",
        "sft_weight",
        _("SFT term"),
        _("Weight of an added SFT loss on the chosen answer. 0: none; 0.1 limits drift."),
    ),
    RoundSetting(
        "lora_r",
        "lora.r",
        _("Rank"),
        _("The adapter's size: how much a round can learn. 8 to 64 are common."),
    ),
    RoundSetting(
        "lora_alpha",
        "lora.alpha",
        _("Alpha"),
        _("The adapter's effect is scaled by alpha ÷ rank. Twice the rank is common."),
    ),
    RoundSetting(
        "lora_dropout",
        "lora.dropout",
        _("Dropout"),
        _("The share of the adapter's inputs dropped during training."),
    ),
    RoundSetting(
        "lora_targets",
        "lora.target_modules",
        _("Layers"),
        _("all-linear, or names such as q_proj, v_proj, separated by commas."),
    ),
    RoundSetting(
        "learning_rate",
        "optimisation.learning_rate",
        _("Learning rate"),
        _(
            "Step size. 0.00001 to 0.00005 for models with billions of parameters; small "
            "models need more."
        ),
    ),
    RoundSetting(
        "epochs",
        "optimisation.epochs",
        _("Epochs"),
        _("How often every pair is seen. Overfitting often begins before the first epoch ends."),
    ),
    RoundSetting(
        "batch_size",
        "optimisation.batch_size",
        _("Pairs per step (batch size)"),
        _("More make each step less noisy and steps fewer. Needs no more memory."),
    ),
    RoundSetting(
        "max_length",
        "optimisation.max_length",
        _("Maximum length, in tokens"),
        _(
            "Of prompt and answer together. Longer prompts lose their beginning. This decides "
            "most how much memory a round needs."
        ),
    ),
    RoundSetting(
        "warmup_percent",
        "optimisation.warmup_fraction",
        _("Warm-up, in per cent of the steps"),
        _("The learning rate rises to its full size over these steps, then decays."),
        is_percent=True,
    ),
    RoundSetting(
        "weight_decay",
        "optimisation.weight_decay",
        _("Weight decay"),
        _("Pulls the adapter's weights towards 0. 0: off."),
    ),
    RoundSetting(
        "max_grad_norm",
        "optimisation.max_grad_norm",
        _("Gradient clipping"),
        _("A step's gradient is scaled down to this norm if it is larger."),
    ),
    RoundSetting(
        "token_budget",
        "optimisation.token_budget",
        _("Tokens per micro-batch"),
        _("Less needs less memory and is slower. Does not change the result."),
    ),
    RoundSetting(
        "eval_percent",
        "optimisation.eval_fraction",
        _("Evaluate every … per cent"),
        _("Held-out pairs are measured after each such part of the round."),
        is_percent=True,
    ),
    RoundSetting(
        "patience",
        "optimisation.patience",
        _("Stop early after … evaluations without gain"),
        _(
            "If the held-out margin has not grown for this many evaluations, the round ends "
            "and the best adapter is kept. 0: the round runs to its end, and the last adapter "
            "is kept."
        ),
    ),
    RoundSetting(
        "precision",
        "precision",
        _("Precision"),
        _("Of the frozen base. Automatic: 16 bits where the hardware multiplies them."),
        choices=[("auto", _("automatically")), ("bf16", "bf16"), ("fp32", "fp32")],
    ),
    RoundSetting(
        "load_in_4bit",
        "load_in_4bit",
        _("Base in 4 bits (QLoRA)"),
        _("A quarter of the memory for the base, a little slower. Needs a GPU and bitsandbytes."),
    ),
)
PLACES = {setting.place: setting.name for setting in SETTINGS}
"""The form's field of each place in a job."""
