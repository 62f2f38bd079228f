"""What goes into a run directory as ``job.json``: plain dataclasses, checked on reading.

Knows nothing of torch, so the web process may import it. A job is written by the side
that wants work done (a Celery task, a person, a script), and read by ``python -m
training.engine KIND RUN_DIR``. Every value that influences the result is in here or in
the data file beside it; nothing is taken from the environment except where the work may
run (threads, device, lock).

The run directory, in full::

    job.json            in    one of the dataclasses below, with its "kind"
    pairs.jsonl         in    dpo, sft, reward: {"id", "prompt": [messages], "chosen": [messages],
                              "rejected": [messages], "weight": 1.0, "split": "train"|"held_out"}
    prompts.jsonl       in    sample: {"id", "messages": [...], "policy": name, "seed": int}
    completions.jsonl   in    score: {"id", "messages": [...], "policy": name, "text": str}
                              judge: the same, less the policy
    expected.json       in    dpo, sft, may be absent: {"data", "base", "start_adapter",
                              "reference_adapter"}: hashes that must be those of what is used
    engine.lock         out   which process works here; locked as long as it does
    heartbeat           out   JSON {"time", "phase", "step", "total_steps"}, replaced whole
    metrics.jsonl       out   {"time", "step", "total_steps", "split", "values": {name: float}}
    samples.jsonl       out   dpo, sft: {"time", "step", "place", "id", "messages", "text",
                              "token_count", "finish_reason"}, some at every evaluation
    tensorboard/        out   dpo, sft: the metrics once more, as TensorBoard's event files
    engine.log          out   the engine's own words
    checkpoint-*/       out   counted only with a complete hash manifest
    best-*/             out   dpo, sft: with patience, the adapter of the best evaluation so far
    machine.json        out   what the machine is that the engine runs on
    held_out.jsonl      out   dpo: what the newest evaluation says of every held-out pair
    adapter/            out   dpo, sft, reward: PEFT format, safetensors, appears by rename; with
                              provenance.json
    merged/             out   merge: a whole model, safetensors, appears by rename
    completions.jsonl   out   sample: {"id", "policy", "seed", "text", "token_count",
                              "finish_reason": "stop"|"length", "logprob"}, appended as they come
    scores.jsonl        out   score: {"id", "policy", "logp", "reference_logp", "token_count"}
                              judge: {"id", "reward", "token_count"}
    error.json          out   where it failed: {"kind", "message", "advice"}
    result.json         out   last, by rename; without it there is no result

Exit status: 0 done, 75 asked to stop and stopped after a checkpoint, 1 failed (see error.json).
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from training.engine.bounds import bounded, bounds_within

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""The file of an adapter's folder that holds its numbers, as peft names it."""
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped on request, start again to go on

Precision = Literal["auto", "fp32", "bf16"]
LossName = Literal["sigmoid", "ipo", "hinge", "robust", "dpop", "length_regularised"]


class ConfigError(ValueError):
    """A job that cannot be run, with the field that is wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A causal language model by hub name or local path."""

    base: str
    revision: str | None = None
    trust_remote_code: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora:
    """LoRA hyper-parameters (Hu et al. 2021), named as peft names them."""

    r: int = bounded(16, low=1, cap=4096)
    alpha: int = bounded(32, low=1, cap=65_536)
    dropout: float = bounded(0.0, low=0, below=1)
    target_modules: str = "all-linear"  # or a comma-separated list of module names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation:
    """One run of AdamW. A step sees ``batch_size`` pairs (or demonstrations)."""

    learning_rate: float = bounded(2e-5, above=0)
    epochs: float = bounded(1.0, above=0, cap=1000)
    batch_size: int = bounded(16, low=1, cap=100_000)
    warmup_fraction: float = bounded(0.1, low=0, below=1, cap=0.99)
    weight_decay: float = bounded(0.0, low=0)
    max_grad_norm: float = bounded(1.0, above=0)
    # Tokens of prompt and completion; longer prompts lose their beginning.
    max_length: int = bounded(2048, low=8, unit="tokens", cap=1_000_000)
    # Held-out metrics after every such part of the run, and at its ends.
    eval_fraction: float = bounded(0.1, above=0, high=1)
    # Evaluations without a better held-out margin before it ends; 0: never.
    patience: int = bounded(0, low=0, unit="evaluations", cap=1000)
    checkpoint_fraction: float = bounded(0.25, above=0, high=1)
    # Tokens computed at once inside one step; does not change the result.
    token_budget: int = bounded(8192, low=1, cap=10_000_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalSamples:
    """What the policy writes while it is trained, for people to look at and to measure how far it
    has gone. Changes nothing of what is trained."""

    answers: int = bounded(0, low=0)  # prompts answered at every evaluation; 0: none
    shown: int = bounded(5, low=0)  # how many of these are written to samples.jsonl
    max_new_tokens: int = bounded(96, low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DpoJob:
    """One DPO round (Rafailov et al. 2023, eq. 7). ``kind`` is "dpo"."""

    model: Model
    start_adapter: str | None = None  # go on from this adapter; None: a fresh one on the base
    reference_adapter: str | None = None  # frozen; None: the bare base
    loss: LossName = "sigmoid"
    beta: float = bounded(0.1, above=0)
    label_smoothing: float = bounded(0.0, low=0, below=0.5)
    dpop_lambda: float = bounded(5.0, low=0)
    length_alpha: float = bounded(0.01, low=0)
    sft_weight: float = bounded(0.0, low=0)
    lora: Lora = Lora()
    optimisation: Optimisation = Optimisation()
    seed: int = 0
    precision: Precision = "auto"
    load_in_4bit: bool = False  # the frozen base in NF4 (QLoRA, Dettmers et al. 2023)
    reference_cache: str | None = None  # folder shared by rounds; None: inside the run directory
    watch: EvalSamples = EvalSamples()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SftJob:
    """A supervised warm-up on the chosen answers of ``pairs.jsonl``. ``kind`` is "sft"."""

    model: Model
    start_adapter: str | None = None
    lora: Lora = Lora()
    optimisation: Optimisation = Optimisation()
    seed: int = 0
    precision: Precision = "auto"
    load_in_4bit: bool = False
    watch: EvalSamples = EvalSamples()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardJob:
    """A Bradley-Terry reward model (Ouyang et al. 2022, eq. 1). ``kind`` is "reward"."""

    model: Model
    start_adapter: str | None = None  # a policy's adapter or a reward model's; None: a fresh one
    label_smoothing: float = bounded(0.0, low=0, below=0.5)
    margin: float = bounded(
        0.0, low=0
    )  # the difference wanted of a pair of weight 1 (Touvron et al. 2023, eq. 2)
    centre: float = bounded(
        0.0, low=0
    )  # pull of the pairs' mean rewards to 0 (Eisenstein et al. 2023)
    lora: Lora = Lora()
    optimisation: Optimisation = Optimisation()
    seed: int = 0
    precision: Precision = "auto"
    load_in_4bit: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a completion is drawn. ``temperature`` 0 is greedy."""

    temperature: float = bounded(1.0, low=0)
    top_p: float = bounded(1.0, above=0, high=1)
    top_k: int = bounded(0, low=0)  # 0: all tokens
    max_new_tokens: int = bounded(512, low=1)
    min_p: float = bounded(0.0, low=0, high=1)  # 0: all tokens
    repetition_penalty: float = bounded(1.0, above=0)  # 1: none; counts the prompt's tokens too
    stop_sequences: tuple[str, ...] = ()  # a text ends before the first of these

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready. What came later is left out where it changes nothing.

        So a draw of an earlier version has the same digest, and is not drawn again.
        """
        later = ("min_p", "repetition_penalty", "stop_sequences")
        data = dataclasses.asdict(self)
        data["stop_sequences"] = list(self.stop_sequences)
        for field in dataclasses.fields(self):
            if field.name in later and getattr(self, field.name) == field.default:
                del data[field.name]
        return data


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleJob:
    """Write the completions that ``prompts.jsonl`` asks for. ``kind`` is "sample".

    ``adapters`` maps a policy's name to its adapter's folder, or to None for the bare base.
    ``show_partial``: what is under way is in ``partial.json``, by id, for somebody who watches.
    """

    model: Model
    adapters: dict[str, str | None]
    sampling: Sampling = Sampling()
    batch_size: int = bounded(128, low=1)  # completions written at the same time
    precision: Precision = "auto"
    load_in_4bit: bool = False
    show_partial: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """Log-probabilities of given completions under policies and reference. ``kind`` is "score"."""

    model: Model
    adapters: dict[str, str | None]
    reference_adapter: str | None = None
    max_length: int = 2048
    precision: Precision = "auto"
    load_in_4bit: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class MergeJob:
    """An adapter added into its base, as a model of its own. ``kind`` is "merge"."""

    model: Model
    adapter: str
    precision: Precision = "auto"  # auto: as the base has it on disk
    shard_size: str = "5GB"  # of one safetensors file


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeJob:
    """Rewards of given completions by a reward model. ``kind`` is "judge"."""

    model: Model
    adapter: str  # as a "reward" job leaves it
    max_length: int = 2048
    precision: Precision = "auto"
    load_in_4bit: bool = False


TrainJob = DpoJob | SftJob | RewardJob
EngineJob = TrainJob | SampleJob | ScoreJob | JudgeJob | MergeJob
KINDS: dict[str, type[EngineJob]] = {
    "dpo": DpoJob,
    "sft": SftJob,
    "reward": RewardJob,
    "sample": SampleJob,
    "score": ScoreJob,
    "judge": JudgeJob,
    "merge": MergeJob,
}


def job_to_dict(job: EngineJob) -> dict[str, Any]:
    """The job as JSON-ready data, with its kind."""
    kind = next(name for name, cls in KINDS.items() if isinstance(job, cls))
    data = {"kind": kind, **dataclasses.asdict(job)}
    if isinstance(job, SampleJob):
        data["sampling"] = job.sampling.as_dict()
    return data


def flat(data: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    values: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{path}{name}.")
        else:
            values[f"{path}{name}"] = value
    return values


def job_from_dict(data: dict[str, Any]) -> EngineJob:
    """The job that ``data`` describes.

    Raises ConfigError naming the field: unknown or missing fields, wrong types, and values
    outside their range are all refused.
    """
    kind = data.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"kind: {kind!r} is none of {', '.join(KINDS)}")
    job: EngineJob = _build(KINDS[kind], {k: v for k, v in data.items() if k != "kind"}, "")
    _check_ranges(job)
    return job


def write_job(job: EngineJob, run_dir: Path) -> None:
    """Write ``job.json`` into ``run_dir``, which must exist."""
    text = json.dumps(job_to_dict(job), indent=2, sort_keys=True, allow_nan=False)
    (run_dir / "job.json").write_text(text + "\n", encoding="utf-8")


def read_job(run_dir: Path) -> EngineJob:
    """Read ``job.json`` from ``run_dir``. Raises ConfigError where it is absent or wrong."""
    try:
        data = json.loads((run_dir / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"job.json: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError("job.json: not an object")
    return job_from_dict(data)


def _build(cls: type[Any], data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{path or 'job'}: expected an object, got {data!r}")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ConfigError(f"{path}{unknown[0]}: no such field")
    values = {}
    for field in dataclasses.fields(cls):
        name = f"{path}{field.name}"
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{name}: missing")
    return cls(**values)


def _value(hint: Any, value: Any, name: str) -> Any:
    """``value`` if it has the type that ``hint`` asks for, with ints accepted as floats."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, f"{name}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{name}: {value!r} is none of {', '.join(typing.get_args(hint))}")
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (inner,) = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _value(inner, value, name)
    if origin is dict:
        _, inner = typing.get_args(hint)
        if not isinstance(value, dict):
            raise ConfigError(f"{name}: expected an object, got {value!r}")
        return {str(key): _value(inner, item, f"{name}.{key}") for key, item in value.items()}
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}")
        return tuple(_value(inner, item, f"{name}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}")
    return value


def _check_ranges(job: EngineJob) -> None:
    for name, bounds, value in bounds_within(job):
        if not bounds.hold(value):
            raise ConfigError(f"{name}: must be {bounds}")
    if isinstance(job, DpoJob) and job.loss not in ("sigmoid", "robust") and job.label_smoothing:
        rule = f"must be 0 for the loss {job.loss!r}, which does not use it"
        raise ConfigError(f"label_smoothing: {rule}")
    if isinstance(job, SampleJob) and not all(job.sampling.stop_sequences):
        raise ConfigError("sampling.stop_sequences: must be without empty texts")
