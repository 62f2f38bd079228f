"""Running out of memory splits a micro-batch and changes nothing; the estimate behind budgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.conftest import make_pairs, read_json, read_lines, run_engine
from tests.training.engine.layouts import bare, random_trees
from training.engine.config import EXIT_DONE, EXIT_FAILED, DpoJob, Lora, Model, Optimisation
from training.engine.estimate import plan_memory
from training.engine.forward.micro_batches import MicroBatches
from training.engine.forward.packed import PackedLayout
from training.engine.forward.plan import plan_packed, share_out


def test_every_tree_is_computed_once_however_little_fits() -> None:
    layout = PackedLayout(bare("llama"))
    trees = random_trees(20, seed=1)
    walk = MicroBatches(layout, 100_000)
    seen: list[int] = []

    def compute(indices: list[int]) -> None:
        if sum(layout.sizes([trees[i] for i in indices])) > 150:
            raise torch.OutOfMemoryError("no")
        seen.extend(indices)

    walk.walk(trees, compute)
    assert sorted(seen) == list(range(20))
    assert walk.splits
    assert walk.budget <= 300


def test_other_errors_and_single_trees_are_not_retried() -> None:
    trees = random_trees(3, seed=1)
    walk = MicroBatches(PackedLayout(bare("llama")), 1)

    def too_large(indices: list[int]) -> None:
        raise torch.OutOfMemoryError("no")

    def broken(indices: list[int]) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(torch.OutOfMemoryError):
        walk.walk(trees, too_large)
    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatches(walk.layout, 10_000).walk(trees, broken)


@pytest.mark.parametrize("limit", [100, 1])
def test_a_run_goes_on_with_less_and_tells(
    base: Path, new_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Memory runs out during the backward pass: the partial gradient must not be counted."""
    job = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4),
        optimisation=Optimisation(learning_rate=1e-2, batch_size=8),
    )
    rows = make_pairs(16)
    plain = new_run("plain", job, pairs=rows)
    assert run_engine("dpo", plain) == EXIT_DONE
    original = torch.autograd.grad

    def grad(outputs: Any, inputs: Any, **named: Any) -> Any:
        gradients = original(outputs, inputs, **named)
        if sizes[-1] > limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return gradients

    sizes: list[int] = []
    logps = PackedLayout.logps

    def counted(self: Any, model: Any, trees: Any) -> Any:
        sizes.append(sum(self.sizes(trees)))
        return logps(self, model, trees)

    monkeypatch.setattr(PackedLayout, "logps", counted)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    short = new_run("short", job, pairs=rows)
    if limit == 1:
        assert run_engine("dpo", short) == EXIT_FAILED
        assert read_json(short / "error.json")["kind"] == "out_of_memory"
        return
    assert run_engine("dpo", short) == EXIT_DONE
    assert read_json(short / "result.json")["memory_splits"] >= 2
    assert "did not fit into memory" in (short / "engine.log").read_text()
    for expected, actual in zip(
        *(read_lines(f / "metrics.jsonl") for f in (plain, short)), strict=True
    ):
        assert actual["values"]["loss"] == pytest.approx(expected["values"]["loss"], abs=1e-5)
        assert actual["values"]["grad_norm"] == pytest.approx(
            expected["values"]["grad_norm"], rel=1e-3
        )


@pytest.mark.parametrize(
    ("longest", "available", "expected"),
    [
        (500, 10**9, (8192, False)),  # everything fits
        (500, 3_000_000, (2100, False)),  # a smaller budget
        (500, 1_000_000, (8192, True)),  # a smaller budget would not be enough: recompute
        (3000, 3_000_000, (8192, True)),  # one tree alone does not fit
    ],
)
def test_memory_is_planned(longest: int, available: int, expected: tuple[int, bool]) -> None:
    plan = plan_memory(8192, longest, 1000, available)
    assert (plan.budget, plan.checkpointing) == expected


def test_packed_bins_hold_every_tree_within_the_budget() -> None:
    sizes = [5, 9, 3, 30, 7, 9, 1]
    bins = plan_packed(sizes, 20)
    assert sorted(i for bin in bins for i in bin) == list(range(7))
    assert [sum(sizes[i] for i in bin) for bin in bins] == [30, 19, 15]


def test_shares_are_about_equal_and_complete() -> None:
    sizes = [5, 9, 3, 30, 7, 9, 1]
    shares = share_out(sizes, 2)
    assert sorted(i for share in shares for i in share) == list(range(7))
    assert sorted(sum(sizes[i] for i in share) for share in shares) == [31, 33]
    assert share_out([4], 2) == [[0], []]
