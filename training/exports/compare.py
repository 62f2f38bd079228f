"""Two rounds beside each other: settings, data and results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from annotate.models import PreferencePair
from training.engine.config import flat
from training.exports.report import Before, RoundReport
from training.models import Round, Snapshot
from training.stats.win_rates import WinRate

PAIRS_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class SettingDifference:
    """A setting that differs; None is one that a round does not have."""

    name: str
    a: Any
    b: Any


@dataclasses.dataclass(frozen=True)
class ComparedResult:
    """One result of both: as a share with its interval, or in words."""

    name: str
    a: WinRate | str | None
    b: WinRate | str | None


@dataclasses.dataclass(frozen=True)
class Side:
    """Pairs that one of the two has alone: how many, and some of them."""

    train: int
    held_out: int
    shown: Sequence[PreferencePair]


@dataclasses.dataclass(frozen=True)
class DataDifference:
    both: int
    a: Side
    b: Side
    same_held_out: bool

    @property
    def is_same(self) -> bool:
        return not (self.a.train or self.a.held_out or self.b.train or self.b.held_out)


def settings_that_differ(a: Round, b: Round) -> list[SettingDifference]:
    """Of the engine's jobs, the policies they name, and the code."""
    ours, theirs = _told(a), _told(b)
    names = list(dict.fromkeys([*ours, *theirs]))
    return [
        SettingDifference(name, ours.get(name), theirs.get(name))
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def _told(round_: Round) -> dict[str, Any]:
    versions = round_.result.get("versions") or {}
    settings = {
        "start": round_.start.slug,
        "reference": round_.reference.slug,
        **flat(round_.config),
        "code": round_.code_version,
        "device": round_.result.get("device"),
        "dtype": round_.result.get("dtype"),
        **{f"versions.{name}": value for name, value in versions.items()},
    }
    # Said by start and reference already, and better.
    for name in ("start_adapter", "reference_adapter", "reference_cache"):
        settings.pop(name, None)
    return settings


def figures_of(a: RoundReport, b: RoundReport) -> list[ComparedResult]:
    """Results side by side; what neither has is left out."""
    pairs = [
        ComparedResult(_("Held-out loss, first and last"), _change(a.loss), _change(b.loss)),
        *(
            ComparedResult(
                name,
                getattr(a.accuracy, field) if a.accuracy else None,
                getattr(b.accuracy, field) if b.accuracy else None,
            )
            for field, name in (
                ("rewarded", _("Reward accuracy")),
                ("ranked", _("Ranking accuracy")),
                ("ranked_at_start", _("Ranking accuracy at the start")),
                ("ranked_by_reference", _("Ranking accuracy of the reference")),
            )
        ),
        ComparedResult(_("Median reward margin"), _margin(a), _margin(b)),
        ComparedResult(_("Mean length in characters"), _length(a), _length(b)),
        ComparedResult(
            _("Answers that loop"),
            a.manners[-1].looping if a.manners else None,
            b.manners[-1].looping if b.manners else None,
        ),
        ComparedResult(
            _("Computing time in seconds"),
            _number(a.cost.device_seconds, 0),
            _number(b.cost.device_seconds, 0),
        ),
        ComparedResult(
            _("Tokens a second while training"),
            _number(a.cost.tokens_per_second, 0),
            _number(b.cost.tokens_per_second, 0),
        ),
        ComparedResult(
            _("Peak memory in MiB"),
            _number(a.cost.peak_memory_mib, 0),
            _number(b.cost.peak_memory_mib, 0),
        ),
    ]
    return [pair for pair in pairs if pair.a is not None or pair.b is not None]


def data_difference(a: Snapshot, b: Snapshot) -> DataDifference:
    """Which pairs only one of the two snapshots has."""
    ours, theirs = _side(a, b), _side(b, a)
    return DataDifference(
        both=a.pairs.filter(pk__in=b.pairs.values("pk")).count(),
        a=ours,
        b=theirs,
        same_held_out=not (ours.held_out or theirs.held_out),
    )


def _side(snapshot: Snapshot, other: Snapshot) -> Side:
    alone: QuerySet[PreferencePair] = snapshot.pairs.exclude(pk__in=other.pairs.values("pk"))
    held_out = alone.filter(comparison__prompt__is_held_out=True).count()
    return Side(
        train=alone.count() - held_out,
        held_out=held_out,
        shown=list(alone.select_related("comparison__prompt").order_by("-pk")[:PAIRS_SHOWN]),
    )


def _change(value: Before | None) -> str | None:
    if value is None:
        return None
    return f"{_number(value.first, 3)} → {_number(value.last, 3)}"


def _margin(report: RoundReport) -> str | None:
    return _number(dict(report.margins).get("50"), 3)


def _length(report: RoundReport) -> str | None:
    if not report.manners:
        return None
    now = report.manners[-1]
    error = _number(now.length_error, 0)
    return f"{_number(now.length, 0)}{f' ± {error}' if error else ''}"


def _number(value: float | None, digits: int) -> str | None:
    if value is None:
        return None
    number = number_format(round(value, digits), decimal_pos=digits, force_grouping=True)
    return number.replace("-", "\N{MINUS SIGN}")
