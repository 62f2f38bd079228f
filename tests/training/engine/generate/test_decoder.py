"""Our batched decoder: the same texts as single-policy sampling, whatever else is in the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.engine.conftest import read_json, read_lines, run_engine
from tests.training.engine.layouts import KINDS, VOCABULARY, bare
from training.engine.commands.sample import with_adapters
from training.engine.config import Model, SampleJob, Sampling
from training.engine.data.chat import Chat
from training.engine.data.endings import EndRule
from training.engine.generate import decoder
from training.engine.generate.cuda_graphs import DecodeStep
from training.engine.generate.cuda_graphs import obstacle as graph_obstacle
from training.engine.generate.decoder import Decoder, Question, Wanted, evenly, in_order
from training.engine.generate.hf_generate import Generated
from training.engine.generate.kv_cache import pieces
from training.engine.model import adapters as policy
from training.engine.model.adapters import load_tokenizer, speaking_as

NewRun = Callable[..., Path]
END = 2
PLAIN = Sampling()


@pytest.fixture
def model(base: Path, tmp_path: Path) -> Iterator[Any]:
    """The base with two random adapters of different rank and modules, whose texts differ."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders: dict[str, str | None] = {"bare": None}
    for name, rank, targets in (("a", 4, "all-linear"), ("b", 6, ["q_proj", "down_proj"])):
        torch.manual_seed(rank)
        made = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=8, target_modules=targets),
        )
        for key, parameter in made.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        made.save_pretrained(tmp_path / name)
        folders[name] = str(tmp_path / name)
    bare = AutoModelForCausalLM.from_pretrained(base).eval()
    model, _ = with_adapters(bare, folders)  # names: policy_0 (a), policy_1 (b)
    return model


def questions(adapters: list[str | None], samples: int, limit: int = 12) -> list[Question]:
    shuffle = torch.Generator().manual_seed(1)
    return [
        Question(
            adapter,
            torch.randint(3, 340, (3 + 5 * i,), generator=shuffle).tolist(),
            tuple(
                Wanted(100 * a + 10 * i + j, 1000 * a + 10 * i + j, limit + i + j)
                for j in range(samples)
            ),
        )
        for a, adapter in enumerate(adapters)
        for i in range(6)
    ]


def written(
    model: Any, asked: list[Question], rows: int, sampling: Sampling = PLAIN, **named: Any
) -> dict[int, list[int]]:
    writer = Decoder(model, sampling, rows, lambda tokens: tokens[-1] == END, **named)
    try:
        return {row.wanted.index: row.tokens for row in writer.write(asked)}
    finally:
        writer.release()


@pytest.mark.parametrize("rows", [1, 3, 8, 64])
def test_adapters_mixed_in_a_batch_write_what_each_writes_alone(model: Any, rows: int) -> None:
    asked = questions(["policy_0", "policy_1", None], samples=3)
    together = written(model, asked, rows)
    assert len(together) == 54
    alone = {}
    for question in asked:
        for answer in question.answers:
            alone |= written(model, [Question(question.adapter, question.tokens, (answer,))], 1)
    assert together == alone
    assert together[0] != together[100] != together[200]  # the policies differ


def test_answers_may_all_end_with_their_first_token(model: Any) -> None:
    """Then no answer's keys are cached, and the last row still takes a finished row's place."""
    writer = Decoder(model, PLAIN, 4, lambda _: True)
    try:
        rows = list(writer.write(questions(["policy_0"], samples=2)))
    finally:
        writer.release()
    assert [len(row.tokens) for row in rows] == 12 * [1]


def test_greedy_is_what_generate_writes_for_one_policy(model: Any) -> None:
    asked = questions(["policy_0", "policy_1", None], samples=1)
    ours = written(model, asked, 7, Sampling(temperature=0.0))
    for question in asked:
        with speaking_as(model, question.adapter):
            out = model.generate(
                input_ids=torch.tensor([question.tokens]),
                do_sample=False,
                max_new_tokens=question.answers[0].limit,
                eos_token_id=END,
            )
        assert ours[question.answers[0].index] == out[0, len(question.tokens) :].tolist()


def test_both_ways_write_the_same_texts(model: Any, base: Path) -> None:
    """All settings at once: both ways share seeds, logit shaping and stop rules."""
    chat = Chat(load_tokenizer(Model(base=str(base))))
    sampling = Sampling(
        temperature=0.8,
        top_k=60,
        top_p=0.9,
        min_p=0.01,
        repetition_penalty=1.3,
        stop_sequences=("at", "in"),
    )
    asked = questions(["policy_0", None], samples=2)
    ending = EndRule(chat, {END}, sampling.stop_sequences)
    fast = Decoder(model, sampling, 5, ending.reached)
    ours = {row.wanted.index: ending.cut(row.tokens) for row in fast.write(asked)}
    fast.release()
    slow = Generated(model, chat.tokenizer, sampling, 5, ending)
    theirs = {row.wanted.index: ending.cut(row.tokens) for row in slow.write(asked)}
    assert ours == theirs
    assert {reason for _, reason in ours.values()} == {"stop", "length"}


def test_out_of_memory_takes_fewer_rows_and_loses_nothing(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(["policy_0"], samples=2)
    expected = written(model, asked, 8)
    inner = Decoder._hidden

    def tight(self: Decoder, ids: Any, positions: Any) -> Any:
        if len(self._rows) > 2:
            raise torch.OutOfMemoryError("no more")
        return inner(self, ids, positions)

    monkeypatch.setattr(Decoder, "_hidden", tight)
    assert written(model, asked, 8) == expected


def test_a_request_to_stop_is_heard_between_tokens(model: Any) -> None:
    class Enough(Exception):
        pass

    calls = 0

    def between() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Enough

    writer = Decoder(model, Sampling(), 4, lambda _: False)
    with pytest.raises(Enough):
        list(writer.write(questions([None], samples=1), between))
    writer.release()


@pytest.mark.parametrize("kind", KINDS)
def test_every_known_architecture_passes_its_trial(kind: str) -> None:
    """Each model's sliding windows, soft-capping and sinks; answers longer than a window."""
    model = bare(kind)
    assert decoder.obstacle(model) is None
    assert decoder.trial(model, [None]) is None
    asked = [
        Question(None, list(range(5, 5 + n)), (Wanted(n, n, 20), Wanted(n + 1, n + 1, 20)))
        for n in (4, 13)
    ]
    writer = Decoder(model, Sampling(temperature=0.0), 4, lambda _: False)
    rows = list(writer.write(asked))
    writer.release()
    for row in rows:
        ids = torch.tensor([row.question.tokens + row.tokens[:-1]])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(row.question.tokens) - 1 :]
        logp = torch.log_softmax(logits.float(), -1)
        theirs = logp.gather(-1, torch.tensor(row.tokens)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(row.logps), theirs, atol=1e-4, rtol=1e-4)


def test_a_model_that_cannot_is_sampled_with_generate_and_the_reason_is_told(
    base: Path, talker: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.engine.commands.test_sample import prompts

    jobs = {
        name: SampleJob(
            model=Model(base=str(base)),
            adapters={"base": None, "v1.0": str(talker)},
            sampling=Sampling(max_new_tokens=10),
        )
        for name in ("fast", "slow")
    }
    rows = prompts(6, ("base", "v1.0"))
    fast = new_run("fast", jobs["fast"], prompts=rows)
    assert run_engine("sample", fast) == 0
    monkeypatch.setattr(decoder.architecture, "KNOWN", {"qwen2"})
    slow = new_run("slow", jobs["slow"], prompts=rows)
    assert run_engine("sample", slow) == 0
    assert read_json(fast / "result.json")["way"] == "batch"
    result = read_json(slow / "result.json")
    assert result["way"] == "generate"
    assert "llama" in result["way_reason"]
    assert "llama" in (slow / "engine.log").read_text()
    by_id = [
        {row["id"]: row["text"] for row in read_lines(run / "completions.jsonl")}
        for run in (fast, slow)
    ]
    assert by_id[0] == by_id[1]


def test_a_model_with_a_state_is_told_apart() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, state_size=4)
    assert "mamba" in str(decoder.obstacle(MambaForCausalLM(config)))


def test_a_variant_of_lora_is_told_apart(base: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = LoraConfig(task_type="CAUSAL_LM", r=2, use_dora=True, target_modules=["q_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    assert "variant" in str(decoder.obstacle(model))


def test_the_trial_finds_a_way_that_computes_something_else(model: Any) -> None:
    assert decoder.trial(model, ["policy_0", "policy_1"]) is None
    names = {"policy_0": "policy_1", "policy_1": "policy_0"}
    select = decoder.mixed_lora.MixedLora.select
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            decoder.mixed_lora.MixedLora,
            "select",
            lambda self, rows: select(self, [names.get(str(row)) for row in rows]),
        )
        assert "differ" in str(decoder.trial(model, ["policy_0", "policy_1"]))


def test_released_the_model_is_as_it_was(model: Any) -> None:
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad(), policy.speaking_as(model, "policy_1"):
        before = model(input_ids=ids).logits
        written(model, questions(["policy_0"], samples=1), 4)
        assert torch.equal(model(input_ids=ids).logits, before)


def test_questions_go_policy_by_policy_and_turn_at_the_border() -> None:
    asked = [Question(n, [0] * length, ()) for n in ("b", None, "a") for length in (2, 9, 5)]
    got = [(q.adapter, len(q.tokens)) for q in in_order(asked)]
    assert got == [
        *[(None, n) for n in (9, 5, 2)],
        *[("a", n) for n in (2, 5, 9)],
        *[("b", n) for n in (9, 5, 2)],
    ]


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [
        ([5], [(0, 1, 5)]),
        ([5] * 20, [(0, 20, 5)]),
        ([9] * 8 + [3] * 8, [(0, 9, 9), (9, 16, 3)]),
        ([9, 1] * 4, [(0, 8, 9)]),  # a small piece is not divided
        ([1] * 8 + [9], [(0, 8, 1), (8, 9, 9)]),
    ],
)
def test_pieces(lengths: list[int], runs: list[tuple[int, int, int]]) -> None:
    assert pieces(lengths) == runs


@pytest.mark.parametrize(
    ("answers", "rows", "taken"),
    [(1, 8, 1), (8, 8, 8), (9, 8, 5), (144, 128, 72), (1200, 128, 120), (5, 1, 1)],
)
def test_waves_of_answers_are_even(answers: int, rows: int, taken: int) -> None:
    assert evenly(answers, rows) == taken


# --- recorded steps: a GPU replays them; here "recording" keeps the function and its buffers ---


class Recorder:
    """Calls the same function on the same buffers again, as a CUDA graph would."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, step: DecodeStep) -> DecodeStep:
        self.recorded += 1

        def replay() -> Tensor:
            self.replayed += 1
            return step()

        return replay


@pytest.mark.parametrize(
    ("rows", "sampling"), [(1, PLAIN), (3, Sampling(temperature=0)), (10, PLAIN), (64, PLAIN)]
)
def test_recorded_steps_write_the_same(model: Any, rows: int, sampling: Sampling) -> None:
    """Rows that fill up, rounded lengths, buffers that move and adapters that change."""
    asked = questions(["policy_0", None, "policy_1"], samples=2, limit=60)
    recorder = Recorder()
    assert written(model, asked, rows, sampling, record=recorder) == written(
        model, asked, rows, sampling
    )
    assert 0 < recorder.recorded < recorder.replayed


def test_a_step_that_cannot_be_recorded_is_computed(model: Any) -> None:
    def refuse(_: DecodeStep) -> DecodeStep:
        raise RuntimeError("operation not permitted when stream is capturing")

    asked = questions(["policy_0", None], samples=2)
    assert written(model, asked, 8, record=refuse) == written(model, asked, 8)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gpt-oss"])
def test_recorded_steps_of_every_architecture(kind: str) -> None:
    asked = questions([None], samples=2)
    asked = [
        dataclasses.replace(q, tokens=[1 + token % (VOCABULARY - 1) for token in q.tokens])
        for q in asked
    ]
    greedy, recorder = Sampling(temperature=0), Recorder()
    model = bare(kind)
    assert written(model, asked, 8, greedy, record=recorder) == written(model, asked, 8, greedy)
    assert recorder.replayed
    assert graph_obstacle(bare("gpt-oss").config)
