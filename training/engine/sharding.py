"""A frozen base spread over the processes of a group (FSDP2), a layer at a time.

Asked for by ``accelerate launch --use_fsdp --fsdp_version 2``. Only what is large and frozen is
spread: the weights of the decoder's layers. A layer is gathered when it computes and dropped
again afterwards. The adapter, the embeddings and the head are whole on every process, so
gradients, the optimizer, clipping and checkpoints are those of plain data parallelism, and
accelerate's own wrapping, which would spread them too, is not used.

Gathering a layer needs every process, so all must compute equally often; ``micro_batches`` sees
to that. Knows nothing of losses or data.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from .errors import EngineError
from .policy import causal_lm

WISH = "ACCELERATE_USE_FSDP"


def take_wish() -> bool:
    """Whether the launcher asked for it; taken out of the environment, where Trainer would
    act on it."""
    return os.environ.pop(WISH, "false").lower() in {"1", "true", "yes"}


def shard(model: Any, device: torch.device, world: int) -> int:
    """Spread the layers of ``model`` (with its adapter) over ``world`` processes, in place.

    Called before the model moves to ``device``: no process ever holds all of it there. Returns
    how many parameters this process holds afterwards.
    """
    decoder = causal_lm(model).get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None:
        raise EngineError(
            "not_available",
            f"{type(decoder).__name__} has no list of layers that could be spread over devices",
            "Launch without --use_fsdp.",
        )
    mesh = init_device_mesh(device.type, (world,))
    trained = {p for p in model.parameters() if p.requires_grad}
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=trained)
    # The decoder is what is called; it holds the layers together and has nothing to spread.
    spread = {p for layer in layers for p in layer.parameters()}
    whole = {p for p in decoder.parameters() if p not in spread}
    fully_shard(decoder, mesh=mesh, ignored_params=whole | trained)
    model.to(device)
    parameters = list(model.parameters())
    return sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in parameters)
