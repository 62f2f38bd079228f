"""Which models can share a prompt exactly, and why others cannot: checked, then tried.

A model must be of a known kind (each is tested against the padded computation), must ask for
nothing that a tree does not have, and must, on a small probe, give the same numbers in both
layouts. Whatever fails is computed with padded rows, and the reason is told. Adding a kind is
one name here and one row in the tests. Knows nothing of training.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from training.engine.data.chat import Tree
from training.engine.errors import is_out_of_memory
from training.engine.forward.layout import Layout
from training.engine.forward.packed import PackedLayout
from training.engine.forward.padded import PaddedLayout
from training.engine.forward.reference import score
from training.engine.model.adapters import causal_lm

KNOWN = {
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "phi3",
    "smollm3",
    "gpt_oss",
}
LAYER_TYPES = {"full_attention", "sliding_attention"}
ROPE_TYPES = {"default", "linear", "llama3", "yarn"}  # none whose angles depend on the batch
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 5e-3}
log = logging.getLogger("engine")


def choose_layout(model: Any, pad_id: int) -> tuple[Layout, str | None]:
    """The fastest layout that is exact for ``model``, and why it is not the shared one."""
    return exact_one(model, PaddedLayout(pad_id), PackedLayout, obstacle(model))


def exact_one(
    model: Any, padded: PaddedLayout, share: type[PackedLayout], reason: str | None
) -> tuple[Layout, str | None]:
    """The layout ``share``, unless there is a ``reason`` against it or a probe finds one."""
    if reason is None:
        shared = share(model)
        reason = _probe(model, shared, padded)
        if reason is None:
            return shared, None
        shared.release()
    log.warning("prompts are not shared: %s", reason)
    return padded, reason


def obstacle(model: Any) -> str | None:
    """Why ``model`` cannot share prompts, from what it says of itself; None if it may."""
    head = causal_lm(model).get_output_embeddings()
    if type(head) is not nn.Linear:
        return f"the head is a {type(head).__name__}, not a plain linear layer"
    return obstacle_in_body(model)


def obstacle_in_body(model: Any) -> str | None:
    """As ``obstacle``, whatever the head is."""
    lm = causal_lm(model)
    config = lm.config
    kind = config.model_type
    if kind not in KNOWN:
        return f"{kind} is not among the architectures known to be exact"
    if getattr(lm, "_is_stateful", False):
        return "the model carries a state from token to token"
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if layers - LAYER_TYPES:
        return f"layers of type {', '.join(sorted(layers - LAYER_TYPES))}"
    if getattr(config, "attention_chunk_size", None):
        return "chunked attention"
    if getattr(config, "use_bidirectional_attention", None):
        return "bidirectional attention"
    for rope in _rope_types(config):
        if rope not in ROPE_TYPES:
            return f"rotary angles of type {rope}, which depend on the whole batch"
    if getattr(config, "output_router_logits", False):
        return "an auxiliary loss over its experts"
    if isinstance(model, PeftModel):
        for name, settings in model.peft_config.items():
            if settings.is_prompt_learning:
                return f"adapter {name} is a learned prompt"
    return None


def _rope_types(config: Any) -> set[str]:
    """All kinds of rotary angles that the model uses; Gemma 3 has one for each layer type."""
    settings = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in settings.values() if isinstance(value, dict)]
    return {str(rope.get("rope_type", "default")) for rope in nested or [settings]}


def _probe(model: Any, shared: PackedLayout, padded: PaddedLayout) -> str | None:
    """Compare both layouts on the model itself; why the shared one is wrong, or None."""
    lm = causal_lm(model)
    draw = torch.Generator().manual_seed(0)
    embeddings = (lm.get_input_embeddings(), lm.get_output_embeddings())
    vocabulary = min(layer.weight.shape[0] for layer in embeddings if layer is not None)

    def tokens(count: int) -> list[int]:
        return list(torch.randint(0, vocabulary, (count,), generator=draw).tolist())

    trees = [Tree(str(i), tokens(9 + i), (tokens(7), tokens(5), tokens(1))) for i in range(2)]
    was_training = model.training
    try:
        ours = score(shared, model, trees, 10_000)
        with shared.own_attention():
            theirs = score(padded, model, trees, 10_000)
    except (NotImplementedError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        return f"the probe failed: {type(error).__name__}: {str(error)[:200]}"
    finally:
        model.train(was_training)
    worst = float(((ours - theirs).abs() / theirs.abs().clamp(min=1)).max())
    if not worst <= TOLERANCE[lm.dtype]:
        return f"on a probe the two layouts differ by a relative {worst:.1e}"
    return None
