"""SFT jobs: the chosen answers become more likely, and DPO can start from the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.engine.conftest import make_pairs, read_lines, run_engine
from training.engine.config import DpoJob, Lora, Model, Optimisation, SftJob

SETTINGS = Optimisation(learning_rate=1e-2, epochs=4, batch_size=8)


def losses(folder: Path) -> list[float]:
    rows = read_lines(folder / "metrics.jsonl")
    return [row["values"]["loss"] for row in rows if row["split"] == "train"]


def test_sft_then_dpo_from_it(base: Path, new_run: Callable[..., Path]) -> None:
    rows = make_pairs(24)
    del rows[0]["rejected"]
    model = Model(base=str(base))
    warm = new_run("sft", SftJob(model=model, lora=Lora(r=4), optimisation=SETTINGS), pairs=rows)
    assert run_engine("sft", warm) == 0
    assert losses(warm)[-1] < losses(warm)[0] - 1

    adapter = str(warm / "adapter")
    job = DpoJob(
        model=model, start_adapter=adapter, reference_adapter=adapter, optimisation=SETTINGS
    )
    dpo = new_run("dpo", job, pairs=make_pairs(24))
    assert run_engine("dpo", dpo) == 0
    assert losses(dpo)[0] == pytest.approx(math.log(2), abs=1e-6)


def test_the_loss_is_the_mean_over_tokens(base: Path, new_run: Callable[..., Path]) -> None:
    """Equal to transformers' own loss on the same tokens with the prompt's labels masked."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (row,) = make_pairs(1)
    folder = new_run("one", SftJob(model=Model(base=str(base))), pairs=[row])
    assert run_engine("sft", folder) == 0
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
    full = tokenizer.apply_chat_template(row["prompt"] + row["chosen"])["input_ids"]
    labels = torch.tensor([[-100] * len(prompt) + full[len(prompt) :]])
    model = AutoModelForCausalLM.from_pretrained(base)
    expected = float(model(input_ids=torch.tensor([full]), labels=labels).loss.detach())
    assert losses(folder)[0] == pytest.approx(expected, abs=1e-5)
