"""How fast the card trains and samples: ours, TRL's defaults, TRL at its best, transformers, vLLM.

Models have random weights in Qwen3's shapes, a vocabulary of 151,936, and are made on the card by
each process for itself: making them is not part of any time. Every clock covers tokens, reference
and training (or all answers), on the same pairs, with the same steps of AdamW.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof import engine_runs, shapes
from benchmarks.gpu_proof.runner import Figures, Missing, PartError, Setting, in_process
from training.engine.config import DpoJob, Lora, Model, Optimisation, Sampling

BETA, RATE, RANK = 0.1, 1e-5, 16
# Dense bf16 products a second, by the makers' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "L4": 121e12,
    "A10G": 70e12,
}


class Made:
    """What ``made_on_the_card`` has made, and how long that took."""

    def __init__(self) -> None:
        self.models: list[Any] = []
        self.seconds = 0.0


@contextlib.contextmanager
def made_on_the_card() -> Iterator[Made]:
    """Within, the engine's base comes from its configuration alone, with random weights."""
    import torch
    from transformers import AutoConfig

    from training.engine.model import adapters

    made = Made()
    load = adapters.load_base

    def make(model: Model, dtype: Any, device: Any, *, four_bit: bool = False) -> Any:  # noqa: ARG001
        began = time.monotonic()
        base = shapes.make(AutoConfig.from_pretrained(model.base), dtype, str(device))
        base.requires_grad_(False)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        made.models.append(base)
        made.seconds += time.monotonic() - began
        return base

    adapters.load_base = make
    try:
        yield made
    finally:
        adapters.load_base = load


def train_06b(setting: Setting) -> Figures:
    """0.6B, HH: ours against TRL's defaults and its best; then long prompts, ours alone."""
    size = "tiny" if setting.rehearses else "0.6B"
    count = 16 if setting.rehearses else 512
    pairs, source = shapes.hh_like(setting.data, count)
    figures: Figures = {"pairs": source}
    figures |= _compared(setting, size, "06b", pairs, batch=32, ways=("ours", "best", "default"))
    long = shapes.long_pairs(2 if setting.rehearses else 32)
    ours = _ours(setting, size, "long", long, batch=8, max_length=4096)
    return {**figures, "long_06b_s": ours["seconds"], "long_06b_mfu": ours["mfu"]}


def train_8b(setting: Setting) -> Figures:
    """8B, HH: ours against TRL's best, and the share of the card's peak that is used."""
    size = "tiny" if setting.rehearses else "8B"
    pairs, _ = shapes.hh_like(setting.data, 8 if setting.rehearses else 256)
    return _compared(setting, size, "8b", pairs, batch=64, ways=("ours", "best"))


def _compared(
    setting: Setting,
    size: str,
    name: str,
    pairs: list[dict[str, Any]],
    batch: int,
    ways: tuple[str, ...],
) -> Figures:
    ours = _ours(setting, size, name, pairs, batch, max_length=2048)
    figures: Figures = {
        f"ours_{name}_s": ours["seconds"],
        f"mfu_{name}": ours["mfu"],
        f"tokens_per_second_{name}": ours["tokens_per_second"],
        f"layout_{name}": ours["layout"],
        f"peak_gib_{name}": ours["peak_gib"],
    }
    for way in ways[1:]:
        try:
            theirs = in_process(
                setting, _trl, str(setting.work / f"{name}-base"), way, batch, setting.device
            )
        except (Missing, PartError) as error:
            figures[f"{way}_{name}"] = f"none: {str(error).splitlines()[-1][:150]}"
            continue
        figures[f"{way}_{name}_s"] = theirs["seconds"]
        figures[f"hh_vs_{way}_{name}"] = theirs["seconds"] / ours["seconds"]
    return figures


def _ours(
    setting: Setting,
    size: str,
    name: str,
    pairs: list[dict[str, Any]],
    batch: int,
    max_length: int,
) -> Figures:
    base = setting.work / f"{name}-base"
    shapes.save_base(base, shapes.large_config(size), pairs)
    rows = engine_runs.pairs_file(pairs)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (base / "pairs.jsonl").write_text(text, encoding="utf-8")
    job = DpoJob(
        model=Model(base=str(base)),
        beta=BETA,
        lora=Lora(r=RANK, alpha=2 * RANK),
        optimisation=Optimisation(
            learning_rate=RATE,
            batch_size=min(batch, max(1, len(pairs) // 2)),
            max_length=max_length,
            checkpoint_fraction=1.0,
            token_budget=32_768,
        ),
    )
    folder = engine_runs.new_run(setting, f"{name}-run", job, pairs=rows)
    return dict(in_process(setting, _ours_in_child, str(folder), max_length))


def _ours_in_child(folder: str, max_length: int) -> Figures:
    import torch

    from training.engine.config import read_job
    from training.engine.data.chat import Chat
    from training.engine.data.pairs import read_pairs
    from training.engine.model import adapters

    began = time.monotonic()
    with made_on_the_card() as made:
        engine_runs.command("dpo", folder, 0)
    seconds = time.monotonic() - began - made.seconds
    run = Path(folder)
    (base,) = made.models
    rows = [r["values"] for r in engine_runs.lines(run / "metrics.jsonl") if r["split"] == "train"]
    chat = Chat(adapters.load_tokenizer(read_job(run).model))
    trees = chat.pair_trees(read_pairs(run / "pairs.jsonl"), max_length)
    # The first step also tries kernels and reserves memory.
    steady = rows[1:] or rows
    tokens = sum(row["computed_tokens"] for row in steady)
    rate = tokens / sum(row["seconds"] for row in steady)
    return {
        "seconds": seconds,
        "tokens_per_second": rate,
        "mfu": rate * flops_per_token(base, trees) / peak() if torch.cuda.is_available() else None,
        "layout": engine_runs.result(run)["layout"],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0,
    }


def flops_per_token(model: Any, trees: list[Any]) -> float:
    """Floating-point operations that a training step needs, divided by the tokens that it computes.

    Two a frozen weight forward and two backward (no gradient of the weight itself); the head only
    where a token is predicted; attention 4·width a seen position forward and twice that backward.
    """
    lm = model
    config = lm.config.get_text_config()
    head = lm.get_output_embeddings().weight.numel()
    inner = sum(
        m.weight.numel()
        for n, m in lm.get_decoder().named_modules()
        if type(m).__name__ == "Linear"
    )
    width = config.num_attention_heads * config.head_dim
    computed = predicted = seen = 0.0
    for tree in trees:
        prompt = len(tree.prompt)
        computed += prompt
        seen += prompt * (prompt + 1) / 2
        for branch in tree.branches:
            length = len(branch) - 1
            computed += length
            predicted += len(branch)
            seen += length * prompt + length * (length + 1) / 2
    attention = 12 * width * config.num_hidden_layers * seen
    return float(4 * inner + (4 * head * predicted + attention) / computed)


def peak() -> float:
    """The card's dense bf16 products a second; measured where its name is not known."""
    import torch

    name = torch.cuda.get_device_name(0)
    for known, value in PEAKS.items():
        if known in name:
            return value
    a = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.monotonic()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.monotonic() - began)


def _trl(folder: str, way: str, batch: int, device: str) -> Figures:
    """In the child: TRL's DPOTrainer as it comes, or at its fastest fair setting."""
    for name in ("trl", "datasets"):
        if importlib.util.find_spec(name) is None:
            raise Missing(f"{name} is not installed")
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoConfig, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    base = Path(folder)
    cpu = device == "cpu"
    best = way == "best"
    settings: dict[str, Any] = {"bf16": not cpu, "per_device_train_batch_size": 8}
    if best:
        settings |= {
            "gradient_checkpointing": False,
            "precompute_ref_log_probs": True,
            "precompute_ref_batch_size": 32,
            "train_sampling_strategy": "group_by_length",
            "remove_unused_columns": False,
            "use_liger_kernel": importlib.util.find_spec("liger_kernel") is not None,
        }
    settings["gradient_accumulation_steps"] = max(1, batch // 8)
    dtype = torch.bfloat16 if best and not cpu else torch.float32
    model = shapes.make(AutoConfig.from_pretrained(base), dtype, device)
    if not cpu:
        torch.cuda.synchronize()
    began = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = load_dataset(
        "json",
        data_files=str(base / "pairs.jsonl"),
        split="train",
        cache_dir=str(base / f"datasets-{way}"),
    ).select_columns(["prompt", "chosen", "rejected"])
    if best:

        def measured(row: dict[str, Any]) -> dict[str, int]:
            conversations = (row["prompt"] + row[side] for side in ("chosen", "rejected"))
            texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in conversations]
            return {"length": max(len(tokenizer(text)["input_ids"]) for text in texts)}

        rows = rows.map(measured)
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(base / f"trl-{way}"),
            beta=BETA,
            learning_rate=RATE,
            num_train_epochs=1,
            max_length=2048,
            report_to="none",
            save_strategy="no",
            use_cpu=cpu,
            disable_tqdm=True,
            logging_steps=1,
            **settings,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"
        ),
    )
    trainer.train()
    if not cpu:
        torch.cuda.synchronize()
    return {"seconds": time.monotonic() - began}


def generate(setting: Setting) -> Figures:
    """Answers of 0.6B: ours, ``generate`` with a cache, and vLLM where it is."""
    size = "tiny" if setting.rehearses else "0.6B"
    pairs, _ = shapes.hh_like(setting.data, 8 if setting.rehearses else 64)
    base = setting.work / "generate-base"
    shapes.save_base(base, shapes.large_config(size), pairs)
    (base / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
    tokens = 8 if setting.rehearses else 32
    figures: Figures = {}
    rates = {}
    for way in ("ours", "generate", "vllm"):
        try:
            rates[way] = in_process(setting, _generate, str(base), way, tokens, setting.device)
            figures[f"{way}_tokens_per_second"] = rates[way]
        except Missing as missing:
            figures[way] = f"none: {missing}"
    for way in ("generate", "vllm"):
        if way in rates:
            figures[f"sample_vs_{way}"] = rates["ours"] / rates[way]
    return figures


def _generate(folder: str, way: str, tokens: int, device: str) -> float:
    """In the child: tokens a second over four answers of ``tokens`` tokens to every prompt."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from training.engine.data.chat import Chat
    from training.engine.data.endings import EndRule
    from training.engine.generate.decoder import Decoder, Question, Wanted
    from training.engine.generate.hf_generate import Generated

    base = Path(folder)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    pairs = json.loads((base / "pairs.json").read_text(encoding="utf-8"))
    chat = Chat(AutoTokenizer.from_pretrained(base))
    prompts = chat.prompt_ids([pair["prompt"] for pair in pairs])
    prompts = [ids[-1024:] for ids in prompts]
    if way == "vllm":
        return _vllm(base, prompts, tokens)
    model = shapes.make(AutoConfig.from_pretrained(base), dtype, device)
    model.generation_config.eos_token_id = None
    sampling = Sampling(max_new_tokens=tokens)
    asked = [
        Question(None, ids, tuple(Wanted(4 * i + j, 4 * i + j, tokens) for j in range(4)))
        for i, ids in enumerate(prompts)
    ]
    ending = EndRule(chat, set(), ())
    rates = []
    for part in (asked[:4], asked):  # the first warms up
        writer: Any = (
            Decoder(model, sampling, 128, lambda _: False)
            if way == "ours"
            else Generated(model, chat.tokenizer, sampling, 128, ending)
        )
        began = time.monotonic()
        written = sum(len(row.tokens) for row in writer.write(part, lambda: None))
        if device != "cpu":
            torch.cuda.synchronize()
        rates.append(written / (time.monotonic() - began))
        if way == "ours":
            writer.release()
    return rates[-1]


def _vllm(base: Path, prompts: list[list[int]], tokens: int) -> float:
    if importlib.util.find_spec("vllm") is None:
        raise Missing("vllm is not installed")
    from vllm import LLM, SamplingParams

    engine = LLM(model=str(base), load_format="dummy", dtype="bfloat16", max_model_len=2048)
    wanted = SamplingParams(n=4, max_tokens=tokens, ignore_eos=True)
    asked = [{"prompt_token_ids": ids} for ids in prompts]
    engine.generate(asked[:4], wanted)
    began = time.monotonic()
    out = engine.generate(asked, wanted)
    written = sum(len(output.token_ids) for request in out for output in request.outputs)
    return written / (time.monotonic() - began)
