"""Messages become the tokens that training, scoring and sampling agree on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.engine.conftest import make_tokenizer
from training.engine.data.chat import Chat, Tree, common_prefix
from training.engine.data.pairs import Pair
from training.engine.errors import EngineError

USER = [{"role": "user", "content": "what is the capital of france"}]


def pair(chosen: str = "paris", rejected: str = "I do not know") -> Pair:
    answer = [{"role": "assistant", "content": chosen}]
    other = [{"role": "assistant", "content": rejected}]
    return Pair("p", USER, answer, other, 1.0, "train", 7)


def test_the_completion_holds_the_end_of_the_turn(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path)
    (tree,) = Chat(tokenizer).pair_trees([pair()], 100)
    assert tokenizer.decode(tree.prompt).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(tree.branches[0]) == "paris<|im_end|>\n"
    assert tree.prompt == Chat(tokenizer).prompt_ids([USER])[0]


def test_without_a_template_turns_are_plain_lines(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path, template=None))
    (tree,) = chat.pair_trees([pair()], 100)
    assert chat.plain
    assert chat.tokenizer.decode(tree.prompt) == ("User: what is the capital of france\nAssistant:")
    assert chat.tokenizer.decode(tree.branches[0]) == " paris<|im_end|>"
    assert chat.text(tree.branches[0]) == "paris"


def test_plain_lines_show_earlier_turns(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path, template=None))
    talk = [{"role": "system", "content": "be good"}, *USER]
    talk += [{"role": "assistant", "content": "paris"}, {"role": "user", "content": "and rome"}]
    (ids,) = chat.prompt_ids([talk])
    assert chat.tokenizer.decode(ids) == (
        "be good\n\nUser: what is the capital of france\nAssistant: paris<|im_end|>\n"
        "User: and rome\nAssistant:"
    )


def test_too_long_a_prompt_loses_its_beginning(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path))
    (full,) = chat.pair_trees([pair()], 100)
    longest = max(map(len, full.branches))
    (cut,) = chat.pair_trees([pair()], longest + 5)
    assert cut.branches == full.branches
    assert cut.prompt == full.prompt[-5:]


def test_too_long_a_completion_loses_its_end_and_keeps_some_prompt(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path))
    long = pair(rejected="yes no " * 50)
    (full,) = chat.pair_trees([long], 1000)
    (cut,) = chat.pair_trees([long], 16)
    assert cut.prompt == full.prompt[-4:]
    assert cut.branches[1] == full.branches[1][:12]
    assert cut.branches[0] == full.branches[0]  # it is short enough


def test_a_template_that_refuses_names_the_line(tmp_path: Path) -> None:
    template = "{{ raise_exception('no system message, please') }}"
    chat = Chat(make_tokenizer(tmp_path, template=template))
    with pytest.raises(EngineError, match=r"line 7 \(id p\).*no system message, please"):
        chat.pair_trees([pair()], 100)


def test_rows_join_prompt_and_branch() -> None:
    assert Tree("t", [1, 2], ([3], [4, 5])).rows == [[1, 2, 3], [1, 2, 4, 5]]


@pytest.mark.parametrize(
    ("a", "b", "n"), [([1, 2], [1, 2, 3], 2), ([1, 9], [1, 2], 1), ([], [1], 0)]
)
def test_common_prefix(a: list[int], b: list[int], n: int) -> None:
    assert common_prefix(a, b) == n


def test_an_invented_next_turn_is_cut_off(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path, template=None))

    def ids(text: str) -> list[int]:
        return list(chat.tokenizer(text, add_special_tokens=False)["input_ids"])

    row = ids(" tea, please\nUser: what else\nAssistant: water<|im_end|>")
    answer = chat.before(row, chat.stop_strings)
    assert chat.text(answer) == "tea, please"
    assert row[: len(answer)] == answer
    harmless = ids("User: is a word\nUse r:")
    assert chat.before(harmless, chat.stop_strings) == harmless


def test_a_template_of_its_own_has_its_own_end(tmp_path: Path) -> None:
    chat = Chat(make_tokenizer(tmp_path))
    row = list(chat.tokenizer("tea\nUser: what", add_special_tokens=False)["input_ids"])
    assert chat.stop_strings == []
    assert chat.before(row, chat.stop_strings) == row
