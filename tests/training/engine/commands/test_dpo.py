"""DPO jobs, from their files to an adapter that PEFT loads."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.engine.conftest import make_pairs, read_json, read_lines, run_engine, write_job
from training.engine.config import EXIT_DONE, EXIT_FAILED, DpoJob, Lora, Model, Optimisation

NewRun = Callable[..., Path]


def job(base: Path, **changes: Any) -> DpoJob:
    settings = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(learning_rate=1e-2, epochs=2, batch_size=8),
    )
    return dataclasses.replace(settings, **changes)


def metrics(folder: Path, split: str, name: str) -> list[float]:
    rows = read_lines(folder / "metrics.jsonl")
    return [row["values"][name] for row in rows if row["split"] == split]


@pytest.fixture(scope="module")
def done(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 24 pairs with 6 held out."""

    from tests.training.engine.conftest import write_lines

    folder = tmp_path_factory.mktemp("done")
    write_job(job(base), folder)
    write_lines(folder / "pairs.jsonl", make_pairs(30, held_out=6))
    assert run_engine("dpo", folder) == EXIT_DONE
    return folder


def test_the_first_loss_is_ln_2(done: Path) -> None:
    assert metrics(done, "train", "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics(done, "held_out", "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics(done, "held_out", "reward_margin")[0] == pytest.approx(0, abs=1e-5)


def test_it_learns_the_pairs(done: Path) -> None:
    assert metrics(done, "train", "loss")[-1] < 0.6
    assert metrics(done, "train", "reward_margin")[-1] > 0.2


def test_held_out_metrics_come_at_the_start_on_the_way_and_at_the_end(done: Path) -> None:
    rows = [row for row in read_lines(done / "metrics.jsonl") if row["split"] == "held_out"]
    steps = [row["step"] for row in rows]
    assert steps[0] == 0
    assert steps[-1] == rows[0]["total_steps"] == 6
    assert len(steps) == len(set(steps)) == 7


def test_the_adapter_is_peft_safetensors_and_its_hash_is_told(done: Path, base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training.engine.runtime.run_dir import sha256_of

    names = {path.name for path in (done / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "provenance.json"}
    result = read_json(done / "result.json")
    assert result["state"] == "succeeded"
    assert result["adapter_sha256"] == sha256_of(done / "adapter" / "adapter_model.safetensors")
    assert result["final"]["train"]["loss"] == metrics(done, "train", "loss")[-1]
    assert result["final"]["held_out"]["loss"] == metrics(done, "held_out", "loss")[-1]
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), done / "adapter")
    assert any(float(p.abs().sum()) > 0 for n, p in loaded.named_parameters() if "lora_B" in n)
    assert not list(done.glob(".*.tmp"))


def test_the_same_job_gives_the_same_adapter(done: Path, base: Path, new_run: NewRun) -> None:
    again = new_run("again", job(base), pairs=make_pairs(30, held_out=6))
    assert run_engine("dpo", again) == EXIT_DONE
    sha = read_json(again / "result.json")["adapter_sha256"]
    assert sha == read_json(done / "result.json")["adapter_sha256"]


def test_a_finished_run_is_left_alone(done: Path) -> None:
    from training.engine.__main__ import main

    before = (done / "result.json").stat()
    assert main(["dpo", str(done)]) == EXIT_DONE
    assert (done / "result.json").stat().st_mtime_ns == before.st_mtime_ns


def test_going_on_from_an_adapter_with_itself_as_reference_starts_at_ln_2(
    done: Path, base: Path, new_run: NewRun
) -> None:
    adapter = str(done / "adapter")
    more = job(base, start_adapter=adapter, reference_adapter=adapter)
    folder = new_run("more", more, pairs=make_pairs(16, seed=9))
    assert run_engine("dpo", folder) == EXIT_DONE
    assert metrics(folder, "train", "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics(folder, "train", "loss")[-1] < 0.69
    old = load_file(done / "adapter" / "adapter_model.safetensors")
    new = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert old.keys() == new.keys()  # the reference's weights are not saved with it
    assert any(not torch.equal(old[name], new[name]) for name in old)


def test_going_on_from_an_adapter_against_the_base_starts_from_what_it_knows(
    done: Path, base: Path, new_run: NewRun
) -> None:
    folder = new_run(
        "on", job(base, start_adapter=str(done / "adapter")), pairs=make_pairs(30, held_out=6)
    )
    assert run_engine("dpo", folder) == EXIT_DONE
    end = metrics(done, "held_out", "loss")[-1]
    assert metrics(folder, "held_out", "loss")[0] == pytest.approx(end, abs=1e-5)


def test_the_token_budget_does_not_change_the_result(
    done: Path, base: Path, new_run: NewRun
) -> None:
    small = job(
        base,
        optimisation=Optimisation(learning_rate=1e-2, epochs=2, batch_size=8, token_budget=64),
    )
    folder = new_run("small", small, pairs=make_pairs(30, held_out=6))
    assert run_engine("dpo", folder) == EXIT_DONE
    assert metrics(folder, "train", "loss") == pytest.approx(
        metrics(done, "train", "loss"), abs=1e-4
    )


def test_a_weight_of_zero_takes_a_pair_out(base: Path, new_run: NewRun) -> None:
    """Two pairs in one step, the second with weight 0: half the gradient of the first alone."""
    once = Optimisation(learning_rate=1e-3, epochs=1, batch_size=2, warmup_fraction=0.0)
    norms = []
    for name, count, weights in (("one", 1, [1.0]), ("two", 2, [1.0, 0.0])):
        rows = make_pairs(count)
        for row, weight in zip(rows, weights, strict=True):
            row["weight"] = weight
        folder = new_run(name, job(base, optimisation=once), pairs=rows)
        assert run_engine("dpo", folder) == EXIT_DONE
        norms.append(metrics(folder, "train", "grad_norm")[0])
    assert norms[1] == pytest.approx(norms[0] / 2, rel=1e-4)


def failure(folder: Path, kind: str = "dpo") -> dict[str, str]:
    assert run_engine(kind, folder) == EXIT_FAILED
    assert not (folder / "adapter").exists()
    assert not (folder / "result.json").exists()
    return read_json(folder / "error.json")


def test_a_bad_line_is_named(base: Path, new_run: NewRun) -> None:
    rows = make_pairs(5)
    rows[3]["chosen"] = "not a list"
    error = failure(new_run("bad", job(base), pairs=rows))
    assert error["kind"] == "bad_data"
    assert "line 4: chosen" in error["message"]


def test_a_missing_base_is_named(new_run: NewRun, tmp_path: Path) -> None:
    error = failure(new_run("lost", job(tmp_path / "nowhere"), pairs=make_pairs(2)))
    assert error["kind"] == "model_not_found"
    assert "nowhere" in error["message"]
    assert error["advice"]


def test_an_exploding_run_ends_before_its_weights_are_touched(
    base: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.engine.forward.packed import PackedLayout

    original = PackedLayout.logps
    calls = []

    def broken(self: Any, model: Any, trees: Any) -> torch.Tensor:
        values = original(self, model, trees)
        if model.training:
            calls.append(1)
        return values * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(PackedLayout, "logps", broken)
    folder = new_run("nan", job(base), pairs=make_pairs(24))
    error = failure(folder)
    assert error["kind"] == "not_finite"
    assert "step 3" in error["message"]  # a step is one micro-batch
    assert (folder / "checkpoint-2").is_dir()


def test_an_adapter_on_the_head_is_refused(base: Path, new_run: NewRun) -> None:
    lora = Lora(target_modules="q_proj,lm_head")
    error = failure(new_run("head", job(base, lora=lora), pairs=make_pairs(2)))
    assert error["kind"] == "adapter_refused"
    assert "lm_head" in error["message"]


def test_pickled_adapters_are_refused(base: Path, new_run: NewRun, done: Path) -> None:
    folder = new_run("pickle", job(base), pairs=make_pairs(2))
    shutil.copytree(done / "adapter", folder / "old")
    (folder / "old" / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "old" / "adapter_model.bin")

    write_job(job(base, start_adapter=str(folder / "old")), folder)
    error = failure(folder)
    assert error["kind"] == "adapter_refused"
    assert "safetensors" in error["message"]


def test_an_adapter_of_another_shape_is_refused(base: Path, new_run: NewRun, done: Path) -> None:
    folder = new_run("shape", job(base), pairs=make_pairs(2))
    shutil.copytree(done / "adapter", folder / "old")
    path = folder / "old" / "adapter_model.safetensors"
    save_file({name: t[:, :3].contiguous() for name, t in load_file(path).items()}, path)

    write_job(job(base, start_adapter=str(folder / "old")), folder)
    assert failure(folder)["kind"] == "adapter_refused"


def test_a_job_of_another_kind_is_refused(base: Path, new_run: NewRun) -> None:
    error = failure(new_run("kind", job(base), pairs=make_pairs(2)), kind="sft")
    assert error["kind"] == "bad_job"
