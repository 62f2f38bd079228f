"""A "sample" job: completions of prompts under several policies, appended as they come.

What ``completions.jsonl`` already holds is not written again, so a stopped job goes on where
it was. Knows nothing of training.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from training.engine.config import EngineJob, SampleJob
from training.engine.data.chat import Chat
from training.engine.data.endings import EndRule, context_length, end_tokens
from training.engine.data.pairs import PromptLine, read_prompts
from training.engine.errors import EngineError
from training.engine.generate import decoder
from training.engine.generate.decoder import DecodedRow, Decoder, Question, Wanted
from training.engine.generate.hf_generate import Generated
from training.engine.model import adapters as policy
from training.engine.runtime import device as capability
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import LineLog, RunDir, write_json
from training.engine.runtime.versions import versions

PARTIAL_SECONDS = 0.2
log = logging.getLogger("engine")


def run(job: EngineJob, run: RunDir, stop: StopRequest) -> None:
    """Write all completions, then ``result.json``."""
    if not isinstance(job, SampleJob):
        raise TypeError(job)
    began = time.monotonic()
    run.phase("reading data")
    prompts = read_prompts(run.path / "prompts.jsonl", set(job.adapters))
    chat = Chat(policy.load_tokenizer(job.model))
    ids = chat.prompt_ids([prompt.messages for prompt in prompts])
    out = LineLog(run.path / "completions.jsonl")
    done = {row["id"] for row in out.rows()}
    waiting = [place for place, prompt in enumerate(prompts) if prompt.id not in done]
    if done:
        log.info("%d of %d completions are there already", len(done), len(prompts))
    stop.check()

    run.phase("loading the model")
    device = capability.device()
    dtype = capability.compute_dtype(job.precision, device)
    base = policy.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
    context = context_length(base.config)
    _check_lengths(
        [prompts[place] for place in waiting], [ids[place] for place in waiting], context
    )
    ending = EndRule(chat, end_tokens(base, chat.tokenizer), job.sampling.stop_sequences)
    model, names = with_adapters(base, job.adapters)
    writer, reason = choose_writer(model, list(names.values()), chat, job, ending)
    written = len(prompts) - len(waiting)
    new_tokens = 0
    sampling_began = time.monotonic()

    partial = Partial(run, prompts, chat, ending) if job.show_partial else None

    def between() -> None:
        out.flush()
        if partial is not None:
            partial.show(writer.under_way())
        stop.check()  # what is written is kept, and is all there is to keep
        run.phase("sampling", step=written, total_steps=len(prompts))

    for row in writer.write(questions_of(prompts, ids, waiting, names, job, context), between):
        out.append(_line(prompts[row.wanted.index], row, ending, chat))
        new_tokens += len(row.tokens)
        written += 1
    out.close()
    seconds = time.monotonic() - sampling_began
    speed = new_tokens / seconds if new_tokens else 0.0
    run.result(
        completions=written,
        final={"tokens_per_second": round(speed, 3)},
        way="generate" if reason else "batch",
        way_reason=reason,
        versions=versions(),
        seconds=round(time.monotonic() - began, 3),
    )
    run.phase("done", step=written, total_steps=len(prompts))


class Partial:
    """``partial.json``: the texts that are under way, a few times a second."""

    def __init__(self, run: RunDir, prompts: list[PromptLine], chat: Chat, ending: EndRule) -> None:
        self._path = run.path / "partial.json"
        self._prompts, self._chat, self._ending = prompts, chat, ending
        self._next = 0.0

    def show(self, rows: list[DecodedRow]) -> None:
        """Write what ``rows`` hold so far, if the last time is long enough ago."""
        if not rows or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PARTIAL_SECONDS
        texts = {self._prompts[row.wanted.index].id: self._text(row) for row in rows}
        write_json(self._path, texts, sync=False)

    def _text(self, row: DecodedRow) -> str:
        taken, _ = self._ending.cut(row.tokens)
        return self._chat.text(taken).rstrip("\ufffd")  # half of a character


def choose_writer(
    model: Any, adapters: list[str | None], chat: Chat, job: SampleJob, ending: EndRule
) -> tuple[Decoder | Generated, str | None]:
    """The fastest way that is exact for ``model``, and why it is not our own batch."""
    reason = decoder.obstacle(model) or decoder.trial(model, adapters)
    if reason is None:
        return Decoder(model, job.sampling, job.batch_size, ending.reached), None
    log.warning("sampling with generate, which is slower: %s", reason)
    return Generated(model, chat.tokenizer, job.sampling, job.batch_size, ending), reason


def questions_of(
    prompts: list[PromptLine],
    ids: list[list[int]],
    waiting: list[int],
    names: dict[str, str | None],
    job: SampleJob,
    context: int,
) -> list[Question]:
    """What is ``waiting`` (places in ``prompts``), the answers to one prompt together."""
    together: dict[tuple[str, tuple[int, ...]], list[Wanted]] = {}
    for place in waiting:
        limit = min(job.sampling.max_new_tokens, context - len(ids[place]))
        key = (prompts[place].policy, tuple(ids[place]))
        together.setdefault(key, []).append(Wanted(place, prompts[place].seed, limit))
    return [
        Question(names[name], list(tokens), tuple(answers))
        for (name, tokens), answers in together.items()
    ]


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


def _line(prompt: PromptLine, row: DecodedRow, ending: EndRule, chat: Chat) -> dict[str, Any]:
    taken, reason = ending.cut(row.tokens)
    return {
        "id": prompt.id,
        "policy": prompt.policy,
        "seed": prompt.seed,
        "text": chat.text(taken),
        "token_count": len(taken),
        "finish_reason": reason,
        "logprob": float(sum(row.logps[: len(taken)])),
    }


def _check_lengths(prompts: list[PromptLine], ids: list[list[int]], context: int) -> None:
    for prompt, tokens in zip(prompts, ids, strict=True):
        if len(tokens) >= context:
            raise EngineError(
                "prompt_too_long",
                f"prompts.jsonl line {prompt.line}: prompt {prompt.id!r} has "
                f"{len(tokens)} tokens, and the model holds {context}",
                "Shorten or remove this prompt, or use a base model with a longer context.",
            )
