"""What goes into a run directory as ``job.json``: plain dataclasses, checked on reading.

Knows nothing of torch, so the web process may import it. A job is written by whoever
wants work done (a Celery task, a person, a script), and read by ``python -m
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

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str = "all-linear"  # or a comma-separated list of module names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation:
    """One run of AdamW. A step sees ``batch_size`` pairs (or demonstrations)."""

    learning_rate: float = 2e-5
    epochs: float = 1.0
    batch_size: int = 16
    warmup_fraction: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 2048  # tokens of prompt + completion; longer prompts lose their beginning
    eval_fraction: float = 0.1  # held-out metrics after every such part of the run, and at its ends
    patience: int = 0  # evaluations without a better held-out margin before it ends; 0: never
    checkpoint_fraction: float = 0.25
    token_budget: int = 8192  # tokens computed at once inside one step; does not change the result


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalSamples:
    """What the policy writes while it is trained, for people to look at and to measure how far it
    has gone. Changes nothing of what is trained."""

    answers: int = 0  # prompts answered at every evaluation; 0: none
    shown: int = 5  # of these, so many are written to samples.jsonl
    max_new_tokens: int = 96


@dataclasses.dataclass(frozen=True, kw_only=True)
class DpoJob:
    """One DPO round (Rafailov et al. 2023, eq. 7). ``kind`` is "dpo"."""

    model: Model
    start_adapter: str | None = None  # go on from this adapter; None: a fresh one on the base
    reference_adapter: str | None = None  # frozen; None: the bare base
    loss: LossName = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0
    dpop_lambda: float = 5.0
    length_alpha: float = 0.01
    sft_weight: float = 0.0
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
    label_smoothing: float = 0.0
    margin: float = 0.0  # a pair of weight 1 shall differ by so much (Touvron et al. 2023, eq. 2)
    centre: float = 0.0  # pull of the pairs' mean rewards to 0 (Eisenstein et al. 2023)
    lora: Lora = Lora()
    optimisation: Optimisation = Optimisation()
    seed: int = 0
    precision: Precision = "auto"
    load_in_4bit: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a completion is drawn. ``temperature`` 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    max_new_tokens: int = 512
    min_p: float = 0.0  # 0: all tokens
    repetition_penalty: float = 1.0  # 1: none; counts the prompt's tokens too
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
    batch_size: int = 128  # completions written at the same time
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
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = value
    return found


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
    def need(ok: bool, name: str, rule: str) -> None:
        if not ok:
            raise ConfigError(f"{name}: must be {rule}")

    optimisation = getattr(job, "optimisation", None)
    if optimisation is not None:
        o: Optimisation = optimisation
        need(o.learning_rate > 0, "optimisation.learning_rate", "above 0")
        need(o.epochs > 0, "optimisation.epochs", "above 0")
        need(o.batch_size >= 1, "optimisation.batch_size", "at least 1")
        need(0 <= o.warmup_fraction < 1, "optimisation.warmup_fraction", "from 0 to below 1")
        need(o.max_length >= 8, "optimisation.max_length", "at least 8 tokens")
        need(o.max_grad_norm > 0, "optimisation.max_grad_norm", "above 0")
        need(0 < o.eval_fraction <= 1, "optimisation.eval_fraction", "above 0, at most 1")
        need(o.patience >= 0, "optimisation.patience", "at least 0 evaluations")
        need(
            0 < o.checkpoint_fraction <= 1, "optimisation.checkpoint_fraction", "above 0, at most 1"
        )
        need(o.token_budget >= 1, "optimisation.token_budget", "at least 1")
    lora = getattr(job, "lora", None)
    if lora is not None:
        need(lora.r >= 1, "lora.r", "at least 1")
        need(lora.alpha >= 1, "lora.alpha", "at least 1")
        need(0 <= lora.dropout < 1, "lora.dropout", "from 0 to below 1")
    watch = getattr(job, "watch", None)
    if watch is not None:
        need(watch.answers >= 0, "watch.answers", "at least 0")
        need(watch.shown >= 0, "watch.shown", "at least 0")
        need(watch.max_new_tokens >= 1, "watch.max_new_tokens", "at least 1")
    if isinstance(job, DpoJob):
        need(job.beta > 0, "beta", "above 0")
        need(0 <= job.label_smoothing < 0.5, "label_smoothing", "from 0 to below 0.5")
        smoothed = job.loss in ("sigmoid", "robust") or job.label_smoothing == 0
        need(smoothed, "label_smoothing", f"0 for the loss {job.loss!r}, which does not use it")
        need(job.dpop_lambda >= 0, "dpop_lambda", "at least 0")
        need(job.length_alpha >= 0, "length_alpha", "at least 0")
        need(job.sft_weight >= 0, "sft_weight", "at least 0")
    if isinstance(job, RewardJob):
        need(0 <= job.label_smoothing < 0.5, "label_smoothing", "from 0 to below 0.5")
        need(job.margin >= 0, "margin", "at least 0")
        need(job.centre >= 0, "centre", "at least 0")
    if isinstance(job, SampleJob):
        need(job.sampling.temperature >= 0, "sampling.temperature", "at least 0")
        need(0 < job.sampling.top_p <= 1, "sampling.top_p", "above 0, at most 1")
        need(job.sampling.top_k >= 0, "sampling.top_k", "at least 0")
        need(job.sampling.max_new_tokens >= 1, "sampling.max_new_tokens", "at least 1")
        need(0 <= job.sampling.min_p <= 1, "sampling.min_p", "from 0 to 1")
        need(job.sampling.repetition_penalty > 0, "sampling.repetition_penalty", "above 0")
        need(all(job.sampling.stop_sequences), "sampling.stop_sequences", "without empty texts")
        need(job.batch_size >= 1, "batch_size", "at least 1")
