"""Scoring jobs: which completions have no reward yet, and how the engine's lines become rows.

A completion is scored once by a scorer: the database makes sure of that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from annotate.models import Completion, PreferencePair
from training.errors import Refused
from training.jobs.claims import Claim
from training.jobs.dispatch import dispatch
from training.models import LoopSettings, Round, Score, ScoringJob
from training.rewards.scorers import beta_of, job_of, usual
from training.storage.code_version import code_version

AT_ONCE = 20_000
"""Completions in one job. What is left needs another."""


def missing(scorer: Round) -> QuerySet[Completion]:
    """The project's completions that ``scorer`` has not scored: those of pairs first."""
    pairs = PreferencePair.objects.filter(
        Q(chosen=OuterRef("pk")) | Q(rejected=OuterRef("pk")), withdrawn_at=None
    )
    scored = Score.objects.filter(round=scorer, completion=OuterRef("pk"))
    return (
        Completion.objects.filter(~Exists(scored), prompt__project=scorer.project_id)
        .exclude(text="")
        .annotate(in_a_pair=Exists(pairs))
        .order_by("-in_a_pair", "-prompt__is_held_out", "pk")
    )


def start_scoring(*, scorer: Round) -> ScoringJob:
    """Queue what ``scorer`` has not scored. Raises Refused where that is nothing, or under way."""
    job = job_of(scorer)
    count = missing(scorer).order_by().count()
    if not count:
        raise Refused(_("Every completion has its reward already."))
    try:
        with transaction.atomic():
            made = ScoringJob.objects.create(
                project=scorer.project,
                round=scorer,
                config=job,
                code_version=code_version(),
                total_steps=min(count, AT_ONCE),
            )
            transaction.on_commit(lambda: dispatch(made))
    except IntegrityError as error:
        raise Refused(_("These completions are being scored already.")) from error
    return made


def start_due_scoring() -> list[ScoringJob]:
    """Score what is new wherever a project asks for that, or lets rewards choose what meets.

    After a failed or cancelled job a person decides; it is not tried again by itself.
    """
    wished = Q(score_new=True) | ~Q(meeting=LoopSettings.Meeting.ANY)
    started = []
    for loop in LoopSettings.objects.filter(wished, project__is_paused=False):
        scorer = usual(loop.project)
        if scorer is None or not is_free(scorer):
            continue
        try:
            started.append(start_scoring(scorer=scorer))
        except Refused:
            continue
    return started


def is_free(scorer: Round) -> bool:
    """Whether nothing is being scored by ``scorer``, and what was last did not fail."""
    last = ScoringJob.objects.filter(round=scorer).first()
    return last is None or last.state == ScoringJob.State.SUCCEEDED


def has_given_up(scorer: Round) -> bool:
    """Whether the last job of ``scorer`` failed or was stopped: nothing comes by itself."""
    last = ScoringJob.objects.filter(round=scorer).first()
    return last is not None and last.state in (
        ScoringJob.State.FAILED,
        ScoringJob.State.CANCELLED,
    )


def prepare(*, job: ScoringJob, run_dir: Path) -> bool:
    """Write ``completions.jsonl``: a line for every completion that is to be scored.

    False where there is none any more.
    """
    target = run_dir / "completions.jsonl"
    job.stored = 0  # the lines that are there are read again, and counted again
    if target.exists():
        return True
    policy = next(iter(job.config.get("adapters", {})), "")
    rows = missing(job.round).values_list("pk", "prompt__messages", "text")[:AT_ONCE]
    temporary = run_dir / "completions.part"
    lines = 0
    with temporary.open("w", encoding="utf-8") as file:
        for pk, messages, text in rows.iterator(1000):
            line = {"id": str(pk), "messages": messages, "policy": policy, "text": text}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines += 1
    if lines:
        temporary.replace(target)
    job.total_steps = lines
    ScoringJob.objects.filter(pk=job.pk).update(total_steps=lines)
    return lines > 0


@transaction.atomic
def store(*, job: ScoringJob, claim: Claim, lines: Sequence[dict[str, Any]]) -> bool:
    """Store what the engine has scored so far. False where the claim no longer holds.

    What is stored already stays as it is; of completions that are gone nothing is kept.
    """
    if not lines:
        return True
    beta = beta_of(job.round)
    existing: set[int] = set()
    for piece in pieces(int(line["id"]) for line in lines):
        existing.update(Completion.objects.filter(pk__in=piece).values_list("pk", flat=True))
    rows = [
        score_of(job.round_id, int(line["id"]), line, beta)
        for line in lines
        if int(line["id"]) in existing
    ]
    Score.objects.bulk_create(rows, ignore_conflicts=True)
    job.stored = min(job.stored + len(lines), job.total_steps)
    return claim.update(stored=job.stored)


def score_of(scorer: int, completion: int, line: dict[str, Any], beta: float | None) -> Score:
    """The row of a line of ``scores.jsonl``."""
    if beta is None:
        implicit: dict[str, Any] = {}
        reward = line["reward"]
    else:
        implicit = {"logp": line["logp"], "reference_logp": line["reference_logp"], "beta": beta}
        reward = beta * (line["logp"] - line["reference_logp"])
    return Score(
        round_id=scorer,
        completion_id=completion,
        reward=reward,
        token_count=line["token_count"],
        **implicit,
    )


MOST = 5_000


def pieces(keys: Iterable[int], most: int = MOST) -> Iterator[list[int]]:
    """The keys, ``most`` at a time."""
    rest = list(keys)
    for start in range(0, len(rest), most):
        yield rest[start : start + most]
