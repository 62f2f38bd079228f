"""Code in colours: Pygments finds the tokens, our style sheet has the colours.

A language is coloured only where the block names it and we know it; nothing is guessed. The
spans carry one of a few classes of our own, so a theme has few colours to keep readable.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

MAX_BLOCK_CHARS = 6_000
MAX_LINE_CHARS = 500
MAX_LINES = 250
MAX_BLANK_LINES = 10
"""What is larger is shown plain: some lexers take the square or the cube of these."""

LANGUAGES = frozenset(
    {
        *("bash", "sh", "shell", "zsh", "console", "powershell", "pwsh", "bat", "c"),
        *("c++", "cpp", "csharp", "c#", "clojure", "cmake", "css", "dart", "diff"),
        *(
            "docker",
            "dockerfile",
            "elixir",
            "erlang",
            "fortran",
            "fsharp",
            "go",
            "golang",
            "graphql",
        ),
        *("haskell", "hs", "html", "ini", "java", "javascript", "js", "json", "julia"),
        *("kotlin", "latex", "tex", "lua", "make", "makefile", "matlab", "nginx", "nix"),
        *("objc", "objectivec", "ocaml", "pascal", "perl", "php", "prolog", "protobuf", "python"),
        *("py", "python3", "pycon", "r", "racket", "rb", "ruby", "rust", "rs"),
        *("scala", "scheme", "scss", "sql", "mysql", "postgresql", "swift", "terraform", "toml"),
        *("ts", "tsx", "jsx", "typescript", "vbnet", "verilog", "vhdl", "vim", "xml"),
        *("yaml", "yml", "zig"),
    }
)

CLASSES: dict[_TokenType, str] = {
    Comment: "hl-c",
    Keyword: "hl-k",
    Operator.Word: "hl-k",
    String: "hl-s",
    Number: "hl-m",
    Name.Function: "hl-f",
    Name.Class: "hl-f",
    Name.Decorator: "hl-f",
    Name.Builtin: "hl-b",
    Name.Tag: "hl-b",
    Name.Attribute: "hl-b",
    Name.Entity: "hl-b",
    Name.Exception: "hl-b",
    Name.Variable: "hl-v",
    Name.Constant: "hl-v",
    Generic.Inserted: "hl-i",
    Generic.Deleted: "hl-d",
    Generic.Heading: "hl-f",
    Generic.Subheading: "hl-f",
    Generic.Prompt: "hl-c",
    Generic.Output: "hl-c",
}
"""A token's class; a token that is not here has that of the kind it belongs to, or none."""


def highlight(code: str, label: str) -> str:
    """``code`` as escaped HTML, with spans where ``label`` names a language that is known."""
    lexer = _lexer(label)
    if lexer is None or not is_moderate(code):
        return escape(code)
    try:
        tokens = [(kind, value) for _, kind, value in lexer.get_tokens_unprocessed(code)]
    except Exception:  # whatever a lexer may do with broken code
        return escape(code)
    if "".join(value for _, value in tokens) != code:
        return escape(code)
    return "".join(_span(kind, value) for kind, value in tokens)


def is_moderate(code: str) -> bool:
    """Whether any lexer is sure to be quick with ``code``."""
    lines = code.split("\n")
    return (
        len(code) <= MAX_BLOCK_CHARS
        and len(lines) <= MAX_LINES
        and max(map(len, lines)) <= MAX_LINE_CHARS
        and not _MANY_BLANK_LINES.search(code)
        and not _MANY_WORDS.search(code)
    )


_MANY_WORDS = re.compile(r"(?:[\w.\[\]<>?$]++\s++){40}")
"""Lexers of Java and C# look for a method behind any row of words."""

_MANY_BLANK_LINES = re.compile(rf"\n(?:[ \t]*\n){{{MAX_BLANK_LINES}}}")


def _span(kind: _TokenType, value: str) -> str:
    name = _class_of(kind)
    shown = escape(value)
    return f'<span class="{name}">{shown}</span>' if name and not value.isspace() else shown


@cache
def _class_of(kind: _TokenType) -> str | None:
    return next(
        (CLASSES[token_type] for token_type in reversed(kind.split()) if token_type in CLASSES),
        None,
    )


def _lexer(label: str) -> Lexer | None:
    words = label.split()
    language = words[0].lower() if words else ""
    return _known_lexer(language) if language in LANGUAGES else None


@cache
def _known_lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None
