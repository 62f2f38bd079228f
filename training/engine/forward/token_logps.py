r"""Log-probabilities of given tokens straight from hidden states, never all logits at once.

With logits z = W h + b, the log-probability of token t is z_t - log Σ exp z, and its gradient
by h is (onehot_t - softmax z) W. What comes back in the backward pass is one number a token, so
that gradient is computed beside the value, tile by tile, and the backward pass only scales
rows: two matrix products instead of three, nothing recomputed, and memory for one tile of
logits whatever the vocabulary and the sequence. The weight is frozen. Knows nothing of trees.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Bytes of logits held at once. On a CPU they stay near its cache; on a GPU a product needs
# hundreds of rows: 512 MiB are 883 rows of 151,936 words, 32 MiB would be 55.
TILE_BYTES, TILE_BYTES_CUDA = 32 * 2**20, 512 * 2**20


def tile_bytes_on(device: torch.device) -> int:
    """How many bytes of logits are held at once on ``device``."""
    return TILE_BYTES_CUDA if device.type == "cuda" else TILE_BYTES


def working_bytes(device: torch.device) -> int:
    """What ``token_logps`` takes for a while: a tile's logits, their logarithms and copies."""
    return 3 * tile_bytes_on(device)


def token_logps(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    tile_bytes: int | None = None,
) -> Tensor:
    """log p(target) for hidden [N, d], weight [V, d], targets [N]: fp32 (or fp64) [N].

    ``softcap`` c: logits are c·tanh(z / c) (Gemma 2). Only ``hidden`` gets a gradient.
    ``tile_bytes``: of logits at once; None: as suits the device.
    """
    if torch.is_grad_enabled() and (
        weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        raise ValueError("the head is frozen: an adapter or a trained head would get no gradient")
    tile_bytes = tile_bytes_on(hidden.device) if tile_bytes is None else tile_bytes
    return _TokenLogps.apply(hidden, weight, targets, bias, softcap, tile_bytes)  # type: ignore[no-any-return,no-untyped-call]


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        bias: Tensor | None,
        softcap: float | None,
        tile_bytes: int,
    ) -> Tensor:
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        rows = max(1, tile_bytes // (weight.shape[0] * wide.itemsize))
        result = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        by_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), rows):
            tile = slice(start, start + rows)
            wanted = targets[tile, None]
            logits = torch.nn.functional.linear(hidden[tile], weight, bias).to(wide)
            if softcap is not None:
                logits = logits.div_(softcap).tanh_()
                slope = 1 - logits.square()  # of the capping
                logits = logits.mul_(softcap)
            logps = torch.log_softmax(logits, -1)
            result[tile] = logps.gather(-1, wanted)[:, 0]
            if by_hidden is not None:
                gradient = logps.exp_().neg_()  # -p, in place
                gradient.scatter_add_(1, wanted, torch.ones_like(wanted, dtype=wide))
                if softcap is not None:
                    gradient *= slope
                by_hidden[tile] = gradient.to(weight.dtype) @ weight
        if by_hidden is not None:
            ctx.save_for_backward(by_hidden)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (by_hidden,) = ctx.saved_tensors
        return (by_hidden * upstream[:, None].to(by_hidden.dtype), None, None, None, None, None)
