"""Sampling with ``generate``: works for every model that transformers knows, and is slower.

Padded batches of one policy each. The same seeds give the same texts as ``decoder`` gives where
that can be used. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from training.engine.config import Sampling
from training.engine.data.endings import EndRule
from training.engine.generate.decoder import DecodedRow, Question, in_order
from training.engine.generate.seeded_noise import RowNoise
from training.engine.model import adapters
from training.engine.model.adapters import causal_lm

ROWS = 32  # padded rows at once at most: their memory is not counted beforehand


class Generated:
    """A model with adapters, and how it is to be sampled."""

    def __init__(
        self, model: Any, tokenizer: Any, sampling: Sampling, rows: int, ending: EndRule
    ) -> None:
        self._model, self._sampling = model, sampling
        self._rows = min(rows, ROWS)
        self._pad = tokenizer.pad_token_id
        stops = ending.strings
        self._stopping = {"stop_strings": stops, "tokenizer": tokenizer} if stops else {}
        # The base's own generation settings (a repetition penalty, say) would alter the draw.
        causal_lm(model).generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(ending.tokens) or None, pad_token_id=self._pad
        )

    def under_way(self) -> list[DecodedRow]:
        """None: ``generate`` gives its answers when they are finished."""
        return []

    def write(
        self, questions: Sequence[Question], between: Callable[[], None] = lambda: None
    ) -> Iterator[DecodedRow]:
        """All answers, a batch at a time; ``between`` is called before every batch.

        A row's tokens may go on behind its end token, and behind its limit.
        """
        ordered = in_order(questions)
        for name in dict.fromkeys(question.adapter for question in ordered):
            rows = [DecodedRow(w, q) for q in ordered if q.adapter == name for w in q.answers]
            for start in range(0, len(rows), self._rows):
                between()
                yield from self._batch(name, rows[start : start + self._rows])

    def _batch(self, name: str | None, batch: list[DecodedRow]) -> list[DecodedRow]:
        device = next(self._model.parameters()).device
        prompts = [row.question.tokens for row in batch]
        width = max(map(len, prompts))
        ids = [
            [self._pad] * (width - len(ids_of_prompt)) + ids_of_prompt for ids_of_prompt in prompts
        ]
        mask = [
            [0] * (width - len(ids_of_prompt)) + [1] * len(ids_of_prompt)
            for ids_of_prompt in prompts
        ]
        noise = RowNoise(self._sampling, [row.wanted.seed for row in batch], device, prompts)
        with torch.no_grad(), adapters.speaking_as(self._model, name):
            output = self._model.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                logits_processor=[noise],
                max_new_tokens=max(row.wanted.limit for row in batch),
                **self._stopping,
            )
        logp = torch.stack(noise.chosen, 1).double().cpu()  # [B, steps]
        for row, tokens, values in zip(batch, output[:, width:].tolist(), logp, strict=True):
            row.tokens = tokens[: row.wanted.limit]
            row.logps = values.tolist()
        return batch
