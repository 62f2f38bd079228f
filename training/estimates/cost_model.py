"""Before a round: what it will take in memory and time, and what would fit where it does not.

Pure functions of a model's shape, the pairs' lengths, the settings and the machine. How far the
estimates are off is in docs/engine.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from training.engine.config import DpoJob, Lora, Optimisation, Precision, SftJob
from training.engine.estimate import (
    ON_CPU,
    Widths,
    gathered_keys,
    kept_bytes,
    plan_memory,
    recomputed_bytes,
)
from training.estimates.model_shape import ModelShape
from training.jobs.hardware import Hardware

MIB, GIB = 2**20, 2**30
OVERHEAD = {"cpu": 608 * MIB, "cuda": 892 * MIB}  # libraries and buffers, the head's tiles
STARTING = 12.0  # seconds: loading libraries and model
STEP = 0.2  # seconds: what a step takes besides its tokens, where no pace was measured
EFFICIENCY = {"cpu": 0.35, "cuda": 0.3}  # of the speed of a bare product of matrices
FOUR_BIT = 0.56  # bytes a weight in NF4 with its scales
SHORTEST = 128
TRAINED_BYTES = 16  # a trained value: itself, its gradient, AdamW's two moments, all in fp32

Basis = Literal["tokenizer", "characters"]


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Tokens of every pair as (prompt, one answer, the other), and how they are known."""

    train: Sequence[tuple[int, int, int]]
    held_out: Sequence[tuple[int, int, int]]
    basis: Basis


@dataclasses.dataclass(frozen=True)
class Settings:
    """The part of a job that its cost depends on."""

    optimisation: Optimisation
    lora: Lora
    precision: Precision
    load_in_4bit: bool
    answers: int
    """Answers of a pair that are computed: both, or (demonstrations) the chosen one."""
    has_reference: bool

    @classmethod
    def of(cls, job: object) -> Settings | None:
        """What a job's cost depends on; None for a job of a kind that is not known here."""
        if isinstance(job, DpoJob):
            return cls(job.optimisation, job.lora, job.precision, job.load_in_4bit, 2, True)
        if isinstance(job, SftJob):
            return cls(job.optimisation, job.lora, job.precision, job.load_in_4bit, 1, False)
        if optimisation := getattr(job, "optimisation", None):
            lora = getattr(job, "lora", Lora())
            precision: Precision = getattr(job, "precision", "auto")
            return cls(optimisation, lora, precision, getattr(job, "load_in_4bit", False), 2, False)
        return None


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for; ``checkpointing``: activations must be recomputed."""

    base: int
    adapter: int
    activations: int
    overhead: int
    available: int
    checkpointing: bool
    tokens: int
    """Computed at once."""

    @property
    def total(self) -> int:
        return self.base + self.adapter + self.activations + self.overhead

    @property
    def fits(self) -> bool:
        return self.total <= self.available


@dataclasses.dataclass(frozen=True)
class RoundWork:
    """Tokens that a round computes: with backward, forward alone, and what evaluations take."""

    trained: int
    scored: int
    evaluated: int
    steps: int


@dataclasses.dataclass(frozen=True)
class Change:
    """A setting that would fit: its name in the form, and the value."""

    field: str
    value: int | bool


def tree_tokens(lengths: tuple[int, int, int], settings: Settings) -> int:
    """What a pair computes: its prompt once and its answers. Too long a prompt is cut."""
    prompt, *answers = lengths
    answers = answers[: settings.answers]
    most = settings.optimisation.max_length
    cut = [min(answer, most) for answer in answers]
    return min(prompt, max(0, most - max(cut))) + sum(cut)


def item_bytes(precision: Precision, machine: Hardware) -> int:
    """Bytes of a frozen weight, and of an activation."""
    if precision == "auto":
        return 2 if machine.dtype == "bfloat16" else 4
    return 2 if precision == "bf16" else 4


def memory_of(shape: ModelShape, lengths: Lengths, settings: Settings, machine: Hardware) -> Memory:
    """What the engine would hold at its fullest, as its own plan of micro-batches makes it."""
    item = item_bytes(settings.precision, machine)
    base = shape.parameters * item
    if settings.load_in_4bit:
        base = int(shape.linear * FOUR_BIT) + (shape.parameters - shape.linear) * item
    share = _targeted(settings.lora)
    adapter = int(settings.lora.r * shape.widths * share) * TRAINED_BYTES
    overhead = OVERHEAD["cuda" if machine.is_gpu else "cpu"]
    pairs = [*lengths.train, *lengths.held_out]
    sizes = [tree_tokens(pair, settings) for pair in pairs] or [1]
    longest, mean = max(sizes), sum(sizes) / len(sizes)
    optimisation = settings.optimisation
    budget = optimisation.token_budget if machine.is_gpu else min(optimisation.token_budget, ON_CPU)
    queries = shape.queries or shape.hidden
    widths = Widths(
        shape.layers,
        shape.hidden,
        queries,
        shape.keys or queries,
        shape.inner,
        fused=not (settings.lora.dropout or settings.load_in_4bit),
        gathered=max(
            (gathered_keys(pair[0], pair[1 : settings.answers + 1]) for pair in pairs), default=1.0
        ),
    )
    per_token = kept_bytes(widths, item)
    free = machine.free_memory - base - adapter - overhead
    plan = plan_memory(budget, longest, per_token, max(0, free))
    each = per_token
    if plan.checkpointing:
        each = recomputed_bytes(widths, item)
    # A step's pairs may be fewer than the budget; and micro-batches shrink to the longest pair.
    in_step = max(longest, int(mean * optimisation.batch_size))
    tokens = min(max(plan.budget, longest), in_step)
    if plan.checkpointing and tokens * each > max(0, free):
        tokens = max(longest, min(tokens, int(max(0, free) // each)))
    return Memory(
        base, adapter, tokens * each, overhead, machine.free_memory, plan.checkpointing, tokens
    )


def work_of(lengths: Lengths, settings: Settings) -> RoundWork:
    """How many tokens a round computes, however fast."""
    optimisation = settings.optimisation
    train = sum(tree_tokens(pair, settings) for pair in lengths.train)
    held_out = sum(tree_tokens(pair, settings) for pair in lengths.held_out)
    evaluations = 1 + max(1, round(1 / optimisation.eval_fraction))
    per_epoch = math.ceil(len(lengths.train) / optimisation.batch_size)
    return RoundWork(
        trained=int(train * optimisation.epochs),
        scored=(train + held_out) if settings.has_reference else 0,
        evaluated=held_out * evaluations,
        steps=max(1, math.ceil(optimisation.epochs * per_epoch)),
    )


def pace_from_speed(shape: ModelShape, machine: Hardware, *, checkpointing: bool) -> float:
    """Tokens trained a second, from a measured product of matrices: about 2 operations a weight
    forward and 2 backward (the base is frozen), and 2 more where activations are recomputed."""
    operations = (6 if checkpointing else 4) * (shape.linear + shape.vocabulary * shape.hidden / 3)
    share = EFFICIENCY["cuda" if machine.is_gpu else "cpu"]
    return share * machine.flops / max(1.0, operations)


def seconds_of(work: RoundWork, pace: float, processes: int = 1, *, a_step: float = 0.0) -> float:
    """At ``pace`` tokens trained a second, and ``a_step`` seconds besides for every step.

    Forward alone is twice as fast.
    """
    forward = (work.scored + work.evaluated) / 2
    computing = (work.trained + forward) / max(pace * processes, 1e-9)
    return STARTING + work.steps * a_step + computing


def what_would_fit(
    shape: ModelShape, lengths: Lengths, settings: Settings, machine: Hardware
) -> list[Change]:
    """The smallest changes that make it fit: one setting alone if one can, else some together.

    Empty where nothing would.
    """

    def fits(tried: Settings) -> bool:
        return memory_of(shape, lengths, tried, machine).fits

    for changes in (_shorter, _lower_rank, _four_bit):
        for change, tried in changes(settings, machine):
            if fits(tried):
                return [change]
    taken: list[Change] = []
    for changes in (_four_bit, _shorter, _lower_rank):
        options = list(changes(settings, machine))
        for change, tried in options:
            if fits(tried):
                return [*taken, change]
        if options:
            change, settings = options[-1]
            taken.append(change)
    return []


Changes = Callable[[Settings, Hardware], Iterator[tuple[Change, Settings]]]


def _shorter(settings: Settings, machine: Hardware) -> Iterator[tuple[Change, Settings]]:  # noqa: ARG001
    length = settings.optimisation.max_length * 7 // 8 // 64 * 64
    while length >= SHORTEST:
        changed = dataclasses.replace(settings.optimisation, max_length=length)
        yield Change("max_length", length), dataclasses.replace(settings, optimisation=changed)
        length = length * 7 // 8 // 64 * 64


def _lower_rank(settings: Settings, machine: Hardware) -> Iterator[tuple[Change, Settings]]:  # noqa: ARG001
    rank = settings.lora.r // 2
    while rank >= 4:
        changed = dataclasses.replace(settings.lora, r=rank)
        yield Change("lora_r", rank), dataclasses.replace(settings, lora=changed)
        rank //= 2


def _four_bit(settings: Settings, machine: Hardware) -> Iterator[tuple[Change, Settings]]:
    if machine.is_gpu and not settings.load_in_4bit:
        yield Change("load_in_4bit", True), dataclasses.replace(settings, load_in_4bit=True)


def _targeted(lora: Lora) -> float:
    """Which share of the linear layers' widths is adapted: of seven usual ones those named."""
    names = {name.strip() for name in lora.target_modules.split(",") if name.strip()}
    return 1.0 if "all-linear" in names else min(1.0, len(names) / 7)
