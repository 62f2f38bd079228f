"""Continuous batching: answers to many prompts under many adapters, a token of each at a time.

A prompt is computed once for all answers to it (``kept``), rows of different adapters share a batch
(``mixed_lora``), a finished row leaves at once and the next one takes its place. What stands beside
a row has no say in its text (``gumbel``). Knows nothing of files; who may use it is decided by
``obstacle`` and a trial on the loaded model.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.engine.config import Sampling
from training.engine.errors import is_out_of_memory
from training.engine.forward import architecture
from training.engine.generate import kv_cache
from training.engine.generate.cuda_graphs import DecodeGraphs, DecodeStep, cuda_graph
from training.engine.generate.cuda_graphs import obstacle as graph_obstacle
from training.engine.generate.logits import Shaper
from training.engine.generate.seeded_noise import Race, draw
from training.engine.model import mixed_lora
from training.engine.model.adapters import causal_lm, speaking_as
from training.engine.runtime.memory import available_bytes

PREFILL = 1024  # prompt tokens computed at once; a longer prompt comes alone
JOIN_AT = 8  # new rows join when one in this many rows is free
ANSWERS_TOGETHER = 8  # rows of one prompt in the batch at the same time
SHARE = 0.6  # of the free memory that keys and values may take
log = logging.getLogger("engine")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One answer that is to be written. ``index`` is the caller's."""

    index: int
    seed: int
    limit: int  # tokens


@dataclasses.dataclass(frozen=True)
class Question:
    """A prompt's tokens, which adapter answers (None: the bare base), and the answers wanted."""

    adapter: str | None
    tokens: list[int]
    answers: tuple[Wanted, ...]


@dataclasses.dataclass
class DecodedRow:
    """An answer under way."""

    wanted: Wanted
    question: Question
    tokens: list[int] = dataclasses.field(default_factory=list)
    logps: list[float] = dataclasses.field(default_factory=list)

    @property
    def kept(self) -> int:
        """Tokens whose keys are in memory: all but the newest."""
        return max(0, len(self.tokens) - 1)


Ended = Callable[[list[int]], bool]


def obstacle(model: Any) -> str | None:
    """Why ``model`` cannot be sampled in this way; None if it can, as far as it says."""
    return architecture.obstacle(model) or mixed_lora.obstacle(model)


def in_order(questions: Sequence[Question]) -> list[Question]:
    """Policy after policy, so that few adapters share a batch; long prompts beside long ones.

    Every other policy goes from short to long, so that neighbours are alike where two meet.
    """
    ordered: list[Question] = []
    for turn, name in enumerate(sorted({q.adapter or "" for q in questions})):
        mine = [q for q in questions if (q.adapter or "") == name]
        ordered += sorted(mine, key=lambda q: len(q.tokens), reverse=turn % 2 == 0)
    return ordered


def evenly(answers: int, rows: int) -> int:
    """At most ``rows``, so that the last wave of answers is no smaller than the others."""
    waves = -(-answers // rows)
    return -(-answers // waves)


class Decoder:
    """A model taken over for sampling; ``release`` gives it back."""

    def __init__(
        self,
        model: Any,
        sampling: Sampling,
        rows: int,
        ended: Ended,
        record: Callable[[DecodeStep], DecodeStep] | None = None,
    ) -> None:
        """``record``: how a step is recorded to be replayed; None: with CUDA graphs on a GPU."""
        self._lm = causal_lm(model)
        self._head = self._lm.get_output_embeddings()
        self._softcap = getattr(self._lm.config, "final_logit_softcapping", None)
        self._device = self._head.weight.device
        self._before = self._lm.config._attn_implementation
        self._lm.set_attn_implementation(kv_cache.NAME)
        self._lora = mixed_lora.MixedLora(model)
        self._sampling, self._shaper, self._ended = sampling, Shaper(sampling), ended
        vocabulary = self._head.weight.shape[0]
        self._race = Race(vocabulary, self._device) if sampling.temperature else None
        on_gpu = self._device.type == "cuda"
        self._record = cuda_graph if record is None and on_gpu else record
        self._graphs: DecodeGraphs | None = None
        self._rows_at_most = rows
        self._finished: list[DecodedRow] = []
        self._start(rows)

    def release(self) -> None:
        self._lora.release()
        self._lm.set_attn_implementation(self._before)

    def under_way(self) -> list[DecodedRow]:
        """The answers that are not finished."""
        return list(self._rows)

    def write(
        self, questions: Sequence[Question], between: Callable[[], None] = lambda: None
    ) -> Iterator[DecodedRow]:
        """All answers, each as soon as it is finished; ``between`` is called before every step."""
        queue = deque(in_order([part for q in questions for part in _parts(q)]))
        if not queue:
            return
        answers = sum(len(question.answers) for question in queue)
        self._start(evenly(answers, min(self._rows_at_most, self._affordable(queue))))
        while queue or self._rows:
            between()
            try:
                self._turn(queue)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self._capacity == 1:
                    raise
                # Nothing is lost: what was under way begins again, with the same seeds.
                queue.extendleft(reversed(self._unfinished()))
                self._rows_at_most = max(1, self._capacity // 2)
                log.warning("out of memory: from now on %d rows at once", self._rows_at_most)
                self._start(self._rows_at_most)
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
            yield from self._finished
            self._finished = []

    # --- one turn ---

    @torch.no_grad()
    def _turn(self, queue: deque[Question]) -> None:
        free = self._capacity - len(self._rows)
        if queue and (not self._rows or free * JOIN_AT >= self._capacity):
            while joining := self._joining(queue):
                self._begin(joining)
        if self._rows:
            self._step()

    def _joining(self, queue: deque[Question]) -> list[Question]:
        """The next questions that have room, as many as are computed at once."""
        free = self._capacity - len(self._rows)
        joining: list[Question] = []
        width = 0
        while queue:
            question = queue[0]
            width = max(width, len(question.tokens))
            if joining and width * (len(joining) + 1) > PREFILL:
                break
            if len(question.answers) > free:
                if joining or self._rows:
                    break
                # More answers than rows: the rest comes next.
                some = dataclasses.replace(question, answers=question.answers[:free])
                queue[0] = dataclasses.replace(question, answers=question.answers[free:])
                return [some]
            free -= len(question.answers)
            joining.append(queue.popleft())
        return joining

    def _begin(self, joining: list[Question]) -> None:
        """Compute new prompts and the first token of each of their answers."""
        slots = list(range(len(self._questions), len(self._questions) + len(joining)))
        logits = self._prompts(joining, slots)
        self._questions += joining
        self._open += [len(question.answers) for question in joining]
        which = []
        for at, (slot, question) in enumerate(zip(slots, joining, strict=True)):
            for place, wanted in enumerate(question.answers):
                row = len(self._rows)
                self._rows.append(DecodedRow(wanted, question))
                self._slot[row], self._place[row] = slot, place
                self._prompt[row] = len(question.tokens)
                if self._seen is not None:
                    self._shaper.note(self._seen[row], question.tokens)
                which.append(at)
        self._take(logits[which], len(self._rows) - len(which))

    def _step(self) -> None:
        """The next token of every row."""
        count = len(self._rows)
        written = np.fromiter((row.kept for row in self._rows), np.int64, count)
        newest = np.fromiter((row.tokens[-1] for row in self._rows), np.int64, count)
        adapters = [row.question.adapter for row in self._rows]
        numbers = {
            "slot": self._slot[:count],
            "place": self._place[:count],
            "prompt": self._prompt[:count],
            "written": written,
        }
        logits = self._graphs.logits(adapters, newest, **numbers) if self._graphs else None
        if logits is None:
            self._kept.expect_tokens(**numbers)
            self._lora.select(adapters)
            positions = self._prompt[:count] + written
            logits = self._next_logits(self._on_device(newest), self._on_device(positions))
        self._take(logits, 0)

    def _next_logits(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Of one token a row, [R] or [R, 1] each, the logits after it [R, V]."""
        hidden = self._hidden(ids.view(-1, 1), positions.view(-1, 1))
        return self._logits(hidden[:, 0])

    def _take(self, logits: Tensor, first: int) -> None:
        """Draw a token for rows ``first``, …; finished ones leave."""
        rows = self._rows[first:]
        seen = None if self._seen is None else self._seen[first : first + len(rows)]
        scores = self._shaper.shape(logits.float(), seen)
        steps = [len(row.tokens) for row in rows]
        taken, logp = draw(scores, self._race, [row.wanted.seed for row in rows], steps)
        if seen is not None:
            seen.scatter_(1, taken[:, None], True)
        finished = []
        for row, token, value in zip(rows, taken.tolist(), logp.tolist(), strict=True):
            row.tokens.append(token)
            row.logps.append(value)
            if len(row.tokens) >= row.wanted.limit or self._ended(row.tokens):
                finished.append(row)
        for row in finished:
            self._leave(next(i for i, other in enumerate(self._rows) if other is row))
        self._finished += finished

    def _leave(self, gone: int) -> None:
        """Row ``gone`` is finished: the last row takes its place, the last prompt its prompt's."""
        slot = int(self._slot[gone])
        last = len(self._rows) - 1
        if gone != last:
            self._kept.move_row(last, gone, self._rows[last].kept)
            self._rows[gone] = self._rows[last]
            for numbers in (self._slot, self._place, self._prompt):
                numbers[gone] = numbers[last]
            if self._seen is not None:
                self._seen[gone] = self._seen[last]
        self._rows.pop()
        self._open[slot] -= 1
        if self._open[slot]:
            return
        end = len(self._questions) - 1
        if slot != end:
            self._kept.move_prompt(end, slot, len(self._questions[end].tokens))
            self._questions[slot], self._open[slot] = self._questions[end], self._open[end]
            self._slot[: len(self._rows)][self._slot[: len(self._rows)] == end] = slot
        self._questions.pop()
        self._open.pop()

    # --- the model ---

    def _prompts(self, questions: list[Question], slots: list[int]) -> Tensor:
        """Keep the prompts' keys in these slots; logits after each prompt [P, V]."""
        lengths = [len(question.tokens) for question in questions]
        width = max(lengths)
        ids = np.zeros((len(questions), width), np.int64)
        for row, question in zip(ids, questions, strict=True):
            row[: len(question.tokens)] = question.tokens
        self._kept.expect_prompts(slots, width)
        self._lora.select([question.adapter for question in questions])
        positions = np.tile(np.arange(width), (len(questions), 1))
        hidden = self._hidden(self._on_device(ids), self._on_device(positions))
        ends = torch.tensor(lengths, device=self._device) - 1
        return self._logits(hidden[torch.arange(len(lengths), device=self._device), ends])

    def _on_device(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)

    def _hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids and positions [B, T] -> hidden states [B, T, d]."""
        hidden: Tensor = self._lm.get_decoder()(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            kept=self._kept,
        ).last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden)
        if self._softcap is not None:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits

    # --- bookkeeping ---

    def _start(self, rows: int) -> None:
        """Nobody is here yet."""
        self._capacity = rows
        self._rows: list[DecodedRow] = []
        self._questions: list[Question] = []
        self._open: list[int] = []  # a prompt's rows that are not finished
        self._slot, self._place, self._prompt = (np.zeros(rows, np.int64) for _ in range(3))
        layers = int(self._lm.config.get_text_config().num_hidden_layers)
        self._kept = kv_cache.KvCache(layers, rows, rows, self._device)
        self._graphs = None
        if self._record is not None and not graph_obstacle(self._lm.config):
            self._graphs = DecodeGraphs(
                self._next_logits, self._kept, self._lora, rows, self._device, self._record
            )
        self._seen = None
        if self._shaper.remembers:
            self._seen = self._shaper.fresh(rows, self._head.weight.shape[0], self._device)

    def _unfinished(self) -> list[Question]:
        """What is under way, as questions."""
        return [dataclasses.replace(row.question, answers=(row.wanted,)) for row in self._rows]

    def _affordable(self, queue: Sequence[Question]) -> int:
        """How many rows' keys and values the memory holds, at their longest."""
        config = self._lm.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        token = 2 * config.num_hidden_layers * heads * size * self._head.weight.element_size()
        longest = max(len(q.tokens) + max(w.limit for w in q.answers) for q in queue)
        return max(
            1, int(available_bytes(self._device) * SHARE / kv_cache.GROWTH / (token * longest))
        )


def _parts(question: Question) -> Iterator[Question]:
    for start in range(0, len(question.answers), ANSWERS_TOGETHER):
        answers = question.answers[start : start + ANSWERS_TOGETHER]
        yield dataclasses.replace(question, answers=answers)


def trial(model: Any, adapters: Sequence[str | None]) -> str | None:
    """Compare both ways on the loaded model itself; why this one is wrong, or None.

    Two prompts of uneven length, two answers each, three tokens: the log-probabilities of
    what was taken must be those of a plain forward pass over the whole.
    """
    lm = causal_lm(model)
    shuffle = torch.Generator().manual_seed(0)
    vocabulary = lm.get_output_embeddings().weight.shape[0]
    some = list(adapters[:1]) + list(adapters[-1:])
    questions = [
        Question(
            adapter,
            torch.randint(0, vocabulary, (7 + 6 * i,), generator=shuffle).tolist(),
            tuple(Wanted(10 * i + j, 10 * i + j, 3) for j in range(2)),
        )
        for i, adapter in enumerate(some)
    ]
    decoder = Decoder(model, Sampling(), 4, lambda _: False)
    try:
        rows = list(decoder.write(questions))
    except (NotImplementedError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        return f"the trial failed: {type(error).__name__}: {str(error)[:200]}"
    finally:
        decoder.release()
    worst = 0.0
    for row in rows:
        prompt = row.question.tokens
        ids = torch.tensor([prompt + row.tokens[:-1]], device=lm.device)
        with torch.no_grad(), speaking_as(model, row.question.adapter):
            logits = lm(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
        logp = torch.log_softmax(logits.float(), -1)
        theirs = sum(
            float(logps_at[token]) for logps_at, token in zip(logp, row.tokens, strict=True)
        )
        # A sure model's log-probabilities are small, and as uncertain as the logits behind them.
        scale = max(1.0, abs(theirs), float(logits.abs().max()))
        worst = max(worst, abs(theirs - sum(row.logps)) / scale)
    if not worst <= architecture.TOLERANCE[lm.dtype]:
        return f"in a trial the two ways differ by a relative {worst:.1e}"
    return None
