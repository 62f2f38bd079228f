"""A round that has succeeded, with its adapter's folder, its verdicts and its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from annotate.models import Policy, PreferencePair
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import make_comparison, make_completion, make_policy, make_prompt
from tests.training.engine.conftest import base  # noqa: F401 - a fixture
from training.engine.config import DpoJob, Model, job_to_dict
from training.models import LoopSettings, Metric, Round, Snapshot

SHA = "ab" * 32


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters" / "one"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    return folder


@pytest.fixture
def real_adapter(base: Path, tmp_path: Path) -> Path:  # noqa: F811
    """An adapter on the tiny model whose answers differ from the base's."""
    import torch

    from training.engine.config import Lora
    from training.engine.model import adapters

    bare = adapters.load_base(Model(base=str(base)), torch.float32, torch.device("cpu"))
    model = adapters.fresh_adapter(bare, Lora(r=4), seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapters.publish_adapter(model, tmp_path / "real", {})
    return tmp_path / "real"


@pytest.fixture
def judged(cast) -> list[PreferencePair]:
    """Two training pairs and one held-out pair, each from two judgements that agree."""
    for held_out in (False, False, True):
        prompt = make_prompt(cast.project, held_out=held_out)
        make_comparison(cast.project, prompt=prompt, wanted=2)
        for rater in (cast.rater, cast.colleague):
            card = serve_next(project=cast.project, rater=rater)
            side = "right" if card.swapped else "left"
            record_verdict(code=card.code, rater=rater, choice=side)
    return list(PreferencePair.objects.order_by("pk"))


@pytest.fixture
def new_round(cast, adapter) -> Callable[..., Round]:
    LoopSettings.objects.create(project=cast.project, base_model="some/model")

    def new(number: int = 1, **fields: Any) -> Round:
        project = cast.project
        start = project.policies.filter(slug="base").first() or make_policy(
            project, "base", kind=Policy.Kind.BASE, base_model="some/model"
        )
        made = make_policy(
            project,
            f"round-{number}",
            kind=Policy.Kind.ADAPTER,
            base_model=start.base_model,
            adapter_path=str(adapter),
            parent=start,
        )
        pairs = fields.pop("pairs", list(PreferencePair.objects.all()))
        snapshot, is_new = Snapshot.objects.get_or_create(
            sha256=fields.pop("sha256", SHA),
            defaults={
                "project": project,
                "counts": {"train": 2, "held_out": 10},
                "path": "absent",
            },
        )
        if is_new:
            snapshot.pairs.set(pairs)
        ended = timezone.now()
        round_ = Round.objects.create(
            project=project,
            number=number,
            snapshot=snapshot,
            start=start,
            reference=start,
            policy=made,
            state=Round.State.SUCCEEDED,
            started_at=ended - timedelta(seconds=90),
            finished_at=ended,
            step=4,
            total_steps=4,
            code_version="0123456789ab",
            **{
                "config": job_to_dict(DpoJob(model=Model(base="some/model"))),
                "result": {
                    "adapter_sha256": "cd" * 32,
                    "device": "cpu",
                    "processes": 1,
                    "reference_seconds": 2.0,
                    "peak_memory_mib": 512,
                    "versions": {"torch": "2.13.0"},
                    "held_out": {
                        "pairs": 10,
                        "ranked": 6.0,
                        "reference_ranked": 5.0,
                        "rewarded": 8.0,
                        "margin_quantiles": {
                            "5": -0.25,
                            "25": 0.0,
                            "50": 0.125,
                            "75": 0.5,
                            "95": 2.0,
                        },
                    },
                },
                **fields,
            },
        )
        values = {
            "held_out/loss": (0.693, 0.512),
            "held_out/reward_accuracy": (0.5, 0.8),
            "held_out/ranking_accuracy": (0.5, 0.6),
            "held_out/reward_margin": (0.0, 0.4),
            "held_out/seconds": (1.0, 1.0),
            "held_out/tokens": (100.0, 100.0),
            "train/seconds": (3.0, 5.0),
            "train/tokens": (400.0, 400.0),
            "train/examples": (8.0, 8.0),
        }
        for name, (first, last) in values.items():
            for step, value in ((0, first), (4, last)):
                Metric.objects.create(round=round_, step=step, name=name, value=value)
        return round_

    return new


@pytest.fixture
def answered(cast, judged, new_round) -> Round:
    """A round whose policy and start policy have answered the same held-out prompts."""
    round_ = new_round()
    looping = "and so it goes on " * 8
    for number in range(4):
        prompt = make_prompt(cast.project, f"Held-out question {number}?", held_out=True)
        make_completion(prompt, round_.start, f"Before {number}. {looping if number else ''}")
        make_completion(prompt, round_.policy, f"Now {number}.", finish_reason="stop")
    return round_
