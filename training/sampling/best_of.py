"""Best of n: a policy draws n answers and keeps the one with the highest implicit reward.

The implicit reward of an answer is β · log(π(y|x) / π_ref(y|x)) (Rafailov et al. 2023, equation
5, up to a term of the prompt alone): π is the policy that a round made, π_ref that round's
reference. β does not change which answer is the best. The engine writes all n, then scores them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotate.models import Policy, Project
from training.engine.config import job_from_dict, write_job
from training.errors import Refused
from training.jobs.engine_process import EngineEnding, EngineProgress, Instruction, run_engine
from training.models import Round, SamplingJob
from training.rewards import score_cache
from training.storage.artifacts import localised

MARK = "#"
"""Between the key of a draw and the number of one of its n answers."""
MOST = 32

CompletionLine = dict[str, Any]


# --- rules that need no database ---


def numbered(key: str, seed: int, count: int) -> Iterator[tuple[str, int]]:
    """The keys and seeds of the ``count`` answers behind one draw."""
    for number in range(count):
        digest = hashlib.sha256(f"{seed}\n{number}".encode()).digest()
        yield f"{key}{MARK}{number}", int.from_bytes(digest[:8], "big") >> 1


def is_one_of_many(line: CompletionLine) -> bool:
    """Whether a line of ``completions.jsonl`` is one answer among the n of a draw."""
    return MARK in str(line["id"])


def best(lines: Iterable[CompletionLine], rewards: dict[str, float]) -> list[CompletionLine]:
    """Of each draw's answers the one with the highest reward, under the draw's own key.

    A draw whose answers have not all got a reward is left out; of equals the first is taken.
    """
    return [{**winner, "id": key} for key, winner in winners(lines, rewards)]


def winners(
    lines: Iterable[CompletionLine], rewards: dict[str, float]
) -> Iterator[tuple[str, CompletionLine]]:
    """As ``best``: each draw's key with the line that won, as it was."""
    groups: dict[str, list[CompletionLine]] = defaultdict(list)
    for line in lines:
        groups[str(line["id"]).partition(MARK)[0]].append(line)
    for key, answers in groups.items():
        if all(str(answer["id"]) in rewards for answer in answers):
            yield key, max(answers, key=lambda answer: rewards[str(answer["id"])])


# --- the policies ---


def scoring_round(policy: Policy) -> Round | None:
    """The round whose policy and reference give ``policy`` its rewards: the last one behind it."""
    at: Policy | None = policy
    while at is not None:
        round_ = Round.objects.filter(policy=at).select_related("policy", "reference").first()
        if round_ is not None:
            return round_
        at = at.parent
    return None


@transaction.atomic
def make_best_of(*, source: Policy, count: int) -> Policy:
    """A policy of the pool that keeps the best of ``count`` answers of ``source``.

    Raises Refused, in words, where that cannot be.
    """
    if not 2 <= count <= MOST:
        raise Refused(_("Choose from 2 to %(most)s answers.") % {"most": MOST})
    if source.kind != Policy.Kind.ADAPTER or scoring_round(source) is None:
        raise Refused(
            _("%(name)s was not trained in a round, so its answers have no implicit reward.")
            % {"name": source.slug}
        )
    Project.objects.select_for_update().get(pk=source.project_id)
    slug = slugify(f"{source.slug}-best-of-{count}")[:80]
    if Policy.objects.filter(project=source.project_id, slug=slug).exists():
        raise Refused(_("%(name)s is there already.") % {"name": slug})
    return Policy.objects.create(
        project=source.project,
        slug=slug,
        kind=Policy.Kind.BEST_OF,
        base_model=source.base_model,
        base_revision=source.base_revision,
        adapter_path=source.adapter_path,
        parent=source,
        best_of=count,
    )


# --- choosing ---


def choose(
    *, job: SamplingJob, run_dir: Path, follow: Callable[[EngineProgress], Instruction]
) -> tuple[list[CompletionLine], EngineEnding | None]:
    """Score what the engine wrote of best-of-n policies, and take the best.

    Gives lines as ``completions.jsonl`` would have them, one a draw, and how the engine ended
    where it did not finish. Run again, it goes on where it was.
    """
    lines = [line for line in _lines_of(run_dir / "completions.jsonl") if is_one_of_many(line)]
    chosen: list[CompletionLine] = []
    for folder, scorer, own in _scorings(job, run_dir, lines):
        scores = _scores_at_hand(scorer, own)
        if waiting := [line for line in own if str(line["id"]) not in scores]:
            _ask(folder, run_dir, waiting)
            ending = run_engine(kind="score", run_dir=folder, follow=follow, attempt=job.attempt)
            if ending.result is None:
                return chosen, ending
            scores |= {str(row["id"]): row for row in _lines_of(folder / "scores.jsonl")}
        rewards = {key: row["logp"] - row["reference_logp"] for key, row in scores.items()}
        for key, winner in winners(own, rewards):
            chosen.append(
                score_cache.marked({**winner, "id": key}, scorer, scores[str(winner["id"])])
            )
    return chosen, None


def _scores_at_hand(scorer: Round, lines: Sequence[CompletionLine]) -> dict[str, CompletionLine]:
    """The scores of those answers that say what has been scored before."""
    draws = {
        str(line["id"]): (int(str(line["id"]).partition(":")[0]), str(line["text"]))
        for line in lines
    }
    known = score_cache.known(scorer, {prompt for prompt, _ in draws.values()})
    return {key: known[key_of_draw] for key, key_of_draw in draws.items() if key_of_draw in known}


def _scorings(
    job: SamplingJob, run_dir: Path, lines: Sequence[CompletionLine]
) -> Iterator[tuple[Path, Round, list[CompletionLine]]]:
    """For each best-of-n policy a folder with what its answers are to be scored by, the round that
    this comes from, and those answers."""
    rounds = {
        policy.slug: scorer
        for policy in job.policies.filter(kind=Policy.Kind.BEST_OF).order_by("pk")
        if (scorer := scoring_round(policy)) is not None
    }
    for slug, scorer in rounds.items():
        own = [line for line in lines if line["policy"] == slug]
        if not own or scorer.policy is None:
            continue
        folder = run_dir / f"score-{slug}"
        folder.mkdir(exist_ok=True)
        scoring = job_from_dict(
            localised(
                {
                    "kind": "score",
                    "model": job.config["model"],
                    "adapters": {slug: scorer.policy.adapter_path or None},
                    "reference_adapter": scorer.reference.adapter_path or None,
                    "load_in_4bit": job.config.get("load_in_4bit", False),
                }
            )
        )
        write_job(scoring, folder)
        yield folder, scorer, own


def _ask(folder: Path, run_dir: Path, lines: Sequence[CompletionLine]) -> None:
    """Put answers into ``folder``, to be scored."""
    messages = {row["id"]: row["messages"] for row in _lines_of(run_dir / "prompts.jsonl")}
    with (folder / "completions.part").open("w", encoding="utf-8") as file:
        for line in lines:
            row = {"id": line["id"], "messages": messages[line["id"]]}
            row |= {"policy": line["policy"], "text": line["text"]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / "completions.part").replace(folder / "completions.jsonl")


def _lines_of(path: Path) -> list[CompletionLine]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
