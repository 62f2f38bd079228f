"""The fused head: values, gradients in fp64, tiling, soft-capping, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.engine.forward.token_logps import token_logps


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 5, generator=draw, dtype=dtype, requires_grad=True)
    weight = torch.randn(11, 5, generator=draw, dtype=dtype)
    bias = torch.randn(11, generator=draw, dtype=dtype)
    return hidden, weight, torch.randint(0, 11, (7,), generator=draw), bias


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_its_gradient_is_that_of_its_values(softcap: float, biased: bool, rows: int) -> None:
    hidden, weight, targets, bias = inputs()

    def values(hidden: Tensor) -> Tensor:
        return token_logps(
            hidden,
            weight,
            targets,
            bias=bias if biased else None,
            softcap=softcap,
            tile_bytes=rows * 11 * 8,
        )

    logits = hidden @ weight.T + (bias if biased else 0)
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = torch.log_softmax(logits, -1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(values(hidden), expected)
    assert torch.autograd.gradcheck(values, (hidden,))


def test_an_unlikely_token_is_not_minus_infinity() -> None:
    """Logits 0 and -200 in fp32: the probability underflows, its logarithm must not."""
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [-200.0]])
    value = token_logps(hidden, weight, torch.tensor([1]))
    value.sum().backward()
    assert value.tolist() == [-200.0]
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[-200.0]]


def test_a_trained_head_is_refused() -> None:
    hidden, weight, targets, _ = inputs()
    with pytest.raises(ValueError, match="frozen"):
        token_logps(hidden, weight.requires_grad_(), targets)
