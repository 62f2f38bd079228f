"""A "score" job: log-probabilities of given completions under policies and the reference.

The values are of the model's own distribution (temperature 1, nothing cut), the sum over the
completion's tokens with its end token. Knows nothing of training or sampling.
"""

from __future__ import annotations

import time

from training.engine.commands.sample import with_adapters
from training.engine.config import EngineJob, ScoreJob
from training.engine.data.chat import Chat
from training.engine.data.pairs import read_completions
from training.engine.forward.architecture import choose_layout
from training.engine.forward.reference import score
from training.engine.model import adapters
from training.engine.runtime import device as capability
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import LineLog, RunDir
from training.engine.runtime.versions import versions

TOKEN_BUDGET = 8192
GROUP = 256  # completions between two lines written


def run(job: EngineJob, run: RunDir, stop: StopRequest) -> None:
    """Write ``scores.jsonl``, then ``result.json``."""
    if not isinstance(job, ScoreJob):
        raise TypeError(job)
    began = time.monotonic()
    run.phase("reading data")
    rows = read_completions(run.path / "completions.jsonl", set(job.adapters))
    chat = Chat(adapters.load_tokenizer(job.model))
    answers = [[{"role": "assistant", "content": row.text}] for row in rows]
    trees = chat.trees(
        [(r.id, r.messages, [a], 1.0, r.line) for r, a in zip(rows, answers, strict=True)],
        job.max_length,
    )
    out = LineLog(run.path / "scores.jsonl")
    done = {row["id"] for row in out.rows()}
    stop.check()

    run.phase("loading the model")
    device = capability.device()
    dtype = capability.compute_dtype(job.precision, device)
    base = adapters.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
    model, names = with_adapters(base, job.adapters)
    reference = None
    if job.reference_adapter is not None:
        reference = adapters.REFERENCE
        model = adapters.add_adapter(model, job.reference_adapter, reference)
    layout, fallback = choose_layout(model, chat.tokenizer.pad_token_id)
    written = len(done)
    for name in sorted(job.adapters):
        wanted = [i for i, row in enumerate(rows) if row.policy == name and row.id not in done]
        for start in range(0, len(wanted), GROUP):
            stop.check()
            run.phase("scoring", step=written, total_steps=len(rows))
            group = wanted[start : start + GROUP]
            part = [trees[i] for i in group]
            with adapters.speaking_as(model, names[name]):
                logp = score(layout, model, part, TOKEN_BUDGET)
            with adapters.speaking_as(model, reference):
                reference_logp = score(layout, model, part, TOKEN_BUDGET)
            for i, value, base_value in zip(group, logp, reference_logp, strict=True):
                out.append(
                    {
                        "id": rows[i].id,
                        "policy": name,
                        "logp": float(value),
                        "reference_logp": float(base_value),
                        "token_count": len(trees[i].branches[0]),
                    }
                )
            out.flush()
            written += len(group)
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
