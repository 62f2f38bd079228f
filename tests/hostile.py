"""Text that tries to run code, load files, hide, or take forever. For tests and benchmarks."""

from __future__ import annotations

MEGA = 1_000_000
NEAR = 65_000
"""Just below the maximum length that is parsed as Markdown, where parsers work hardest."""


def fill(part: str, length: int = NEAR) -> str:
    """``part`` repeated to ``length`` characters."""
    return (part * (length // len(part) + 1))[:length]


ACTIVE = {
    "script": "<script>alert(1)</script>",
    "image with a handler": "<img src=x onerror=alert(1)>",
    "svg": "<svg/onload=alert(1)><animate onbegin=alert(1) attributeName=x dur=1s>",
    "svg use": '<svg><use href="data:image/svg+xml,<svg id=x><script>alert(1)</script></svg>#x">',
    "mathml": "<math><mtext></table><mglyph><style><!--</style>"
    "<img title='--&gt;&lt;img src=1 onerror=a>'>",
    "mathml action": '<math><maction actiontype="statusline" xlink:href="javascript:alert(1)">x',
    "iframe": "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "object": "<object data=//evil.example/x><embed src=//evil.example/x>",
    "link tag": "<link rel=stylesheet href=//evil.example/x.css>",
    "javascript link": "<a href='javascript:alert(1)'>x</a>",
    "form": "<form action=//evil.example><button>go</button><input name=choice></form>",
    "htmx": "<div hx-get=/p/x/rate/ hx-trigger=load data-hx-get=/x id=top class=card style='x:y'>",
    "base and meta": "<base href=//evil.example>"
    "<meta http-equiv=refresh content='0;//evil.example'>",
    "style": "<style>body{background:url(//evil.example/x)}</style><p style='position:fixed'>x",
    "style link": "[x](http://a.example){style='position:fixed'}",
    "markdown javascript": "[x](javascript:alert(1))",
    "markdown javascript, entities": "[x](JaVaScRiPt&colon;alert(1))",
    "markdown data": "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "markdown vbscript": "[x](vbscript:msgbox(1)) <vbscript:msgbox(1)>",
    "title breaks out": '[x](http://a.example "\' onmouseover=alert(1)")',
    "address breaks out": '[x](http://a.example/"onmouseover="alert(1))',
    "bare address breaks out": "http://a.example/'onmouseover='alert(1) https://a.example/<script>",
    "remote image": "![x](http://tracker.example/pixel.png)",
    "remote image, by reference": "![x][1]\n\n[1]: http://tracker.example/pixel.png",
    "image as data": "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "autolink breaks out": "<http://evil.example/'><script>alert(1)</script>>",
    "code label breaks out": '```"><script>alert(1)</script>\nx\n```',
    "code label with a handler": "``` ' onclick=alert(1)\nx\n```",
    "code with a language": "```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```",
    "code ends early": "`</code></pre><script>alert(1)</script>`",
    "coloured code ends early": "```python\n'</span></code></pre><script>alert(1)</script>'\n```",
    "cell": "|a|\n|-|\n|<script>alert(1)</script>|",
    "heading": "# <script>alert(1)</script>",
    "end of the page": "</div></body></html><!-- ",
    "comments": "<!-- hidden --> --!> <![CDATA[ x ]]> <?php x ?> <!DOCTYPE html>",
    "escaped once": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "escaped as numbers": "&#60;script&#62;alert(1)&#60;/script&#62;",
    "tag in a tag": "<<script>script>alert(1)<</script>/script>",
    "template": "{% csrf_token %}{{ secret }}${alert(1)}#{alert(1)}",
    "NUL": "\x00<scr\x00ipt>alert(1)</script>",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "lone surrogates": "a\ud800b\udfffc",
    "formula with a script": r"$\text{<script>alert(1)</script>}$",
    "formula with a link": r"$\href{javascript:alert(1)}{x}$ \(\url{http://evil.example}\)",
    "formula with an image": r"$$\includegraphics{http://evil.example/x.png}$$",
    "formula with a class": r"$\class{card}{x} \style{color:red}{y} \cssId{top}{z}$",
    "formula ends early": r"$\text{</math><style>*{}</style>}$",
}
"""Texts that must not have any effect."""

DECEIVING = {
    "direction override": "pay \u202eelppa\u202c now; \u2066x\u2069 \u200f\u061c",
    "trojan source": "```python\nif admin:\u202e\u2066 # check\u2069\u2066\n    pass\n```",
    "zero width": "ig\u200bnore\ufeff this\u2060 \u00ad" + "\u200b" * 1000,
    "variation selectors": "a" + "\ufe00\ufe01\ufe0e" * 40 + "b\U000e0100\U000e0101",
    "tags": "hi\U000e0041\U000e0042",
    "zalgo": "z\u0310\u0321" * 3 + "a" + "\u0300\u0316\u0489\u20dd" * 50 + "l",
    "blank letters": "a\u3164b\u2800c\uffa0d",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "homograph": "[apple](http://аррӏе.example/)",
}
"""Texts whose hidden characters must be visible."""

HEAVY = {
    "quotations, 10,000 deep": ">" * 10_000 + "deep",
    "lists, 10,000 deep": "- " * 10_000 + "deep",
    "indented lists": "".join("  " * depth + "- item\n" for depth in range(300)) + "deep",
    "brackets and quotations, 10,000 deep": "[> " * 10_000 + "deep",
    "emphasis, 10,000 deep": "*a **b " * 5_000 + "deep",
    "parentheses": "(" * 10_000 + "[x](" + "(" * 10_000 + "deep",
    "columns": "|" + "a|" * 10_000 + "\n|" + "-|" * 10_000 + "\n|deep",
    "columns and rows": "|" + "a|" * 5_000 + "\n|" + "-|" * 5_000 + "\n" + "a\n" * 5_000 + "deep",
    "rising backticks": " ".join("`" * length for length in range(1, 350)) + "deep",
    "alternating lists": "- a\n* b\n" * 8_000 + "deep",
    "words": "word *it* **bold** `code` and more. " * 1_800 + "deep",
    "long word": "a" * MEGA + " deep",
    "long line of CJK": "漢字かな交じり文。" * 110_000 + "deep",
    "paragraphs": "word\n\n" * 30_000 + "deep",
    "long code": "```python\n" + "x = [1, 'a', None]  # why\n" * 2_000 + "```\ndeep",
    "long line of code": "```js\n" + "f({a:1}," * 6_000 + "\n```\ndeep",
    "entity bomb": "&amp;lol9;" * 6_000 + "&#x202e;" * 500 + "deep",
    "exploding macros": r"$\def\a{\b\b}\def\b{\c\c}\def\c{\d\d}\a$ "
    r"$\newcommand{\x}[1]{#1#1}\x{\x{\x{\x{y}}}}$ deep",
    "formula of fractions": "$" + r"\frac{" * 300 + "x" + "}{y}" * 300 + "$ deep",
    "formula of braces": "$" + "{" * 1_900 + "$ deep",
    "formula of roots": "$" + r"\sqrt{" * 320 + "}" * 320 + "$ deep",
    "formula of matrices": "$" + r"\begin{matrix}" * 130 + "$ deep",
    "formula of sides": "$" + r"\left(" * 300 + "$ deep",
    "many formulas": " ".join(f"$x^{{{n}}}_{{{n}}}$" for n in range(4_000)) + " deep",
    "formulas, all but": r"\(a \[b $c $$d " * 4_000 + "deep",
    **{
        f"many of {part!r}": fill(part) + " deep"
        for part in (
            *("[", "![", "](", "[x](", "[a", "*", "*_", "~~a ", "_a ", "`", "` a", "<", "<a "),
            *("<http://a.b> ", "http://a.b ", "[x](http://a.b) ", '[x](http://a.b "', "$", "$$"),
            *("`$", "$$a\n", "&", "\\", ":", "://", "|a", "|-", "> a\n", "- a\n", "- - - - - a\n"),
            *("1. a\n\n", "# a\n", "---\n", "```\n", "```py\nx=1\n```\n", "a\n=\n", "<div>\n"),
            *("a\u202e", "\u200b\u200c", "a\u0301" + "\u0302" * 20, "\u05d0a", "\ud800", "\0"),
            *(" ", "\t", "\n", "a  \n", "[x]: http://a.b\n", "\U0001f600", "👩‍👩‍👧", "~", "\r"),
        )
    },
    **{
        f"a megabyte of {part!r}": fill(part, MEGA) + " deep"
        for part in ("[", "`", "*", "<", "$", "&", "\n", " ", "a\u202e", "\u200b", "a\u0301", ">")
    },
}
"""Texts that must not take long; each ends with the word "deep", which must not be lost."""

CORPUS = {**ACTIVE, **DECEIVING, **HEAVY}
