"""Sequence log-probabilities by the usual padded computation: one row a branch.

Works for any causal model that takes ``attention_mask``; it is the fallback wherever prompts
cannot be shared, and the yardstick in the tests. Knows nothing of losses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.engine.data.chat import Tree
from training.engine.forward.layout import TokenCount
from training.engine.forward.plan import plan_padded


class PaddedLayout:
    """Rows of prompt + branch, padded on the right."""

    name = "padded"

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def sizes(self, trees: list[Tree]) -> list[int]:
        """Tokens that each tree computes, its own padding included."""
        return [len(t.branches) * (len(t.prompt) + max(map(len, t.branches))) for t in trees]

    def plan(self, trees: list[Tree], budget: int) -> list[list[int]]:
        """Bins of tree indices that are computed together."""
        longest = [len(t.prompt) + max(map(len, t.branches)) for t in trees]
        return plan_padded(longest, [len(t.branches) for t in trees], budget)

    def count(self, trees: list[Tree]) -> TokenCount:
        """What a forward pass over ``trees`` computes."""
        rows = [row for tree in trees for row in tree.rows]
        in_rows = sum(map(len, rows))
        return TokenCount(in_rows=in_rows, used=in_rows, computed=len(rows) * max(map(len, rows)))

    def logps(self, model: Any, trees: list[Tree]) -> Tensor:
        """Summed log-probability of each branch given its prompt, fp64 [S], S branches in all.

        The sums are kept in fp64: a loss is made of small differences between them.
        """
        device = next(model.parameters()).device
        rows = [row for tree in trees for row in tree.rows]
        starts = [len(tree.prompt) for tree in trees for _ in tree.branches]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        predicted = torch.zeros((len(rows), width), dtype=torch.bool)
        for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
            predicted[index, start : len(row)] = True
        ids, mask, predicted = ids.to(device), mask.to(device), predicted.to(device)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        where = predicted[:, 1:]  # [S, L-1]: the position before predicts the token
        chosen_logits = logits[:, :-1][where].float()  # [N, vocabulary]
        targets = ids[:, 1:][where]
        token_logp = torch.log_softmax(chosen_logits, -1).gather(-1, targets[:, None])[:, 0]
        owner = torch.arange(len(rows), device=device)[:, None].expand_as(where)[where]
        zero = torch.zeros(len(rows), dtype=torch.float64, device=device)
        return zero.index_add(0, owner, token_logp.double())
