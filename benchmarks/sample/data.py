"""What the sampling benchmark works on: real prompts, two base models, three adapters each."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.train.data import SHAPE, hh_pairs, make_base, texts_of

Row = dict[str, Any]
DEMO = Path(__file__).resolve().parents[2] / "training" / "demo" / "model"
RANK, ALPHA = 16, 32
SPREAD = 0.02  # of B's random values: enough for other words, too little for nonsense
# 98 million parameters, 13 of them the tied vocabulary.
SHAPE_100M = {
    **SHAPE,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
}


def prompts_of(folder: Path, count: int, tokens: int) -> list[list[Row]]:
    """``count`` conversations of ``folder`` with at most ``tokens`` tokens of the built-in model's.

    MT-Bench's first turns, the Open-Assistant prompts, then HH-harmless until there are enough.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    prompts: list[list[Row]] = []
    for messages in _all(folder):
        if len(prompts) == count:
            break
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        if len(ids) <= tokens and messages not in prompts:
            prompts.append(messages)
    random.Random(0).shuffle(prompts)
    return prompts


def _all(folder: Path) -> Iterator[list[Row]]:
    for line in (folder / "mt_bench_questions.jsonl").read_text(encoding="utf-8").splitlines():
        yield [{"role": "user", "content": json.loads(line)["turns"][0]}]
    name = "completions_pythia-3b-deduped-sft.jsonl"
    for line in (folder / name).read_text(encoding="utf-8").splitlines():
        yield [{"role": "user", "content": json.loads(line)["prompt"]}]
    for row in hh_pairs(folder):
        yield row["prompt"]


def make_random_base(folder: Path, data: Path) -> None:
    """The 100 M shape with random weights and a tokenizer of HH-harmless."""
    make_base(folder, texts_of(hh_pairs(data)), SHAPE_100M)


def make_adapters(base: Path, folder: Path, count: int) -> list[str]:
    """``count`` LoRA adapters of random weights on all linear layers of ``base``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = []
    for number in range(count):
        torch.manual_seed(number)
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(
                task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules="all-linear"
            ),
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=SPREAD)
        target = folder / f"adapter-{number}"
        model.save_pretrained(target, save_embedding_layers=False)
        folders.append(str(target))
    return folders
