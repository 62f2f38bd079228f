"""Untrusted text is shown safely and whole."""

from html.parser import HTMLParser

import pytest

from annotate.rendering import MAX_MARKDOWN_CHARS, TAGS, render

ALLOWED_ATTRIBUTES = {("ol", "start"), *((tag, "dir") for tag in TAGS)}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<math><mtext></table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=a>'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<form action=//evil.example><button>go</button></form>",
    "<div hx-get=/p/x/rate/ hx-trigger=load data-hx-get=/x id=top class=card style='x:y'>",
    "<base href=//evil.example><meta http-equiv=refresh content='0;//evil.example'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    '[x](http://a.example "\' onmouseover=alert(1)")',
    '[x](http://a.example/"onmouseover="alert(1))',
    "![x](http://tracker.example/pixel.png)",
    "![x][1]\n\n[1]: http://tracker.example/pixel.png",
    "<http://evil.example/'><script>alert(1)</script>>",
    '```"><script>alert(1)</script>\nx\n```',
    "``` ' onclick=alert(1)\nx\n```",
    "`</code></pre><script>alert(1)</script>`",
    "|a|\n|-|\n|<script>alert(1)</script>|",
    "# <script>alert(1)</script>",
    "</div></body></html><!-- ",
    "<!-- hidden --> --!> <![CDATA[ x ]]> <?php x ?>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "<<script>script>alert(1)<</script>/script>",
    "{% csrf_token %}{{ secret }}",
    "\x00<scr\x00ipt>alert(1)</script>",
]


class Inspector(HTMLParser):
    """Collects what a browser would build from a fragment."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name) for name, _ in attrs]

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        self.words += data


def shown(text: str) -> str:
    return Inspector(render(text)).words


@pytest.mark.parametrize("text", HOSTILE)
def test_only_listed_elements_and_attributes_come_out(text):
    page = Inspector(render(text))
    assert set(page.tags) <= TAGS
    assert set(page.attributes) <= ALLOWED_ATTRIBUTES
    assert page.comments == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_safe_in_the_plain_form_too(text):
    page = Inspector(render(text + "\n" + "x" * MAX_MARKDOWN_CHARS))
    assert set(page.tags) == {"p", "br"}
    assert page.comments == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a *b* **c** ~~d~~", "<em>b</em> <strong>c</strong> <s>d</s>"),
        ("one\ntwo", "one<br>\ntwo"),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
        ("`x<y`", "<code>x&lt;y</code>"),
        ("4. four", '<ol start="4"'),
        ("- [ ] do\n- [x] done", "<li>☐ do</li>\n<li>☑ done</li>"),
        ("# Title", '<h3 dir="auto">Title</h3>'),
        ("| a |\n|---|\n| 1 |", '<td dir="auto">1</td>'),
        ("```python\nx = 1\n```", "<figcaption>python</figcaption>"),
    ],
)
def test_markdown_is_laid_out(text, expected):
    assert expected in render(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[our bank](http://evil.example/login?x=1)", "our bank http://evil.example/login?x=1"),
        ('[a](http://b.example "the title")', "a http://b.example (the title)"),
        ("<http://a.example/b>", "http://a.example/b"),
        ("![cat](http://a.example/cat.png)", "!cat http://a.example/cat.png"),
        ("[x]: http://a.example", "[x]: http://a.example"),
        ("[x](javascript:go)", "[x](javascript:go)"),
        ("[x](http://аррӏе.example)", "x http://xn--80ak6aa92e.example"),
    ],
)
def test_links_show_their_whole_address(text, words):
    assert shown(text).strip() == words


@pytest.mark.parametrize(
    ("text", "words"),
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
    ],
)
def test_hidden_characters_are_made_visible(text, words):
    assert shown(text).strip() == words


@pytest.mark.parametrize("text", ["می‌خواهم", "👩‍👩‍👧", "क्‍ष", "שלום", "naïve café"])
def test_characters_that_scripts_need_are_left_alone(text):
    assert shown(text).strip() == text


@pytest.mark.parametrize(
    "text",
    [
        ">" * 10_000 + "deep",
        "".join("  " * depth + "- item\n" for depth in range(100)) + "deep",
        "[" * 1_000_000 + "deep",
        "a" * 1_000_000 + " deep",
        "\n\n".join(["word"] * 50_000) + " deep",
        "*" * 10_000 + "deep",
        "(" * 10_000 + "[x](" + "(" * 10_000 + "deep",
    ],
    ids=["quotes", "lists", "brackets", "long word", "many paragraphs", "stars", "parentheses"],
)
def test_monstrous_text_keeps_its_last_word(text):
    assert "deep" in shown(text)


def test_plain_form_keeps_lines_and_paragraphs():
    html = render("one\ntwo\n\nthree <b>\n\n" + "x" * MAX_MARKDOWN_CHARS)
    assert html.startswith(
        '<p dir="auto">one<br>two</p>\n<p dir="auto">three &lt;b&gt;</p>\n<p dir="auto">xxx'
    )


def test_nothing_gives_nothing():
    assert render("") == ""
