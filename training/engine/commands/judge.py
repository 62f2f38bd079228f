"""A "judge" job: what a reward model gives completions.

Answers to one prompt are computed together. What ``scores.jsonl`` already holds is not computed
again. Knows nothing of training or sampling.
"""

from __future__ import annotations

import json
import time

import torch

from training.engine.commands.score import GROUP, TOKEN_BUDGET
from training.engine.config import EngineJob, JudgeJob
from training.engine.data.chat import Chat
from training.engine.data.pairs import ChatMessage, CompletionLine, read_completions
from training.engine.errors import EngineError
from training.engine.forward import reward_model
from training.engine.forward.reference import score
from training.engine.model import adapters
from training.engine.runtime import device as capability
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import LineLog, RunDir
from training.engine.runtime.versions import versions

MOST_TOGETHER = 8
"""Answers to one prompt in a tree: a tree is computed at once."""


def run(job: EngineJob, run: RunDir, stop: StopRequest) -> None:
    """Write ``scores.jsonl``, then ``result.json``."""
    if not isinstance(job, JudgeJob):
        raise TypeError(job)
    began = time.monotonic()
    run.phase("reading data")
    rows = read_completions(run.path / "completions.jsonl", None)
    out = LineLog(run.path / "scores.jsonl")
    done = {row["id"] for row in out.rows()}
    groups = by_prompt([row for row in rows if row.id not in done])
    chat = Chat(adapters.load_tokenizer(job.model))
    trees = chat.trees(
        [(g[0].id, g[0].messages, [_said(answer) for answer in g], 1.0, g[0].line) for g in groups],
        job.max_length,
    )
    stop.check()

    run.phase("loading the model")
    device = capability.device()
    dtype = capability.compute_dtype(job.precision, device)
    base = reward_model.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
    model = reward_model.load_trained(base, job.adapter)
    layout, fallback = reward_model.choose_layout(model, chat.tokenizer.pad_token_id)
    written = len(done)
    for start in range(0, len(trees), GROUP):
        stop.check()
        run.phase("scoring", step=written, total_steps=len(rows))
        part = trees[start : start + GROUP]
        values = score(layout, model, part, TOKEN_BUDGET)
        if not torch.isfinite(values).all():
            raise EngineError(
                "not_finite",
                "The reward model gives rewards that are not finite",
                'Try precision "fp32", or train the reward model with a lower learning rate.',
            )
        numbers = iter(values.tolist())
        for group, tree in zip(groups[start : start + GROUP], part, strict=True):
            for answer, branch in zip(group, tree.branches, strict=True):
                line = {"id": answer.id, "reward": next(numbers), "token_count": len(branch)}
                out.append(line)
        out.flush()
        written += sum(map(len, groups[start : start + GROUP]))
    out.close()
    run.result(
        scores=written,
        final={"scores": written},
        layout=layout.name,
        fallback_reason=fallback,
        versions=versions(),
        seconds=round(time.monotonic() - began, 3),
        dtype=str(dtype).removeprefix("torch."),
    )
    run.phase("done", step=written, total_steps=len(rows))


def _said(row: CompletionLine) -> list[ChatMessage]:
    return [{"role": "assistant", "content": row.text}]


def by_prompt(rows: list[CompletionLine], most: int = MOST_TOGETHER) -> list[list[CompletionLine]]:
    """Answers to the same prompt together, ``most`` at a time, in the order in which they came."""
    groups: dict[str, list[list[CompletionLine]]] = {}
    for row in rows:
        own = groups.setdefault(json.dumps(row.messages), [[]])
        if len(own[-1]) == most:
            own.append([])
        own[-1].append(row)
    return [group for own in groups.values() for group in own]
