"""Answers written during training: no effect on training, written once, measured correctly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.conftest import make_pairs, read_json, read_lines, run_engine, write_job
from training.engine.config import (
    EXIT_DONE,
    EXIT_STOPPED,
    DpoJob,
    EvalSamples,
    Lora,
    Model,
    Optimisation,
    SftJob,
)
from training.engine.data.pairs import Pair
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import RunDir
from training.engine.trainer.eval_samples import fixed_prompts

NewRun = Callable[..., Path]
WATCH = EvalSamples(answers=4, shown=2, max_new_tokens=12)


def job(base: Path, **changes: Any) -> DpoJob:
    settings = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8, dropout=0.1),
        optimisation=Optimisation(
            learning_rate=1e-2, epochs=1, batch_size=8, eval_fraction=0.5, checkpoint_fraction=0.34
        ),
        watch=WATCH,
    )
    return dataclasses.replace(settings, **changes)


def adapter_of(folder: Path) -> str:
    return str(read_json(folder / "result.json")["adapter_sha256"])


def answers_of(folder: Path) -> list[dict[str, Any]]:
    rows = [row for row in read_lines(folder / "metrics.jsonl") if row["split"] == "answers"]
    return [{"step": row["step"], **row["values"]} for row in rows]


def samples_of(folder: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name != "time"}
        for row in read_lines(folder / "samples.jsonl")
    ]


@pytest.fixture(scope="module")
def runs(base: Path, talker: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same round with and without samples; the adapter it starts from is also its reference."""

    from tests.training.engine.conftest import write_lines

    done = {}
    for name, watch in (("watched", WATCH), ("unwatched", EvalSamples())):
        folder = tmp_path_factory.mktemp(name)
        own = {"start_adapter": str(talker), "reference_adapter": str(talker), "watch": watch}
        write_job(job(base, **own), folder)
        write_lines(folder / "pairs.jsonl", make_pairs(30, held_out=6))
        assert run_engine("dpo", folder) == EXIT_DONE
        done[name] = folder
    return done


def test_watching_moves_nothing(runs: dict[str, Path]) -> None:
    assert adapter_of(runs["watched"]) == adapter_of(runs["unwatched"])
    assert not (runs["unwatched"] / "samples.jsonl").exists()


def test_answers_come_at_the_start_and_at_every_evaluation(runs: dict[str, Path]) -> None:
    rows = samples_of(runs["watched"])
    assert [(row["step"], row["place"]) for row in rows] == [
        (step, place) for step in (0, 2, 3) for place in (0, 1)
    ]
    assert all(row["held_out"] for row in rows)
    assert rows[0]["messages"] == rows[2]["messages"]
    assert rows[0]["text"]


def test_the_divergence_is_nothing_at_the_start_and_grows(runs: dict[str, Path]) -> None:
    first, *_, last = answers_of(runs["watched"])
    assert first["kl"] == pytest.approx(0, abs=1e-5)
    assert last["kl"] > 0.01
    assert 0 < last["tokens"] <= WATCH.max_new_tokens
    assert last["kl_per_token"] == pytest.approx(last["kl"] / last["tokens"])


def test_a_run_stopped_and_taken_up_writes_the_same_once(
    runs: dict[str, Path], base: Path, talker: Path, new_run: NewRun, monkeypatch: Any
) -> None:
    """Stopped in the middle of an evaluation's answers, then in the middle of a later step."""
    own = {"start_adapter": str(talker), "reference_adapter": str(talker)}
    folder = new_run("stopped", job(base, **own), pairs=make_pairs(30, held_out=6))
    from training.engine.__main__ import run_job

    say = RunDir.phase
    for wanted in (("writing samples", 2), ("training", 3)):
        stop = StopRequest()

        def phase(
            self: RunDir,
            name: str,
            *,
            stop: StopRequest = stop,
            wanted: tuple[str, int] = wanted,
            **named: Any,
        ) -> None:
            say(self, name, **named)
            if (name, named.get("step")) == wanted:
                stop.set()

        monkeypatch.setattr(RunDir, "phase", phase)
        assert run_job("dpo", folder, stop) in (EXIT_STOPPED, EXIT_DONE)
    monkeypatch.setattr(RunDir, "phase", say)
    assert run_engine("dpo", folder) == EXIT_DONE
    assert adapter_of(folder) == adapter_of(runs["watched"])
    assert samples_of(folder) == samples_of(runs["watched"])
    assert answers_of(folder) == answers_of(runs["watched"])


def test_what_goes_wrong_ends_the_watching_and_not_the_run(
    runs: dict[str, Path], base: Path, talker: Path, new_run: NewRun, monkeypatch: Any
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("training.engine.trainer.eval_samples.EvalSampler._divergence", fail)
    own = {"start_adapter": str(talker), "reference_adapter": str(talker)}
    folder = new_run("broken", job(base, **own), pairs=make_pairs(30, held_out=6))
    assert run_engine("dpo", folder) == EXIT_DONE
    assert adapter_of(folder) == adapter_of(runs["watched"])
    assert "no samples from step 0 on: OutOfMemoryError" in (folder / "engine.log").read_text()


def pair(name: str, split: str, prompt: str) -> Pair:
    return Pair(name, [{"role": "user", "content": prompt}], [], [], 1.0, split, 1)  # type: ignore[arg-type]


def test_held_out_prompts_come_first_and_none_comes_twice() -> None:
    pairs = [pair(f"t{i}", "train", f"Trained {i}?") for i in range(6)]
    pairs += [pair("h0", "held_out", "Held?"), pair("h1", "held_out", "Held?")]
    chosen = fixed_prompts(pairs, 3, seed=5)
    assert [p.split for p in chosen] == ["held_out", "train", "train"]
    assert len({str(p.prompt) for p in chosen}) == 3
    assert chosen == fixed_prompts(pairs, 3, seed=5)
    assert [p.id for p in fixed_prompts(pairs, 6, seed=6)] != [
        p.id for p in fixed_prompts(pairs, 6, seed=5)
    ]


def test_without_held_out_pairs_trained_ones_are_answered() -> None:
    pairs = [pair(f"t{i}", "train", f"Trained {i}?") for i in range(2)]
    assert {p.id for p in fixed_prompts(pairs, 5, seed=0)} == {"t0", "t1"}


def test_the_divergence_is_exact_on_the_usual_path_too(
    base: Path, talker: Path, new_run: NewRun, monkeypatch: Any
) -> None:
    """Padded rows, ``generate``, dropout: training is unaffected; one token's divergence is exact.

    With answers of one token the estimate does not depend on what was drawn: it is the mean over
    the prompts of KL(π(·|x) ‖ π_ref(·|x)), here worked out with plain peft.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training.engine.data.chat import Chat
    from training.engine.data.pairs import read_pairs
    from training.engine.model.adapters import load_tokenizer

    monkeypatch.setattr("training.engine.forward.architecture.KNOWN", set())
    watch = EvalSamples(answers=6, shown=1, max_new_tokens=1)
    own = {"reference_adapter": str(talker)}
    rows = make_pairs(30, held_out=6)
    folder = new_run("exact", job(base, watch=watch, **own), pairs=rows)
    assert run_engine("dpo", folder) == EXIT_DONE
    alone = new_run("alone", job(base, watch=EvalSamples(), **own), pairs=rows)
    assert run_engine("dpo", alone) == EXIT_DONE
    assert adapter_of(folder) == adapter_of(alone)
    assert read_json(folder / "result.json")["layout"] == "padded"

    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), str(folder / "adapter")
    )
    model.load_adapter(str(talker), "talker")
    chat = Chat(load_tokenizer(Model(base=str(base))))
    total = 0.0
    prompts = fixed_prompts(read_pairs(folder / "pairs.jsonl"), 6, seed=0)
    for ids in chat.prompt_ids([p.prompt for p in prompts]):
        logp = {}
        for name in ("default", "talker"):
            model.set_adapter(name)
            with torch.no_grad():
                logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, -1]
            logp[name] = torch.log_softmax(logits.double(), -1)
        total += float((logp["default"].exp() * (logp["default"] - logp["talker"])).sum())
    assert answers_of(folder)[-1]["kl"] == pytest.approx(total / 6, rel=1e-3)


def test_a_warm_up_is_measured_from_where_it_began(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    settings = Optimisation(learning_rate=1e-2, epochs=1, batch_size=8, eval_fraction=1.0)
    warm_up = SftJob(
        model=Model(base=str(base)), start_adapter=str(talker), optimisation=settings, watch=WATCH
    )
    folder = new_run("warm-up", warm_up, pairs=make_pairs(16))
    assert run_engine("sft", folder) == EXIT_DONE
    first, last = answers_of(folder)
    assert first["kl"] == pytest.approx(0, abs=1e-5)
    assert last["kl"] > 0.01
    assert not any(row["held_out"] for row in samples_of(folder))
