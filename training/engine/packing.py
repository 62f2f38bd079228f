"""Trees laid end to end as one row of tokens, each prompt once.

A tree becomes ``[prompt | branch 1 without its last token | branch 2 without its last token …]``:
a branch's last token predicts nothing, and every branch's first token is predicted by the
prompt's last position. Positions restart at the prompt's end for every branch. Knows nothing
of models; what may attend to what is in ``attention``.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .chat import Tree
from .transfer import to_device


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
