"""Data files are read strictly, and bad lines are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.engine.conftest import make_pairs, write_lines
from training.engine.data.pairs import read_pairs, read_prompts
from training.engine.errors import EngineError

GOOD = '{"id": 1, "prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}'  # noqa: E501


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "pairs.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        read_pairs(path)
    assert caught.value.kind == "bad_data"
    return caught.value.message


def test_defaults(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(GOOD + "\n\n", encoding="utf-8")
    (pair,) = read_pairs(tmp_path / "pairs.jsonl")
    assert (pair.id, pair.weight, pair.split, pair.line) == ("1", 1.0, "train", 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: not a JSON object"),
        (GOOD.replace('"id": 1', '"id": null'), "line 2: id:"),
        (GOOD.replace('"content": "c"', '"content": 3'), "line 2: rejected.content:"),
        (GOOD.replace('"chosen": [', '"chosen": [7, '), "line 2: chosen:"),
        (GOOD[:-1] + ', "weight": NaN}', "line 2: NaN is not JSON"),
        (GOOD[:-1] + ', "weight": -1}', "line 2: weight:"),
        (GOOD[:-1] + ', "split": "test"}', "line 2: split:"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in complaint(tmp_path, f"{GOOD}\n{line}\n{GOOD}\n")


def test_every_wrong_line_is_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    message = complaint(tmp_path, "{}\n" * 25)
    assert "25 wrong line(s)" in message
    assert "line 20:" in message
    assert "line 21:" not in message
    assert "and 5 more" in message


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in complaint(tmp_path, "\n")


def test_demonstrations_need_no_rejected_answer(tmp_path: Path) -> None:
    rows = make_pairs(2)
    del rows[0]["rejected"]
    write_lines(tmp_path / "pairs.jsonl", rows)
    assert len(read_pairs(tmp_path / "pairs.jsonl", demonstrations=True)) == 2
    with pytest.raises(EngineError, match="line 1: rejected"):
        read_pairs(tmp_path / "pairs.jsonl")


def test_prompts_need_a_known_policy_and_an_id_of_their_own(tmp_path: Path) -> None:
    row = {"id": "a", "messages": [{"role": "user", "content": "x"}], "policy": "base", "seed": 1}
    path = tmp_path / "prompts.jsonl"
    write_lines(path, [row, {**row, "policy": "other", "id": "b"}])
    with pytest.raises(EngineError, match="line 2: policy: none of base: 'other'"):
        read_prompts(path, {"base"})
    write_lines(path, [row, row])
    with pytest.raises(EngineError, match="line 2: id 'a' was on line 1 already"):
        read_prompts(path, {"base"})
