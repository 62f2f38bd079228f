"""Sequence log-probabilities with every prompt computed once: packed trees.

A tree becomes ``[prompt | branch 1 without its last token | branch 2 without its last token …]``:
a branch's last token predicts nothing, and every branch's first token is predicted by the
prompt's last position. Positions restart at the prompt's end for every branch; trees lie end to
end as one row of tokens. The linear layers run over that row without padding, attention sees each
tree for itself, and the head only the positions that predict an answer's token. The same numbers
as ``padded``, which is the yardstick. Knows nothing of losses; which models it may be used on is
decided in ``architecture``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from training.engine.data.chat import Tree
from training.engine.forward import tree_attention
from training.engine.forward.layout import TokenCount
from training.engine.forward.plan import plan_packed
from training.engine.forward.token_logps import token_logps
from training.engine.model.adapters import causal_lm
from training.engine.runtime.transfer import to_device


@dataclasses.dataclass(frozen=True)
class Packed:
    """A micro-batch of T tokens with S branches, of which N tokens are predicted."""

    input_ids: Tensor  # [1, T]
    position_ids: Tensor  # [1, T]
    predicts: Tensor  # [N], index into T of the position that predicts each token
    targets: Tensor  # [N], the predicted tokens
    owner: Tensor  # [N], the branch (0 to S-1) that each belongs to
    branches: int  # S
    segments: list[list[int]]  # of each tree: the prompt's length, then the branches' (less one)


def segments_of(tree: Tree) -> list[int]:
    """Lengths of what a tree computes: its prompt, then each branch without its last token."""
    return [len(tree.prompt), *(len(branch) - 1 for branch in tree.branches)]


def pack(trees: list[Tree], device: torch.device) -> Packed:
    """``trees`` end to end; their branches keep their order."""
    ids: list[int] = []
    positions: list[int] = []
    predicts: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    branches = 0
    for tree in trees:
        start = len(ids)
        length = len(tree.prompt)
        ids += tree.prompt
        positions += range(length)
        for branch in tree.branches:
            predicts.append(start + length - 1)
            predicts += range(len(ids), len(ids) + len(branch) - 1)
            targets += branch
            owner += [branches] * len(branch)
            ids += branch[:-1]
            positions += range(length, length + len(branch) - 1)
            branches += 1

    input_ids, position_ids, of_predicted, of_targets, of_owner = to_device(
        [ids, positions, predicts, targets, owner], device
    )
    return Packed(
        input_ids=input_ids[None],
        position_ids=position_ids[None],
        predicts=of_predicted,
        targets=of_targets,
        owner=of_owner,
        branches=branches,
        segments=[segments_of(tree) for tree in trees],
    )


class PackedLayout:
    """Packed trees. Making one switches ``model``'s attention over; ``release`` switches back."""

    name = "shared"

    def __init__(self, model: Any) -> None:
        lm = causal_lm(model)
        self._model = lm
        self._before = lm.config._attn_implementation
        lm.set_attn_implementation(tree_attention.NAME)

    @contextlib.contextmanager
    def own_attention(self) -> Iterator[None]:
        """Within, the model attends as it came, for the padded computation."""
        self.release()
        try:
            yield
        finally:
            self._model.set_attn_implementation(tree_attention.NAME)

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
            tree_plan=tree_attention.TreePlan(packed.segments),
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
