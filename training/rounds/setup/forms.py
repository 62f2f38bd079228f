"""The form of a round: every setting with its explanation, and the recipe that follows."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Policy, Project
from training.engine.config import KINDS, ConfigError, job_from_dict
from training.jobs.hardware import Hardware
from training.models import LoopSettings, Round
from training.rounds.pair_selection import PairSelection
from training.rounds.recipes import ANCHOR, CHAMPION, START, Recipe
from training.rounds.setup.settings import PLACES, SETTINGS, PlainNumber, plain

BASE_CHOICES = LoopSettings.StartFrom
MOST_PROCESSES = 64


def _number(label: Any, help_text: Any, **limits: Any) -> forms.FloatField:
    limits.setdefault("min_value", 0)
    return forms.FloatField(
        label=label,
        help_text=help_text,
        widget=PlainNumber(attrs={"step": "any"}),
        **limits,
    )


def _whole(label: Any, help_text: Any, **limits: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, **limits)


class RoundForm(forms.Form):
    """A round to be started. ``recipe()`` is what it asks for."""

    kind = forms.ChoiceField(
        label=_("Kind"),
        help_text=_(
            "DPO learns from which answer was preferred. An SFT warm-up only imitates the "
            "chosen answers: useful before the first DPO round, when the base model does not "
            "yet answer in the right style."
        ),
    )
    start = forms.ChoiceField(
        label=_("Starts from"),
        help_text=_(
            "The latest policy builds on everything learnt, the champion on what has proved "
            "itself; the base model starts over. A trained policy keeps its adapter's rank."
        ),
    )
    reference = forms.ChoiceField(
        label=_("Reference"),
        help_text=_(
            "The frozen model that the policy is compared with and kept close to. With the "
            "warm-up or the base, all rounds stay close to one model; with the start, each "
            "round can move as far again."
        ),
        choices=[
            (ANCHOR, _("the warm-up it descends from, otherwise the base")),
            ("base", _("the base model")),
            (START, _("the policy it starts from")),
            (CHAMPION, _("the champion")),
        ],
    )

    pairs_from = forms.ChoiceField(
        label=_("Pairs"),
        help_text=_("Held-out pairs are never trained on, whatever is chosen here."),
        choices=[("all", _("all of them")), ("recent", _("those of the last rounds"))],
        widget=forms.RadioSelect,
    )
    last_rounds = _whole(
        _("How many last rounds"),
        _("1: only pairs since the last round. For the second choice above."),
        min_value=1,
        max_value=1000,
        required=False,
    )
    replay_percent = _number(
        _("Share of older pairs, in per cent"),
        _(
            "Older pairs are mixed in so that earlier lessons are not forgotten. For the "
            "second choice above; 20 is common."
        ),
        max_value=90,
        required=False,
    )
    half_life = _number(
        _("Half-life of a pair's weight"),
        _("Newer pairs count more. Empty: all count the same."),
        min_value=0.1,
        required=False,
    )
    half_life_unit = forms.ChoiceField(
        label=_("Counted in"),
        help_text=_("Measured in rounds that succeeded since the pair was settled, or in days."),
        choices=[("rounds", _("rounds")), ("days", _("days"))],
    )
    tags = forms.CharField(
        label=_("Only prompts with one of these tags"),
        help_text=_("Separated by commas. Empty: all prompts."),
        max_length=1000,
        required=False,
    )
    min_agreement = _number(
        _("Minimum agreement of raters, in per cent"),
        _("The share of votes for the chosen answer. 0: any."),
        max_value=100,
        required=False,
    )
    since = forms.DateField(
        label=_("Settled on this day or later"),
        help_text=_("Empty: from the first pair on."),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=_("Settled on this day or earlier"),
        help_text=_("Empty: up to now."),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    policies = forms.MultipleChoiceField(
        label=_("Only pairs with an answer by one of these policies"),
        help_text=_("None ticked: any policy."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    seed = _whole(
        _("Seed"),
        _("Seed for the order of the pairs. Empty: the round's number."),
        min_value=0,
        max_value=2**31 - 1,
        required=False,
    )
    processes = _whole(
        _("GPUs"), _("One training process each."), min_value=1, max_value=MOST_PROCESSES
    )
    keep = forms.BooleanField(
        label=_("Use these settings for rounds that start automatically"),
        help_text=_("Saves these settings as the project's once the round is queued."),
        required=False,
    )

    def __init__(
        self,
        data: Any = None,
        *,
        project: Project,
        startable: list[Policy],
        machine: Hardware | None,
        recipe: Recipe,
        changes: Mapping[str, Any],
    ) -> None:
        """``recipe``: what the project says; ``changes``: what a preset changes in the form."""
        super().__init__(data, initial=values_of(recipe) | dict(changes))
        self.machine, self.beyond = machine, beyond(recipe.settings)
        self.settings: dict[str, Any] = {}
        for setting in SETTINGS:
            self.fields[setting.name] = setting.field()
        self.choice("kind").choices = Round.Kind.choices
        self.choice("start").choices = [
            *BASE_CHOICES.choices,
            *((policy.slug, policy.slug) for policy in startable),
        ]
        slugs = Policy.objects.filter(project=project).order_by("pk").values_list("slug", flat=True)
        self.choice("policies").choices = [(slug, slug) for slug in slugs]
        self._say_processes()

    def choice(self, name: str) -> forms.ChoiceField:
        return cast(forms.ChoiceField, self.fields[name])

    def _say_processes(self) -> None:
        field = self.fields["processes"]
        if settings.LAUNCHER:
            field.disabled = True
            field.help_text = _(
                "The operator's launcher (WHETSTONE_LAUNCHER) decides how many processes train."
            )
        elif self.machine is None:
            field.help_text = _(
                "One training process each. How many there are is known once a worker has run."
            )
        elif not self.machine.is_gpu:
            field.help_text = _("The worker that ran last has none: one process trains on its CPU.")
        else:
            help_text = _("One training process each. The worker that ran last has %(n)s.")
            field.help_text = help_text % {"n": self.machine.devices}

    def clean_processes(self) -> int:
        wanted: int = self.cleaned_data["processes"]
        if settings.LAUNCHER or self.machine is None or wanted == 1:
            return wanted
        if wanted > max(1, self.machine.devices):
            message = gettext("The worker that ran last has %(n)s: choose no more.")
            raise forms.ValidationError(message % {"n": max(1, self.machine.devices)})
        return wanted

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("pairs_from") == "recent" and not cleaned.get("last_rounds"):
            self.add_error("last_rounds", gettext("Enter a number of rounds."))
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", gettext("This day is before the first one."))
        if cleaned.get("keep") and cleaned.get("start") not in BASE_CHOICES.values:
            self.add_error(
                "keep",
                gettext(
                    "Rounds that start automatically can start from the base model, the "
                    "champion or the latest policy; choose one of these, or do not save the "
                    "settings."
                ),
            )
        if not self.errors:
            self._check_job(cleaned)
        return cleaned

    def _check_job(self, cleaned: dict[str, Any]) -> None:
        """The engine's own rules, each said beside its field."""
        self.settings = overrides_of(cleaned, self.beyond)
        kind = cleaned["kind"]
        fields = {field.name for field in dataclasses.fields(KINDS[kind])}
        overrides = {name: value for name, value in self.settings.items() if name in fields}
        try:
            job_from_dict({**overrides, "kind": kind, "model": {"base": "any"}})
        except ConfigError as error:
            place, _colon, reason = str(error).partition(": ")
            name = PLACES.get(place)
            self.add_error(name, reason if name else str(error))

    def untouched(self) -> QueryDict:
        """What a browser would send if nothing were changed."""
        sent = QueryDict(mutable=True)
        for name in self.fields:
            value = self[name].value()
            if isinstance(value, list):
                sent.setlist(name, value)
            elif value is not None and value is not False:
                sent[name] = value
        return sent

    def recipe(self) -> Recipe:
        """What a valid form asks for."""
        data = self.cleaned_data
        recent = data["pairs_from"] == "recent"
        return Recipe(
            kind=data["kind"],
            start=data["start"],
            reference=data["reference"],
            selection=PairSelection(
                half_life=data["half_life"] or None,
                half_life_unit=data["half_life_unit"] if data["half_life"] else "rounds",
                last_rounds=data["last_rounds"] if recent else None,
                replay_share=(data["replay_percent"] or 0) / 100 if recent else 0.0,
                tags=tuple(word.strip() for word in data["tags"].split(",") if word.strip()),
                min_agreement=(data["min_agreement"] or 0) / 100,
                since=data["since"],
                until=data["until"],
                policies=tuple(data["policies"]),
            ),
            settings=self.settings,
            processes=1 if settings.LAUNCHER else data["processes"],
            seed=data["seed"],
        )

    def groups(self) -> list[dict[str, Any]]:
        """The fields under their headings; what few need is folded, unless it is wrong."""
        groups: list[tuple[str, list[str], bool]] = [
            (gettext("Kind of round"), ["kind", "start", "reference"], False),
            (
                gettext("Pairs used"),
                ["pairs_from", "last_rounds", "replay_percent", "half_life", "half_life_unit"],
                False,
            ),
            (
                gettext("Filter the pairs"),
                ["tags", "min_agreement", "since", "until", "policies"],
                True,
            ),
            (gettext("Loss"), ["loss", "beta"], False),
            (
                gettext("More loss settings"),
                ["label_smoothing", "dpop_lambda", "length_alpha", "sft_weight"],
                True,
            ),
            (
                gettext("Training"),
                ["learning_rate", "epochs", "batch_size", "max_length"],
                False,
            ),
            (
                gettext("More training settings"),
                ["warmup_percent", "weight_decay", "max_grad_norm"],
                True,
            ),
            (
                gettext("The adapter"),
                ["lora_r", "lora_alpha", "lora_dropout", "lora_targets"],
                True,
            ),
            (gettext("Evaluation and early stopping"), ["eval_percent", "patience"], False),
            (
                gettext("Hardware"),
                ["precision", "load_in_4bit", "token_budget", "processes", "seed"],
                True,
            ),
        ]
        return [
            {
                "title": title,
                "fields": [self[name] for name in names],
                "is_folded": folded,
                "is_open": any(name in self.errors for name in names) or self._is_used(names),
            }
            for title, names, folded in groups
        ]

    def _is_used(self, names: list[str]) -> bool:
        """Whether a folded group narrows the pairs: what nobody should overlook."""
        narrowing = ("tags", "min_agreement", "since", "until", "policies")
        usual: tuple[Any, ...] = (None, "", "0", 0, [])
        return any(name in narrowing and self[name].value() not in usual for name in names)


FIELDS = (*RoundForm.base_fields, *PLACES.values())
"""The names of all fields of the form."""


def values_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the form's values: its own settings, and the engine's defaults for the rest."""
    chosen = recipe.selection
    values: dict[str, Any] = {
        "kind": recipe.kind,
        "start": recipe.start,
        "reference": recipe.reference,
        "pairs_from": "recent" if chosen.last_rounds else "all",
        "last_rounds": chosen.last_rounds,
        "replay_percent": plain(100 * chosen.replay_share) if chosen.last_rounds else None,
        "half_life": chosen.half_life,
        "half_life_unit": chosen.half_life_unit,
        "tags": ", ".join(chosen.tags),
        "min_agreement": plain(100 * chosen.min_agreement),
        "since": chosen.since,
        "until": chosen.until,
        "policies": list(chosen.policies),
        "processes": recipe.processes,
        "seed": recipe.seed,
    }
    for setting in SETTINGS:
        try:
            values[setting.name] = setting.shown_in(recipe.settings)
        except (KeyError, TypeError):
            values[setting.name] = setting.default
    return values


def overrides_of(data: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values as fields of a job: those that are not the engine's defaults, and
    ``others`` that the form does not have."""
    overrides: dict[str, Any] = copy.deepcopy(dict(others))
    for setting in SETTINGS:
        setting.put(data[setting.name], overrides)
    return overrides


def beyond(overrides: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Those of a project's settings that the form has no field for."""
    extra: dict[str, Any] = {}
    for name, value in overrides.items():
        place = f"{path}{name}"
        if isinstance(value, dict):
            if inner := beyond(value, f"{place}."):
                extra[name] = inner
        elif place not in PLACES:
            extra[name] = value
    return extra
