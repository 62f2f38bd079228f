"""What the policy writes while it is trained, and how far it has gone from its reference.

At step 0 and at every evaluation the policy answers a few prompts that never change, with the
same noise each time, so its answers differ only where the policy does. Held-out prompts come
first; where there are too few, prompts that are trained on fill up. Nothing here moves the
training: the random state is put back, gradients are off, no weight is touched, and what goes
wrong is told in the log and ends the watching, not the run. Knows nothing of losses.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import time
from collections.abc import Iterator
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from training.engine.config import EvalSamples, Sampling
from training.engine.data.chat import Chat
from training.engine.data.endings import EndRule, context_length, end_tokens
from training.engine.data.pairs import ChatMessage, Pair
from training.engine.forward.layout import Layout
from training.engine.forward.plan import milestones
from training.engine.generate import decoder
from training.engine.generate.decoder import DecodedRow, Decoder, Question, Wanted
from training.engine.generate.hf_generate import Generated
from training.engine.model import adapters, fused_lora
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import LineLog, RunDir

TILE = 1 << 25  # logits at once for the divergence, of policy and reference each
log = logging.getLogger("engine")


class _AskedToStopError(Exception):
    """The run was asked to stop: these answers are written when it goes on."""


def fixed_prompts(pairs: list[Pair], count: int, seed: int) -> list[Pair]:
    """Pairs whose prompts are answered: held-out ones first, each once, drawn by the seed."""
    chosen: dict[str, Pair] = {}
    for split in ("held_out", "train"):
        of_split = [pair for pair in pairs if pair.split == split]
        random.Random(f"watch:{seed}").shuffle(of_split)
        for pair in of_split:
            if len(chosen) == count:
                return list(chosen.values())
            chosen.setdefault(json.dumps(pair.prompt, sort_keys=True), pair)
    return list(chosen.values())


class EvalSampler:
    """Writes ``samples.jsonl`` and metrics of the split "answers" as a run goes.

    ``kl``: the divergence of the policy from its reference in nats an answer,
    KL(π‖π_ref) = E_{y~π} Σ_t KL(π(·|x, y_<t) ‖ π_ref(·|x, y_<t)), the mean over the answers just
    written, each drawn from π itself at temperature 1. At every position the divergence of the
    next token is exact, over the whole vocabulary: the Rao-Blackwellised estimator of Amini, Vieira
    and Cotterell (2025, arXiv 2504.10637), unbiased, never below 0, and with less variance than
    the mean of log π − log π_ref. An answer counts up to ``max_new_tokens``. Where the run has no
    reference (SFT) it is the policy that the run began with.
    ``kl_per_token``: the same, divided by all tokens written. ``tokens``: an answer's length.
    ``cut_share``: answers that were longer than they may be.
    """

    def __init__(
        self,
        *,
        model: Any,
        layout: Layout,
        chat: Chat,
        pairs: list[Pair],
        settings: EvalSamples,
        eval_fraction: float,
        total: int,
        reference_adapter: str | None,
        seed: int,
        run: RunDir,
        stop: StopRequest,
    ) -> None:
        self.model, self.layout, self.chat, self.settings = model, layout, chat, settings
        self.reference_adapter, self.seed = reference_adapter, seed
        self.run, self.stop, self.total = run, stop, total
        self.steps = {0} | milestones(total, eval_fraction)
        lm = adapters.causal_lm(model)
        room = context_length(lm.config) - settings.max_new_tokens
        prompts = fixed_prompts(pairs, settings.answers, seed)
        ids = chat.prompt_ids([pair.prompt for pair in prompts]) if prompts else []
        fitting = [(p, i) for p, i in zip(prompts, ids, strict=True) if len(i) <= room]
        self.prompts: list[tuple[Pair, list[int]]] = fitting
        self.ending = EndRule(chat, end_tokens(lm, chat.tokenizer), ())
        self.generate: str | None = None  # why ``generate`` has to be used, once it is known
        self.is_tried = False
        self.lines = LineLog(run.path / "samples.jsonl")
        written = [int(row["step"]) for row in self.lines.rows()]
        shown = len(self.prompts[: settings.shown])
        self.done = {step for step in written if written.count(step) >= shown}

    def look(self, step: int) -> None:
        """Write the answers of ``step``, if they are due and not there yet."""
        if step not in self.steps or step in self.done or not self.prompts or self.stop:
            return
        self.run.phase("writing samples", step=step, total_steps=self.total)
        try:
            with untouched(self.model, self.layout):
                rows = self._write()
                divergences = self._divergences(rows)
        except _AskedToStopError:
            return
        except Exception as error:  # whatever it is, the training goes on
            log.warning("no samples from step %d on: %s: %s", step, type(error).__name__, error)
            self.prompts = []
            return
        self.done.add(step)
        self._keep(step, rows, divergences)
        self.run.phase("training")

    # --- writing ---

    def _write(self) -> list[DecodedRow]:
        """An answer to each prompt, in their order, ended where an answer ends."""
        questions = [
            Question(
                adapters.TRAINED, ids, (Wanted(at, self._noise(at), self.settings.max_new_tokens),)
            )
            for at, (_, ids) in enumerate(self.prompts)
        ]
        with self._writer() as writer:
            rows = sorted(writer.write(questions, self._between), key=lambda row: row.wanted.index)
        for row in rows:
            row.tokens = row.tokens[: self._length(row.tokens)]
        return rows

    def _noise(self, at: int) -> int:
        return random.Random(f"watch:{self.seed}:{at}").getrandbits(62)

    def _between(self) -> None:
        if self.stop:
            raise _AskedToStopError

    @contextlib.contextmanager
    def _writer(self) -> Iterator[Decoder | Generated]:
        """The fastest way that is exact; the model is given back as it was."""
        try:
            if not self.is_tried:
                self.is_tried = True
                self.generate = decoder.obstacle(self.model) or decoder.trial(
                    self.model, [adapters.TRAINED]
                )
            if self.generate is None:
                own = Decoder(self.model, Sampling(), len(self.prompts), self.ending.reached)
                try:
                    yield own
                finally:
                    own.release()
            else:
                fused_lora.install(self.model)  # the trial may have taken it away
                yield Generated(
                    self.model, self.chat.tokenizer, Sampling(), len(self.prompts), self.ending
                )
        finally:
            fused_lora.install(self.model)  # the decoder has LoRA layers of its own

    def _length(self, tokens: list[int]) -> int:
        """Tokens up to and with the one that ends the answer."""
        for index, token in enumerate(tokens):
            if token in self.ending.tokens:
                return index + 1
        return len(tokens)

    # --- measuring ---

    def _divergences(self, rows: list[DecodedRow]) -> list[float]:
        """Σ_t KL(π ‖ π_ref) along each answer, in nats."""
        name = None
        if self.reference_adapter:
            name = adapters.REFERENCE
            adapters.add_adapter(self.model, self.reference_adapter, name)
        try:
            return [value for part in self._parts(rows) for value in self._divergence(part, name)]
        finally:
            if name:
                self.model.delete_adapter(name)

    def _parts(self, rows: list[DecodedRow]) -> Iterator[list[DecodedRow]]:
        """As many rows at once as give few enough logits; one at least."""
        width = max(len(row.question.tokens) + len(row.tokens) for row in rows)
        vocabulary = adapters.causal_lm(self.model).get_output_embeddings().weight.shape[0]
        size = max(1, TILE // (width * vocabulary))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _divergence(self, rows: list[DecodedRow], reference: str | None) -> list[float]:
        """Of each answer y to x: the sum over its positions, each exact over the vocabulary [V].

        Shorter rows are filled up at their ends, which what stands before never sees.
        """
        self._between()
        texts = [row.question.tokens + row.tokens[:-1] for row in rows]
        width = max(map(len, texts))
        device = adapters.causal_lm(self.model).device
        ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], device=device)
        first = min(len(row.question.tokens) for row in rows) - 1
        mine = self._logits(ids, width - first, adapters.TRAINED)
        theirs = self._logits(ids, width - first, reference)
        values = []
        for row, own, other in zip(rows, mine, theirs, strict=True):
            begin = len(row.question.tokens) - 1 - first
            p = torch.log_softmax(own[begin : begin + len(row.tokens)].float(), -1)  # [T, V]
            q = torch.log_softmax(other[begin : begin + len(row.tokens)].float(), -1)
            total = float((p.exp() * (p - q)).sum(dtype=torch.float64))
            values.append(max(0.0, total))  # below 0 only by rounding
        return values

    def _logits(self, ids: Tensor, last: int, adapter: str | None) -> Tensor:
        """ids [B, L] -> logits [B, K, V] of the ``last`` K positions."""
        lm = adapters.causal_lm(self.model)
        # A long prompt's own logits would take gigabytes, where the model can be told so.
        can_keep = "logits_to_keep" in signature(lm.forward).parameters
        wish = {"logits_to_keep": last} if can_keep else {}
        with adapters.speaking_as(self.model, adapter):
            logits: Tensor = lm(input_ids=ids, use_cache=False, **wish).logits[:, -last:]
        return logits

    # --- keeping ---

    def _keep(self, step: int, rows: list[DecodedRow], divergences: list[float]) -> None:
        for place, row in enumerate(rows[: self.settings.shown]):
            pair = self.prompts[place][0]
            taken, reason = self.ending.cut(row.tokens)
            self.lines.append(
                {
                    "time": time.time(),
                    "step": step,
                    "place": place,
                    "id": pair.id,
                    "held_out": pair.split == "held_out",
                    "messages": _plain(pair.prompt),
                    "text": self.chat.text(taken),
                    "token_count": len(taken),
                    "finish_reason": reason,
                }
            )
        self.lines.flush()
        tokens = sum(len(row.tokens) for row in rows)
        cut = sum(self.ending.cut(row.tokens)[1] == "length" for row in rows)
        values = {
            "kl": sum(divergences) / len(rows),
            "kl_per_token": sum(divergences) / max(1, tokens),
            "tokens": tokens / len(rows),
            "cut_share": cut / len(rows),
        }
        self.run.metrics(step, self.total, "answers", values)
        log.info(
            "step %d: %.1f tokens an answer, %.2f nats an answer from the reference",
            step,
            values["tokens"],
            values["kl"],
        )


@contextlib.contextmanager
def untouched(model: Any, layout: Layout) -> Iterator[None]:
    """Within, ``model`` is in eval mode and attends as it came; afterwards all is as before.

    The mode, the attention, the generation settings, which parameters are trained, and every
    random state.
    """
    lm = adapters.causal_lm(model)
    was_training = model.training
    generation = getattr(lm, "generation_config", None)
    own_attention = getattr(layout, "own_attention", contextlib.nullcontext)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    python = random.getstate()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), own_attention():
        model.eval()
        try:
            yield
        finally:
            if generation is not None:
                lm.generation_config = generation
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name in trained)
            model.train(was_training)
            random.setstate(python)


def _plain(messages: list[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": str(m["role"]), "content": str(m.get("content") or "")} for m in messages]
