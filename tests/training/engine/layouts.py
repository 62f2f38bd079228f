"""Shared by tests of the layouts: small random models of every kind, random trees, both layouts."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

from training.engine.config import Lora
from training.engine.data.chat import Tree
from training.engine.forward.layout import Layout
from training.engine.model import adapters

VOCABULARY = 90
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,  # larger than usual: the distribution must not be flat
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 2,
}
WINDOW = {"sliding_window": 6}
MIXED = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
# name -> configuration class, its settings besides SIZES
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "llama, stretched": (
        "LlamaConfig",
        {"rope_parameters": {**YARN, "original_max_position_embeddings": 64}},
    ),
    "mistral": ("MistralConfig", WINDOW),
    "qwen2": ("Qwen2Config", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3Config", {}),
    "gemma2": (
        "Gemma2Config",
        {
            **WINDOW,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 4.0,
            "query_pre_attn_scalar": 8,
        },
    ),
    "gemma3": ("Gemma3TextConfig", {**MIXED, "query_pre_attn_scalar": 8}),
    "phi3": ("Phi3Config", WINDOW),
    "smollm3": ("SmolLM3Config", {"no_rope_layers": [1, 0]}),
    "gpt-oss": ("GptOssConfig", {**MIXED, "num_local_experts": 4, "num_experts_per_tok": 2}),
}


def bare(kind: str, **changes: Any) -> Any:
    """A frozen random model of this kind."""
    import transformers

    name, settings = KINDS[kind]
    config = getattr(transformers, name)(**{**SIZES, **settings, **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for layer in model.get_decoder().layers:
        if hasattr(layer.self_attn, "sinks"):
            torch.nn.init.normal_(layer.self_attn.sinks)
    adapters.keep_softcap(model)
    return model.requires_grad_(False)


def adapted(kind: str, **changes: Any) -> Any:
    """The same with an adapter whose B is not zero: a fresh one would hide mistakes."""
    model = adapters.fresh_adapter(bare(kind, **changes), Lora(r=4, alpha=8), seed=0)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.05
    return model


def random_trees(count: int, seed: int = 0, branches: int = 2, longest: int = 30) -> list[Tree]:
    """Trees of uneven lengths, some branches of a single token."""
    rng = random.Random(seed)

    def tokens(low: int, high: int) -> list[int]:
        return [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(low, high))]

    return [
        Tree(
            str(i),
            tokens(1, longest),
            tuple(tokens(1, longest) for _ in range(branches)),
            weight=rng.choice([0.5, 1.0, 2.0]),
        )
        for i in range(count)
    ]


def logps_and_gradient(layout: Layout, model: Any, bins: list[list[Tree]]) -> tuple[Tensor, Tensor]:
    """Log-probabilities [S], and the adapter's gradient of a loss that weights each differently.

    The loss of a tree does not depend on its neighbours: Σ over branches (-1)^k / (k + 1) logp.
    """
    model.zero_grad()
    values = []
    for trees in bins:
        logp = layout.logps(model, trees)
        pull = [(-1) ** k / (k + 1) for tree in trees for k in range(len(tree.branches))]
        (logp * torch.tensor(pull)).sum().backward()
        values.append(logp.detach())
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return torch.cat(values), gradient


def distance(a: Tensor, b: Tensor) -> float:
    """The relative L2 distance."""
    return float((a - b).norm() / b.norm())
