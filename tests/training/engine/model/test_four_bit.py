"""QLoRA: a base in 4 bits, quantised by the real bitsandbytes, here on the CPU."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.engine.conftest import (
    make_model,
    make_pairs,
    make_tokenizer,
    read_json,
    read_lines,
    run_engine,
)
from tests.training.engine.layouts import distance, logps_and_gradient, random_trees
from training.engine.config import (
    EXIT_DONE,
    EXIT_FAILED,
    DpoJob,
    JudgeJob,
    Lora,
    Model,
    Optimisation,
    RewardJob,
    SampleJob,
    Sampling,
    ScoreJob,
    SftJob,
)
from training.engine.forward.padded import PaddedLayout
from training.engine.forward.reference import score
from training.engine.model import adapters as policy

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
NewRun = Callable[..., Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for bitsandbytes, which packs 32 outputs together on a CPU with AMX."""
    folder = tmp_path_factory.mktemp("wide")
    tokenizer = make_tokenizer(folder)
    make_model(folder, len(tokenizer), hidden_size=128, intermediate_size=192)
    return folder


def job(base: Path) -> DpoJob:
    return DpoJob(
        model=Model(base=str(base)),
        load_in_4bit=True,
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(learning_rate=2e-2, epochs=4, batch_size=8),
    )


def test_it_trains(base: Path, new_run: NewRun) -> None:
    """Step 0 is ln 2, the loss falls, and the reference is the quantised base itself."""
    folder = new_run("four", job(base), pairs=make_pairs(16))
    assert run_engine("dpo", folder) == EXIT_DONE, read_json(folder / "error.json")
    losses = [row["values"]["loss"] for row in read_lines(folder / "metrics.jsonl")]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < 0.8 * losses[0]
    assert read_json(folder / "result.json")["layout"] == "shared"


def test_the_weights_are_in_four_bits(base: Path) -> None:
    device = torch.device("cpu")
    full = policy.load_base(Model(base=str(base)), torch.float32, device)
    small = policy.load_base(Model(base=str(base)), torch.float32, device, four_bit=True)
    name = "model.layers.0.mlp.up_proj"
    packed = small.get_submodule(name).weight
    assert packed.dtype == torch.uint8
    assert packed.numel() * 2 == full.get_submodule(name).weight.numel()
    assert small.get_output_embeddings().weight.dtype == torch.float32


def test_its_gradient_is_that_of_the_weights_that_it_stands_for(base: Path) -> None:
    """Also after a pass without gradients, in which bitsandbytes may repack weights."""
    from bitsandbytes.functional import dequantize_4bit

    def gradient_of(four_bit: bool) -> Tensor:
        model = policy.load_base(
            Model(base=str(base)), torch.float32, torch.device("cpu"), four_bit=four_bit
        )
        for name, module in small.named_modules():
            if not four_bit and type(module).__name__ == "Linear4bit":
                weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
                model.get_submodule(name).weight.data = weight
        model = policy.fresh_adapter(model, Lora(r=4), seed=0)
        layout = PaddedLayout(0)
        trees = random_trees(3)
        score(layout, model, trees, 10_000)
        return logps_and_gradient(layout, model.train(), [trees])[1]

    small = policy.load_base(
        Model(base=str(base)), torch.float32, torch.device("cpu"), four_bit=True
    )
    assert distance(gradient_of(True), gradient_of(False)) < 1e-5


def test_a_reference_of_the_whole_base_is_not_taken_for_it(base: Path, new_run: NewRun) -> None:
    cache = str(base.parent / "four-bit-cache")
    four = dataclasses.replace(job(base), reference_cache=cache)
    pairs = make_pairs(4)
    full = dataclasses.replace(four, load_in_4bit=False)
    for name, variant in (("whole", full), ("four", four)):
        folder = new_run(name, variant, pairs=pairs)
        assert run_engine("dpo", folder) == EXIT_DONE
        assert read_json(folder / "result.json")["reference_cached"] == 0


def test_a_warm_up_may_use_it_too(base: Path, new_run: NewRun) -> None:
    settings = Optimisation(learning_rate=1e-2, batch_size=8)
    sft = SftJob(model=Model(base=str(base)), load_in_4bit=True, optimisation=settings)
    assert run_engine("sft", new_run("sft", sft, pairs=make_pairs(8))) == EXIT_DONE


def test_without_the_library_it_is_refused_in_words(
    base: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.engine.model.adapters.importlib.util.find_spec", lambda _: None)
    folder = new_run("none", job(base), pairs=make_pairs(2))
    assert run_engine("dpo", folder) == EXIT_FAILED
    assert "bitsandbytes" in read_json(folder / "error.json")["message"]


def test_sampling_scoring_and_judging_use_it_too(base: Path, new_run: NewRun) -> None:
    """The same base everywhere: what is sampled in four bits is also scored in four bits."""
    model = Model(base=str(base))
    trained = new_run("trained", job(base), pairs=make_pairs(16))
    assert run_engine("dpo", trained) == EXIT_DONE
    adapters = {"new": str(trained / "adapter"), "base": None}
    prompts = [
        {"id": f"{name}-{i}", "messages": pair["prompt"], "policy": name, "seed": i}
        for name in adapters
        for i, pair in enumerate(make_pairs(3))
    ]
    sampling = Sampling(max_new_tokens=12)
    sampled = new_run(
        "sampled",
        SampleJob(model=model, adapters=adapters, sampling=sampling, load_in_4bit=True),
        prompts=prompts,
    )
    assert run_engine("sample", sampled) == EXIT_DONE, read_json(sampled / "error.json")
    assert read_json(sampled / "result.json")["way_reason"] is None
    written = {row["id"]: row for row in read_lines(sampled / "completions.jsonl")}
    rows = [
        {
            "id": prompt["id"],
            "messages": prompt["messages"],
            "policy": prompt["policy"],
            "text": written[prompt["id"]]["text"],
        }
        for prompt in prompts
        if written[prompt["id"]]["finish_reason"] == "stop" or written[prompt["id"]]["text"]
    ]
    scores = {}
    for name, four_bit in (("four", True), ("whole", False)):
        scored = new_run(
            name,
            ScoreJob(model=model, adapters=adapters, load_in_4bit=four_bit),
            completions=rows,
        )
        assert run_engine("score", scored) == EXIT_DONE, read_json(scored / "error.json")
        scores[name] = [row["reference_logp"] for row in read_lines(scored / "scores.jsonl")]
    assert scores["four"] != scores["whole"]

    settings = Optimisation(learning_rate=1e-2, batch_size=8)
    reward = RewardJob(model=model, load_in_4bit=True, optimisation=settings)
    judge = new_run("reward", reward, pairs=make_pairs(16))
    assert run_engine("reward", judge) == EXIT_DONE, read_json(judge / "error.json")
    judged = new_run(
        "judged",
        JudgeJob(model=model, adapter=str(judge / "adapter"), load_in_4bit=True),
        completions=rows,
    )
    assert run_engine("judge", judged) == EXIT_DONE, read_json(judged / "error.json")
    assert len(read_lines(judged / "scores.jsonl")) == len(rows)
