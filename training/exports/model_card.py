"""The model card that goes with an adapter or a merged model: README.md as Hugging Face has it.

Always in English, whatever the reader's language: it travels with the weights. It names no
person, and of a base in a local folder only the folder's own name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from django.utils import translation

from annotate.models import Policy
from training.exports.licences import licence_of
from training.exports.report import Before, RoundReport, report_of
from training.models import Round
from training.stats.win_rates import WinRate

logger = logging.getLogger(__name__)
What = Literal["adapter", "merged"]
CARD = "README.md"
NOT_STATED = "not stated"
METRIC = "Share of held-out pairs"


def write_card(round_: Round, folder: Path, *, what: What = "adapter") -> None:
    """Put the card into ``folder``, whole or not at all."""
    temporary = folder / f".{CARD}.tmp"
    temporary.write_text(card_of(round_, what=what), encoding="utf-8")
    temporary.replace(folder / CARD)


def write_published_card(round_: Round) -> None:
    """Put the card beside a round's published adapter. A card that cannot be written costs no
    round: that is logged."""
    round_.refresh_from_db()
    if round_.policy is None:
        return
    try:
        write_card(round_, Path(round_.policy.adapter_path))
    except Exception:
        logger.exception("%s: its model card was not written", round_)


def card_of(round_: Round, *, what: What = "adapter") -> str:
    """The card's text, with its metadata."""
    from huggingface_hub import ModelCard  # takes a while to import, and few pages need it

    with translation.override("en-gb"):
        report = report_of(round_, with_samples=False)
        licence = licence_of(round_.start.base_model, round_.start.base_revision)
        parts = [
            f"---\n{_metadata(report, what, licence)}\n---\n",
            *_body(report, what, licence),
        ]
    return str(ModelCard("\n".join(parts)))


def _metadata(report: RoundReport, what: What, licence: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    round_ = report.round
    name = f"{round_.project.slug}-round-{round_.number}"
    results = [
        EvalResult(
            task_type="text-generation",
            task_name="Preferring the chosen answer",
            dataset_type="preference-pairs",
            dataset_name=f"{round_.project.slug}, held-out pairs",
            dataset_revision=round_.snapshot.sha256,
            metric_type=kind,
            metric_name=title,
            metric_value=round(value, 4),
        )
        for kind, title, value in _measured(report)
    ]
    data = ModelCardData(
        base_model=_base_id(round_.start.base_model),
        library_name="peft" if what == "adapter" else "transformers",
        pipeline_tag="text-generation",
        license=licence,
        tags=["whetstone", str(round_.kind), *(["lora"] if what == "adapter" else [])],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _measured(report: RoundReport) -> Iterator[tuple[str, str, float]]:
    if report.accuracy is not None:
        if report.accuracy.rewarded.value is not None:
            yield "accuracy", "Reward accuracy", report.accuracy.rewarded.value
        ranked = report.accuracy.ranked
        if ranked is not None and ranked.value is not None:
            yield "accuracy", "Ranking accuracy", ranked.value
    if report.loss is not None:
        yield "loss", "Held-out loss", report.loss.last


def _body(report: RoundReport, what: What, licence: str | None) -> Iterator[str]:
    round_ = report.round
    base, revision = round_.start.base_model, round_.start.base_revision
    counts = round_.snapshot.counts
    article = "A LoRA adapter" if what == "adapter" else "A model with its LoRA adapter merged in"
    method = "Direct Preference Optimization" if round_.kind == "dpo" else "supervised fine-tuning"
    yield f"# {round_.project.slug}, round {round_.number}\n"
    yield (
        f"{article}, trained by Whetstone with {method} on preference pairs that raters settled "
        "by comparing two answers side by side, blind to which model wrote which.\n"
    )
    yield _rows(
        ("Base model", f"`{_shown_base(base)}`{f' at `{revision}`' if revision else ''}"),
        ("Licence of the base", licence or NOT_STATED),
        ("Trained on from", f"`{round_.start.slug}`"),
        ("Reference", f"`{round_.reference.slug}`"),
    )
    if licence:
        yield "The licence is the one that the base's own card or configuration states.\n"
    yield "## Data\n"
    yield _rows(
        ("Pairs to train on", _count(counts.get("train"))),
        ("Pairs held out, by prompt", _count(counts.get("held_out"))),
        ("Raters", _count(report.raters.raters)),
        ("Judgements that count", _count(report.raters.judgements)),
        ("Agreement", _agreement(report.raters.agreement)),
        ("Snapshot (SHA-256)", f"`{round_.snapshot.sha256}`"),
    )
    yield ("Raters are counted and not named. What a rater has taken back does not count.\n")
    yield "## Hyper-parameters\n"
    yield _rows(*((f"`{name}`", f"`{value}`") for name, value in settings_of(round_.config)))
    yield "## Results\n"
    yield from _results(report)
    yield "## Limits\n"
    yield (
        "- Its figures are of held-out prompts of the same project; of other prompts, other "
        "people and other languages they say nothing.\n"
        "- Ranking accuracy and reward accuracy are not win rates: whether people prefer its "
        "answers is decided by comparing them.\n"
        "- It has what is good and bad in its base model, and what its raters prefer, their "
        "leanings included.\n"
        "- Nothing was done for its safety beyond what the raters were asked to judge.\n"
    )
    yield "## Cost\n"
    yield from _cost(report)
    yield "## Hashes and versions\n"
    yield _rows(
        ("Adapter weights (SHA-256)", f"`{round_.result.get('adapter_sha256') or NOT_STATED}`"),
        ("Snapshot (SHA-256)", f"`{round_.snapshot.sha256}`"),
        ("Whetstone", f"`{round_.code_version or 'unknown'}`"),
        ("Seed", f"`{round_.seed}`"),
        *((name, f"`{value}`") for name, value in sorted(report.versions.items())),
    )
    yield "DPO is of Rafailov et al. 2023 (https://arxiv.org/abs/2305.18290)."


def _results(report: RoundReport) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    if report.loss is not None:
        rows.append(("Held-out loss", _change(report.loss, 3)))
    accuracy = report.accuracy
    if accuracy is not None:
        shares: list[tuple[str, WinRate | None]] = [
            ("Reward accuracy", accuracy.rewarded),
            ("Ranking accuracy, new policy", accuracy.ranked),
            ("Ranking accuracy, where it began", accuracy.ranked_at_start),
            ("Ranking accuracy, reference", accuracy.ranked_by_reference),
        ]
        rows += [(name, _interval(share)) for name, share in shares if share is not None]
    rows += [
        (f"Reward margin, {name} % quantile", f"{value:.3f}") for name, value in report.margins
    ]
    for manner in report.manners:
        error = "" if manner.length_error is None else f" ± {manner.length_error:.0f}"
        rows += [
            (f"Mean length of `{manner.policy}`", f"{manner.length:.0f}{error} characters"),
            (f"Answers of `{manner.policy}` that loop", _interval(manner.looping)),
        ]
    if not rows:
        yield "Nothing was held out, so nothing was measured.\n"
        return
    yield f"On {_count(report.held_out)} held-out pairs; intervals are 95 % (Wilson).\n"
    yield _rows(*rows)


def _cost(report: RoundReport) -> Iterator[str]:
    cost = report.cost
    rows = []
    if cost.wall_seconds is not None:
        rows.append(("Wall time", f"{cost.wall_seconds:,.0f} s"))
    if cost.device_seconds is not None:
        rows.append(
            (f"Computing time ({cost.device or 'device'})", f"{cost.device_seconds:,.0f} s")
        )
    if cost.tokens is not None:
        rows.append(("Tokens", _count(cost.tokens)))
    if cost.peak_memory_mib is not None:
        rows.append(("Peak memory", f"{cost.peak_memory_mib:,.0f} MiB"))
    yield _rows(*rows) if rows else "Not measured.\n"


def settings_of(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The engine's settings that shape the result, without paths of this machine."""
    for name, value in config.items():
        if name in {"model", "start_adapter", "reference_adapter", "reference_cache", "kind"}:
            continue
        if isinstance(value, dict):
            yield from settings_of(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def base_of(policy: Policy) -> str:
    """A base as somebody else can find it: its name on the hub, or its folder's own name."""
    return _shown_base(policy.base_model)


def _shown_base(base: str) -> str:
    return base if _base_id(base) else Path(base).name or NOT_STATED


def _base_id(base: str) -> str | None:
    """A name on the hub; None for a folder."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if Path(base).is_absolute() or base.startswith((".", "~")) or Path(base).is_dir():
        return None
    try:
        validate_repo_id(base)
    except HFValidationError:
        return None
    return base


def _rows(*rows: tuple[str, str]) -> str:
    lines = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines, ""])


def _count(number: int | None) -> str:
    return NOT_STATED if number is None else f"{number:,}"


def _change(value: Before, digits: int) -> str:
    return f"{value.last:.{digits}f} (at the start {value.first:.{digits}f})"


def _interval(share: WinRate) -> str:
    if share.value is None or share.interval is None:
        return NOT_STATED
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%}, n = {share.decided:,})"


def _agreement(share: WinRate) -> str:
    if share.value is None:
        return "not measured: no comparison has two judgements"
    return f"{share.value:.1%} of {share.decided:,} pairs of judgements on the same comparison"
