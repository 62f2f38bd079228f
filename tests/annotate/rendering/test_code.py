"""Code is coloured if its language is named and known, and no character of it is changed."""

import pytest

from annotate.rendering import code as highlighting
from annotate.rendering.budget import MAX_CODE_CHARS
from annotate.rendering.render import render
from tests.annotate.rendering.test_render import Inspector

CODE = 'def answer(n: int) -> str:  # why\n    return "<b>" + str(42)\n'


def block(code, label="python"):
    return render(f"```{label}\n{code}```")


def test_keywords_names_strings_numbers_and_comments_are_told_apart():
    html = block(CODE)
    for part in (
        '<span class="hl-k">def</span>',
        '<span class="hl-f">answer</span>',
        '<span class="hl-c"># why</span>',
        "&lt;b&gt;",
        '<span class="hl-m">42</span>',
    ):
        assert part in html


@pytest.mark.parametrize("label", ["", "nosuchlanguage", "text", "../../etc/passwd", "'\"<b>"])
def test_nothing_is_guessed(label):
    assert "<span" not in block(CODE, label)


@pytest.mark.parametrize("label", ["Python", "python title=x", "PYTHON3"])
def test_the_first_word_of_the_label_names_the_language(label):
    assert '<span class="hl-k">' in block(CODE, label)


@pytest.mark.parametrize("language", sorted(highlighting.LANGUAGES))
def test_every_language_keeps_every_letter(language):
    for code in (
        CODE,
        "\n\n  \n<a href='x'>&amp;</a>\n\n",
        '{"a": [1, 2]}\n-- x\n+y\n',
        "'\"`$({[<",
    ):
        shown = Inspector(highlighting.highlight(code, language)).text
        assert shown == code


@pytest.mark.parametrize(
    ("code", "moderate"),
    [
        (CODE, True),
        (CODE * 40, True),
        ("x" * (highlighting.MAX_LINE_CHARS + 1), False),
        ("x = 1\n" * (highlighting.MAX_LINES + 1), False),
        ("x = 1;\n" + "\n" * 30 + "y", False),
        ("a\n" * 100, False),
        ((("x = 1; " * 20) + "\n") * 60, False),
    ],
)
def test_what_a_lexer_could_choke_on_is_plain(code, moderate):
    assert highlighting.is_moderate(code) is moderate
    assert ("<span" in highlighting.highlight(code, "java")) is moderate


def test_one_text_has_so_much_code_coloured_and_no_more():
    code_block = "```python\n" + CODE * 60 + "```\n"
    html = render(code_block * (2 * MAX_CODE_CHARS // len(code_block)))
    blocks = html.split("<pre")
    assert "<span" in blocks[1]
    assert "<span" not in blocks[-1]
