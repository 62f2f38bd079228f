"""How long rendering takes: the hostile corpus and everything in ../shared/data.

    make bench-render        or  python -m benchmarks.render

Each text is rendered three times and the quickest counts, because other programs can only make
it slower. The last line is one JSON object; ``slowest_ms`` is to stay under 200.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import django

SHOWN = 12
LIMIT_MS = 200


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="whetstone-render-") as home:
        os.environ["WHETSTONE_HOME"] = home
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        django.setup()
        return _measure()


def _measure() -> int:
    from annotate.rendering.diff import difference
    from annotate.rendering.render import render
    from tests.hostile import CORPUS
    from tests.real_texts import real_pairs, real_texts

    render("```python\nx\n```\n$x$ \u202e")  # what is loaded once is loaded now
    hostile = _times(CORPUS.items(), render)
    real = _times(((f"{name}: {text[:40]!r}", text) for name, text in real_texts()), render)
    pairs = _times(
        ((f"{name}: {a[:40]!r}", (a, b)) for name, a, b in real_pairs()),
        lambda two: difference(*two),
    )
    texts = list(CORPUS.items())
    against = _times(
        (
            (f"{name} / {other}", (text, others))
            for (name, text), (other, others) in zip(texts, texts[1:] + texts[:1], strict=True)
        ),
        lambda two: difference(*two),
    )
    for title, times in [
        ("Rendering the hostile corpus", hostile),
        ("Rendering ../shared/data", real),
        ("Differences in ../shared/data", pairs),
        ("Differences in the hostile corpus", against),
    ]:
        print(f"{title}: {len(times)}")
        for took, name in times[:SHOWN]:
            print(f"  {took:7.1f} ms  {name}")
    result = {
        "hostile_slowest_ms": _slowest(hostile),
        "real_slowest_ms": _slowest(real),
        "real_median_ms": round(sorted(real)[len(real) // 2][0], 2) if real else None,
        "difference_slowest_ms": _slowest([*pairs, *against]),
        "slowest_ms": _slowest([*hostile, *real, *pairs, *against]),
    }
    print(json.dumps(result))
    return int(result["slowest_ms"] > LIMIT_MS)


def _times(
    items: Iterable[tuple[str, Any]], work: Callable[[Any], object]
) -> list[tuple[float, str]]:
    """Milliseconds and name of each item, the slowest first."""
    times = []
    for name, item in items:
        best = min(_once(item, work) for _ in range(3))
        times.append((best * 1000, name))
    return sorted(times, reverse=True)


def _once(item: object, work: Callable[..., object]) -> float:
    started = time.perf_counter()
    work(item)
    return time.perf_counter() - started


def _slowest(times: list[tuple[float, str]]) -> float:
    return round(max(times, default=(0.0, ""))[0], 1)


if __name__ == "__main__":
    sys.exit(main())
