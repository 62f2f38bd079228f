"""LoRA's linear layer in as few passes over memory as it can be.

The same function as peft's: y = x Wᵀ + b + s (x Aᵀ) Bᵀ. peft writes the product with B, its
scaled copy and the sum one after another, and autograd keeps and walks all of them; here the low
rank is added in place by the matrix product itself, and the backward pass is written out. A and B
stay in fp32 and are rounded to the activations' format for the product. Layers that ask for
more (dropout, DoRA, quantised weights, several adapters) are left to peft. Knows nothing of
models or training.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def install(model: nn.Module) -> int:
    """Let every plain LoRA layer of ``model`` compute in this way; returns how many there are."""
    count = 0
    for module in model.modules():
        if type(module) is Linear:
            layer: Any = module
            if type(layer.get_base_layer()) is nn.Linear:
                layer.forward = types.MethodType(_forward, layer)
                count += 1
    return count


def _forward(layer: Any, x: Tensor, *arguments: Any, **named: Any) -> Any:
    """In place of peft's forward, which still does whatever is not plain."""
    base = layer.get_base_layer()
    if layer.disable_adapters and not layer.merged:
        return base(x)
    if arguments or named or not _is_plain(layer):
        return type(layer).forward(layer, x, *arguments, **named)
    (name,) = layer.active_adapters
    return _Adapted.apply(  # type: ignore[no-untyped-call]
        x,
        base.weight,
        base.bias,
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
        layer.scaling[name],
    )


def _is_plain(layer: Any) -> bool:
    if layer.merged or len(layer.active_adapters) != 1:
        return False
    name = layer.active_adapters[0]
    if name not in layer.lora_A or name in getattr(layer, "lora_variant", {}):
        return False
    dropout = layer.lora_dropout[name]
    return (
        (isinstance(dropout, nn.Identity) or not layer.training)
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
    )


class _Adapted(torch.autograd.Function):
    """x [..., in], weight [out, in], a [r, in], b [out, r] -> [..., out]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.to(x.dtype).T  # [T, r]
        y = nn.functional.linear(flat, weight, bias)
        y.addmm_(low, b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(flat, low, weight, a, b)
        ctx.scale = scale
        ctx.shape = x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        flat, low, weight, a, b = ctx.saved_tensors
        g = upstream.reshape(-1, upstream.shape[-1])  # [T, out]
        g_low = (g @ b.to(g.dtype)).mul_(ctx.scale)  # [T, r]
        by_x = by_a = by_b = None
        if ctx.needs_input_grad[0]:
            by_x = (g @ weight).addmm_(g_low, a.to(g.dtype)).view(ctx.shape)
        if ctx.needs_input_grad[3]:
            by_a = (g_low.T @ flat).to(a.dtype)
        if ctx.needs_input_grad[4]:
            by_b = (g.T @ low).mul_(ctx.scale).to(b.dtype)
        return by_x, None, None, by_a, by_b, None
