"""Sampling: texts depend on seeds, not on the batch, and a stopped job continues where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.conftest import read_json, read_lines, run_engine
from training.engine.commands import sample
from training.engine.config import Model, SampleJob, Sampling, ScoreJob
from training.engine.generate.seeded_noise import RowNoise

NewRun = Callable[..., Path]


def prompts(count: int, policies: tuple[str, ...] = ("base",)) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{name}-{i}",
            "messages": [{"role": "user", "content": "what is " * (1 + i % 5)}],
            "policy": name,
            "seed": 100 + i,
        }
        for name in policies
        for i in range(count)
    ]


def job(base: Path, talker: Path | None = None, **changes: Any) -> SampleJob:
    sampling = Sampling(**{"max_new_tokens": 10, **changes.pop("sampling", {})})
    adapters = {"base": None} | ({"v1.0": str(talker)} if talker else {})
    return SampleJob(model=Model(base=str(base)), adapters=adapters, sampling=sampling, **changes)


def texts(folder: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for row in read_lines(folder / "completions.jsonl")}


def test_the_same_seed_gives_the_same_text_in_any_company(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    rows = prompts(7, ("base", "v1.0"))
    together = new_run("together", job(base, talker), prompts=rows)
    alone = new_run("alone", job(base, talker, batch_size=1), prompts=rows[::-1])
    for folder in (together, alone):
        assert run_engine("sample", folder) == 0
    assert texts(together) == texts(alone)
    assert len(texts(together)) == 14
    assert texts(together)["base-1"] != texts(together)["v1.0-1"]  # the adapter makes a difference
    assert texts(together)["base-0"] != texts(together)["base-5"]  # same prompt, other seed


def test_rows_have_what_the_contract_says(base: Path, talker: Path, new_run: NewRun) -> None:
    rows = prompts(10, ("base", "v1.0"))
    folder = new_run("run", job(base, talker, sampling={"max_new_tokens": 60}), prompts=rows)
    assert run_engine("sample", folder) == 0
    rows = read_lines(folder / "completions.jsonl")
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    for row in rows:
        assert row["seed"] == 100 + int(row["id"].rpartition("-")[2])
        assert "<|im_end|>" not in row["text"]
        assert row["logprob"] < 0
        assert (row["token_count"] == 60) or row["finish_reason"] == "stop"
    assert read_json(folder / "result.json")["completions"] == 20


def test_a_stopped_job_goes_on_where_it_was(base: Path, new_run: NewRun) -> None:
    uninterrupted = new_run("whole", job(base, batch_size=2), prompts=prompts(6))
    assert run_engine("sample", uninterrupted) == 0
    lines = (uninterrupted / "completions.jsonl").read_text().splitlines(keepends=True)
    part = new_run("part", job(base, batch_size=2), prompts=prompts(6))
    (part / "completions.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    assert run_engine("sample", part) == 0
    assert texts(part) == texts(uninterrupted)
    rows = read_lines(part / "completions.jsonl")
    assert len(rows) == 6
    assert rows[:3] == read_lines(uninterrupted / "completions.jsonl")[:3]


def test_a_job_killed_just_before_its_end_only_ends(base: Path, new_run: NewRun) -> None:
    folder = new_run("run", job(base), prompts=prompts(3))
    assert run_engine("sample", folder) == 0
    before = (folder / "completions.jsonl").read_bytes()
    (folder / "result.json").unlink()
    assert run_engine("sample", folder) == 0
    assert (folder / "completions.jsonl").read_bytes() == before
    assert read_json(folder / "result.json")["completions"] == 3


def test_a_prompt_too_long_is_named(base: Path, new_run: NewRun) -> None:
    rows = prompts(2)
    rows[1]["messages"][0]["content"] = "what is " * 400
    folder = new_run("long", job(base), prompts=rows)
    assert run_engine("sample", folder) == 1
    error = read_json(folder / "error.json")
    assert error["kind"] == "prompt_too_long"
    assert "'base-1'" in error["message"]


def test_near_the_context_s_end_a_row_is_cut_and_its_neighbours_are_not(
    base: Path, new_run: NewRun
) -> None:
    from transformers import AutoTokenizer

    rows = prompts(2)
    rows[1]["messages"][0]["content"] = "what is " * 79
    length = len(
        AutoTokenizer.from_pretrained(base).apply_chat_template(
            rows[1]["messages"], add_generation_prompt=True
        )["input_ids"]
    )
    room = 256 - length
    assert 0 < room < 40
    folder = new_run("edge", job(base, sampling={"max_new_tokens": 40}), prompts=rows)
    assert run_engine("sample", folder) == 0
    counts = {r["id"]: r["token_count"] for r in read_lines(folder / "completions.jsonl")}
    assert counts["base-1"] <= room


def test_sampled_log_probabilities_are_those_that_scoring_gives(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    """At temperature 1 the sampler's distribution is the model's own.

    The texts compared ended by themselves, and their tokens are the same when tokenised
    again. ChatML has a line break after the end token, which scoring counts and no sampler
    writes: a job with a template without it is compared.
    """
    from tests.training.engine.conftest import CHATML

    folder = base.parent / "no line break"
    if not folder.exists():
        shutil.copytree(base, folder)
        template = CHATML.replace("'<|im_end|>' + '\n'", "'<|im_end|>'")
        (folder / "chat_template.jinja").write_text(template)
    asked = prompts(160, ("v1.0",))
    run = new_run("s", job(folder, talker, sampling={"max_new_tokens": 60}), prompts=asked)
    assert run_engine("sample", run) == 0
    drawn = {row["id"]: row for row in read_lines(run / "completions.jsonl")}
    completions = [
        {"id": r["id"], "messages": r["messages"], "policy": "v1.0", "text": drawn[r["id"]]["text"]}
        for r in asked
        if drawn[r["id"]]["finish_reason"] == "stop"
    ]
    adapters = {"v1.0": str(talker)}
    scoring = new_run(
        "scores",
        ScoreJob(model=Model(base=str(folder)), adapters=adapters),
        completions=completions,
    )
    assert run_engine("score", scoring) == 0
    scores = read_lines(scoring / "scores.jsonl")
    same = [r for r in scores if r["token_count"] == drawn[r["id"]]["token_count"]]
    assert len(same) >= 3
    for row in same:
        assert row["logp"] == pytest.approx(drawn[row["id"]]["logprob"], abs=1e-3)
        assert row["logp"] > row["reference_logp"]  # the base is unlikely to write this


def test_greedy_is_the_most_likely_token(base: Path, new_run: NewRun) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = new_run("greedy", job(base, sampling={"temperature": 0.0}), prompts=prompts(3))
    assert run_engine("sample", folder) == 0
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    for row in prompts(3):
        ids = tokenizer.apply_chat_template(
            row["messages"], add_generation_prompt=True, return_tensors="pt"
        )
        out = model.generate(**ids, max_new_tokens=10, do_sample=False)[0]
        expected = tokenizer.decode(out[ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert texts(folder)[row["id"]] == expected.rstrip()


def test_the_noise_draws_from_the_shaped_distribution() -> None:
    """20,000 rows with seeds of their own: shares within four standard errors of p.

    Logits log(1, 2, 3, 4) at temperature 0.5 have p ∝ 1, 4, 9, 16; top-k 3 leaves 4, 9, 16 of
    29; top-p 0.8 keeps 16/29 and 9/29 (0.55 alone is below 0.8), so p = 0.64 and 0.36.
    """
    rows = 20_000
    scores = torch.log(torch.tensor([1.0, 2.0, 3.0, 4.0])).repeat(rows, 1)
    sampling = Sampling(temperature=0.5, top_k=3, top_p=0.8)
    noise = RowNoise(sampling, list(range(rows)), torch.device("cpu"))
    taken = noise(torch.zeros(rows, 1, dtype=torch.long), scores).argmax(-1)
    share = torch.bincount(taken, minlength=4) / rows
    assert share[:2].sum() == 0
    assert float(share[3]) == pytest.approx(0.64, abs=4 * (0.64 * 0.36 / rows) ** 0.5)
    logp = noise.chosen[0]
    expected = torch.log(torch.tensor([0.0, 0.0, 0.36, 0.64]))[taken]
    torch.testing.assert_close(logp, expected, atol=1e-5, rtol=0)


def test_without_a_template_an_answer_ends_before_an_invented_turn(
    base: Path, tmp_path: Path, new_run: NewRun
) -> None:
    """The model is biased towards the characters of a next turn, so that it writes some."""
    from tests.training.engine.conftest import make_tokenizer
    from training.engine.model.adapters import load_tokenizer

    plain = tmp_path / "plain-base"
    shutil.copytree(base, plain)
    (plain / "chat_template.jinja").unlink()
    make_tokenizer(plain, template=None)
    tokenizer = load_tokenizer(Model(base=str(plain)))
    turn = tokenizer("\nUser:", add_special_tokens=False)["input_ids"]

    from training.engine.generate import decoder

    def steered(
        scores: torch.Tensor, race: object, seeds: object, steps: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = [5, 6, *turn, *[7] * 50]
        return torch.tensor([wanted[step] for step in steps]), torch.zeros(len(scores))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "draw", steered)
        patch.setattr(decoder, "trial", lambda *_: None)  # it would notice the steering
        folder = new_run("plain", job(plain, sampling={"max_new_tokens": 40}), prompts=prompts(3))
        assert run_engine("sample", folder) == 0
    for row in read_lines(folder / "completions.jsonl"):
        assert row["text"] == tokenizer.decode([5, 6]).strip()
        assert (row["token_count"], row["finish_reason"]) == (2, "stop")


def test_who_watches_sees_what_is_under_way(
    base: Path, talker: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(sample, "PARTIAL_SECONDS", 0.0)
    monkeypatch.setattr(sample, "write_json", lambda path, data, sync: shown.append(data))
    settings = job(base, talker, show_partial=True)
    folder = new_run("watched", settings, prompts=prompts(2, ("v1.0",)))
    assert run_engine("sample", folder) == 0
    final = texts(folder)
    assert len(shown) > 2
    for before, after in pairwise(shown):
        assert all(len(after[key]) >= len(before[key]) for key in before.keys() & after.keys())
    assert all(final[key].startswith(text.rstrip()) for some in shown for key, text in some.items())
    assert any(text for some in shown for text in some.values())
