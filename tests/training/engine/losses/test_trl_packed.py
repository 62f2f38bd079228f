"""The whole engine against TRL: shared prompts, fused head and LoRA, one batch and 50 steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.losses.test_trl import Ours, Theirs, ours, pairs_file  # noqa: F401
from training.engine.config import DpoJob, Model
from training.engine.forward.packed import PackedLayout
from training.engine.forward.reference import score
from training.engine.losses.objective import Dpo
from training.engine.model import adapters, fused_lora

pytest.importorskip("trl", reason="TRL is not installed")
pytest.importorskip("datasets", reason="datasets is not installed")
pytestmark = pytest.mark.peer
STEPS = 50


@pytest.fixture
def shared(ours: Ours) -> Any:  # noqa: F811
    adapters.set_peft_model_state_dict(ours.model, ours.weights, adapter_name="default")
    fused_lora.install(ours.model)
    layout = PackedLayout(ours.model)
    yield layout
    layout.release()


def test_log_probabilities_loss_and_gradient(
    ours: Ours,  # noqa: F811
    shared: PackedLayout,
    base: Path,
    pairs_file: Path,  # noqa: F811
) -> None:
    theirs = Theirs(base, pairs_file, ours.weights)
    chosen, rejected = theirs.trainer.compute_ref_log_probs(theirs.model, theirs.batch())
    with adapters.speaking_as(ours.model, None):
        reference = score(shared, ours.model, ours.trees, 100)
    expected = torch.stack([chosen, rejected], 1).flatten()
    torch.testing.assert_close(reference, expected.double(), atol=1e-4, rtol=1e-5)

    theirs.model.train()
    their_loss = theirs.trainer.compute_loss(theirs.model, theirs.batch())
    their_loss.backward()
    objective = Dpo(DpoJob(model=Model(base="")))
    ours.model.zero_grad()
    bins = shared.plan(ours.trees, 100)
    assert len(bins) > 1
    total = 0.0
    for bin in bins:
        part = [ours.trees[i] for i in bin]
        values = torch.cat([reference[2 * i : 2 * i + 2] for i in bin])
        logp = shared.logps(ours.model, part)
        loss = objective.terms(logp, values, part).loss / len(ours.trees)
        loss.backward()
        total += float(loss.detach())
    assert total == pytest.approx(float(their_loss.detach()), abs=1e-6, rel=0)
    mine = {n: p.grad for n, p in ours.model.named_parameters() if p.grad is not None}
    other = {n: p.grad for n, p in theirs.model.named_parameters() if p.grad is not None}
    assert set(mine) == set(other)
    difference = torch.cat([(mine[n] - other[n]).flatten() for n in mine]).norm()
    assert float(difference / torch.cat([g.flatten() for g in other.values()]).norm()) < 1e-5


def test_fifty_adamw_steps(
    ours: Ours,  # noqa: F811
    shared: PackedLayout,
    base: Path,
    pairs_file: Path,  # noqa: F811
) -> None:
    """Both take 50 plain AdamW steps on the same batch; every loss agrees within 1e-4."""
    theirs = Theirs(base, pairs_file, ours.weights)
    batch = theirs.batch()
    objective = Dpo(DpoJob(model=Model(base="")))
    with adapters.speaking_as(ours.model, None):
        reference = score(shared, ours.model, ours.trees, 100)
    pairs = []
    optimizers = [
        torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=3e-3, weight_decay=0)
        for m in (ours.model, theirs.model)
    ]
    theirs.model.train()
    for _ in range(STEPS):
        for optimizer in optimizers:
            optimizer.zero_grad()
        logp = shared.logps(ours.model, ours.trees)
        mine = objective.terms(logp, reference, ours.trees).loss / len(ours.trees)
        other = theirs.trainer.compute_loss(theirs.model, batch)
        mine.backward()
        other.backward()
        pairs.append((float(mine.detach()), float(other.detach())))
        for optimizer in optimizers:
            optimizer.step()
    adapters.set_peft_model_state_dict(ours.model, ours.weights, adapter_name="default")
    assert pairs[-1][0] < pairs[0][0] / 2, "nothing was learned, so nothing was compared"
    assert max(abs(a - b) for a, b in pairs) < 1e-4
