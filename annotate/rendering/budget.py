"""How much work one text may cause, counted in steps and never in seconds.

Parsers have inputs that cost them the square of their length. Here every try of the Markdown
parser is a step, so the same text always comes out the same, on a fast machine and on a slow
one. 50 kB of ordinary answers take about 2,500 steps.
"""

from __future__ import annotations

import dataclasses
import re

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MAX_STEPS = 10_000
"""More than these and the whole text is shown plain."""

MAX_FORMULA_STEPS = 6_000
"""Formulas that come after these stay as their source."""

MAX_CODE_CHARS = 12_000
"""Code that comes after these is not coloured."""


class OverBudget(Exception):
    """The text needs more steps than it may take."""


@dataclasses.dataclass
class RenderBudget:
    """What is left for one text."""

    steps: int = MAX_STEPS
    formula_steps: int = MAX_FORMULA_STEPS
    code_chars: int = MAX_CODE_CHARS
    formulas: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """Formulas already rendered in this text; they cost nothing again."""

    def spend(self, steps: int) -> None:
        """Take ``steps`` off. Raises OverBudget where none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise OverBudget

    def affords_formula(self, source: str) -> bool:
        """Whether one more formula may be typeset."""
        self.formula_steps -= 8 + len(source) // 3
        return self.formula_steps >= 0

    def affords_code(self, code: str) -> bool:
        """Whether one more block may be coloured."""
        self.code_chars -= 50 + len(code)
        return self.code_chars >= 0


def of(env: object) -> RenderBudget:
    """The budget that the parser carries along in its ``env``."""
    assert isinstance(env, dict)  # noqa: S101 - the parser's types say less than that
    budget: RenderBudget = env["budget"]
    return budget


# --- rules that match nothing and count everything ---


def count_inline(state: StateInline, silent: bool) -> bool:
    """First of the inline rules; what may become an address or many tokens costs more."""
    del silent
    costly = _COSTLY.match(state.src, state.pos)
    of(state.env).spend(max(5, len(costly[0])) if costly else 1)
    return False


_COSTLY = re.compile(r"<[A-Za-z][A-Za-z0-9+.-]{1,31}:|\]\(|[*_~]{3,}|://")


def count_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """First of the block rules: a line is some steps, and a table one for each of its cells.

    A table's missing cells are filled in, so a short text can ask for millions.
    """
    del silent
    budget = of(state.env)
    budget.spend(3)
    if start + 1 < end and (columns := _columns(state, start + 1)):
        rows = 0
        while start + rows < end and not state.isEmpty(start + rows):
            rows += 1
        budget.spend(columns * rows)
    return False


def _columns(state: StateBlock, line: int) -> int:
    """How many columns a table has whose second line is ``line``; 0 where it is none."""
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
    columns = text.count("|")
    return columns if columns and "-" in text and not text.strip("|:- \t") else 0
