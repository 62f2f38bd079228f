"""Whether the card computes what a CPU does: attention, gradients, texts, memory, company."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof import engine_runs, shapes
from benchmarks.gpu_proof.runner import Figures, Missing, Setting, in_process
from benchmarks.gpu_proof.small import DEMO, SPREADS, _check, _short, furthest
from training.engine.config import DpoJob, Lora, Model, Optimisation, SampleJob, Sampling, ScoreJob

WORDS = 512  # of the small models' vocabulary
# In fp32 the two ways differ by rounding alone. In bf16 the kernel may be off by no more than the
# plain computation is, both held against fp32, with some room for luck.
FP32, BF16_ROOM = 2e-5, 2.0


def attention(setting: Setting) -> Figures:
    """Prompts shared by the kernel, by the loop, and rows with padding: values and gradients."""
    return dict(in_process(setting, _attention, setting.device))


def _attention(device: str) -> Figures:
    import torch

    worst = {"logp_max_diff": 0.0, "grad_rel_l2": 0.0, "bf16_kernel": 0.0, "bf16_plain": 0.0}
    calls = 0
    for kind in shapes.SMALL:
        truth = _both(kind, torch.float32, device, "padded")
        for way in ("loop", "shared"):
            mine = _both(kind, torch.float32, device, way)
            logp = float((mine[0] - truth[0]).abs().max())
            gradient = float((mine[1] - truth[1]).norm() / truth[1].norm())
            worst["logp_max_diff"] = max(worst["logp_max_diff"], logp)
            worst["grad_rel_l2"] = max(worst["grad_rel_l2"], gradient)
            relative = float(((mine[0] - truth[0]).abs() / truth[0].abs()).max())
            _check(relative < FP32, f"{kind}, fp32, {way}: log-probabilities differ by {relative}")
            _check(gradient < 1e-3, f"{kind}, fp32, {way}: gradients differ by {gradient}")
        if device == "cpu":
            continue
        plain = _both(kind, torch.bfloat16, device, "padded")
        kernel = _both(kind, torch.bfloat16, device, "shared")
        calls += kernel[2]
        expects_kernel = kind != "gemma2"  # its bound on scores is the loop's
        _check(
            bool(kernel[2]) == expects_kernel, f"{kind}: the kernel was called {kernel[2]} times"
        )
        for place, name in ((0, "log-probabilities"), (1, "gradients")):
            off, yard = (
                float((computed[place] - truth[place]).norm() / truth[place].norm())
                for computed in (kernel, plain)
            )
            _check(
                off <= BF16_ROOM * yard + 1e-3,
                f"{kind}, bf16: {name} are off by {off}, plain ones by {yard}",
            )
            worst["bf16_kernel"] = max(worst["bf16_kernel"], off)
            worst["bf16_plain"] = max(worst["bf16_plain"], yard)
    return {**worst, "kernel_calls": calls}


def _both(kind: str, dtype: Any, device: str, way: str) -> tuple[Any, Any, int]:
    """Log-probabilities [S] and the adapter's gradient, on the CPU; how often the kernel ran."""
    import functools

    import torch

    from training.engine.forward import tree_attention_cuda
    from training.engine.forward.packed import PackedLayout
    from training.engine.forward.padded import PaddedLayout
    from training.engine.model import fused_lora

    model = adapted(kind, dtype, device)
    fused_lora.install(model)
    calls = 0
    usable, find_kernel = tree_attention_cuda.usable, tree_attention_cuda._kernel
    kernel = find_kernel()

    @functools.wraps(kernel or print)
    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return kernel(*arguments, **named)  # type: ignore[misc]

    if way == "loop":
        tree_attention_cuda.usable = lambda *_: False
    elif kernel is not None:
        tree_attention_cuda._kernel = lambda: counted
    try:
        layout = PaddedLayout(0) if way == "padded" else PackedLayout(model)
        trees = random_trees(6)
        logp = layout.logps(model, trees)
        pull = torch.tensor([1.0, -0.5] * len(trees), dtype=torch.float64, device=logp.device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradient = torch.autograd.grad((logp * pull).sum(), parameters)
    finally:
        tree_attention_cuda.usable, tree_attention_cuda._kernel = usable, find_kernel
    flat = torch.cat([g.flatten() for g in gradient])
    return logp.detach().cpu(), flat.double().cpu(), calls


def adapted(kind: str, dtype: Any, device: str) -> Any:
    """A small model with an adapter whose B is not zero; the same weights in every format."""
    import torch

    from training.engine.model import adapters as policy

    base = shapes.make(shapes.small_config(kind, WORDS), torch.float32, "cpu")
    base.requires_grad_(False)
    policy.keep_softcap(base)
    model = policy.fresh_adapter(base, Lora(r=8, alpha=16), seed=0)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.02
        else:
            parameter.data = parameter.data.to(dtype)
    return model.to(device).train()


def random_trees(count: int) -> Any:
    """Trees of uneven lengths, past the length up to which the loop computes a tree at once."""
    from training.engine.data.chat import Tree

    rng = random.Random(0)

    def tokens(low: int, high: int) -> list[int]:
        return [rng.randrange(3, WORDS) for _ in range(rng.randint(low, high))]

    return [
        Tree(str(i), tokens(1, 500), (tokens(1, 90), tokens(1, 90)), weight=1.0)
        for i in range(count)
    ]


def against_trl(setting: Setting) -> Figures:
    """TRL's DPOTrainer on the same weights and pairs: reference, loss and gradient."""
    for name in ("trl", "datasets"):
        if importlib.util.find_spec(name) is None:
            raise Missing(f"{name} is not installed: not compared with TRL")
    pairs, _ = shapes.hh_like(None, 6)
    folder = setting.work / "trl"
    config = shapes.small_config("llama", WORDS)
    shapes.save_base(folder, config, pairs)
    rows = engine_runs.pairs_file(pairs)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    return dict(in_process(setting, _against_trl, str(folder), setting.device))


def _against_trl(name: str, device: str) -> Figures:
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from peft.utils.save_and_load import set_peft_model_state_dict
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from training.engine.data.chat import Chat
    from training.engine.data.pairs import read_pairs
    from training.engine.forward.packed import PackedLayout
    from training.engine.forward.reference import score
    from training.engine.losses.objective import Dpo
    from training.engine.model import adapters as policy

    folder = Path(name)
    figures: Figures = {}
    chat = Chat(policy.load_tokenizer(Model(base=name)))
    trees = chat.pair_trees(read_pairs(folder / "pairs.jsonl"), 2048)
    data = load_dataset(
        "json",
        data_files=str(folder / "pairs.jsonl"),
        split="train",
        cache_dir=str(folder / "datasets"),
    ).select_columns(["prompt", "chosen", "rejected"])
    for dtype, logp_room, gradient_room in (
        (torch.float32, 2e-5, 1e-3),
        *([] if device == "cpu" else [(torch.bfloat16, 2e-2, 0.2)]),
    ):
        # Sharing prompts is written into the configuration: TRL gets one of its own.
        config, plain = (shapes.small_config("llama", len(chat.tokenizer)) for _ in range(2))
        bases = [shapes.make(c, torch.float32, "cpu").to(dtype) for c in (config, plain)]
        mine = policy.fresh_adapter(bases[0].requires_grad_(False), Lora(r=8, alpha=16), seed=0)
        draw = torch.Generator().manual_seed(1)
        weights = {
            key.replace(".default", ""): torch.randn(p.shape, generator=draw) * 0.02
            for key, p in mine.named_parameters()
            if p.requires_grad
        }
        set_peft_model_state_dict(mine, weights, adapter_name="default")
        mine.to(device).train()
        theirs = DPOTrainer(
            model=bases[1],
            args=DPOConfig(
                output_dir=str(folder / "out"),
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                use_cpu=device == "cpu",
                disable_tqdm=True,
                per_device_train_batch_size=len(trees),
                max_length=2048,
            ),
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(name),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"
            ),
        )
        set_peft_model_state_dict(theirs.model, weights, adapter_name="default")
        rows = [theirs.train_dataset[i] for i in range(len(trees))]
        batch = {
            key: value.to(device) if hasattr(value, "to") else value
            for key, value in theirs.data_collator(rows).items()
        }
        with torch.no_grad():
            chosen, rejected = theirs.compute_ref_log_probs(theirs.model, batch)
        expected = torch.stack([chosen, rejected], 1).flatten().double().cpu()
        theirs.model.train()
        their_loss = theirs.compute_loss(theirs.model, batch)
        their_loss.backward()

        layout = PackedLayout(mine)
        with policy.speaking_as(mine, None):
            reference = score(layout, mine, trees, 100_000)
        objective = Dpo(DpoJob(model=Model(base=name)))
        mine.train()
        logp = layout.logps(mine, trees)
        loss = objective.terms(logp, reference.to(logp.device), trees).loss / len(trees)
        loss.backward()
        ours, other = (
            torch.cat(
                [p.grad.flatten().float().cpu() for p in m.parameters() if p.grad is not None]
            )
            for m in (mine, theirs.model)
        )
        key = "trl_fp32" if dtype == torch.float32 else "trl_bf16"
        apart = float(((reference - expected).abs() / expected.abs().clamp(min=1)).max())
        gradient = float((ours - other).norm() / other.norm())
        figures |= {f"{key}_logp": apart, f"{key}_grad": gradient}
        figures[f"{key}_loss"] = abs(float(loss.detach()) - float(their_loss.detach()))
        _check(apart < logp_room, f"{key}: reference log-probabilities differ by {apart}")
        _check(gradient < gradient_room, f"{key}: gradients differ by {gradient}")
    return figures


def sampler(setting: Setting) -> Figures:
    """Greedy texts of our own batch, with recorded steps, and those of ``generate``."""
    return dict(in_process(setting, _sampler, setting.device))


def _sampler(device: str) -> Figures:
    import torch

    from training.engine.generate.decoder import Decoder, Question, Wanted

    figures: Figures = {}
    rng = random.Random(0)
    for kind in shapes.SMALL:
        model = shapes.make(shapes.small_config(kind, WORDS), torch.float32, "cpu").to(device)
        from training.engine.model import adapters as policy

        policy.keep_softcap(model)
        prompts = [[rng.randrange(3, WORDS) for _ in range(rng.randint(3, 60))] for _ in range(12)]
        asked = [Question(None, p, (Wanted(i, i, 80),)) for i, p in enumerate(prompts)]
        decoder = Decoder(model, Sampling(temperature=0), 8, lambda _: False)
        rows = {row.wanted.index: row.tokens for row in decoder.write(asked)}
        replays = decoder._graphs.replays if decoder._graphs else 0
        decoder.release()
        if device != "cpu":
            _check(replays > 0, f"{kind}: no step was replayed")
        equal = 0
        for index, prompt in enumerate(prompts):
            ids = torch.tensor([prompt], device=device)
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=80,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            equal += out[0, len(prompt) :].tolist() == rows[index]
        # In fp32 texts part only where two tokens are as likely as each other to the last digits.
        _check(equal >= len(prompts) - 2, f"{kind}: {equal} of {len(prompts)} texts are equal")
        figures[f"{kind}_equal"] = f"{equal}/{len(prompts)}"
    return figures


def four_bit(setting: Setting) -> Figures:
    """QLoRA: trained, sampled and scored on a base in 4 bits."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise Missing("bitsandbytes is not installed: no base in 4 bits")
    setting = dataclasses.replace(setting, forks=False)
    rows = engine_runs.pairs_file([_short(p) for p in shapes.hh_like(None, 32)[0]])
    job = DpoJob(
        model=DEMO,
        load_in_4bit=True,
        lora=Lora(r=8, alpha=16),
        optimisation=Optimisation(learning_rate=1e-3, epochs=2, batch_size=8, max_length=256),
    )
    folder = engine_runs.new_run(setting, "four", job, pairs=rows)
    engine_runs.run(setting, "dpo", folder)
    losses = engine_runs.losses(folder)
    _check(losses[-1] < losses[0], f"the loss did not fall: {losses}")
    adapters: dict[str, str | None] = {"new": str(folder / "adapter")}
    prompts = [
        {"id": str(i), "messages": row["prompt"], "policy": "new", "seed": i}
        for i, row in enumerate(rows[:6])
    ]
    sample = SampleJob(
        model=DEMO, adapters=adapters, sampling=Sampling(max_new_tokens=16), load_in_4bit=True
    )
    sampled = engine_runs.new_run(setting, "four-sampled", sample, prompts=prompts)
    engine_runs.run(setting, "sample", sampled)
    completions = [
        {"id": p["id"], "messages": p["messages"], "policy": "new", "text": "yes"} for p in prompts
    ]
    score = ScoreJob(model=DEMO, adapters=adapters, load_in_4bit=True)
    scored = engine_runs.new_run(setting, "four-scored", score, completions=completions)
    engine_runs.run(setting, "score", scored)
    return {"four_bit_last_loss": losses[-1], "four_bit_way": engine_runs.result(sampled)["way"]}


def cache(setting: Setting) -> Figures:
    """A second round finds all reference values, and trains as alike as two rounds without do."""
    rows = engine_runs.pairs_file([_short(p) for p in shapes.hh_like(None, 32)[0]])
    job = DpoJob(
        model=DEMO,
        lora=Lora(r=8, alpha=16),
        optimisation=Optimisation(learning_rate=1e-3, epochs=1, batch_size=8, max_length=256),
        reference_cache=str(setting.work / "cache"),
    )
    other = str(setting.work / "other-cache")
    runs = []
    for name in ("cold", "warm", "other"):
        own_job = dataclasses.replace(job, reference_cache=other) if name == "other" else job
        folder = engine_runs.new_run(setting, name, own_job, pairs=rows)
        engine_runs.run(setting, "dpo", folder)
        runs.append((engine_runs.result(folder)["reference_cached"], engine_runs.losses(folder)))
    (cold, first), (warm, second), (_, third) = runs
    _check((cold, warm) == (0, 64), f"{cold} values were found at first, then {warm}")
    apart, spread = furthest(first, second), furthest(first, third)
    _check(
        apart < 5e-3 + SPREADS * spread,
        f"the losses differ by {apart}, those of two cold rounds by {spread}",
    )
    return {"cached": warm, "cache_apart": apart, "cold_apart": spread}


def one_card(setting: Setting) -> Figures:
    """Two processes of a group on one card are refused; two engines take turns on it."""
    rows = engine_runs.pairs_file([_short(p) for p in shapes.hh_like(None, 8)[0]])
    job = DpoJob(model=DEMO, lora=Lora(r=4), optimisation=Optimisation(batch_size=8))
    folder = engine_runs.new_run(setting, "group", job, pairs=rows)
    figures: Figures = {}
    if not setting.rehearses and in_process(setting, _cards) == 1:
        engine_runs.run(
            setting, "dpo", folder, expected=1, WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", RANK="0"
        )
        refusal = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        _check("for 1 GPU" in refusal["message"], f"it was refused otherwise: {refusal}")
        figures["refused"] = True
    alone = engine_runs.new_run(setting, "turns", job, pairs=rows)
    figures["waited"] = in_process(setting, _takes_turns, str(alone), str(setting.work / "lock"))
    return figures


def _cards() -> int:
    import torch

    return torch.cuda.device_count()


def _takes_turns(folder: str, lock: str) -> bool:
    """Start the engine while this process has the device: it says that it waits, then trains."""
    import subprocess
    import sys
    import time

    from training.engine.runtime.locks import Device
    from training.engine.runtime.process import StopRequest

    device = Device(Path(lock))
    device.take(StopRequest(), lambda: None)
    environment = {**_environment(), "WHETSTONE_DEVICE_LOCK": lock}
    command = [sys.executable, "-m", "training.engine", "dpo", folder]
    process = subprocess.Popen(command, env=environment)
    heartbeat = Path(folder) / "heartbeat"
    waited = False
    for _ in range(600):
        if heartbeat.exists() and "waiting for the device" in heartbeat.read_text("utf-8"):
            waited = True
            break
        time.sleep(0.05)
    device.give_back()
    _check(process.wait() == 0, f"the engine that waited ended with {process.returncode}")
    _check(waited, "the second engine did not wait")
    return waited


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def memory(setting: Setting) -> Figures:
    """Where the card has less memory than it says, micro-batches get smaller, and it is told."""
    if setting.rehearses:
        raise Missing("memory is a card's")
    pairs = shapes.long_pairs(8)
    base = setting.work / "memory-base"
    config = shapes.large_config("0.6B")
    shapes.save_base(base, config, pairs)
    rows = engine_runs.pairs_file(pairs)
    settings = Optimisation(learning_rate=1e-4, batch_size=8, max_length=4096, token_budget=20_000)
    job = DpoJob(model=Model(base=str(base)), optimisation=settings)
    runs: dict[str, Figures] = {}
    for name, gib in (("roomy", 0.0), ("narrow", 12.0)):
        folder = engine_runs.new_run(setting, name, job, pairs=rows)
        runs[name] = in_process(setting, _limited, str(folder), gib)
    narrow, roomy = runs["narrow"], runs["roomy"]
    _check(narrow["splits"] > 0, f"nothing was split: {narrow}")
    apart = abs(narrow["loss"] - roomy["loss"])
    _check(apart < 0.05, f"the losses differ by {apart}")
    # What is held at most, against what the estimate behind the budget says.
    ratio = roomy["peak_gib"] / roomy["estimate_gib"]
    return {
        "memory_splits": narrow["splits"],
        "memory_loss_apart": apart,
        "peak_gib": roomy["peak_gib"],
        "estimate_gib": roomy["estimate_gib"],
        "peak_over_estimate": ratio,
    }


def _limited(folder: str, gib: float) -> Figures:
    """In the child: a run on a model made on the card, within ``gib`` of its memory (0: all)."""
    import torch

    from benchmarks.gpu_proof.speed import made_on_the_card
    from training.engine.commands import train
    from training.engine.config import read_job
    from training.engine.estimate import MemoryPlan
    from training.engine.forward.token_logps import working_bytes

    plans: list[MemoryPlan] = []
    plan_memory = train.plan_memory

    def recorded(*arguments: int) -> MemoryPlan:
        plans.append(plan_memory(*arguments))
        return plans[-1]

    train.plan_memory = recorded
    if gib:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(gib * 2**30 / total)
    job = read_job(Path(folder))
    with made_on_the_card() as made:
        engine_runs.command("dpo", folder, 0)
    (base,) = made.models
    row = engine_runs.lines(Path(folder) / "metrics.jsonl")[0]["values"]
    tokens = min(row["computed_tokens"], getattr(job, "optimisation", Optimisation()).token_budget)
    weights = sum(p.numel() * p.element_size() for p in base.parameters())
    head = working_bytes(torch.device("cuda"))
    return {
        "splits": engine_runs.result(Path(folder))["memory_splits"],
        "loss": row["loss"],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "estimate_gib": (weights + head + tokens * plans[0].bytes_per_token) / 2**30,
    }
