"""Settled preference pairs from a file."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import IO, Any

from django.db import transaction
from django.utils import timezone

from annotate.content.completions import store_completions
from annotate.content.demonstrations import seed_of
from annotate.content.prompts import NewPrompt, first_turn, store_prompts
from annotate.importing.lines import MAX_BYTES, Record
from annotate.importing.records import PAIR_KEYS, PairRecord, pair_from
from annotate.importing.refusal import Intake
from annotate.importing.report import FileKind, ImportReport
from annotate.importing.staging import checked_rows, policy_for
from annotate.models import Comparison, Completion, Policy, PreferencePair, Project
from annotate.rendering.render import render

PAIRS_POLICY = "imported-pairs"
"""The policy that wrote the answers of imported pairs; retired, so raters never see them."""

_draw = random.SystemRandom()


def import_pairs(
    *,
    project: Project,
    file: IO[bytes],
    source: str = "",
    max_bytes: int = MAX_BYTES,
    intake: Intake | None = None,
) -> ImportReport:
    """Add the settled pairs in ``file`` to ``project``, with prompts and completions.

    Nobody here judged them, so they have a settled comparison and no judgement. A pair is already
    there if this prompt has a pair of the same two texts, the same one chosen. Raises
    ImportRefused.
    """
    report = ImportReport(kind=FileKind.PAIRS)

    def as_data(pair: PairRecord) -> dict[str, Any]:
        return asdict(pair) | {
            "html": {"chosen": render(pair.chosen), "rejected": render(pair.rejected)}
        }

    intake = intake or Intake()

    def read(record: Record) -> PairRecord:
        intake.note_ignored(record, PAIR_KEYS)
        return pair_from(record, intake.choices)

    staged = checked_rows(
        file,
        read=read,
        as_data=as_data,
        max_bytes=max_bytes,
        problems=intake.problems,
    )
    with staged as batches, transaction.atomic():
        policy = policy_for(project, PAIRS_POLICY, state=Policy.State.RETIRED)
        for batch in batches():
            rows = [data for _, data in batch]
            prompts = [NewPrompt(**data["prompt"]) for data in rows]
            intake.first_turns.update(hash(first_turn(prompt.messages)) for prompt in prompts)
            stored = store_prompts(
                project=project, prompts=prompts, source=source, is_sampled=False
            )
            report.lines += len(rows)
            report.prompts_new += stored.new
            report.held_out += stored.held_out
            report.other_split += stored.other_split
            ids = [stored.id_of(prompt) for prompt in prompts]
            report.new += _store_pairs(project, policy, list(zip(ids, rows, strict=True)))
    return report


StoredPairRow = tuple[int, dict[str, Any]]
"""A pair as plain data, with its prompt's id."""


def _store_pairs(project: Project, policy: Policy, rows: list[StoredPairRow]) -> int:
    """Store the pairs in ``rows`` that are new; returns how many."""
    answers = _answers(policy, rows)
    comparisons, pairs = [], []
    ids = {row.pk for row in answers.values()}
    known_pairs = set(
        PreferencePair.objects.filter(chosen_id__in=ids, rejected_id__in=ids).values_list(
            "chosen_id", "rejected_id"
        )
    )
    orders = set(
        Comparison.objects.filter(
            a_id__in=ids, b_id__in=ids, purpose=Comparison.Purpose.NORMAL
        ).values_list("a_id", "b_id")
    )
    now = timezone.now()
    for prompt, data in rows:
        chosen = answers[prompt, seed_of(data["chosen"])].pk
        rejected = answers[prompt, seed_of(data["rejected"])].pk
        if (chosen, rejected) in known_pairs:
            continue
        known_pairs.add((chosen, rejected))
        order = (chosen, rejected) if _draw.random() < 0.5 else (rejected, chosen)
        if order in orders:  # the file also prefers them the other way round
            order = order[::-1]
        orders.add(order)
        comparison = Comparison(
            project=project,
            prompt_id=prompt,
            a_id=order[0],
            b_id=order[1],
            shuffle=_draw.randrange(2**31),
            state=Comparison.State.SETTLED,
            result=Comparison.Result.PAIR,
            settled_at=now,
        )
        comparisons.append(comparison)
        pairs.append(
            PreferencePair(
                comparison=comparison,
                chosen_id=chosen,
                rejected_id=rejected,
                weight=data["weight"],
                agreement=data["agreement"],
            )
        )
    Comparison.objects.bulk_create(comparisons)
    PreferencePair.objects.bulk_create(pairs)
    return len(pairs)


def _answers(policy: Policy, rows: list[StoredPairRow]) -> dict[tuple[int, int], Completion]:
    """The completions of ``rows``, stored where new, by prompt and seed.

    The seed comes from the text: so one text to one prompt is one completion, however many
    pairs and imports it is in.
    """
    completions = [
        Completion(
            prompt_id=prompt,
            policy=policy,
            text=data[side],
            html=data["html"][side],
            seed=seed_of(data[side]),
        )
        for prompt, data in rows
        for side in ("chosen", "rejected")
    ]
    store_completions(rows=completions)
    stored = Completion.objects.filter(
        policy=policy,
        prompt_id__in={row.prompt_id for row in completions},
        seed__in={row.seed for row in completions},
    ).only("pk", "prompt_id", "seed")
    return {(row.prompt_id, row.seed): row for row in stored}
