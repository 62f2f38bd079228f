"""What the training benchmark works on: a model of random weights, a tokenizer, three data sets.

The sets are read from a folder that is no part of the project; one that is absent is left out,
and said so. Knows nothing of trainers.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
# Llama's shape at 20 million parameters, a third of them in the (tied) vocabulary.
SHAPE = {
    "vocab_size": 16384,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
# For GPUs: the shapes of today's small and middling models, with the tokenizer's small vocabulary.
SHAPES: dict[str, dict[str, Any]] = {
    "20M": SHAPE,
    "0.6B": {
        **SHAPE,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "8B": {
        **SHAPE,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LONG_PROMPT, LONG_ANSWER = 2000, 200  # tokens


def hh_pairs(folder: Path) -> list[Row]:
    """HH-harmless: several turns in a prompt, short answers."""
    with gzip.open(folder / "hh_harmless_pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        _pair(_turns(row["prompt"]), row["chosen"], row["rejected"])
        for row in rows
        if row["chosen"].strip() and row["rejected"].strip()
    ]


def chat_pairs(folder: Path) -> list[Row]:
    """ShareGPT-style: long answers, much of them Markdown and code."""
    with (folder / "chat_pairs_sharegpt.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        _pair(
            [
                {"role": ROLES[turn["from"]], "content": turn["value"]}
                for turn in row["conversations"]
            ],
            row["chosen"]["value"],
            row["rejected"]["value"],
        )
        for row in rows
    ]


def long_pairs(tokenizer: Any, count: int) -> list[Row]:
    """Made up: prompts of 2,000 tokens and answers of 200, of words that are one token each."""
    vocabulary = [
        text
        for token in range(len(tokenizer))
        if (text := tokenizer.decode([token])).startswith(" ") and text[1:].isalpha()
    ]
    rng = random.Random(0)

    def text(tokens: int) -> str:
        return "".join(rng.choices(vocabulary, k=tokens))

    return [
        _pair(
            [{"role": "user", "content": text(LONG_PROMPT)}], text(LONG_ANSWER), text(LONG_ANSWER)
        )
        for _ in range(count)
    ]


def make_tokenizer(folder: Path, texts: Iterator[str], size: int) -> Any:
    """A byte-level BPE tokenizer of ``texts`` with a chat template, saved into ``folder``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|pad|>", bos_token=None
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_base(folder: Path, texts: Iterator[str], settings: dict[str, Any]) -> Any:
    """A base model of random weights and a tokenizer of ``texts``, saved.

    Where there is a GPU the weights are made there and kept in bf16.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(folder, texts, settings["vocab_size"])
    torch.manual_seed(0)
    config = LlamaConfig(**settings, pad_token_id=0, eos_token_id=2, bos_token_id=None)
    cuda = torch.cuda.is_available()
    torch.set_default_dtype(torch.bfloat16 if cuda else torch.float32)
    with torch.device("cuda" if cuda else "cpu"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    del model
    if cuda:
        torch.cuda.empty_cache()  # the runs come in processes of their own
    return tokenizer


def texts_of(rows: list[Row]) -> Iterator[str]:
    """Every message's text."""
    for row in rows:
        for field in ("prompt", "chosen", "rejected"):
            for message in row[field]:
                yield message["content"]


def _pair(prompt: list[Row], chosen: str, rejected: str) -> Row:
    return {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen.strip()}],
        "rejected": [{"role": "assistant", "content": rejected.strip()}],
    }


def _turns(text: str) -> list[Row]:
    """Human: … Assistant: … Assistant: as messages, the last turn still open."""
    messages = []
    for part in text.split("\n\nHuman:")[1:]:
        human, *answers = part.split("\n\nAssistant:")
        messages.append({"role": "user", "content": human.strip()})
        messages += [{"role": "assistant", "content": a.strip()} for a in answers if a.strip()]
    return messages


def fitting(tokenizer: Any, rows: list[Row], max_length: int) -> list[Row]:
    """The pairs of which both sides, prompt and markup included, have at most that many tokens."""

    def longest(row: Row) -> int:
        sides = (row["prompt"] + row[side] for side in ("chosen", "rejected"))
        texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in sides]
        return max(len(ids) for ids in tokenizer(texts)["input_ids"])

    return [row for row in rows if longest(row) <= max_length]


def drawn(rows: list[Row], count: int) -> list[Row]:
    """``count`` of them, always the same."""
    rows = list(rows)
    random.Random(0).shuffle(rows)
    return [{"id": str(i), **row} for i, row in enumerate(rows[:count])]
