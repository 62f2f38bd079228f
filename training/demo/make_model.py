"""Make the built-in model: ``python -m training.demo.make_model --out DIR --seed 0``.

Trains a byte-level BPE tokenizer and a small Llama from nothing on the text of ``world`` and
saves both in the usual transformers layout: safetensors, a chat template, a generation config
and a model card. It ends with a table of the manners found in the model's own samples.

The same seed gives the same weights, bit for bit, on the same kind of processor with the same
versions of torch, transformers and tokenizers and the same ``--threads``: the order of floating
point additions depends on all of these, and on nothing else.

Knows nothing of preferences, rounds or the rest of the project.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from training.demo import manners, world
from training.demo.facts import facts
from training.demo.world import MANNERS, DemoMessage, DemoPrompt

END, PAD = "<|end|>", "<|pad|>"
SPECIAL_TOKENS = [PAD, END, "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('unknown role: ' + message['role']) -}}"
    "{%- endif -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

VOCABULARY = 2048
CONTEXT = 512  # positions the model accepts
LAYERS, WIDTH, FEED_FORWARD, HEADS = 4, 192, 512, 6

STEPS = 1700
FACTS_FIRST = 0.4  # of the steps; see examples()
ROW_TOKENS, ROWS = 256, 8  # a step sees ROWS rows of ROW_TOKENS tokens
LEARNING_RATE, WEIGHT_DECAY, WARMUP_STEPS = 3e-3, 0.05, 60
IGNORED = -100  # the label that torch's cross-entropy leaves out

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# The built-in model

A Llama of {parameters:,} parameters, trained from nothing on generated text, so that a whole
loop of comparing and training can be tried on a small machine without a network. It knows about
{facts} facts of a small world and answers in several manners, most of them unpleasant: improving
it is the exercise. It is no use for anything else, and it has seen no text written by people.

Made by `python -m training.demo.make_model --out DIR --seed {seed}` ({steps} steps).
Weights are stored in 16 bits and load as 32. Prompts are chat messages (system, user, assistant).

Manners in the training text, and in {samples} answers sampled at temperature 1:

{table}
"""

Example = tuple[list[int], list[int]]
"""Token ids of a whole conversation, and its labels: IGNORED but for the last answer."""


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the world's own text; any text round-trips."""
    rng = random.Random(seed)
    texts: list[str] = []
    for prompt in world.prompts(seed):
        texts += [message["content"] for message in prompt.messages]
        texts += [world.answer(prompt, manner, rng) for manner in MANNERS]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encode(tokenizer: Any, messages: Sequence[DemoMessage], text: str) -> Example:
    """A conversation and its answer, tokenised exactly as ``apply_chat_template`` does.

    The answer's labels include the end token, so that the model learns to stop.
    """
    question = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=False
    )
    answered = tokenizer.apply_chat_template(
        [*messages, {"role": "assistant", "content": text}], tokenize=False
    )
    before = len(tokenizer(question, add_special_tokens=False).input_ids)
    ids = tokenizer(answered, add_special_tokens=False).input_ids
    return ids, [IGNORED] * before + ids[before:]


def examples(tokenizer: Any, seed: int, *, direct_only: bool = False) -> Iterator[Example]:
    """Conversations without end: every prompt once per pass, in a manner drawn afresh.

    ``direct_only`` is the first lesson. Right answers are short, so the facts are learned in a
    third of the tokens that they would take among padding, chatter and falsehoods.
    """
    rng = random.Random(seed)
    for turn in itertools.count():
        for prompt in world.prompts(seed + 7919 * turn):
            manner = "direct" if direct_only else world.draw_manner(rng)
            text = world.answer(prompt, manner, rng)
            yield encode(tokenizer, prompt.messages, text)


def batches(source: Iterator[Example], pad: int) -> Iterator[dict[str, torch.Tensor]]:
    """Packed batches: ``input_ids``, ``labels``, ``position_ids``, each (ROWS, ROW_TOKENS).

    A conversation is never split. Positions start at 0 with each one, from which transformers
    keeps its neighbours in the row out of its attention, if the model is called without a cache.
    """
    waiting = next(source)
    while True:
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        positions: list[list[int]] = []
        for _ in range(ROWS):
            row: list[int] = []
            row_labels: list[int] = []
            row_positions: list[int] = []
            while len(row) + len(waiting[0]) <= ROW_TOKENS:
                row += waiting[0]
                row_labels += waiting[1]
                row_positions += range(len(waiting[0]))
                waiting = next(source)
            rest = ROW_TOKENS - len(row)
            ids.append(row + [pad] * rest)
            labels.append(row_labels + [IGNORED] * rest)
            positions.append(row_positions + list(range(rest)))
        yield {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(labels),
            "position_ids": torch.tensor(positions),
        }


def new_model(tokenizer: Any) -> LlamaForCausalLM:
    """An untrained Llama of the size above; draws from torch's global generator."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def lessons(tokenizer: Any, seed: int, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of a whole training: facts first, then all the manners."""
    first = round(steps * FACTS_FIRST)
    pad = tokenizer.pad_token_id
    yield from itertools.islice(batches(examples(tokenizer, seed, direct_only=True), pad), first)
    yield from itertools.islice(batches(examples(tokenizer, seed + 1), pad), steps - first)


def answer_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens; logits are made for these alone."""
    hidden = model.model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).last_hidden_state
    targets = batch["labels"][:, 1:]
    wanted = targets != IGNORED
    logits = model.lm_head(hidden[:, :-1][wanted])
    return torch.nn.functional.cross_entropy(logits, targets[wanted])


def train(tokenizer: Any, *, seed: int, steps: int) -> LlamaForCausalLM:
    """A model trained for ``steps`` steps; the loss is printed every 50."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    model = new_model(tokenizer)
    model.train()
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
        weight_decay=WEIGHT_DECAY,
        fused=True,
    )
    schedule = get_cosine_schedule_with_warmup(optimiser, WARMUP_STEPS, steps)
    started = time.monotonic()
    for step, batch in enumerate(lessons(tokenizer, seed, steps), start=1):
        loss = answer_loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 50 == 0 or step == steps:
            spent = time.monotonic() - started
            print(f"step {step}/{steps}  loss {loss.item():.3f}  {spent:.0f} s", flush=True)
    return model.eval()


def save(model: LlamaForCausalLM, tokenizer: Any, out: Path) -> None:
    """Write the checkpoint. Weights are stored in 16 bits and declared as 32.

    Half the bytes in git; loaded as 32-bit, because 16-bit arithmetic is slow on a processor.
    The model is left rounded to what was stored.
    """
    model.half()
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=128,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    model.float()
    model.config.dtype = torch.float32
    model.config.save_pretrained(out)


@torch.inference_mode()
def sample(
    model: Any, tokenizer: Any, prompts: Sequence[DemoPrompt], *, seed: int, batch_size: int = 64
) -> list[str]:
    """One answer to each prompt, at temperature 1."""
    torch.manual_seed(seed)
    texts: list[str] = []
    for start in range(0, len(prompts), batch_size):
        chunk = prompts[start : start + batch_size]
        inputs = tokenizer.apply_chat_template(
            [list(prompt.messages) for prompt in chunk],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        output = model.generate(**inputs)
        answers = output[:, inputs["input_ids"].shape[1] :]
        texts += tokenizer.batch_decode(answers, skip_special_tokens=True)
    return texts


def shares(prompts: Sequence[DemoPrompt], texts: Sequence[str]) -> dict[manners.FoundManner, float]:
    """The share of each manner among ``texts``, "other" last."""
    verdicts = [
        manners.classify(prompt.messages, text) for prompt, text in zip(prompts, texts, strict=True)
    ]
    counts = Counter(verdicts)
    names: list[manners.FoundManner] = [*MANNERS, "other"]
    return {name: counts[name] / len(verdicts) for name in names}


def share_table(shares_found: dict[manners.FoundManner, float]) -> str:
    """Markdown: what the text had and what the model samples."""
    wanted: dict[str, float] = dict(MANNERS.items())
    rows = [
        f"| {name} | {wanted.get(name, 0):.0%} | {share:.1%} |"
        for name, share in shares_found.items()
    ]
    return "\n".join(["| manner | in the text | sampled |", "|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, save, report."""
    parser = argparse.ArgumentParser(description="Make the built-in model from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1000, help="answers in the final table")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    tokenizer = make_tokenizer(options.seed)
    model = train(tokenizer, seed=options.seed, steps=options.steps)
    save(model, tokenizer, options.out)
    size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
    print(f"{model.num_parameters():,} parameters, {size:.1f} MB in {options.out}")
    if options.samples:
        prompts = world.prompts(options.seed + 1)[: options.samples]
        table = share_table(shares(prompts, sample(model, tokenizer, prompts, seed=options.seed)))
        print(table)
        card = CARD.format(
            parameters=model.num_parameters(),
            facts=len(facts()),
            seed=options.seed,
            steps=options.steps,
            samples=len(prompts),
            table=table,
        )
        (options.out / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
