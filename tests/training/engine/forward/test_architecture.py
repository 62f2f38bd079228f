"""Which models share prompts, and that all others fall back and give a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.conftest import (
    make_pairs,
    make_tokenizer,
    read_json,
    read_lines,
    run_engine,
)
from tests.training.engine.layouts import KINDS, SIZES, adapted, bare, random_trees
from training.engine.config import DpoJob, Lora, Model, Optimisation
from training.engine.forward import tree_attention
from training.engine.forward.architecture import choose_layout, obstacle
from training.engine.model.adapters import fresh_adapter


@pytest.mark.parametrize("kind", KINDS)
def test_known_kinds_share_prompts(kind: str) -> None:
    layout, reason = choose_layout(adapted(kind), 0)
    assert (layout.name, reason) == ("shared", None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "rotary"),
        ({"model_type": "llama_of_tomorrow"}, "not among the architectures"),
        ({"attention_chunk_size": 8}, "chunked"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"use_bidirectional_attention": True}, "bidirectional"),
    ],
)
def test_what_cannot_be_shared_is_seen(changes: dict[str, Any], reason: str) -> None:
    model = bare("llama")
    for name, value in changes.items():
        setattr(model.config, name, value)
    assert reason in (obstacle(model) or "")


def test_a_model_that_attends_in_its_own_way_is_caught_by_the_probe() -> None:
    """A model that claims to be a Llama and passes all checks, but uses another scale."""
    model = adapted("llama")
    inner = tree_attention.tree_attention
    for layer in model.get_base_model().model.layers:
        layer.self_attn.scaling *= 0.5  # in both layouts alike: not caught
    assert choose_layout(model, 0)[1] is None

    def other(*arguments: Any, **named: Any) -> Any:
        return inner(*arguments, **{**named, "scaling": 0.1})

    model = adapted("llama")
    from transformers import AttentionInterface

    AttentionInterface.register(tree_attention.NAME, other)
    try:
        layout, reason = choose_layout(model, 0)
    finally:
        AttentionInterface.register(tree_attention.NAME, inner)
    assert layout.name == "padded"
    assert "differ by a relative" in str(reason)
    assert torch.isfinite(layout.logps(model, random_trees(2))).all()


def test_an_unknown_kind_is_trained_with_padded_rows_and_says_so(
    tmp_path: Path, new_run: Callable[..., Path]
) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    base = tmp_path / "base"
    tokenizer = make_tokenizer(base)
    settings = {**SIZES, "vocab_size": len(tokenizer), "num_hidden_layers": 1}
    GPTNeoXForCausalLM(GPTNeoXConfig(**settings)).save_pretrained(base)
    job = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=2),
        optimisation=Optimisation(batch_size=4, learning_rate=1e-2),
    )
    folder = new_run("neox", job, pairs=make_pairs(8))
    assert run_engine("dpo", folder) == 0
    result = read_json(folder / "result.json")
    assert result["layout"] == "padded"
    assert "gpt_neox" in result["fallback_reason"]
    assert "prompts are not shared: gpt_neox" in (folder / "engine.log").read_text()
    rows = [row["values"] for row in read_lines(folder / "metrics.jsonl")]
    assert all(row["tokens_saved"] == 0 for row in rows)


def test_a_model_with_a_state_is_not_shared() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(
        MambaConfig(vocab_size=90, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    lora = Lora(r=2, target_modules="x_proj,in_proj")
    layout, reason = choose_layout(fresh_adapter(model, lora, 0), 0)
    assert layout.name == "padded"
    assert reason
