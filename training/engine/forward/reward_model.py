"""A reward model: the base with an adapter and one number read at an answer's last token.

In transformers' terms a sequence classifier with one label: a linear head without bias, ``score``,
on the last hidden state. The head begins at 0, so all rewards are 0 and the first loss is ln 2; it
is trained with the adapter, kept in fp32, and saved in the adapter's folder; plain peft loads it.
Both layouts give rewards where a policy's give log-probabilities, so one trainer serves both.
Knows nothing of losses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from training.engine.config import ADAPTER_WEIGHTS, Lora, Model
from training.engine.data.chat import Tree
from training.engine.errors import EngineError
from training.engine.forward import tree_attention
from training.engine.forward.architecture import exact_one, obstacle_in_body
from training.engine.forward.layout import Layout
from training.engine.forward.packed import PackedLayout
from training.engine.forward.padded import PaddedLayout
from training.engine.model import adapters
from training.engine.model.adapters import causal_lm
from training.engine.runtime.transfer import to_device

HEAD = "score"


# --- the model ---


def load_base(
    model: Model, dtype: torch.dtype, device: torch.device, *, four_bit: bool = False
) -> Any:
    """The frozen base with a head of zeros; a base that has learnt such a head keeps its own."""
    base, loading = adapters.load_classifier(
        AutoModelForSequenceClassification, model, dtype, device, four_bit=four_bit
    )
    head = getattr(base, HEAD, None)
    if not isinstance(head, torch.nn.Linear) or head.out_features != 1:
        raise EngineError(
            "not_available",
            f"{type(base).__name__} has no head that gives one number an answer",
            "Train the reward model on another base model, such as a Llama, Qwen or Mistral.",
        )
    head.to(torch.float32)
    if f"{HEAD}.weight" in loading["missing_keys"]:
        torch.nn.init.zeros_(head.weight)
    return base


def fresh_adapter(base: Any, lora: Lora, seed: int) -> Any:
    """A new trainable LoRA and head; all rewards are 0 until it is trained."""
    return adapters.fresh_adapter(base, lora, seed, head=HEAD)


def continue_adapter(base: Any, folder: str | Path) -> Any:
    """``base`` with the adapter in ``folder``, to be trained on: a reward model's with its head,
    a policy's with a head of zeros."""
    config = adapters.check_adapter(Path(folder), head=HEAD)
    if config.get("modules_to_save"):
        return adapters.continue_adapter(base, folder, head=HEAD)
    targets = config.get("target_modules") or "all-linear"
    lora = Lora(
        r=int(config["r"]),
        alpha=int(config["lora_alpha"]),
        dropout=float(config.get("lora_dropout") or 0.0),
        target_modules=targets if isinstance(targets, str) else ",".join(sorted(targets)),
    )
    model = adapters.fresh_adapter(base, lora, 0, head=HEAD)
    weights = load_file(Path(folder) / ADAPTER_WEIGHTS)
    own = get_peft_model_state_dict(model, adapter_name=adapters.TRAINED)
    weights |= {name: value for name, value in own.items() if name.endswith(f"{HEAD}.weight")}
    loading = set_peft_model_state_dict(model, weights, adapter_name=adapters.TRAINED)
    if loading.unexpected_keys:
        raise EngineError(
            "adapter_refused",
            f"Adapter {folder} does not fit this base model: {loading.unexpected_keys[0]}",
            "Use an adapter that was trained on the same base model.",
        )
    return model


def load_trained(base: Any, folder: str | Path) -> Any:
    """``base`` with a finished reward model, frozen. Raises EngineError for a policy's adapter."""
    config = adapters.check_adapter(Path(folder), head=HEAD)
    if not config.get("modules_to_save"):
        raise EngineError(
            "adapter_refused",
            f"Adapter {folder} is a policy's: it has no head that gives rewards",
            'Name the adapter that a "reward" job has left.',
        )
    return adapters.add_adapter(base, folder, adapters.TRAINED, head=HEAD).eval()


# --- the rewards ---


def rewards_of(lm: Any, hidden: Tensor) -> Tensor:
    """The head's numbers, fp64 [S], of the last hidden states [S, d] of S answers."""
    head = getattr(lm, HEAD)
    dtype = next(head.parameters()).dtype
    values: Tensor = head(hidden.to(dtype))[:, 0]
    return values.double()


class PaddedRewards(PaddedLayout):
    """Rows of prompt + branch, padded on the right."""

    def logps(self, model: Any, trees: list[Tree]) -> Tensor:
        """The reward of each branch given its prompt, fp64 [S]."""
        lm = causal_lm(model)
        device = next(model.parameters()).device
        rows = [row for tree in trees for row in tree.rows]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        decoder = lm.get_decoder()
        out = decoder(
            input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
        ).last_hidden_state
        # Not where the last token is no padding, as transformers does: an end token may be both.
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        return rewards_of(lm, out[torch.arange(len(rows), device=device), last])


class SharedRewards(PackedLayout):
    """Packed trees. Unlike for log-probabilities, a branch's last token is computed too."""

    def sizes(self, trees: list[Tree]) -> list[int]:
        return [sum(_segments(tree)) for tree in trees]

    def logps(self, model: Any, trees: list[Tree]) -> Tensor:
        """The reward of each branch given its prompt, fp64 [S]."""
        lm = causal_lm(model)
        device = next(model.parameters()).device
        ids: list[int] = []
        positions: list[int] = []
        last: list[int] = []
        for tree in trees:
            ids += tree.prompt
            positions += range(len(tree.prompt))
            for branch in tree.branches:
                ids += branch
                positions += range(len(tree.prompt), len(tree.prompt) + len(branch))
                last.append(len(ids) - 1)
        of_ids, of_positions, of_last = to_device([ids, positions, last], device)
        hidden = lm.get_decoder()(
            input_ids=of_ids[None],
            position_ids=of_positions[None],
            use_cache=False,
            tree_plan=tree_attention.TreePlan([_segments(tree) for tree in trees]),
        ).last_hidden_state[0]  # [T, d]
        return rewards_of(lm, hidden.index_select(0, of_last))


def choose_layout(model: Any, pad_id: int) -> tuple[Layout, str | None]:
    """The fastest layout that is exact for ``model``, and why it is not the shared one."""
    with _telling_head(causal_lm(model)):
        return exact_one(model, PaddedRewards(pad_id), SharedRewards, obstacle_in_body(model))


@contextlib.contextmanager
def _telling_head(lm: Any) -> Iterator[None]:
    """Within, the head is random: one of zeros would find any two layouts alike."""
    heads = list(getattr(lm, HEAD).parameters())
    before = [head.detach().clone() for head in heads]
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for head in heads:
            noise = torch.randn(head.shape, generator=draw) / head.shape[-1] ** 0.5
            head.copy_(noise.to(head.device, head.dtype))
    try:
        yield
    finally:
        with torch.no_grad():
            for head, value in zip(heads, before, strict=True):
                head.copy_(value)


def _segments(tree: Tree) -> list[int]:
    return [len(tree.prompt), *map(len, tree.branches)]
