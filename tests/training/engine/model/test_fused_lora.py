"""The fused LoRA layer computes what peft's does, and is not used where it could not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tests.training.engine.layouts import adapted, bare, distance, logps_and_gradient, random_trees
from training.engine.config import Lora
from training.engine.forward.padded import PaddedLayout
from training.engine.model import adapters, fused_lora


def layers_of(**settings: Any) -> Any:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(6, 9)
            self.two = nn.Linear(9, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.two(torch.tanh(self.one(x))))

    torch.manual_seed(0)
    config = LoraConfig(
        r=3, lora_alpha=7, target_modules=["one", "two"], init_lora_weights=False, **settings
    )
    return get_peft_model(Two().double(), config)


def outcome(model: Any, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    y = model(x)
    trained = [p for p in model.parameters() if p.requires_grad]
    return [y.detach(), *torch.autograd.grad(y.square().sum(), [x, *trained])]


@pytest.mark.parametrize(
    "settings", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_bias": True}]
)
def test_values_and_gradients_are_pefts(settings: dict[str, Any]) -> None:
    """In fp64, including LoRA's own weights; DoRA and LoRA with a bias are left to peft."""
    model = layers_of(**settings).double()
    plain = copy.deepcopy(model)
    assert fused_lora.install(model) == 2
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    for ours, theirs in zip(outcome(model, x), outcome(plain, x), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_dropout_acts_in_training() -> None:
    model = layers_of(lora_dropout=0.5)
    fused_lora.install(model)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_a_whole_model_without_and_with_its_adapter() -> None:
    plain, fused = adapted("qwen2"), adapted("qwen2")
    assert fused_lora.install(fused) == 14
    trees, layout = random_trees(4), PaddedLayout(0)
    expected = logps_and_gradient(layout, plain, [trees])
    values, gradient = logps_and_gradient(layout, fused, [trees])
    torch.testing.assert_close(values, expected[0], atol=1e-4, rtol=1e-6)
    assert distance(gradient, expected[1]) < 1e-6
    with torch.no_grad(), adapters.speaking_as(fused, None):
        off = layout.logps(fused, trees)
    torch.testing.assert_close(off, layout.logps(bare("qwen2"), trees), atol=0, rtol=0)


def test_in_bf16_the_adapter_stays_in_fp32() -> None:
    base = bare("llama").to(torch.bfloat16)
    model = adapters.fresh_adapter(base, Lora(r=4), seed=0)
    fused_lora.install(model)
    values, gradient = logps_and_gradient(PaddedLayout(0), model, [random_trees(3)])
    assert gradient.dtype == torch.float32
    assert torch.isfinite(values).all()
    assert float(gradient.norm()) > 0
