"""The checks of CUDA's path that need no card: fake tensors, and two processes over gloo."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof import engine_runs, shapes
from benchmarks.gpu_proof.runner import Figures, Setting, in_process
from benchmarks.gpu_proof.small import DEMO, _check, _short
from training.engine.config import DpoJob, Lora, Model, Optimisation

WORDS = 512
FIRST = "fused LoRA"
LOOPED = {"gemma2"}  # no kernel has a bound on scores
# What a model is trained with: each goes forward and backward.
OPTIONS: dict[str, dict[str, Any]] = {
    FIRST: {},
    "dropout": {"dropout": 0.1},
    "recomputed activations": {"checkpointing": True},
}


def fake(setting: Setting) -> Figures:
    """Every architecture and option through CUDA's path with tensors that have no values."""
    return dict(in_process(setting, fake_everything))


def fake_everything() -> Figures:
    """Forward, backward and a decoding step; the kernel must have been called wherever it can."""
    from benchmarks.gpu_proof.fake_cuda import fake_cuda, stand_ins

    figures: Figures = {}
    with stand_ins() as kernel:
        for kind in {**shapes.SMALL, **shapes.OTHERS}:
            for option, settings in OPTIONS.items():
                if option != FIRST and kind not in shapes.SMALL:
                    continue
                with fake_cuda() as device:
                    kernel.calls = 0
                    _trained(kind, device, **settings)
                    _check(
                        bool(kernel.calls) == (kind not in LOOPED),
                        f"{kind}, {option}: the kernel was called {kernel.calls} times",
                    )
                    figures["checked"] = figures.get("checked", 0) + 1
            with fake_cuda() as device:
                _decoded(kind, device)
        with fake_cuda() as device:
            kernel.calls = 0
            _rewarded(device)
            _check(kernel.calls > 0, "a reward model: the kernel was not called")
        ratios = estimate_over_kept()
    return {
        **figures,
        "estimate_over_kept": min(ratios.values()),
        "estimate_over_kept_at_most": max(ratios.values()),
    }


# Widths of real models: what a token keeps depends on them alone.
# Hidden, inner, heads, heads of keys, and a head's size.
WIDE = {
    "LlamaConfig": (4096, 14_336, 32, 8, 128),
    "Qwen3Config": (4096, 12_288, 32, 8, 128),
    "Gemma3TextConfig": (2560, 10_240, 8, 4, 256),
}


def estimate_over_kept() -> dict[str, float]:
    """The memory estimate over the bytes that autograd keeps, by shape, in bf16."""
    ratios = {}
    # Pairs as HH has them, and long prompts as torch 2.11 computes them.
    for prompt, groups in ((150, True), (1400, False)):
        with _grouping(groups):
            for name, ratio in _over_kept(prompt, 70).items():
                ratios[f"{name}, prompts of {prompt}"] = ratio
    return ratios


@contextlib.contextmanager
def _grouping(groups: bool) -> Iterator[None]:
    """Within, the kernel takes fewer key than query heads, or (as in torch 2.11) does not."""
    from training.engine.forward import tree_attention_cuda

    before = tree_attention_cuda.groups_queries
    tree_attention_cuda.groups_queries = lambda _kernel: groups
    try:
        yield
    finally:
        tree_attention_cuda.groups_queries = before


def _over_kept(prompt: int, branch: int) -> dict[str, float]:
    """The same for trees of these lengths, in tokens."""
    import torch
    import transformers

    from benchmarks.gpu_proof.fake_cuda import Kept, fake_cuda, moved
    from training.engine.estimate import gathered_keys
    from training.engine.forward import tree_attention_cuda
    from training.engine.forward.packed import PackedLayout
    from training.engine.model import adapters as policy
    from training.engine.model import fused_lora
    from training.engine.runtime.memory import bytes_per_token

    layers = 4
    ratios = {}
    for name, (hidden, inner, heads, keys, size) in WIDE.items():
        for dropout in (0.0, 0.1):
            config = getattr(transformers, name)(
                vocab_size=WORDS,
                num_hidden_layers=layers,
                hidden_size=hidden,
                intermediate_size=inner,
                num_attention_heads=heads,
                num_key_value_heads=keys,
                head_dim=size,
                max_position_embeddings=8192,
            )
            with torch.device("meta"):
                base = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
                base.requires_grad_(False)
                model = policy.fresh_adapter(base, Lora(r=16, dropout=dropout), seed=0)
            with fake_cuda() as device:
                moved(model, device).train()
                fused_lora.install(model)
                layout = PackedLayout(model)
                trees = [_tree(i, prompt, branch) for i in range(4)]
                saved = Kept(model)
                with saved.counting():
                    layout.logps(model, trees)
            estimate = bytes_per_token(
                config,
                torch.bfloat16,
                fused=not dropout,
                gathered=gathered_keys(prompt, [branch, branch]),
                repeats_heads=tree_attention_cuda.repeats_heads(),
            )
            ratios[f"{name}, dropout {dropout}"] = estimate * sum(layout.sizes(trees)) / saved.bytes
    return ratios


def _tree(name: int, prompt: int, branch: int) -> Any:
    from training.engine.data.chat import Tree

    return Tree(str(name), [3] * prompt, ([3] * branch, [3] * branch), 1.0)


def adapted(kind: str, device: Any, dropout: float = 0.0) -> Any:
    """A small model with an adapter, in bf16 with its adapter in fp32, on the fake device."""
    import torch
    import transformers

    from benchmarks.gpu_proof.fake_cuda import moved
    from training.engine.model import adapters as policy

    config = shapes.small_config(kind, WORDS)
    with torch.device("meta"):
        base = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        base.requires_grad_(False)
        model = policy.fresh_adapter(base, Lora(r=8, dropout=dropout), seed=0)
    return moved(model, device)


def random_trees(count: int, longest: int = 400) -> Any:
    from training.engine.data.chat import Tree

    rng = random.Random(0)

    def tokens(high: int) -> list[int]:
        return [rng.randrange(3, WORDS) for _ in range(rng.randint(1, high))]

    return [Tree(str(i), tokens(longest), (tokens(90), tokens(90)), 1.0) for i in range(count)]


def _trained(kind: str, device: Any, dropout: float = 0.0, checkpointing: bool = False) -> None:
    """One micro-batch of DPO; every trained parameter gets a gradient like itself."""
    from benchmarks.gpu_proof.fake_cuda import gradients
    from training.engine.data.examples import Examples
    from training.engine.forward.packed import PackedLayout
    from training.engine.losses.objective import Dpo
    from training.engine.model import fused_lora
    from training.engine.model.adapters import causal_lm

    model = adapted(kind, device, dropout)
    fused_lora.install(model)
    if checkpointing:
        causal_lm(model).gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    trees = random_trees(3)
    layout = PackedLayout(model)
    logp = layout.logps(model, trees)
    _check(str(logp.device) == str(device), f"{kind}: log-probabilities are on {logp.device}")
    import torch

    examples = Examples(trees, torch.zeros(2 * len(trees), dtype=torch.float64))
    objective = Dpo(DpoJob(model=Model(base="")))
    reference = examples.reference(list(range(len(trees))), logp.device)
    loss = objective.terms(logp, reference, trees).loss
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter, gradient in zip(trained, gradients(loss, trained), strict=True):
        _check(gradient is not None, f"{kind}: a trained parameter got no gradient")
        same = gradient is not None and (gradient.shape, gradient.dtype, gradient.device) == (
            parameter.shape,
            parameter.dtype,
            parameter.device,
        )
        _check(same, f"{kind}: a gradient is not like its parameter")
    layout.release()


def _decoded(kind: str, device: Any) -> None:
    """Prompts, then a step as it is recorded: nothing in it may ask the device for a value."""
    import numpy as np
    import torch

    from training.engine.generate import kv_cache as kept
    from training.engine.generate.cuda_graphs import DecodeGraphs
    from training.engine.model import mixed_lora
    from training.engine.model.adapters import causal_lm

    model = adapted(kind, device)
    lm = causal_lm(model)
    lm.eval().set_attn_implementation(kept.NAME)
    lora = mixed_lora.MixedLora(model)
    keys = kept.KvCache(lm.config.num_hidden_layers, 4, 4, device)
    adapters: list[str | None] = ["default", None, "default"]

    def compute(ids: Any, positions: Any) -> Any:
        hidden = lm.get_decoder()(
            input_ids=ids, position_ids=positions, use_cache=False, kept=keys
        ).last_hidden_state
        return lm.get_output_embeddings()(hidden[:, -1])

    with torch.no_grad():
        keys.expect_prompts([0, 1, 2], 7)
        lora.select(adapters)
        places = torch.arange(7, device=device).expand(3, 7)
        compute(torch.zeros(3, 7, dtype=torch.long, device=device), places)
        graphs = DecodeGraphs(compute, keys, lora, 4, device, lambda step: step)
        for step in range(3):
            logits = graphs.logits(
                adapters,
                np.full(3, 5),
                slot=np.arange(3),
                place=np.zeros(3, np.int64),
                prompt=np.array([7, 5, 6]),
                written=np.full(3, step),
            )
            _check(logits is not None, f"{kind}: a decoding step was not recorded")
    _check(graphs.replays == 2, f"{kind}: {graphs.replays} steps were replayed")
    lora.release()


def _rewarded(device: Any) -> None:
    """A reward model's values and gradients."""
    import torch
    import transformers

    from benchmarks.gpu_proof.fake_cuda import gradients, moved
    from training.engine.forward import reward_model
    from training.engine.model import adapters as policy

    config = shapes.small_config("llama", WORDS)
    config.num_labels = 1
    with torch.device("meta"):
        base = transformers.AutoModelForSequenceClassification.from_config(
            config, dtype=torch.bfloat16
        )
        base.score = torch.nn.Linear(config.hidden_size, 1, bias=False)
        base.requires_grad_(False)
        model = policy.fresh_adapter(base, Lora(r=8), seed=0, head=reward_model.HEAD)
    moved(model, device).train()
    rewards = reward_model.SharedRewards(model).logps(model, random_trees(4))
    trained = [p for p in model.parameters() if p.requires_grad]
    passed = gradients(rewards.sum(), trained)
    _check(all(g is not None for g in passed), "a reward model's parameter got no gradient")


def gloo(setting: Setting) -> Figures:
    """Two processes on this CPU that train together, with the base whole and spread."""
    rows = engine_runs.pairs_file([_short(p) for p in shapes.hh_like(None, 10)[0]])
    job = DpoJob(
        model=DEMO,
        precision="fp32",
        lora=Lora(r=4),
        optimisation=Optimisation(learning_rate=1e-3, batch_size=5, max_length=128),
    )
    losses = {}
    for name, wish in (("alone", None), ("together", "false"), ("spread", "true")):
        folder = engine_runs.new_run(setting, f"gloo-{name}", job, pairs=rows)
        if wish is None:
            engine_runs.run(setting, "dpo", folder, CUDA_VISIBLE_DEVICES="")
        else:
            in_process(setting, _two, str(folder), wish, CUDA_VISIBLE_DEVICES="")
        losses[name] = engine_runs.losses(folder)[-1]
    apart = max(abs(loss - losses["alone"]) for loss in losses.values())
    _check(apart < 1e-4, f"the last losses differ: {losses}")
    return {"gloo_apart": apart}


def _two(folder: str, spread: str) -> None:
    import subprocess

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {
        **os.environ,
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "ACCELERATE_USE_FSDP": spread,
        "WHETSTONE_THREADS": "1",
    }
    command = [sys.executable, "-m", "training.engine", "dpo", folder]
    processes = [
        subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    codes = [process.wait() for process in processes]
    _check(codes == [0, 0], f"they ended with {codes}: {_error(Path(folder))}")


def _error(folder: Path) -> str:
    path = folder / "error.json"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def interpreter(setting: Setting) -> Figures:  # noqa: ARG001
    """Triton kernels of our own under its interpreter: there are none, and that is checked."""
    engine = Path(__file__).resolve().parents[2] / "training" / "engine"
    own = [path.name for path in engine.rglob("*.py") if "import triton" in path.read_text("utf-8")]
    _check(not own, f"kernels without a check under Triton's interpreter: {own}")
    return {"own_kernels": 0}
