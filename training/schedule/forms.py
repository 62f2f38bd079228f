"""The form of when rounds start by themselves."""

from __future__ import annotations

from datetime import time
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training.models import LoopSettings
from training.schedule.time_plan import Plan

MOST_TIMES = 24


def zones() -> list[str]:
    """Time zones that people know by a city, and UTC."""
    areas = ("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/")
    names = {name for name in available_timezones() if name.startswith((*areas, "Europe/"))}
    names |= {name for name in available_timezones() if name.startswith(("Indian/", "Pacific/"))}
    return ["UTC", *sorted(names | ({settings.TIME_ZONE} - {"UTC"}))]


class TimesField(forms.CharField):
    """Times of day such as ``02:00, 14:30``."""

    def to_python(self, value: Any) -> Any:
        times = set()
        for word in str(super().to_python(value) or "").replace(",", " ").split():
            try:
                hour, minute = word.split(":")
                times.add(time(int(hour), int(minute)))
            except ValueError as error:
                message = gettext("“%(word)s” is no time of day. Write it like 02:00 or 14:30.")
                raise forms.ValidationError(message % {"word": word}) from error
        if len(times) > MOST_TIMES:
            raise forms.ValidationError(gettext("At most %(n)s times a day.") % {"n": MOST_TIMES})
        return sorted(times)


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """What calls for a round, and what must hold besides."""

    plan_days = forms.TypedMultipleChoiceField(
        label=_("Days"),
        help_text=_("On these days, at the times below. None: no schedule."),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    plan_times = TimesField(
        label=_("Times"),
        help_text=_(
            "One or several, such as 02:00 or 02:00, 14:30. A time missed while the server is "
            "down is made up once. When clocks go forward, a skipped time moves on by as "
            "much; when they go back, the first one counts."
        ),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "02:00", "inputmode": "text"}),
    )
    plan_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=lambda: [(z, z.replace("_", " ")) for z in zones()],
    )
    needs = forms.ChoiceField(
        label=_("A round starts when"),
        help_text=_("Combines number of pairs, minutes and schedule, as far as they are set."),
        choices=[("any", _("any one of them is met")), ("all", _("all of them are met"))],
        widget=forms.RadioSelect,
    )

    class Meta:
        model = LoopSettings
        fields = [
            "round_after_pairs",
            "round_after_minutes",
            "gold_floor",
            "agreement_floor",
            "round_needs_decision",
        ]
        labels = {
            "round_after_pairs": _("After this many new pairs"),
            "round_after_minutes": _("This many minutes after the last round"),
            "gold_floor": _("Minimum gold accuracy, in per cent"),
            "agreement_floor": _("Minimum agreement of raters, in per cent"),
            "round_needs_decision": _("Only once the last candidate has been decided"),
        }
        help_texts = {
            "round_after_pairs": _("Empty: new pairs alone start nothing."),
            "round_after_minutes": _(
                "Counted from the last round's start, if there is any new pair. Empty: time "
                "alone starts nothing."
            ),
            "gold_floor": _(
                "Over the newest 200 verdicts on gold items of the last 30 days; with fewer "
                "than 20, no round starts automatically. Empty: not checked."
            ),
            "agreement_floor": _(
                "How often two raters of the same comparison choose the same, over the newest "
                "200 verdicts of the last 30 days; with fewer than 20 such pairs, no round "
                "starts automatically. Empty: not checked."
            ),
            "round_needs_decision": _(
                "While a round's policy waits to be promoted or retired, or its gate is open, "
                "no other round starts automatically."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("gold_floor", "agreement_floor"):
            self.fields[name].widget.attrs.update({"min": "1", "max": "100"})
        plan = Plan.from_dict(self.instance.round_plan)
        self.initial.setdefault("needs", "all" if self.instance.round_needs_all else "any")
        self.initial.setdefault("plan_zone", plan.zone if plan else settings.TIME_ZONE)
        if plan:
            self.initial.setdefault("plan_days", [str(day) for day in plan.days])
            self.initial.setdefault("plan_times", ", ".join(plan.as_dict()["times"]))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        days, times = cleaned.get("plan_days"), cleaned.get("plan_times")
        if days and times == []:
            self.add_error("plan_times", gettext("The schedule has days but no time."))
        if times and not days:
            self.add_error("plan_days", gettext("The schedule has times but no day."))
        return cleaned

    def save(self, commit: bool = True) -> LoopSettings:
        """The times of a plan that is new, or another one, count from now on."""
        cleaned, loop = self.cleaned_data, self.instance
        plan = None
        if cleaned["plan_days"]:
            plan = Plan(
                tuple(sorted(cleaned["plan_days"])),
                tuple(cleaned["plan_times"]),
                cleaned["plan_zone"],
            ).as_dict()
        if plan != loop.round_plan:
            loop.round_plan = plan
            loop.round_plan_since = timezone.now() if plan else None
        loop.round_needs_all = cleaned["needs"] == "all"
        return super().save(commit)  # type: ignore[no-any-return]

    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under their headings."""
        names = [
            (gettext("By number of pairs and time"), ["round_after_pairs", "round_after_minutes"]),
            (gettext("On a schedule"), ["plan_days", "plan_times", "plan_zone"]),
            (gettext("Combining them"), ["needs"]),
            (
                gettext("Safeguards"),
                ["gold_floor", "agreement_floor", "round_needs_decision"],
            ),
        ]
        return [(title, [self[name] for name in fields]) for title, fields in names]
