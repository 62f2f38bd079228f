"""Rewards that best-of-n need not compute again, and those that it leaves behind.

An answer that says what an answer to the same prompt has said before has the same reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from annotate.models import Completion
from training.models import Round, Score
from training.rewards.scorers import beta_of
from training.rewards.scoring import pieces, score_of

ScoreLine = dict[str, Any]
SCORED = "scored"
"""The key under which a chosen line carries its line of ``scores.jsonl`` and its scorer."""


def known(scorer: Round, prompts: Iterable[int]) -> dict[tuple[int, str], ScoreLine]:
    """What ``scorer`` has given to answers to these prompts, by (prompt, text)."""
    fields = "completion__prompt", "completion__text", "logp", "reference_logp", "token_count"
    return {
        (prompt, text): {"logp": logp, "reference_logp": reference, "token_count": tokens}
        for piece in pieces(set(prompts))
        for prompt, text, logp, reference, tokens in Score.objects.filter(
            round=scorer, completion__prompt__in=piece, logp__isnull=False
        ).values_list(*fields)
    }


def marked(line: ScoreLine, scorer: Round, score: Mapping[str, Any] | None) -> ScoreLine:
    """A chosen line that carries its score, to be kept once the line is a completion."""
    return line if score is None else {**line, SCORED: {**score, "round": scorer.pk}}


def keep(lines: Iterable[ScoreLine]) -> int:
    """Store the scores that these stored lines carry; returns how many there were."""
    carried = {
        tuple(map(int, str(line["id"]).split(":"))): line for line in lines if SCORED in line
    }
    if not carried:
        return 0
    scorers = Round.objects.in_bulk({line[SCORED]["round"] for line in carried.values()})
    policies = {key[1] for key in carried}
    rows = []
    for piece in pieces({key[0] for key in carried}):
        completions = Completion.objects.filter(prompt__in=piece, policy__in=policies)
        for pk, *key in completions.values_list("pk", "prompt", "policy", "seed"):
            line = carried.get(tuple(key))
            if line is not None:
                scorer = scorers[line[SCORED]["round"]]
                rows.append(score_of(scorer.pk, pk, line[SCORED], beta_of(scorer)))
    Score.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)
