"""Cards whose texts are hard to show: mathematics, many scripts, long lines, attacks."""

from __future__ import annotations

from collections.abc import Sequence

from annotate.models import Project, User
from tests.browser.scenes.project import first_in_queue, make_project
from tests.hostile import ACTIVE, DECEIVING

MATHS = r"""The roots of $ax^2 + bx + c = 0$ for $a \ne 0$ are

$$x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$$

so with \(a = 1\), \(b = -3\), \(c = 2\):

\[ \begin{aligned} x_1 &= 2 \\ x_2 &= 1 \end{aligned} \]

It costs $5 and not $6. What nobody can parse stays: $\nosuch{x}$.

$$\sum_{k=1}^{n} k^3 = \left(\frac{n(n+1)}{2}\right)^2 = \frac{n^2 (n+1)^2}{4} = 1 + \dots + n^3$$
"""
MATHS_PLAIN = "x = (3 ± √(9 − 8)) / 2, so **2** and **1**.\n\n- [x] checked\n- [ ] proved"
SCRIPTS = """# مرحبا

هذا نص من اليمين إلى اليسار، وفيه رابط https://example.org/path?a=1 وكلمة *مهمة*.

1. أولاً
2. ثانياً

> اقتباس قصير

| الاسم | العدد |
|---|---|
| واحد | 1 |
| اثنان | 2 |
"""
CJK = """日本語の文章です。**太字**も、`コード`も読めます。

- 一つ目
- 二つ目

한국어 문장도 있습니다. 👩‍👩‍👧 🎉 ❤️ 中文也一样。

שלום, and English goes on from left to right.
"""
LINES = (
    "averyverylongwordwithoutanyspace" * 12
    + "\n\n```\n"
    + "one line of code that is much longer than the column is wide " * 6
    + "\n```\n\n"
    + "|"
    + "a wide column|" * 14
    + "\n|"
    + "---|" * 14
    + "\n|"
    + "1|" * 14
)
PROGRAM = '''```python
@cache
def fib(n: int) -> int:
    """The n-th Fibonacci number."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)  # 42
```

```diff
- return fib(n)
+ return fib(n - 1)
```

```html
<p class="a">&amp; so on</p>
```

```nosuchlanguage
left plain
```
'''
OLD_PROGRAM = PROGRAM.replace("n < 2", "n <= 1").replace("The n-th", "A").replace("42", "slow")


def show_texts(manager: User, raters: Sequence[User]) -> None:
    """One small project for each kind of text; and one that is paused."""
    cards = {
        "maths": ("What are the roots of $x^2 - 3x + 2$?", MATHS, MATHS_PLAIN),
        "scripts": ("اكتب جملة. 文を書いてください。", SCRIPTS, CJK),
        "lines": ("Write something long.", LINES, "Short."),
        "program": ("Write `fib` in Python.", PROGRAM, OLD_PROGRAM),
        "hostile": (
            "What do you make of these?",
            "\n\n".join(list(ACTIVE.values())[:24]),
            "\n\n".join(DECEIVING.values()),
        ),
    }
    for slug, card in cards.items():
        first_in_queue(make_project(slug, slug.capitalize(), manager, raters), *card)
    paused = make_project("paused", "Paused for today", manager, raters)
    Project.objects.filter(pk=paused.pk).update(is_paused=True)
