"""One decoding step as a CUDA graph: a launch instead of several hundred.

A step of a small batch is so little work that a GPU waits for Python. A graph replays what was
recorded once, on the same memory and in the same shapes, so a step's shape is rounded up (rows,
prompts, lengths) and its numbers are copied into buffers that stay. Rows that are only there to
fill up answer a prompt of their own that nobody reads. A shape is recorded when it comes for the
second time: the first, computed as usual, has made all that is made once. Knows nothing of texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.engine.errors import is_out_of_memory
from training.engine.generate.kv_cache import Int64s, KvCache
from training.engine.model.mixed_lora import MixedLora

MOST = 48  # graphs; each keeps memory of its own
ROWS, PROMPTS, PROMPT_TOKENS, ANSWER_TOKENS = 8, 8, 128, 64  # shapes are multiples of these
DecodeStep = Callable[[], Tensor]
log = logging.getLogger("engine")


class GraphShape(NamedTuple):
    """What a recorded step is made for; ``prompts`` counts the one that fills up."""

    rows: int
    prompts: int
    places: int
    prompt_tokens: int
    answer_tokens: int


GraphKey = tuple[GraphShape, tuple[str, ...]]  # and whose adapters compute


def cuda_graph(step: DecodeStep) -> DecodeStep:
    """``step`` recorded; it has to have run before, in the same shapes."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def obstacle(config: object) -> str | None:
    """Why steps of such a model cannot be recorded; None if they can."""
    for name in ("num_local_experts", "num_experts"):
        if getattr(config, name, None):
            return "which experts compute is read from the device"
    return None


class DecodeGraphs:
    """Recorded steps of one decoder. ``compute``: ids and positions [R, 1] -> logits [R, V]."""

    def __init__(
        self,
        compute: Callable[[Tensor, Tensor], Tensor],
        cache: KvCache,
        lora: MixedLora,
        capacity: int,
        device: torch.device,
        record: Callable[[DecodeStep], DecodeStep] = cuda_graph,
    ) -> None:
        self._compute, self._kept, self._lora, self._record = compute, cache, lora, record
        self._capacity, self._device = capacity, device
        self._seen: set[GraphKey] = set()
        self._recorded: dict[GraphKey, DecodeStep] = {}
        self._buffers: dict[int, Tensor] = {}  # by rows: ids, positions, slot, place, … [6, R]
        self._memory = (-1, -1)  # what the recorded steps read: versions of adapters and keys
        self.replays = 0
        self.is_usable = True

    def logits(
        self,
        adapters: list[str | None],
        newest: Int64s,
        *,
        slot: Int64s,
        place: Int64s,
        prompt: Int64s,
        written: Int64s,
    ) -> Tensor | None:
        """Logits [R, V] after the ``newest`` token of each row; None: compute as usual."""
        if not self.is_usable:
            return None
        count = len(newest)
        shape = self._shape(count, slot, place, prompt, written)
        self._check_memory(self._kept.reserve(shape.prompt_tokens, shape.answer_tokens))
        self._prepare(shape, adapters, newest, slot, place, prompt, written)
        key = (shape, self._lora.active)
        if key not in self._seen:
            self._seen.add(key)
            return self._compute(*self._inputs(shape.rows))[:count]
        if key not in self._recorded:
            if len(self._recorded) == MOST:
                self._recorded.clear()
            try:
                ids, positions = self._inputs(shape.rows)
                self._recorded[key] = self._record(lambda: self._compute(ids, positions))
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                log.warning("decoding without CUDA graphs: %s", error)
                self.is_usable = False
                return None
        self.replays += 1
        return self._recorded[key]()[:count]

    def _shape(
        self, count: int, slot: Int64s, place: Int64s, prompt: Int64s, written: Int64s
    ) -> GraphShape:
        return GraphShape(
            rows=min(self._capacity, _up(count, ROWS)),
            prompts=min(self._capacity + 1, _up(int(slot.max()) + 2, PROMPTS)),
            places=_power(int(place.max()) + 1),
            prompt_tokens=_up(int(prompt.max()), PROMPT_TOKENS),
            answer_tokens=_up(int(written.max()) + 1, ANSWER_TOKENS),
        )

    def _prepare(
        self,
        shape: GraphShape,
        adapters: list[str | None],
        newest: Int64s,
        slot: Int64s,
        place: Int64s,
        prompt: Int64s,
        written: Int64s,
    ) -> None:
        """Put this step's numbers where the recorded one reads them."""
        count, rows = len(newest), shape.rows
        numbers = np.zeros((6, rows), np.int64)
        numbers[:, :count] = newest, prompt + written, slot, place, prompt, written
        numbers[2, count:] = shape.prompts - 1
        if rows not in self._buffers:
            self._buffers[rows] = torch.zeros(6, rows, dtype=torch.int64, device=self._device)
        self._buffers[rows].copy_(torch.from_numpy(numbers))
        self._kept.expect_shape(
            *self._buffers[rows][2:],
            prompts=shape.prompts,
            places=shape.places,
            prompt_tokens=shape.prompt_tokens,
            answer_tokens=shape.answer_tokens,
        )
        self._lora.select_in_place([*adapters, *[None] * (rows - count)])

    def _inputs(self, rows: int) -> tuple[Tensor, Tensor]:
        buffer = self._buffers[rows]
        return buffer[0][:, None], buffer[1][:, None]

    def _check_memory(self, moves: int) -> None:
        """Give up what was recorded on memory that is not used any more."""
        now = (self._lora.version, moves)
        if now != self._memory:
            self._memory = now
            self._recorded.clear()
            self._seen.clear()


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
