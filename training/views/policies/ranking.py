"""The ranking: as a page, as CSV and as JSON, all with the same figures."""

from __future__ import annotations

import csv
import dataclasses
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.access import project_for
from annotate.formatting import grouped
from annotate.models import Policy, Project
from annotate.quality.gold import gold_accuracy
from annotate.views.requests import MemberRequest
from training.policies.ranking import Ranking, Rated, ranking_of
from training.stats.bradley_terry import POINTS, Estimated
from training.stats.rater_weights import weights_from_gold
from training.stats.win_rates import WinRate, in_percent
from training.views.rounds.charts import ChartLine, Point, line_chart

MOST_LINES = 6
BAR = 240
MINUS = "\N{MINUS SIGN}"
SHADES = 5
"""Steps of colour in the matrix, to either side of a half."""


@login_required
@never_cache
@require_GET
def ranking(request: MemberRequest, slug: str) -> HttpResponse:
    """Who is better than whom, and how sure that is."""
    project, membership = project_for(request, slug, manage=True)
    shown = _asked_for(request, project)
    context = {
        "project": project,
        "membership": membership,
        "ranking": shown,
        "rows": _rows(shown),
        "even": _place(0, *_ends(shown)),
        "bar": BAR,
        "matrix": _matrix(shown),
        "trend": _trend(shown),
        "trend_legend": _lines(shown),
        "tags": [
            (
                row,
                [
                    None if estimate is None else (points(estimate.value), _margin(estimate))
                    for estimate in row.points
                ],
            )
            for row in shown.tags
        ],
        "query": request.GET.urlencode(),
        "said": _said(shown),
    }
    return render(request, "policies/ranking.html", context)


@login_required
@never_cache
@require_GET
def ranking_csv(request: MemberRequest, slug: str) -> HttpResponse:
    """A line a policy, the best first."""
    project, _membership = project_for(request, slug, manage=True)
    shown = _asked_for(request, project)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-ranking.csv"'
    lines = csv.writer(response)
    head = ["place", "policy", "state", "points", "low", "high", "wins", "losses", "ties"]
    lines.writerow([*head, "against", "length_controlled"])
    for row in shown.rated:
        numbers = (row.points.value, row.points.low, row.points.high)
        lines.writerow(
            [
                row.place,
                harmless(row.slug),
                row.state,
                *(f"{number:.2f}" for number in numbers),
                row.share.wins,
                row.share.losses,
                row.share.undecided,
                harmless(shown.against or "mean"),
                "yes" if shown.length_controlled else "no",
            ]
        )
    return response


@login_required
@never_cache
@require_GET
def ranking_json(request: MemberRequest, slug: str) -> JsonResponse:
    """All figures of the page. Points are logits times ``points_per_logit``."""
    project, _membership = project_for(request, slug, manage=True)
    shown = _asked_for(request, project)
    slugs = [item.slug for item in shown.rated]
    return JsonResponse(
        {
            "project": project.slug,
            "made_at": shown.made_at.isoformat(),
            "votes": shown.votes,
            "raters": shown.raters,
            "against": shown.against,
            "length_controlled": shown.length_controlled,
            "clustered_by": "rater and prompt" if shown.clustered_by_rater else "prompt",
            "confidence": 0.95,
            "points_per_logit": POINTS,
            "policies": [
                {
                    "place": item.place,
                    "policy": item.slug,
                    "state": item.state,
                    "points": _plain(item.points),
                    "wins": item.share.wins,
                    "losses": item.share.losses,
                    "ties": item.share.undecided,
                    "chance_against_champion": item.versus_champion,
                }
                for item in shown.rated
            ],
            "unlinked": shown.unlinked,
            "left_side": _plain(shown.left),
            "twice_as_long": _plain(shown.twice),
            "ties": shown.tied,
            "matrix": [
                {"policy": row, "against": column, **dataclasses.asdict(share)}
                for row, shares in zip(slugs, shown.matrix, strict=True)
                for column, share in zip(slugs, shares, strict=True)
                if share is not None
            ],
            "trend": {
                "against": shown.trend_against,
                "moments": [
                    {"votes": item.votes, "at": item.at.isoformat(), "points": item.points}
                    for item in shown.trend
                ],
            },
            "tags": [
                {
                    "tag": row.tag,
                    "votes": row.votes,
                    "points": {
                        name: _plain(item)
                        for name, item in zip(slugs, row.points, strict=True)
                        if item is not None
                    },
                }
                for row in shown.tags
            ],
        }
    )


def points(value: float) -> str:
    """Points with their sign: "+84", with a true minus."""
    return f"{value:+.0f}".replace("-", MINUS).replace("+0", "0").replace(f"{MINUS}0", "0")


def _asked_for(request: MemberRequest, project: Project) -> Ranking:
    return ranking_of(
        project,
        rater_weights=trusted(project),
        against=request.GET.get("against") or None,
        control_length=request.GET.get("length") != "free",
    )


def harmless(text: str) -> str:
    """No formula, whatever a spreadsheet makes of it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _plain(estimate: Estimated | None) -> dict[str, float] | None:
    return None if estimate is None else dataclasses.asdict(estimate)


# --- the page ---


@dataclasses.dataclass(frozen=True)
class RankingRow:
    """A policy's line in the table, with its interval in pixels of the bar."""

    rated: Rated
    points: str
    low: str
    high: str
    at: str
    begins: str
    ends: str


def _ends(ranking: Ranking) -> tuple[float, float]:
    low = min([row.points.low for row in ranking.rated] + [-50])
    high = max([row.points.high for row in ranking.rated] + [50])
    return max(low, -800), min(high, 800)


def _place(value: float, low: float, high: float) -> str:
    """As SVG writes it, whatever the language."""
    return f"{BAR * (min(max(value, low), high) - low) / (high - low):.1f}"


def _rows(ranking: Ranking) -> list[RankingRow]:
    low, high = _ends(ranking)
    return [
        RankingRow(
            rated=rated,
            points=points(rated.points.value),
            low=points(rated.points.low),
            high=points(rated.points.high),
            at=_place(rated.points.value, low, high),
            begins=_place(rated.points.low, low, high),
            ends=_place(rated.points.high, low, high),
        )
        for rated in ranking.rated
    ]


def _margin(estimate: Estimated) -> str:
    return f"±{(estimate.high - estimate.low) / 2:.0f}"


def _matrix(ranking: Ranking) -> list[tuple[Rated, list[dict[str, Any] | None]]]:
    return [
        (rated, [None if share is None else _cell(share) for share in shares])
        for rated, shares in zip(ranking.rated, ranking.matrix, strict=True)
    ]


def _cell(share: WinRate) -> dict[str, Any]:
    if share.value is None:
        return {"words": "–", "shade": "", "share": share}
    steps = min(SHADES - 1, int(abs(share.value - 0.5) * 2 * SHADES))
    side = "ahead" if share.value > 0.5 else "behind"
    shade = f"{side}-{steps}" if share.value != 0.5 else ""
    return {"words": in_percent(share.value), "shade": shade, "share": share}


def _lines(ranking: Ranking) -> list[tuple[str, str]]:
    """The policies whose lines are drawn, with their looks: the champion's stands out."""
    drawn = {slug for moment in ranking.trend for slug in moment.points}
    chosen = [
        rated
        for rated in ranking.rated
        if rated.slug in drawn and rated.slug != ranking.trend_against
    ]
    chosen = sorted(chosen, key=lambda rated: rated.state != Policy.State.CHAMPION)[:MOST_LINES]
    looks = []
    for number, rated in enumerate(chosen):
        is_champion = rated.state == Policy.State.CHAMPION
        looks.append(
            (rated.slug, "points champion-line" if is_champion else f"points line-{number}")
        )
    return looks


def _trend(ranking: Ranking) -> SafeString:
    hover = _("%(policy)s after %(votes)s votes: %(points)s")
    lines = [
        ChartLine(
            slug,
            look,
            [
                Point(
                    moment.votes,
                    moment.points[slug],
                    hover
                    % {
                        "policy": slug,
                        "votes": grouped(moment.votes),
                        "points": points(moment.points[slug]),
                    },
                )
                for moment in ranking.trend
                if slug in moment.points
            ],
        )
        for slug, look in _lines(ranking)
    ]
    lasts = [f"{line.name} {points(line.points[-1].y)}" for line in lines if line.points]
    summary = _("Points against %(policy)s after more and more votes. In the end: %(points)s.")
    return line_chart(
        lines,
        summary=summary % {"policy": ranking.trend_against, "points": ", ".join(lasts)},
        y_words=points,
        x_range=(0, ranking.trend[-1].votes if ranking.trend else 1),
    )


def _said(ranking: Ranking) -> str:
    """How sure the first place is, in a sentence; empty where nobody is rated."""
    if not ranking.rated:
        return ""
    first = ranking.rated[0]
    sharing = [rated for rated in ranking.rated[1:] if rated.place == 1]
    if not sharing:
        return _("%(policy)s is better than every other policy.") % {"policy": first.slug}
    message = ngettext(
        "%(policy)s is ahead, but %(count)s other policy may be as good.",
        "%(policy)s is ahead, but %(count)s other policies may be as good.",
        len(sharing),
    )
    return message % {"policy": first.slug, "count": grouped(len(sharing))}


def trusted(project: Project) -> dict[int, float]:
    """What each rater's votes weigh, by the project's gold."""
    return weights_from_gold(gold_accuracy(project))
