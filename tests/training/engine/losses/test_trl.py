"""Compared with TRL's DPOTrainer: same weights, same batch, same reference, fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.engine.conftest import make_pairs, write_lines
from training.engine.config import DpoJob, Lora, Model
from training.engine.data.chat import Chat, Tree
from training.engine.data.pairs import read_pairs
from training.engine.forward.padded import PaddedLayout
from training.engine.forward.reference import score
from training.engine.losses.objective import Dpo
from training.engine.model import adapters

pytest.importorskip("trl", reason="TRL is not installed")
pytest.importorskip("datasets", reason="datasets is not installed")
pytestmark = pytest.mark.peer
COUNT = 6


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_lines(path, make_pairs(COUNT, seed=5))
    return path


def adapter_weights(model: Any) -> dict[str, Tensor]:
    """Random values for every adapter tensor: a fresh B is zero and would hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    return {
        name.replace(".default", ""): torch.randn(p.shape, generator=generator) * 0.05
        for name, p in model.named_parameters()
        if p.requires_grad
    }


class Ours:
    """Our side: model, trees and the reference's values."""

    def __init__(self, base: Path, pairs_file: Path) -> None:
        self.chat = Chat(adapters.load_tokenizer(Model(base=str(base))))
        self.trees: list[Tree] = self.chat.pair_trees(read_pairs(pairs_file), 1024)
        plain = adapters.load_base(Model(base=str(base)), torch.float32, torch.device("cpu"))
        self.model = adapters.fresh_adapter(plain, Lora(r=4, alpha=8), seed=0)
        self.weights = adapter_weights(self.model)
        adapters.set_peft_model_state_dict(self.model, self.weights, adapter_name="default")
        self.layout = PaddedLayout(self.chat.tokenizer.pad_token_id)
        with adapters.speaking_as(self.model, None):
            self.reference = score(self.layout, self.model, self.trees, 10_000)


class Theirs:
    """TRL's side, on the same base and adapter."""

    def __init__(self, base: Path, pairs_file: Path, weights: dict[str, Tensor], **config: Any):
        from datasets import load_dataset
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from trl import DPOConfig, DPOTrainer

        rows = load_dataset(
            "json", data_files=str(pairs_file), split="train", cache_dir=str(pairs_file.parent)
        ).select_columns(["prompt", "chosen", "rejected"])
        self.trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=DPOConfig(
                output_dir=str(pairs_file.parent / "trl"),
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                per_device_train_batch_size=COUNT,
                **config,
            ),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"
            ),
        )
        self.model = self.trainer.model
        adapters.set_peft_model_state_dict(self.model, weights, adapter_name="default")

    def batch(self) -> dict[str, Tensor]:
        rows = [self.trainer.train_dataset[i] for i in range(COUNT)]
        return dict(self.trainer.data_collator(rows))


@pytest.fixture(scope="module")
def ours(base: Path, pairs_file: Path) -> Ours:
    return Ours(base, pairs_file)


def test_tokens_are_the_same(ours: Ours, base: Path, pairs_file: Path) -> None:
    theirs = Theirs(base, pairs_file, ours.weights)
    for tree, row in zip(ours.trees, theirs.trainer.train_dataset, strict=True):
        assert tree.prompt == row["prompt_ids"]
        assert tree.branches == (row["chosen_ids"], row["rejected_ids"])


def test_reference_log_probabilities_are_the_same(ours: Ours, base: Path, pairs_file: Path) -> None:
    theirs = Theirs(base, pairs_file, ours.weights)
    chosen, rejected = theirs.trainer.compute_ref_log_probs(theirs.model, theirs.batch())
    expected = torch.stack([chosen, rejected], 1).flatten()
    torch.testing.assert_close(ours.reference, expected.double(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "job_settings", "trl_settings"),
    [
        ("sigmoid", {}, {}),
        ("robust", {"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
        ("ipo", {}, {}),
        ("hinge", {}, {}),
    ],
)
def test_loss_and_gradient_are_the_same(
    ours: Ours,
    base: Path,
    pairs_file: Path,
    name: Any,
    job_settings: dict[str, Any],
    trl_settings: dict[str, Any],
) -> None:
    """The loss within 1e-6, the adapter's gradient within a relative 1e-5 (L2)."""
    theirs = Theirs(base, pairs_file, ours.weights, loss_type=[name], **trl_settings)
    theirs.model.train()
    their_loss = theirs.trainer.compute_loss(theirs.model, theirs.batch())
    their_loss.backward()

    objective = Dpo(DpoJob(model=Model(base=""), loss=name, **job_settings))
    ours.model.zero_grad()
    logp = ours.layout.logps(ours.model, ours.trees)
    loss = objective.terms(logp, ours.reference, ours.trees).loss / objective.share(ours.trees)
    loss.backward()

    assert float(loss.detach()) == pytest.approx(float(their_loss.detach()), abs=1e-6, rel=1e-6)
    mine = {n: p.grad for n, p in ours.model.named_parameters() if p.grad is not None}
    other = {n: p.grad for n, p in theirs.model.named_parameters() if p.grad is not None}
    assert set(mine) == set(other)
    assert len(mine) == 28  # 2 layers × 7 linear layers × (A, B)
    difference = torch.cat([(mine[n] - other[n]).flatten() for n in mine]).norm()
    assert float(difference / torch.cat([g.flatten() for g in other.values()]).norm()) < 1e-5
