"""A "dpo", "sft" or "reward" job from its files to its adapter.

Load, score the reference, train, publish: it reads like a table of contents; the work is in the
modules it calls.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import torch

from training.engine.config import DpoJob, EngineJob, RewardJob, SftJob, TrainJob
from training.engine.data import held_out as pairs_seen
from training.engine.data.chat import Chat, Tree
from training.engine.data.examples import Examples
from training.engine.data.pairs import Pair, read_pairs
from training.engine.errors import EngineError
from training.engine.estimate import MemoryPlan, gathered_keys, plan_memory
from training.engine.forward import reward_model, tree_attention_cuda
from training.engine.forward.architecture import choose_layout
from training.engine.forward.layout import Layout
from training.engine.forward.micro_batches import MicroBatches
from training.engine.forward.reference import score_with_cache
from training.engine.forward.reference_cache import ReferenceCache
from training.engine.forward.token_logps import working_bytes
from training.engine.losses.objective import Dpo, Objective, Sft
from training.engine.losses.reward import Reward
from training.engine.model import adapters, fused_lora, sharding
from training.engine.runtime import device as capability
from training.engine.runtime.memory import available_bytes, bytes_per_token, useful_budget
from training.engine.runtime.process import StopRequest
from training.engine.runtime.process_group import Group
from training.engine.runtime.run_dir import RunDir
from training.engine.runtime.versions import versions
from training.engine.trainer.eval_samples import EvalSampler
from training.engine.trainer.provenance import check_expected, inputs_of, provenance, this_part
from training.engine.trainer.step_metrics import peak_memory_mib
from training.engine.trainer.trackers import Tracking
from training.engine.trainer.trainer import Trainer

log = logging.getLogger("engine")


def run(job: EngineJob, run: RunDir, stop: StopRequest) -> None:
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
    chat = Chat(adapters.load_tokenizer(job.model))
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
            EvalSampler(
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
            adapter_sha256=adapters.publish_adapter(trainer.model, run.path / "adapter", origin),
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


def _load(job: TrainJob, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """The frozen base, and the same with the adapter that is to be trained."""
    if isinstance(job, RewardJob):
        base = reward_model.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
        if job.start_adapter:
            return base, reward_model.continue_adapter(base, job.start_adapter)
        return base, reward_model.fresh_adapter(base, job.lora, job.seed)
    base = adapters.load_base(job.model, dtype, device, four_bit=job.load_in_4bit)
    if job.start_adapter:
        return base, adapters.continue_adapter(base, job.start_adapter)
    return base, adapters.fresh_adapter(base, job.lora, job.seed)


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
        bytes_per_token(
            base.config,
            dtype,
            fused=not (job.lora.dropout or job.load_in_4bit),
            gathered=max(gathered_keys(len(t.prompt), [*map(len, t.branches)]) for t in trees),
            repeats_heads=tree_attention_cuda.repeats_heads(),
        ),
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
        name = adapters.REFERENCE
        model = adapters.add_adapter(model, job.reference_adapter, name)
    folder = Path(job.reference_cache) if job.reference_cache else run.path / "reference"
    cache = ReferenceCache(folder, reference_setting(job, model, micro_batches.layout, chat, base))
    with adapters.speaking_as(model, name):
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
    lm = adapters.causal_lm(model)
    return {
        "base": base,
        "config": hashlib.sha256(lm.config.to_json_string().encode()).hexdigest(),
        "adapter": adapters.adapter_identity(job.reference_adapter),
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
