"""What the last evaluation says of every held-out pair, and what that comes to.

Kept in ``held_out.jsonl``, so that a run which is stopped after its last evaluation still has it.
Knows nothing of models.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from training.engine.data.chat import Tree

FILE = "held_out.jsonl"
QUANTILES = (5, 25, 50, 75, 95)


@dataclasses.dataclass(frozen=True)
class HeldOutPair:
    """One held-out pair: sequence log-probabilities under policy and reference, and rewards.

    A reward is beta × (log pi − log pi_ref), as in Rafailov et al. 2023.
    """

    id: str
    logp_chosen: float
    logp_rejected: float
    reference_chosen: float
    reference_rejected: float
    reward_chosen: float
    reward_rejected: float

    @property
    def margin(self) -> float:
        return self.reward_chosen - self.reward_rejected


def rows_of(trees: Sequence[Tree], values: Tensor) -> list[HeldOutPair]:
    """``values`` is [M, 6], in the order of PairRow's fields after ``id``."""
    return [
        HeldOutPair(tree.id, *map(float, row))
        for tree, row in zip(trees, values.tolist(), strict=True)
    ]


def write(folder: Path, rows: Iterable[HeldOutPair]) -> None:
    """Replace ``held_out.jsonl`` whole."""
    temporary = folder / f".{FILE}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n")
    temporary.replace(folder / FILE)


def read(folder: Path) -> list[HeldOutPair]:
    """The rows of the last evaluation; none where there was none."""
    path = folder / FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [HeldOutPair(**json.loads(line)) for line in file]


def summary(rows: Sequence[HeldOutPair]) -> dict[str, Any]:
    """Counts of pairs that are right, a tie being half a pair, and quantiles of the margin.

    ``ranked``: the policy finds the chosen answer likelier than the rejected one;
    ``reference_ranked``: the reference does; ``rewarded``: its reward is higher.
    """
    if not rows:
        return {}
    margins = sorted(row.margin for row in rows)
    return {
        "pairs": len(rows),
        "ranked": sum(_right(row.logp_chosen, row.logp_rejected) for row in rows),
        "reference_ranked": sum(
            _right(row.reference_chosen, row.reference_rejected) for row in rows
        ),
        "rewarded": sum(_right(row.reward_chosen, row.reward_rejected) for row in rows),
        "margin_quantiles": {str(q): quantile(margins, q / 100) for q in QUANTILES},
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Between neighbours in a straight line, as numpy does it by default."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _right(chosen: float, rejected: float) -> float:
    return 1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0
