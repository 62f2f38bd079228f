"""What a rater may say about a card, and whether it is valid. Pure: knows neither rows nor HTTP.

The screen says left and right; what is kept says a and b, the comparison's own terms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from annotate.content.completions import storable
from annotate.models import Judgement, Project

CHOICES = ("left", "right", "tie", "both_bad", "skip")
Words = str | Promise

MAX_REASON_CHARS = 10_000
MAX_EDIT_CHARS = 100_000
_CANNOT_JUDGE = Judgement.Flag.CANNOT_JUDGE.value


class VerdictRefused(ValueError):
    """Nothing of the verdict was stored. ``errors``: for each field, words for the rater."""

    def __init__(self, errors: Mapping[str, Words]) -> None:
        super().__init__(", ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = dict(errors)


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Something that is rated separately, such as honesty."""

    key: str
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a project asks for beside the choice."""

    strength_mode: str = "off"
    criteria: tuple[Criterion, ...] = ()
    criteria_required: bool = False
    reason_mode: str = "off"
    reason_min_length: int = 0
    reason_tags: tuple[str, ...] = ()
    flags_on: bool = False
    editing_on: bool = False


def options_of(project: Project) -> Options:
    """The options as the project's row has them."""
    return Options(
        strength_mode=project.strength_mode,
        criteria=tuple(
            Criterion(criterion["key"], criterion["name"]) for criterion in project.criteria
        ),
        criteria_required=project.criteria_required,
        reason_mode=project.reason_mode,
        reason_min_length=project.reason_min_length,
        reason_tags=tuple(project.reason_tags),
        flags_on=project.flags_on,
        editing_on=project.editing_on,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictDetails:
    """The form's values beside the choice, as they came, in the screen's terms."""

    strength: str = ""
    criteria: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reason: str = ""
    tags: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    edit: str = ""
    edited_from: str = ""


NO_DETAILS = VerdictDetails()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedVerdict:
    """A valid verdict, in the comparison's own terms: fields of Judgement."""

    outcome: str
    strength: int | None = None
    criteria: dict[str, str] = dataclasses.field(default_factory=dict)
    reason: str = ""
    reason_tags: list[str] = dataclasses.field(default_factory=list)
    flags: list[str] = dataclasses.field(default_factory=list)
    edited_text: str = ""
    edited_from: str = ""

    def fields(self) -> dict[str, Any]:
        """The values by the names of Judgement's fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def is_kept_in(self, judgement: Judgement) -> bool:
        """Whether ``judgement`` says exactly this."""
        return all(getattr(judgement, name) == value for name, value in self.fields().items())


def outcome_of(choice: str, *, swapped: bool) -> str:
    """The screen's left and right in the comparison's own terms; other words stay as they are."""
    if choice == "left":
        return "b" if swapped else "a"
    if choice == "right":
        return "a" if swapped else "b"
    return choice


def choice_of(outcome: str, *, swapped: bool) -> str:
    """The way back: what the rater had on the screen."""
    if outcome == "a":
        return "right" if swapped else "left"
    if outcome == "b":
        return "left" if swapped else "right"
    return outcome


def details_in(judgement: Judgement) -> VerdictDetails:
    """What the form held when ``judgement`` was sent."""
    turn = judgement.swapped
    return VerdictDetails(
        strength=str(judgement.strength or ""),
        criteria={key: choice_of(value, swapped=turn) for key, value in judgement.criteria.items()},
        reason=judgement.reason,
        tags=tuple(judgement.reason_tags),
        flags=tuple(judgement.flags),
        edit=judgement.edited_text,
        edited_from=choice_of(judgement.edited_from, swapped=turn),
    )


def check_verdict(
    *,
    choice: str,
    details: VerdictDetails,
    options: Options,
    swapped: bool,
    texts: Mapping[str, str],
) -> CheckedVerdict:
    """What is to be stored. ``texts``: the two answers, as "a" and "b"; read only for edits.

    What the project does not ask for is passed over, since a project may change while a card
    is open. A skip needs nothing, and keeps its reason and flags only. Raises VerdictRefused,
    which names every invalid field.
    """
    errors: dict[str, Words] = {}
    if choice not in CHOICES:
        errors["choice"] = _("Choose one of the five answers.")
    is_skip = choice == "skip"
    flags = _flags(details, options, is_skip, errors)
    tags = _tags(details, options, errors)
    reason = _reason(details, options, is_skip, bool(tags), errors)
    strength, criteria, edited_text, edited_from = None, {}, "", ""
    if not is_skip:
        strength = _strength(choice, details, options, errors)
        criteria = _criteria(details, options, swapped, errors)
        edited_text, edited_from = _edit(details, options, swapped, texts, errors)
    if errors:
        raise VerdictRefused(errors)
    return CheckedVerdict(
        outcome=outcome_of(choice, swapped=swapped),
        strength=strength,
        criteria=criteria,
        reason=reason,
        reason_tags=tags,
        flags=flags,
        edited_text=edited_text,
        edited_from=edited_from,
    )


def _strength(
    choice: str, details: VerdictDetails, options: Options, errors: dict[str, Words]
) -> int | None:
    if options.strength_mode == "off" or choice not in ("left", "right"):
        return None
    if details.strength in ("1", "2"):
        return int(details.strength)
    if details.strength:
        errors["strength"] = _("Say slightly better or much better.")
    elif options.strength_mode == "required":
        errors["strength"] = _("Say how much better it is.")
    return None


def _criteria(
    details: VerdictDetails, options: Options, swapped: bool, errors: dict[str, Words]
) -> dict[str, str]:
    outcomes = {}
    for criterion in options.criteria:
        side = details.criteria.get(criterion.key, "")
        if side in ("left", "right", "tie"):
            outcomes[criterion.key] = outcome_of(side, swapped=swapped)
        elif side or options.criteria_required:
            errors[f"criterion.{criterion.key}"] = format_lazy(
                _("{criterion}: say A, B or tie."), criterion=criterion.name
            )
    return outcomes


def _tags(details: VerdictDetails, options: Options, errors: dict[str, Words]) -> list[str]:
    if options.reason_mode == "off":
        return []
    unknown = [tag for tag in details.tags if tag not in options.reason_tags]
    if unknown:
        errors["tag"] = format_lazy(
            _("“{tag}” is no longer among the reasons to pick."), tag=unknown[0][:100]
        )
    return [tag for tag in options.reason_tags if tag in details.tags]


def _reason(
    details: VerdictDetails,
    options: Options,
    is_skip: bool,
    has_tag: bool,
    errors: dict[str, Words],
) -> str:
    if options.reason_mode == "off":
        return ""
    reason = storable(details.reason.replace("\r\n", "\n").strip())
    least = options.reason_min_length
    is_required = options.reason_mode == "required" and not is_skip
    if len(reason) > MAX_REASON_CHARS:
        errors["reason"] = format_lazy(
            _("Shorten the reason to {most} characters."), most=MAX_REASON_CHARS
        )
    elif is_required and not reason and (least or not has_tag):
        errors["reason"] = _("Give a reason.")
    elif len(reason) < least and (reason or is_required) and not is_skip:
        errors["reason"] = ngettext_lazy(
            "The reason needs at least %(count)d character.",
            "The reason needs at least %(count)d characters.",
            "count",
        ) % {"count": least}
    return reason


def _flags(
    details: VerdictDetails, options: Options, is_skip: bool, errors: dict[str, Words]
) -> list[str]:
    if not options.flags_on:
        return []
    if any(flag not in Judgement.Flag.values for flag in details.flags):
        errors["flag"] = _("That flag does not exist.")
    elif _CANNOT_JUDGE in details.flags and not is_skip:
        errors["flag"] = _("Use Skip for what you cannot judge.")
    return [flag for flag in Judgement.Flag.values if flag in details.flags]


def _edit(
    details: VerdictDetails,
    options: Options,
    swapped: bool,
    texts: Mapping[str, str],
    errors: dict[str, Words],
) -> tuple[str, str]:
    """The better answer and what it was made from; nothing where that was left as it is."""
    edit = storable(details.edit.replace("\r\n", "\n"))
    if not options.editing_on or not edit.strip():
        return "", ""
    if details.edited_from not in ("left", "right", ""):
        errors["edited_from"] = _("Say which response you edited.")
        return "", ""
    if len(edit) > MAX_EDIT_CHARS:
        errors["edit"] = format_lazy(
            _("Shorten your answer to {most} characters."), most=MAX_EDIT_CHARS
        )
        return "", ""
    side = outcome_of(details.edited_from, swapped=swapped)
    if any(same_text(edit, text) for text in texts.values()):
        return "", ""
    return edit, side


def same_text(text: str, other: str) -> bool:
    """Whether two texts are the same but for the ends of lines and what a form trims."""
    return text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
