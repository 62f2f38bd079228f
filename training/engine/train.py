"""A "dpo", "sft" or "reward" job from its files to its adapter.

Load, score the reference, train, publish: it reads like a table of contents; the work is in the
modules it calls.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from . import capability, fused_lora, policy, reward_model, sharding
from . import held_out as pairs_seen
from .architecture import choose_layout
from .chat import Chat, Tree
from .config import DpoJob, Job, RewardJob, SftJob, TrainJob
from .data import Pair, read_pairs
from .errors import EngineError
from .estimate import MemoryPlan, plan_memory
from .examples import Examples
from .group import Group
from .head import working_bytes
from .layout import Layout
from .memory import available_bytes, bytes_per_token, useful_budget
from .micro_batches import MicroBatches
from .objective import Dpo, Objective, Sft
from .process import StopRequest
from .provenance import check_expected, inputs_of, provenance, this_part
from .reference import score_with_cache
from .reference_cache import ReferenceCache
from .reward_objective import Reward
from .rundir import RunDir
from .telemetry import peak_memory_mib
from .tracking import Tracking
from .trainer import Trainer
from .watching import Watching

LAYOUT_VERSION = 2  # of the numbers: raised when the same job would give other values
log = logging.getLogger("engine")


def run(job: Job, run: RunDir, stop: StopRequest) -> None:
    """Train, and leave ``adapter/`` and ``result.json`` in the run directory."""
    if not isinstance(job, TrainJob):
        raise TypeError(job)
    began = time.monotonic()
    device = capability.device()
    dtype = capability.compute_dtype(job.precision, device)
    log.info("device %s, %s, %d threads", device, dtype, torch.get_num_threads())
    group = Group()
    sharded = sharding.take_wish() and group.world > 1
    if sharded and job.load_in_4bit:
        raise EngineError(
            "not_available",
            "A base in 4 bits cannot be spread over processes",
            "Set load_in_4bit to false, or launch without --use_fsdp.",
        )

    run.phase("reading data")
    pairs = read_pairs(run.path / "pairs.jsonl", demonstrations=isinstance(job, SftJob))
    chat = Chat(policy.load_tokenizer(job.model))
    train = _trees(job, chat, [p for p in pairs if p.split == "train"])
    held_out = _trees(job, chat, [p for p in pairs if p.split == "held_out"])
    if not train:
        raise EngineError("bad_data", "pairs.jsonl has no training pairs", "Add pairs to train on.")
    stop.check()

    run.phase("loading the model")
    at_first = device
    if sharded:  # the first process reads the weights, and gives each its part
        at_first = torch.device("cpu" if group.rank == 0 else "meta")
    base, model = _load(job, dtype, at_first)
    fused_lora.install(model)
    if sharded:
        held = sharding.shard(model, device, group)
        log.info(
            "layers are spread over %d processes: %d parameters are held here", group.world, held
        )
    inputs = group.once(lambda: inputs_of(job, model, run))
    check_expected(inputs, run)
    choose = reward_model.choose_layout if isinstance(job, RewardJob) else choose_layout
    layout, fallback = choose(model, chat.tokenizer.pad_token_id)
    _log_size(model, train, held_out)
    memory = _fit(base, layout, train + held_out, job, dtype, device, group)
    micro_batches = MicroBatches(layout, memory.budget, in_step=sharded)
    scoring_began = time.monotonic()
    reference, cached = _reference(
        job, model, micro_batches, chat, train + held_out, inputs["base"], run, stop, group
    )
    reference_seconds = time.monotonic() - scoring_began
    split = sum(len(tree.branches) for tree in train)

    trainer = Trainer(
        model=model,
        layout=layout,
        objective=_objective(job),
        train=Examples(train, None if reference is None else reference[:split], cached[:split]),
        held_out=Examples(
            held_out, None if reference is None else reference[split:], cached[split:]
        ),
        settings=job.optimisation,
        seed=job.seed,
        run=run,
        stop=stop,
        group=group,
        micro_batches=micro_batches,
        part=this_part(device, group.world),
    )
    can_write = group.rank == 0 and not sharded  # a spread base needs everybody
    if not isinstance(job, RewardJob) and job.watch.answers and can_write:
        trainer.observers.append(
            Watching(
                model=trainer.model,
                layout=layout,
                chat=chat,
                pairs=pairs,
                settings=job.watch,
                eval_fraction=job.optimisation.eval_fraction,
                total=trainer.total,
                reference_adapter=(
                    job.reference_adapter if isinstance(job, DpoJob) else job.start_adapter
                ),
                seed=job.seed,
                run=run,
                stop=stop,
            ).look
        )
    tracking = Tracking(run, job)
    try:
        trainer.run()
    finally:
        tracking.close(succeeded=trainer.step >= trainer.total)

    run.phase("publishing")
    if group.rank == 0:
        origin = provenance(job, inputs, trainer.part, trainer.parts_before)
        run.result(
            adapter_sha256=policy.publish_adapter(trainer.model, run.path / "adapter", origin),
            provenance=origin,
            final=trainer.final,
            held_out=pairs_seen.summary(pairs_seen.read(run.path)),
            versions=versions(),
            seconds=round(time.monotonic() - began, 3),
            steps=trainer.total if trainer.ended_early is None else trainer.ended_early,
            planned_steps=trainer.total,
            best_step=trainer.patience.best,
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            layout=layout.name,
            fallback_reason=fallback,
            reference_cached=sum(cached),
            reference_seconds=round(reference_seconds, 3),
            gradient_checkpointing=memory.checkpointing,
            memory_splits=micro_batches.splits,
            peak_memory_mib=round(peak_memory_mib()),
            processes=group.world,
            sharded=sharded,
        )
    group.wait()
    run.phase("done")


def versions() -> dict[str, str]:
    """What a result depends on besides its job."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "layout": str(LAYOUT_VERSION),
    }


def _load(job: TrainJob, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """The frozen base, and the same with the adapter that is to be trained."""
    if isinstance(job, RewardJob):
        base = reward_model.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
        if job.start_adapter:
            return base, reward_model.continue_adapter(base, job.start_adapter)
        return base, reward_model.fresh_adapter(base, job.lora, job.seed)
    base = policy.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
    if job.start_adapter:
        return base, policy.continue_adapter(base, job.start_adapter)
    return base, policy.fresh_adapter(base, job.lora, job.seed)


def _objective(job: TrainJob) -> Objective:
    if isinstance(job, RewardJob):
        return Reward(job)
    return Dpo(job) if isinstance(job, DpoJob) else Sft()


def _trees(job: TrainJob, chat: Chat, pairs: list[Pair]) -> list[Tree]:
    if not pairs:
        return []
    grow = chat.demonstration_trees if isinstance(job, SftJob) else chat.pair_trees
    trees = grow(pairs, job.optimisation.max_length)
    same = sum(len(tree.branches) == 2 and tree.branches[0] == tree.branches[1] for tree in trees)
    if same:
        log.warning("%d pairs have the same chosen and rejected tokens: they teach nothing", same)
    return trees


def _fit(
    base: Any,
    layout: Layout,
    trees: list[Tree],
    job: TrainJob,
    dtype: torch.dtype,
    device: torch.device,
    group: Group,
) -> MemoryPlan:
    """Decide what is computed at once, and whether activations are recomputed: alike on all
    processes, as the one with least memory needs it."""
    plan = plan_memory(
        useful_budget(job.optimisation.token_budget, device),
        max(layout.sizes(trees)),
        bytes_per_token(base.config, dtype, fused=not (job.lora.dropout or job.load_in_4bit)),
        min(group.all(available_bytes(device) - working_bytes(device))),
    )
    if plan.checkpointing:
        log.warning("activations are recomputed: a tree would not fit into memory without that")
        base.gradient_checkpointing_enable({"use_reentrant": False})
    log.info("micro-batches of at most %d tokens", plan.budget)
    return plan


def _reference(
    job: TrainJob,
    model: Any,
    micro_batches: MicroBatches,
    chat: Chat,
    trees: list[Tree],
    base: str | None,
    run: RunDir,
    stop: StopRequest,
    group: Group,
) -> tuple[Any, list[bool]]:
    """Log-probabilities under the job's reference, [S], None where no loss needs them;
    and which of them had been kept from before."""
    if not isinstance(job, DpoJob):
        return None, []
    run.phase("scoring the reference")

    def progress(done: int, total: int) -> None:
        if group.world == 1:
            stop.check()
        run.phase("scoring the reference", step=done, total_steps=total)

    name = None
    if job.reference_adapter:
        name = policy.REFERENCE
        model = policy.add_adapter(model, job.reference_adapter, name)
    folder = Path(job.reference_cache) if job.reference_cache else run.path / "reference"
    cache = ReferenceCache(folder, reference_setting(job, model, micro_batches.layout, chat, base))
    with policy.speaking_as(model, name):
        values, cached = score_with_cache(cache, micro_batches, model, trees, group, progress)
    if name:
        model.delete_adapter(name)  # its values are all that the run needs of it
    if not torch.isfinite(values).all():
        raise EngineError(
            "not_finite",
            "The reference gives log-probabilities that are not finite",
            'Try precision "fp32"; if that does not help, the base model\'s weights are broken.',
        )
    log.info("reference: %d of %d values had been kept", sum(cached), len(cached))
    return values, cached


def reference_setting(
    job: DpoJob, model: Any, layout: Layout, chat: Chat, base: str | None
) -> dict[str, Any]:
    """Everything that a reference value depends on besides its tokens; ``base``: its weights'
    identity."""
    lm = policy.causal_lm(model)
    return {
        "base": base,
        "config": hashlib.sha256(lm.config.to_json_string().encode()).hexdigest(),
        "adapter": policy.adapter_identity(job.reference_adapter),
        "tokenizer": chat.identity,
        "dtype": "nf4 " * job.load_in_4bit + str(lm.dtype),
        "device": lm.device.type,
        "layout": layout.name,
        "versions": versions(),
    }


def _log_size(model: Any, train: list[Tree], held_out: list[Tree]) -> None:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    log.info("%d of %d parameters are trained", trained, total)
    log.info("%d examples to train on, %d held out", len(train), len(held_out))
