"""Formulas become MathML if nothing is lost; amounts of money stay as they are."""

import pytest

from annotate.rendering.render import render
from tests.annotate.rendering.test_render import Inspector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so $x^2$ is", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"\(\sqrt{2}\)", "<msqrt>"),
        ("$$\nE = mc^2\n$$", '<math display="block" dir="ltr">'),
        (r"\[ \frac{a}{b} \]", "<mfrac>"),
        (r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$", "<mtable><mtr><mtd><mn>1</mn></mtd>"),
        (r"\[\begin{aligned}a &= b\end{aligned}\]", '<mtd columnalign="left">'),
        (r"$a<b$", "<mo>&lt;</mo>"),
        (r"$\mathbb{R}$", "<mi>ℝ</mi>"),
        (r"where \(x\) is", "<mi>x</mi>"),
        (r"\(a, b\)", "<mi>b</mi>"),
        (r"\[ E = mc^2 \]", '<math display="block" dir="ltr">'),
        (r"$\boxed{42}$", '<menclose notation="box">'),
        (r"$\left(\frac{a}{b}\right)$", 'stretchy="true"'),
        ("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", '<mtd columnalign="right"><mi>a'),
        ("\\begin{gather}\na = b \\\\\nc = d\n\\end{gather}", "<mtable>"),
        ("so \\begin{cases} 1 & x > 0 \\\\ 0 \\end{cases}.", 'fence="true"'),
        ("\\begin{pmatrix}1 & 2\\\\3 & 4\\end{pmatrix}", "<mtable><mtr><mtd><mn>1</mn></mtd>"),
    ],
)
def test_formulas_become_mathml(text, expected):
    assert expected in render(text)


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $6",
        "$5-$6",
        "US$5 or CA$6",
        "$HOME/$PATH",
        "a $ b $ c",
        "only $one",
        "$$",
        "$5 now, $6 later, $7 never",
    ],
)
def test_money_and_the_like_are_text(text):
    assert Inspector(render(text)).text.strip() == text
    assert "<math" not in render(text)


@pytest.mark.parametrize(
    "text",
    [
        r"$\nosuchcommand{x}$",
        r"$a % comment$",
        r"$\color{white}{b}$",
        r"$\hspace{1000em}a$",
        r"$\href{http://evil.example}{b}$",
        r"\(\frac{\)",
        r"$\def\a{\b\b}\a$",
        r"$\newcommand{\x}[1]{#1#1}\x{\x{y}}$",
        r"\(\input{/etc/passwd}\)",
        r"$\cancel{x} + 1$",
        r"\begin{align}a \nosuchcommand b\end{align}",
    ],
)
def test_what_would_be_lost_or_unreadable_stays_as_its_source(text):
    page = Inspector(render(text))
    assert page.text.strip() == text
    assert "math" not in page.tags


def test_phantoms_are_seen():
    assert "hid" in Inspector(render(r"$\phantom{hid}a$")).text


@pytest.mark.parametrize(
    "text",
    [
        r"$\text{<script>alert(1)</script>}$",
        r"$\text{<img src=x onerror=alert(1)>}$",
        r"$\text{</math><style>*{}</style>}$",
        r"$\class{card}{x} \style{color:red}{y} \cssId{top}{z}$",
        "$" + "{" * 1900 + "$",
        "$" + r"\frac" * 380 + "$",
    ],
)
def test_hostile_formulas_are_safe(text):
    page = Inspector(render(text))
    assert not {"script", "img", "style"} & set(page.tags)
    assert not {"class", "style", "id", "href"} & {name for _, name in page.attributes}


def test_what_one_text_may_have_typeset_is_bounded():
    text = " ".join(f"$x_{{{n}}}$" for n in range(2_000))
    page = Inspector(render(text))
    assert 100 < page.tags.count("math") < 1_000
    assert "$x_{1999}$" in page.text


def test_a_formula_that_comes_again_costs_nothing():
    assert Inspector(render("$x^2$ " * 1_000)).tags.count("math") == 1_000


def test_code_is_not_mathematics():
    assert '<code dir="auto">$x$</code>' in render("`$x$`")


@pytest.mark.parametrize(
    ("text", "shown"),
    [(r"\[0-9\]", "[0-9]"), (r"\[a-zA-Z\]+", "[a-zA-Z]+"), (r"\(see below\)", "(see below)")],
)
def test_escaped_brackets_around_no_mathematics_are_brackets(text, shown):
    page = Inspector(render(text))
    assert page.text.strip() == shown
    assert "math" not in page.tags
