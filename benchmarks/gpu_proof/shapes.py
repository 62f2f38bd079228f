"""Model shapes, random models made on the device, and pairs of real or made text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from benchmarks.train.data import LONG_ANSWER, LONG_PROMPT, drawn, hh_pairs, make_tokenizer

VOCABULARY = 151_936
# Words of a prompt and of the two answers in HH-harmless: every tenth of the way up.
HH_PROMPT = (3, 9, 15, 28, 43, 61, 79, 99, 130, 190, 661)
HH_CHOSEN = (1, 6, 9, 12, 16, 21, 26, 35, 49, 70, 202)
HH_REJECTED = (1, 7, 11, 15, 21, 27, 36, 45, 58, 85, 408)
WORDS = (  # noqa: SIM905
    "the of and to in is you that it he was for on are as with his they I at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water been "
    "call who oil its now find long down day did get come made may part"
).split()
# Small shapes with the heads of real ones: kernels care for the heads' size, not for the rest.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"head_dim": 128}),
    "qwen3": ("Qwen3Config", {"head_dim": 128}),
    "gemma3": (
        "Gemma3TextConfig",
        {
            "head_dim": 256,
            "sliding_window": 24,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 256,
        },
    ),
    "gemma2": (
        "Gemma2Config",
        {
            "head_dim": 256,
            "sliding_window": 24,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "query_pre_attn_scalar": 256,
        },
    ),
}
# What else prompts can be shared for; checked with fake tensors. Without gpt-oss: its experts ask
# the card itself what it can do.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("MistralConfig", {"head_dim": 64, "sliding_window": 24}),
    "qwen2": ("Qwen2Config", {}),
    "phi3": ("Phi3Config", {"sliding_window": 24}),
    "smollm3": ("SmolLM3Config", {"no_rope_layers": [1, 0]}),
}
LARGE: dict[str, dict[str, Any]] = {
    "0.6B": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}


def small_config(kind: str, vocabulary: int) -> Any:
    """Two layers of architecture ``kind``, with a vocabulary of ``vocabulary`` tokens."""
    import transformers

    name, settings = {**SMALL, **OTHERS}[kind]
    return getattr(transformers, name)(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.05,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
        **settings,
    )


def large_config(size: str) -> Any:
    """Qwen3's architecture at this size."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=2048 if size == "tiny" else VOCABULARY,
        head_dim=16 if size == "tiny" else 128,
        max_position_embeddings=8192,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
        **LARGE[size],
    )


def make(config: Any, dtype: Any, device: str) -> Any:
    """A causal model of random weights, made on ``device``."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def save_base(folder: Path, config: Any, pairs: list[dict[str, Any]]) -> Any:
    """``folder`` with a tokenizer and ``config``, without weights; returns the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = (m["content"] for row in pairs for side in row.values() for m in side)
    tokenizer = make_tokenizer(folder, texts, min(16_384, config.vocab_size))
    config.save_pretrained(folder)
    return tokenizer


def hh_like(data: Path | None, count: int) -> tuple[list[dict[str, Any]], str]:
    """``count`` pairs of HH-harmless, or made ones as long as those; and which it is."""
    if data is not None and (data / "hh_harmless_pairs.jsonl.gz").exists():
        rows = [{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in hh_pairs(data)]
        return [{k: v for k, v in row.items() if k != "id"} for row in drawn(rows, count)], "HH"
    rng = random.Random(0)

    def text(deciles: tuple[int, ...]) -> str:
        place = rng.random() * (len(deciles) - 1)
        low, high = deciles[int(place)], deciles[int(place) + 1]
        return _words(rng, round(low + (high - low) * (place % 1)))

    return [
        _pair(text(HH_PROMPT), text(HH_CHOSEN), text(HH_REJECTED)) for _ in range(count)
    ], "made pairs of HH's lengths"


def long_pairs(count: int) -> list[dict[str, Any]]:
    """Made pairs with prompts of some 2,000 tokens and answers of some 200."""
    rng = random.Random(1)
    return [
        _pair(_words(rng, LONG_PROMPT), _words(rng, LONG_ANSWER), _words(rng, LONG_ANSWER))
        for _ in range(count)
    ]


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=max(1, count)))


def _pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
