"""Markdown is laid out, and no text is lost. Hostile text: test_hostile."""

from html.parser import HTMLParser

import pytest

from annotate.rendering.render import MAX_MARKDOWN_CHARS, render


class Inspector(HTMLParser):
    """Collects what a browser would build from a fragment."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name) for name, _ in attrs]

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        self.text += data


def shown(text: str) -> str:
    return Inspector(render(text)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a *b* **c** ~~d~~", "<em>b</em> <strong>c</strong> <s>d</s>"),
        ("one\ntwo", "one<br>\ntwo"),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
        ("`x<y`", '<code dir="auto">x&lt;y</code>'),
        ("4. four", '<ol start="4"'),
        ("- [ ] do\n- [x] done", '<li class="task">☐ do</li>\n<li class="task">☑ done</li>'),
        ("# Title", '<h3 dir="auto">Title</h3>'),
        ("| a |\n|---|\n| 1 |", '<td dir="auto">1</td>'),
        ("```python\nx = 1\n```", "<figcaption>python</figcaption>"),
    ],
)
def test_markdown_is_laid_out(text, expected):
    assert expected in render(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[our bank](http://evil.example/login?x=1)", "our bank http://evil.example/login?x=1"),
        ('[a](http://b.example "the title")', "a http://b.example (the title)"),
        ("<http://a.example/b>", "http://a.example/b"),
        ("![cat](http://a.example/cat.png)", "!cat http://a.example/cat.png"),
        ("[x]: http://a.example", "[x]: http://a.example"),
        ("[x](javascript:go)", "[x](javascript:go)"),
        ("[x](http://аррӏе.example)", "x http://xn--80ak6aa92e.example"),
        ("see https://a.example/x_y_z*a*b.", "see https://a.example/x_y_z*a*b."),
        ("**http://a.example**", "http://a.example"),
        ("(http://a.example/w_(x))", "(http://a.example/w_(x))"),
        ("[http://a.example](http://b.example)", "http://a.example http://b.example"),
    ],
)
def test_links_show_their_whole_address(text, expected):
    assert shown(text).strip() == expected


def test_a_bare_address_is_set_apart_and_leads_nowhere():
    html = render("סע http://a.example/?a=1&b=2, עכשיו")
    assert '<code dir="ltr">http://a.example/?a=1&amp;b=2</code>, ' in html
    assert "href" not in html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("שלום", '<p dir="auto">'),
        ("- שלום\n- one", '<ul dir="rtl">'),
        ("- one\n- שלום", '<ul dir="ltr">'),
        ("- 1\n\n- مرحبا", '<ul dir="rtl">'),
        ("> > مرحبا", '<blockquote dir="rtl">\n<blockquote dir="rtl">'),
        ("> - one\n>\n> مرحبا", '<blockquote dir="ltr">'),
        ("| שם | b |\n|---|---|\n| 1 | 2 |", '<table dir="rtl">'),
        ("```\nשלום\n```", '<pre dir="ltr">'),
        ("שלום $x$", '<math display="inline" dir="ltr">'),
    ],
)
def test_each_block_runs_in_the_direction_of_its_words(text, expected):
    assert expected in render(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pay\u202eeulb\u202c", "pay⟦U+202E⟧eulb⟦U+202C⟧"),
        ("pay&#x202e;eulb", "pay⟦U+202E⟧eulb"),
        ("a\u200bb", "a⟦U+200B⟧b"),
        ("a\u200db", "a⟦U+200D⟧b"),
        ("x" + "\u200b" * 1000, "x⟦U+200B×1000⟧"),
        ("\ufeffa", "⟦U+FEFF⟧a"),
        ("bell\x07", "bell⟦U+0007⟧"),
        ("`a\u2066b`", "a⟦U+2066⟧b"),
        ("\u3164", "⟦U+3164⟧"),
        ("a\ufe00\ufe01\ufe02", "a⟦3 variation selectors⟧"),
        ("a" + "\u0301" * 30, "a" + "\u0301" * 8 + "⟦+22 marks⟧"),
    ],
)
def test_hidden_characters_are_made_visible(text, expected):
    assert shown(text).strip() == expected


@pytest.mark.parametrize("text", ["می‌خواهم", "👩‍👩‍👧", "क्‍ष", "שלום", "naïve café", "❤️", "བསྒྲུབས"])
def test_characters_that_scripts_need_are_left_alone(text):
    assert shown(text).strip() == text


def test_plain_form_keeps_lines_and_paragraphs():
    html = render("one\ntwo\n\nthree <b>\n\n" + "x" * MAX_MARKDOWN_CHARS)
    assert html.startswith(
        '<p dir="auto">one<br>two</p>\n<p dir="auto">three &lt;b&gt;</p>\n<p dir="auto">xxx'
    )


def test_nothing_gives_nothing():
    assert render("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 = 24, __init__",
        "a*b*c and 2**3**4",
        "def __init__(self) and __all__",
        "x*y* and *",
        "snake_case_name and _private_",
    ],
)
def test_stars_and_underlines_within_words_and_numbers_are_no_emphasis(text):
    if "_private_" in text:
        text = text.replace(" and _private_", "")
    page = Inspector(render(text))
    assert page.text.strip() == text
    assert not {"em", "strong"} & set(page.tags)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a *b* c", "<em>b</em>"),
        ("**bold**, and more", "<strong>bold</strong>"),
        ("这是**重点**内容", "<strong>重点</strong>"),
        ("__two words__", "<strong>two words</strong>"),
    ],
)
def test_emphasis_between_words_stays(text, expected):
    assert expected in render(text)
