"""Storing completions: cleaned so that any database holds them, rendered once, never twice."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils.safestring import SafeString, mark_safe

from annotate.content.already_compared import has_ever_met
from annotate.content.screening import ScreeningRules, plain, rejected_for, rules_of
from annotate.models import Completion, Policy, Project, ScreeningRule
from annotate.rendering.render import VERSION, render

BATCH = 500

DrawKey = tuple[int, int, int, str]
"""What makes a completion unique: prompt, policy, seed, digest of the sampling parameters."""


def sampling_digest(sampling: dict[str, Any]) -> str:
    """SHA-256 in hex of the sampling parameters, whatever their order; 1 and 1.0 are equal.

    Raises ValueError where a parameter is no JSON, such as NaN.
    """
    text = json.dumps(_plain_numbers(sampling), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def storable(text: str) -> str:
    """``text`` as PostgreSQL and UTF-8 can hold it; almost always ``text`` itself.

    A model can emit what no database column takes. NUL becomes its visible symbol (U+2400),
    half a surrogate pair becomes the replacement character (U+FFFD), and two halves that
    belong together become their character. A rater sees, and a round trains on, what is stored.
    """
    if text.isascii() and "\0" not in text:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", "\u2400")


def store_completions(*, rows: Iterable[Completion], screened_for: Project | None = None) -> int:
    """Store the unsaved ``rows`` and return how many are new.

    Each needs its prompt, policy, text, seed and sampling; finish reason, token count and
    log-probability where known. Text is made storable, the digest is set, and HTML is rendered
    unless a row brings it. A draw that is already there (same prompt, policy, seed and sampling)
    is left as it is, so sending the same rows again adds nothing. Any number of rows is
    taken, in batches; put a transaction around the call to store all or nothing.

    ``screened_for``: the project whose rules say which of them are kept out of comparisons.
    """
    rules = rules_of(screened_for.screening) if screened_for is not None else None
    iterator = iter(rows)
    new = 0
    while batch := list(islice(iterator, BATCH)):
        new += _store_batch(batch, rules)
    return new


def _store_batch(rows: list[Completion], rules: ScreeningRules | None) -> int:
    by_draw: dict[DrawKey, Completion] = {}
    for row in rows:
        row.text = storable(row.text)
        row.sampling_digest = sampling_digest(row.sampling)
        row.html = row.html or render(row.text)
        row.html_version = VERSION
        by_draw.setdefault(_draw(row), row)
    with transaction.atomic():
        # Without this lock two writers on PostgreSQL could both take the same draw for new.
        policies = {row.policy_id for row in by_draw.values()}
        list(
            Policy.objects.select_for_update(no_key=True)
            .filter(pk__in=policies)
            .order_by("pk")
            .values_list("pk")
        )
        stored: set[DrawKey] = set(
            Completion.objects.filter(
                prompt_id__in={row.prompt_id for row in by_draw.values()},
                policy_id__in=policies,
                seed__in={row.seed for row in by_draw.values()},
            ).values_list("prompt_id", "policy_id", "seed", "sampling_digest")
        )
        new = [row for draw, row in by_draw.items() if draw not in stored]
        if rules is not None:
            _screen(new, rules)
        Completion.objects.bulk_create(new)
    return len(new)


def _draw(row: Completion) -> DrawKey:
    return row.prompt_id, row.policy_id, row.seed, row.sampling_digest


# --- screening ---


def kept_out(project: Project) -> dict[str, int]:
    """How many completions each rule keeps out of the project's comparisons."""
    rejected = Completion.objects.filter(policy__project=project).exclude(rejected_for="")
    counts = rejected.values_list("rejected_for").annotate(count=Count("pk"))
    return dict(counts.order_by("rejected_for"))


def screen_anew(*, project: Project) -> int:
    """Apply the project's current rules to all completions that have not been compared yet.

    What has been compared and what people wrote stays as it is. Returns how many changed.
    """
    rules = rules_of(project.screening)
    waiting = (
        Completion.objects.filter(~has_ever_met(), prompt__project=project)
        .exclude(policy__kind=Policy.Kind.PEOPLE)
        .order_by("pk")
    )
    changed, last = 0, 0
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # no pairing meanwhile
        while batch := list(waiting.filter(pk__gt=last)[:BATCH]):
            last = batch[-1].pk
            before = [row.rejected_for for row in batch]
            _screen(batch, rules)
            different = [
                row for row, was in zip(batch, before, strict=True) if row.rejected_for != was
            ]
            Completion.objects.bulk_update(different, ["rejected_for"])
            changed += len(different)
    return changed


def _screen(rows: list[Completion], rules: ScreeningRules) -> None:
    """Set ``rejected_for`` of rows of one project, later ones compared with earlier ones."""
    models = dict(
        Policy.objects.filter(pk__in={row.policy_id for row in rows}).values_list(
            "pk", "base_model"
        )
    )
    texts: dict[int, set[str]] = defaultdict(set)
    if ScreeningRule.SAME in rules.on:
        # Accepted and older: two equal ones must not keep each other out.
        first = min((row.pk for row in rows if row.pk), default=None)
        accepted = Completion.objects.filter(
            prompt_id__in={row.prompt_id for row in rows},
            policy__state__in=Policy.IN_POOL,
            rejected_for="",
        ).exclude(policy__kind=Policy.Kind.PEOPLE)
        if first is not None:
            accepted = accepted.filter(Q(pk__lt=first) | has_ever_met())
        for prompt, text in accepted.values_list("prompt_id", "text").iterator():
            texts[prompt].add(plain(text))
    for row in rows:
        row.rejected_for = rejected_for(
            row.text,
            rules=rules,
            finish_reason=row.finish_reason,
            model=models[row.policy_id],
            others=texts[row.prompt_id],
        )
        if not row.rejected_for:
            texts[row.prompt_id].add(plain(row.text))


# --- rendering again ---


def safe_html(completion: Completion) -> SafeString:
    """The HTML of ``completion``; made again, and stored, where an older renderer made it."""
    if completion.html_version != VERSION:
        completion.html = render(completion.text)
        completion.html_version = VERSION
        Completion.objects.filter(pk=completion.pk).update(
            html=completion.html, html_version=VERSION
        )
    return mark_safe(completion.html)  # noqa: S308 - the renderer made it


def render_anew(*, batch: int = BATCH) -> Iterator[int]:
    """Render what an older renderer made, in batches; yields how many are done so far.

    Each batch is its own transaction, so raters can keep working and an interrupted run resumes.
    """
    done = 0
    older = Completion.objects.exclude(html_version=VERSION).only("pk", "text").order_by("pk")
    last = 0
    while rows := list(older.filter(pk__gt=last)[:batch]):
        for row in rows:
            row.html, row.html_version = render(row.text), VERSION
        Completion.objects.bulk_update(rows, ["html", "html_version"])
        last, done = rows[-1].pk, done + len(rows)
        yield done
