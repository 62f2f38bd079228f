"""Sequence log-probabilities with every prompt computed once: packed trees.

The linear layers run over all tokens of a micro-batch without padding, attention sees each
tree for itself, and the head only the positions that predict an answer's token. The same
numbers as ``padded``, which is the yardstick. Knows nothing of losses; which models it may be
used on is decided in ``architecture``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import attention
from .chat import Tree
from .head import token_logps
from .layout import TokenCount
from .packing import pack, segments_of
from .plan import plan_packed
from .policy import causal_lm


class SharedLayout:
    """Packed trees. Making one switches ``model``'s attention over; ``release`` switches back."""

    name = "shared"

    def __init__(self, model: Any) -> None:
        lm = causal_lm(model)
        self._model = lm
        self._before = lm.config._attn_implementation
        lm.set_attn_implementation(attention.NAME)

    @contextlib.contextmanager
    def own_attention(self) -> Iterator[None]:
        """Within, the model attends as it came, for the padded computation."""
        self.release()
        try:
            yield
        finally:
            self._model.set_attn_implementation(attention.NAME)

    def release(self) -> None:
        """Give the model its own attention back, for whatever comes next."""
        self._model.set_attn_implementation(self._before)

    def sizes(self, trees: list[Tree]) -> list[int]:
        """Tokens that each tree computes."""
        return [sum(segments_of(tree)) for tree in trees]

    def plan(self, trees: list[Tree], budget: int) -> list[list[int]]:
        """Bins of tree indices that are computed together."""
        return plan_packed(self.sizes(trees), budget)

    def count(self, trees: list[Tree]) -> TokenCount:
        """What a forward pass over ``trees`` computes: nothing is padding."""
        used = sum(self.sizes(trees))
        in_rows = sum(len(row) for tree in trees for row in tree.rows)
        return TokenCount(in_rows=in_rows, used=used, computed=used)

    def logps(self, model: Any, trees: list[Tree]) -> Tensor:
        """Summed log-probability of each branch given its prompt, fp64 [S], S branches in all."""
        lm = causal_lm(model)
        head = lm.get_output_embeddings()
        packed = pack(trees, head.weight.device)
        hidden = lm.get_decoder()(
            input_ids=packed.input_ids,
            position_ids=packed.position_ids,
            use_cache=False,
            tree_plan=attention.TreePlan(packed.segments),
        ).last_hidden_state[0]  # [T, d]
        values = token_logps(
            hidden.index_select(0, packed.predicts),
            head.weight,
            packed.targets,
            bias=head.bias,
            softcap=getattr(lm.config, "final_logit_softcapping", None),
        )  # [N]
        zero = torch.zeros(packed.branches, dtype=torch.float64, device=values.device)
        return zero.index_add(0, packed.owner, values.double())
