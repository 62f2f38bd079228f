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
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.engine.errors import EngineError
from training.engine.model.adapters import causal_lm
from training.engine.runtime.process_group import Group

WISH = "ACCELERATE_USE_FSDP"


def take_wish() -> bool:
    """Whether the launcher asked for it; taken out of the environment, where Trainer would
    act on it."""
    return os.environ.pop(WISH, "false").lower() in {"1", "true", "yes"}


def shard(model: Any, device: torch.device, group: Group) -> int:
    """Spread the layers of ``model`` (with its adapter) over the group's processes, in place.

    The first process has read the weights, to the CPU; the others' are on "meta", so a machine
    holds the base once however many processes it runs. No process ever has all of it on ``device``.
    Returns how many parameters this process holds afterwards.
    """
    lm = causal_lm(model)
    decoder = lm.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None:
        raise EngineError(
            "not_available",
            f"{type(decoder).__name__} has no list of layers that could be spread over devices",
            "Launch without --use_fsdp.",
        )
    read = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers = dict(model.named_buffers())
    _empty(model)
    lm.tie_weights()
    mesh = init_device_mesh(device.type, (group.world,))
    trained = {p for p in model.parameters() if p.requires_grad}
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=trained)
    # The decoder is what is called; it holds the layers together and has nothing to spread.
    spread = {p for layer in layers for p in layer.parameters()}
    unsharded = {p for p in decoder.parameters() if p not in spread}
    fully_shard(decoder, mesh=mesh, ignored_params=unsharded | trained)
    _fill(model, read, device, group)
    _fill_buffers(model, buffers, device, group)
    lm.tie_weights()
    parameters = list(model.parameters())
    return sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in parameters)


def _empty(model: nn.Module) -> None:
    """Leave of every parameter its shape."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.is_meta:
                shape = torch.empty_like(parameter, device="meta")
                wants = parameter.requires_grad
                module._parameters[name] = nn.Parameter(shape, requires_grad=wants)


def _fill(model: nn.Module, read: dict[str, Tensor], device: torch.device, group: Group) -> None:
    """Give every process its part of what the first one has read, a parameter at a time."""
    formats = group.once(lambda: {name: value.dtype for name, value in read.items()})
    filled = {}
    for name, parameter in model.named_parameters():
        value = torch.empty(parameter.shape, dtype=formats[name], device=device)
        if group.rank == 0:
            value.copy_(read.pop(name))
        if isinstance(parameter, DTensor):
            value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
        else:
            dist.broadcast(value, src=0)
        filled[name] = nn.Parameter(value, requires_grad=parameter.requires_grad)
    model.load_state_dict(filled, strict=False, assign=True)


def _fill_buffers(
    model: nn.Module, read: dict[str, Tensor], device: torch.device, group: Group
) -> None:
    """The same of what is no parameter, such as rotary frequencies, whole on every process."""
    values = group.once(lambda: {name: value.cpu() for name, value in read.items()})
    for name, value in values.items():
        module, _, own = name.rpartition(".")
        model.get_submodule(module)._buffers[own] = value.to(device)
