"""Rows of different adapters in one batch: one product with the base, a small one for all LoRA.

The adapters present in a batch lie side by side: x Aᵀ gives every row all their low ranks, what is
not the row's own is set to zero, and the product with all B is added in place. Two products a
layer, however many adapters, and the rows may stand in any order. Knows nothing of text.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

Signature = tuple[tuple[str, int], ...]  # an adapter's name and its rank in a layer
Stack = tuple[Signature, Tensor, Tensor]
MOST_STACKED = 16  # sets of adapters whose weights are kept side by side


def obstacle(model: Any) -> str | None:
    """Why the adapters of ``model`` cannot share a batch; None if they can."""
    if not isinstance(model, PeftModel):
        return None
    for name, module in model.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        layer: Any = module
        if not (_is_plain(layer) or _is_four_bit(layer)):
            return f"{name} is no plain LoRA on a linear layer"
        for adapter in layer.lora_A:
            if adapter in getattr(layer, "lora_variant", {}):
                return f"{name}: adapter {adapter} is a variant of LoRA"
            if layer.lora_A[adapter].bias is not None or layer.lora_B[adapter].bias is not None:
                return f"{name}: adapter {adapter} has a bias"
    return None


def _is_plain(module: Any) -> bool:
    return type(module) is Linear and type(module.get_base_layer()) is nn.Linear


def _is_four_bit(module: Any) -> bool:
    """LoRA on a layer that bitsandbytes has quantised, known by name: it may not be installed."""
    names = type(module).__name__, type(getattr(module, "base_layer", None)).__name__
    return isinstance(module, BaseTunerLayer) and names == ("Linear4bit", "Linear4bit")


class MixedLora:
    """Takes the LoRA layers of ``model`` over; ``select`` says which row speaks as whom."""

    def __init__(self, model: Any) -> None:
        self._layers = [m for m in model.modules() if _is_plain(m) or _is_four_bit(m)]
        self._rows: list[str | None] = []
        self.active: tuple[str, ...] = ()
        self._masks: dict[Signature, Tensor | None] = {}
        self._stacked: dict[tuple[str, ...], dict[int, Stack]] = {}  # by who is active
        self._in_place: dict[tuple[Signature, int], Tensor] = {}  # masks that stay where they are
        self._rows_in_place: dict[
            int, list[str | None]
        ] = {}  # whose rows they are, by number of rows
        self._is_in_place = False
        self.version = 0  # raised when stacked weights are given up
        for module in self._layers:
            layer: Any = module
            layer.forward = types.MethodType(self._forward, layer)

    def release(self) -> None:
        """Let peft compute again."""
        for layer in self._layers:
            del layer.forward

    def select(self, adapters: list[str | None]) -> None:
        """From now on row i of a batch speaks as ``adapters[i]``; None is the bare base."""
        self._is_in_place = False
        self._speak_as(adapters)

    def select_in_place(self, adapters: list[str | None]) -> None:
        """The same, with masks that are written into the memory of those before."""
        self._is_in_place = True
        self._speak_as(adapters)
        rows = len(adapters)
        if self._rows_in_place.get(rows) != adapters:
            self._rows_in_place[rows] = list(adapters)
            for (signature, of_rows), mask in self._in_place.items():
                if of_rows == rows:
                    mask.copy_(self._owned(signature)[:, None])

    def _speak_as(self, adapters: list[str | None]) -> None:
        if adapters == self._rows:
            return
        self._rows = list(adapters)
        self._masks = {}
        self.active = tuple(sorted({name for name in adapters if name is not None}))
        if self.active not in self._stacked and len(self._stacked) == MOST_STACKED:
            self._stacked, self._in_place, self._rows_in_place = {}, {}, {}
            self.version += 1

    def _forward(self, layer: Any, x: Tensor) -> Tensor:
        """In place of peft's forward: x [B, T, in] -> [B, T, out]."""
        base = layer.get_base_layer()
        y: Tensor = base(x)
        signature, a, b = self._weights(layer, x)
        if not signature:
            return y
        low = x @ a  # [B, T, ranks]
        mask = self._mask(signature, x)
        if mask is not None:
            low *= mask
        y.view(-1, y.shape[-1]).addmm_(low.view(-1, low.shape[-1]), b)
        return y

    def _weights(self, layer: Any, x: Tensor) -> Stack:
        """Of the active adapters: names and ranks, A [in, ranks] and scaled B [ranks, out]."""
        stacked = self._stacked.setdefault(self.active, {})
        entry = stacked.get(id(layer))
        if entry is None:
            mine = [name for name in self.active if name in layer.lora_A]
            a = [layer.lora_A[name].weight for name in mine]
            b = [layer.lora_B[name].weight * layer.scaling[name] for name in mine]
            signature = tuple((name, len(matrix)) for name, matrix in zip(mine, a, strict=True))
            if mine:
                entry = (
                    signature,
                    torch.cat(a).to(x.dtype).T.contiguous(),
                    torch.cat(b, 1).to(x.dtype).T.contiguous(),
                )
            else:
                entry = ((), x, x)
            stacked[id(layer)] = entry
        return entry

    def _mask(self, signature: Signature, x: Tensor) -> Tensor | None:
        """[B, 1, ranks], 1 where the row owns the rank; None where all rows own all of them."""
        if self._is_in_place:
            key = (signature, len(self._rows))
            if key not in self._in_place:
                self._in_place[key] = self._owned(signature)[:, None].to(x.device, x.dtype)
            return self._in_place[key]
        if signature not in self._masks:
            owns_all = all(name == row for name, _ in signature for row in self._rows)
            mask = None if owns_all else self._owned(signature)[:, None].to(x.device, x.dtype)
            self._masks[signature] = mask
        return self._masks[signature]

    def _owned(self, signature: Signature) -> Tensor:
        """[B, ranks] on the CPU: whose each rank is."""
        own = [[name == row for name, rank in signature for _ in range(rank)] for row in self._rows]
        return torch.tensor(own)
