"""Words that differ are marked; everything else is as it was written."""

import html
import re
from itertools import pairwise

import pytest

from annotate.rendering.diff import MAX_CHARS, difference
from tests.conftest import NO_SHARED_DATA, SHARED_DATA
from tests.hostile import CORPUS
from tests.real_texts import real_pairs


def marks(diff):
    """The marked words of both sides."""
    return (
        [html.unescape(word) for word in re.findall(rf"{LEFT}(.*?)</mark>", diff.left, re.S)],
        [html.unescape(word) for word in re.findall(rf"{RIGHT}(.*?)</mark>", diff.right, re.S)],
    )


LEFT, RIGHT = '<mark class="only-left">', '<mark class="only-right">'


def bare(marked):
    return html.unescape(re.sub("</?mark[^>]*>", "", marked))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a red fox ran", "a blue fox ran", (["red"], ["blue"])),
        ("same", "same", ([], [])),
        ("", "", ([], [])),
        ("one two three", "one two three four", ([], ["four"])),
        ("x < y", "x > y", (["<"], [">"])),
        ("", "new words", ([], [])),
        ("old words", "", ([], [])),
        ("a\n\nb c d", "a\n\nb c e", (["d"], ["e"])),
        ("東京は大きい", "京都は大きい", (["東京"], ["京都"])),
    ],
)
def test_changed_words_are_marked(left, right, expected):
    diff = difference(left, right)
    assert marks(diff) == expected
    assert bare(diff.left) == left
    assert bare(diff.right) == right


def test_equal_words_between_changes_are_not_left_as_islands():
    tail = " and then we all went home together again"
    diff = difference(f"we met at the old inn{tail}", f"they sat in the new bar{tail}")
    assert marks(diff) == (["we met at the old inn"], ["they sat in the new bar"])


def test_where_hardly_anything_is_common_nothing_is_marked():
    left, right = "We met at the old inn by the river.", "They sat in a new bar, far away"
    diff = difference(left, right)
    assert diff.level == "apart"
    assert (diff.left, diff.right) == (left, right)


def test_white_space_is_kept_and_never_marked():
    diff = difference("a  b\n\n\tc", "a  x\n\n\tc")
    assert diff.left == f"a  {LEFT}b</mark>\n\n\tc"
    assert diff.right == f"a  {RIGHT}x</mark>\n\n\tc"


def test_hidden_characters_are_shown():
    assert "⟦U+202E⟧" in difference("a\u202eb", "a").left


def test_tags_in_the_text_stay_text():
    assert difference("<ins>x", "<ins>y").left == f"&lt;ins&gt;{LEFT}x</mark>"


def test_long_answers_are_compared_by_words():
    shared = "The quick brown fox jumps over the lazy dog. " * 1_100
    diff = difference(shared + "Red.", shared + "Blue.")
    assert diff.level == "words"
    assert marks(diff) == (["Red"], ["Blue"])


def test_more_words_than_that_are_compared_by_lines():
    line = "漢字かな交じり文の長い行。\n"
    diff = difference(line * 2_000 + "終わり\n", line * 2_000 + "完\n")
    assert diff.level == "lines"
    assert marks(diff) == (["終わり"], ["完"])


def test_more_than_that_is_not_marked():
    assert difference("a" * MAX_CHARS, "b").level == "all"
    assert difference("a\n" * 50_000, "b\n" * 50_000).level == "all"


def test_hostile_text_brings_no_tag_of_its_own():
    names = [name for name, text in CORPUS.items() if len(text) < 100_000]
    for name, other in pairwise(names):
        diff = difference(CORPUS[name], CORPUS[other])
        assert set(re.findall(r"<[^>]*>?", diff.left)) <= {LEFT, "</mark>"}, name
        assert set(re.findall(r"<[^>]*>?", diff.right)) <= {RIGHT, "</mark>"}, other


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=NO_SHARED_DATA)
def test_real_pairs_come_out_whole():
    for _, left, right in real_pairs():
        diff = difference(left, right)
        if (left + right).isascii():
            assert bare(diff.left) == left
            assert bare(diff.right) == right
