"""The GPU's sequences by hand and against a plain computation; the kernel if there is a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.engine.forward import tree_attention as attention
from training.engine.forward import tree_attention_cuda
from training.engine.forward.tree_attention import TreePlan, tree_attention
from training.engine.forward.tree_attention_cuda import aligned, sequences_of, usable

SEGMENTS = [[3, 2, 0], [1, 2]]


def test_the_sequences_of_two_trees() -> None:
    """Prompt 0-2, branch 3-4, an empty branch; prompt 5, branch 6-7."""
    sequences = sequences_of(SEGMENTS, torch.device("cpu"))
    assert sequences.begins_q.tolist() == [0, 3, 5, 6, 8]
    assert sequences.begins_k.tolist() == [0, 3, 8, 9, 12]
    assert sequences.keys.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert (sequences.longest_q, sequences.longest_k) == (3, 5)


def by_hand(q: Tensor, k: Tensor, v: Tensor, *cu: object, **named: object) -> Tensor:
    """What the kernel must compute, sequence by sequence, with the mask aligned bottom right."""
    begins_q, begins_k = (x.tolist() for x in cu[:2] if isinstance(x, Tensor))
    window = named["window_size"][0]  # type: ignore[index]
    parts = []
    for i in range(len(begins_q) - 1):
        qs = q[begins_q[i] : begins_q[i + 1]].transpose(0, 1)
        ks, vs = (x[begins_k[i] : begins_k[i + 1]].transpose(0, 1) for x in (k, v))
        ks, vs = (x.repeat_interleave(q.shape[1] // k.shape[1], 0) for x in (ks, vs))
        n, m = qs.shape[1], ks.shape[1]
        row, column = torch.arange(m - n, m)[:, None], torch.arange(m)[None]
        seen = (column <= row) & ((column >= row - window) if window >= 0 else True)
        scores = (qs @ ks.transpose(1, 2) * named["scale"]).masked_fill(~seen, float("-inf"))
        parts.append((scores.softmax(-1) @ vs).transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("window", [None, 2])
def test_they_mean_what_the_loop_computes(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    q = torch.randn(1, 4, 8, 8)
    k, v = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 8, 8)
    plan = TreePlan(SEGMENTS)
    module = torch.nn.Identity()
    loop, _ = tree_attention(
        module, q, k, v, None, tree_plan=plan, scaling=0.3, sliding_window=window
    )
    monkeypatch.setattr(tree_attention_cuda, "_kernel", lambda: by_hand)
    monkeypatch.setattr(attention.tree_attention_cuda, "usable", lambda *_: True)
    kernel, _ = tree_attention(
        module, q, k, v, None, tree_plan=plan, scaling=0.3, sliding_window=window
    )
    torch.testing.assert_close(kernel, loop)


def test_on_a_cpu_it_is_not_used() -> None:
    assert not usable(torch.zeros(1, 1, 2, 8, dtype=torch.bfloat16), None, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU to try it on")
def test_on_a_gpu_its_mask_is_aligned() -> None:
    assert aligned(torch.device("cuda", 0))
