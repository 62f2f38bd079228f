"""A "sample" job: completions of prompts under several policies, appended as they come.

What ``completions.jsonl`` already holds is not written again, so a stopped job goes on where
it was. Knows nothing of training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import torch
from transformers import GenerationConfig

from . import capability, policy
from .chat import Chat
from .config import Job, SampleJob
from .data import Prompt, read_prompts
from .errors import EngineError
from .gumbel import RowNoise
from .process import StopRequest
from .rundir import LineLog, RunDir
from .train import versions

log = logging.getLogger("engine")


def run(job: Job, run: RunDir, stop: StopRequest) -> None:
    """Write all completions, then ``result.json``."""
    if not isinstance(job, SampleJob):
        raise TypeError(job)
    began = time.monotonic()
    run.phase("reading data")
    prompts = read_prompts(run.path / "prompts.jsonl", set(job.adapters))
    chat = Chat(policy.load_tokenizer(job.model))
    ids = chat.prompt_ids([prompt.messages for prompt in prompts])
    tokens = {prompt.id: row for prompt, row in zip(prompts, ids, strict=True)}
    out = LineLog(run.path / "completions.jsonl")
    done = {row["id"] for row in out.rows()}
    waiting = [prompt for prompt in prompts if prompt.id not in done]
    if done:
        log.info("%d of %d completions are there already", len(done), len(prompts))
    stop.check()

    run.phase("loading the model")
    device = capability.device()
    dtype = capability.compute_dtype(job.precision, device)
    base = policy.load_base(job.model, dtype, device)
    _check_lengths(waiting, tokens, base.config)
    writer = Writer(base, chat, job)
    written = len(prompts) - len(waiting)
    new_tokens = 0
    sampling_began = time.monotonic()
    for name, batch in _batches(waiting, tokens, job.batch_size):
        stop.check()  # what is written is kept, and is all there is to keep
        run.phase("sampling", step=written, total_steps=len(prompts))
        for row in writer.write(name, batch, [tokens[prompt.id] for prompt in batch]):
            out.append(row)
            new_tokens += row["token_count"]
        out.flush()
        written += len(batch)
    seconds = time.monotonic() - sampling_began
    run.phase("sampling", step=written, total_steps=len(prompts))
    out.close()
    speed = new_tokens / seconds if new_tokens else 0.0
    run.result(
        completions=written,
        final={"tokens_per_second": round(speed, 3)},
        versions=versions(),
        seconds=round(time.monotonic() - began, 3),
    )
    run.phase("done", step=written, total_steps=len(prompts))


class Writer:
    """A base model with all policies' adapters on it, writing batches of completions."""

    def __init__(self, base: Any, chat: Chat, job: SampleJob) -> None:
        self.chat, self.sampling = chat, job.sampling
        self.context = context_length(base.config)
        self.ends = end_tokens(base, chat.tokenizer)
        self.model, self.names = with_adapters(base, job.adapters)
        stops = chat.stop_strings
        self.stopping = {"stop_strings": stops, "tokenizer": chat.tokenizer} if stops else {}
        # The base's own generation settings (a repetition penalty, say) would alter the draw.
        base.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=sorted(self.ends) or None,
            pad_token_id=chat.tokenizer.pad_token_id,
        )

    def write(
        self, name: str, prompts: list[Prompt], ids: list[list[int]]
    ) -> Iterator[dict[str, Any]]:
        """One completion a prompt, under the policy ``name``; ``ids`` are the prompts' tokens."""
        device = next(self.model.parameters()).device
        width = max(map(len, ids))
        pad = self.chat.tokenizer.pad_token_id
        rows = torch.tensor([[pad] * (width - len(row)) + row for row in ids], device=device)
        mask = torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in ids], device=device
        )
        limits = [min(self.sampling.max_new_tokens, self.context - len(row)) for row in ids]
        noise = RowNoise(self.sampling, [prompt.seed for prompt in prompts], device)
        with torch.no_grad(), policy.speaking_as(self.model, self.names[name]):
            output = self.model.generate(
                input_ids=rows,
                attention_mask=mask,
                logits_processor=[noise],
                max_new_tokens=max(limits),
                **self.stopping,
            )
        logp = torch.stack(noise.chosen, 1).double().cpu()  # [B, steps]
        for prompt, row, limit, token_logp in zip(
            prompts, output[:, width:].tolist(), limits, logp, strict=True
        ):
            taken, reason = self._cut(row[:limit])
            yield {
                "id": prompt.id,
                "policy": prompt.policy,
                "seed": prompt.seed,
                "text": self.chat.text(taken),
                "token_count": len(taken),
                "finish_reason": reason,
                "logprob": float(token_logp[: len(taken)].sum()),
            }

    def _cut(self, row: list[int]) -> tuple[list[int], str]:
        """The row up to and with its first end token, or up to an invented turn, and why."""
        for index, token in enumerate(row):
            if token in self.ends:
                return self.chat.before_next_turn(row[: index + 1]), "stop"
        kept = self.chat.before_next_turn(row)
        return kept, "length" if len(kept) == len(row) else "stop"


def with_adapters(base: Any, adapters: dict[str, str | None]) -> tuple[Any, dict[str, str | None]]:
    """``base`` with every adapter loaded, and each policy's name in it (None: the bare base)."""
    model = base
    names: dict[str, str | None] = {}
    for index, (name, folder) in enumerate(sorted(adapters.items())):
        names[name] = None
        if folder is not None:
            names[name] = (
                f"policy_{index}"  # a policy's own name may hold dots, which torch forbids
            )
            model = policy.add_adapter(model, folder, f"policy_{index}")
    model.eval()
    return model, names


def end_tokens(base: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a turn: the tokenizer's, and those of the base's generation settings."""
    ends = {tokenizer.eos_token_id} - {None}
    told = base.generation_config.eos_token_id
    return ends | set(told if isinstance(told, list) else [told] if told is not None else [])


def context_length(config: Any) -> int:
    """The longest sequence that the model can hold; without a stated limit, a very long one."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(text, "max_position_embeddings", None) or 1 << 30)


def _check_lengths(prompts: list[Prompt], tokens: dict[str, list[int]], config: Any) -> None:
    context = context_length(config)
    for prompt in prompts:
        if len(tokens[prompt.id]) >= context:
            raise EngineError(
                "prompt_too_long",
                f"prompts.jsonl line {prompt.line}: prompt {prompt.id!r} has "
                f"{len(tokens[prompt.id])} tokens, and the model holds {context}",
                "Shorten or remove this prompt, or use a base model with a longer context.",
            )


def _batches(
    prompts: list[Prompt], tokens: dict[str, list[int]], size: int
) -> Iterator[tuple[str, list[Prompt]]]:
    """Batches of one policy each, of prompts of like length, the longest first."""
    ordered = sorted(prompts, key=lambda p: (p.policy, -len(tokens[p.id])))
    for name in sorted({prompt.policy for prompt in ordered}):
        group = [prompt for prompt in ordered if prompt.policy == name]
        for start in range(0, len(group), size):
            yield name, group[start : start + size]
