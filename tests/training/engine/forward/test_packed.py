"""Shared prompts give the same results as padded rows, however trees are ordered or split."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from tests.training.engine.layouts import KINDS, adapted, distance, logps_and_gradient, random_trees
from training.engine.config import DpoJob, Model
from training.engine.data.chat import Tree
from training.engine.forward import tree_attention
from training.engine.forward.packed import PackedLayout, pack
from training.engine.forward.padded import PaddedLayout
from training.engine.forward.reference import score
from training.engine.losses.objective import Dpo


@pytest.fixture(scope="module")
def llama() -> Any:
    return adapted("llama")


def test_what_a_packed_tree_is() -> None:
    """Prompt 5 6 7, branches 8 9 and 4: the last token of each branch is never computed."""
    packed = pack(
        [Tree("a", [5, 6, 7], ([8, 9], [4])), Tree("b", [3], ([2, 2, 2],))], torch.device("cpu")
    )
    assert packed.input_ids.tolist() == [[5, 6, 7, 8, 3, 2, 2]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert packed.predicts.tolist() == [2, 3, 2, 4, 5, 6]
    assert packed.targets.tolist() == [8, 9, 4, 2, 2, 2]
    assert packed.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert packed.segments == [[3, 1, 0], [1, 2]]


@pytest.mark.parametrize("limit", [0, 10_000], ids=["in segments", "as a whole"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_the_padded_computation(kind: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of attending to a tree; windows of 6 are shorter than prompts and branches."""
    monkeypatch.setattr(tree_attention, "WHOLE", limit)
    model = adapted(kind)
    trees = random_trees(5, seed=3)
    expected = logps_and_gradient(PaddedLayout(0), model, [trees])
    values, gradient = logps_and_gradient(PackedLayout(model), model, [trees])
    torch.testing.assert_close(values, expected[0], atol=1e-4, rtol=1e-5)
    assert distance(gradient, expected[1]) < 1e-5


@pytest.mark.parametrize("branches", [1, 4])
def test_any_number_of_completions(llama: Any, branches: int) -> None:
    trees = random_trees(4, seed=7, branches=branches)
    expected = logps_and_gradient(PaddedLayout(0), llama, [trees])
    shared = PackedLayout(llama)
    values, gradient = logps_and_gradient(shared, llama, [trees])
    shared.release()
    torch.testing.assert_close(values, expected[0], atol=1e-4, rtol=1e-5)
    assert distance(gradient, expected[1]) < 1e-5


def test_order_packing_and_splitting_do_not_matter(llama: Any) -> None:
    shared = PackedLayout(llama)
    trees = random_trees(9, seed=4)
    values, gradient = logps_and_gradient(shared, llama, [trees])
    for bins in (
        [list(reversed(trees))],
        [trees[:2], trees[2:]],
        [[tree] for tree in trees],
        [[trees[i] for i in bin] for bin in shared.plan(trees, 100)],
    ):
        again, other = logps_and_gradient(shared, llama, bins)
        assert distance(other, gradient) < 1e-6
        ids = [tree.id for bin in bins for tree in bin]
        rows = {identity: again[2 * i : 2 * i + 2] for i, identity in enumerate(ids)}
        ordered = torch.cat([rows[tree.id] for tree in trees])
        torch.testing.assert_close(ordered, values, atol=1e-5, rtol=1e-6)
    shared.release()


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt-oss"])
@pytest.mark.parametrize("limit", [0, 10_000])
def test_rejected_tokens_do_not_touch_the_chosen_answer(
    kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_attention, "WHOLE", limit)
    model = adapted(kind)
    shared = PackedLayout(model)
    trees = random_trees(4, seed=6)
    changed = [
        dataclasses.replace(t, branches=(t.branches[0], [(x + 1) % 90 for x in t.branches[1]]))
        for t in trees
    ]
    with torch.no_grad():
        before, after = shared.logps(model, trees), shared.logps(model, changed)
    assert torch.equal(before[0::2], after[0::2])
    assert not torch.equal(before[1::2], after[1::2])


def test_the_first_loss_is_ln_2(llama: Any) -> None:
    trees = [dataclasses.replace(tree, weight=1.0) for tree in random_trees(8, seed=2)]
    shared = PackedLayout(llama)
    reference = score(shared, llama, trees, 100)
    objective = Dpo(DpoJob(model=Model(base="")))
    loss = objective.terms(shared.logps(llama, trees), reference, trees).loss / 8
    shared.release()
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6)


def test_recomputing_activations_changes_nothing(llama: Any) -> None:
    trees = random_trees(4, seed=8)
    shared = PackedLayout(llama)
    values, gradient = logps_and_gradient(shared, llama, [trees])
    llama.train()  # transformers only recomputes in training mode
    llama.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
    again, other = logps_and_gradient(shared, llama, [trees])
    llama.get_base_model().gradient_checkpointing_disable()
    llama.eval()
    shared.release()
    torch.testing.assert_close(again, values, atol=0, rtol=0)
    assert distance(other, gradient) < 1e-6


def test_sharing_is_counted() -> None:
    """Rows 5+2, 5+1 and 1+3 are 17 tokens; as trees 5+1+0 and 1+2 are 9."""
    trees = [Tree("a", [5] * 5, ([8, 9], [4])), Tree("b", [3], ([2, 2, 2],))]
    count = PackedLayout(adapted("llama")).count(trees)
    assert (count.in_rows, count.used, count.computed) == (17, 9, 9)


def test_a_plain_call_is_refused_rather_than_wrong(llama: Any) -> None:
    shared = PackedLayout(llama)
    with pytest.raises(NotImplementedError, match="plan False"):
        llama(input_ids=torch.ones(1, 4, dtype=torch.long))
    shared.release()
    llama(input_ids=torch.ones(1, 4, dtype=torch.long))
