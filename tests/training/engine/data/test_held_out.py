"""What the last evaluation reports about every held-out pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.engine.commands.test_dpo import done, metrics  # noqa: F401 - a fixture
from tests.training.engine.conftest import read_json
from training.engine.data.held_out import HeldOutPair, quantile, read, summary, write


def row(name: str, *, policy: float, reference: float, margin: float) -> HeldOutPair:
    return HeldOutPair(name, policy, 0.0, reference, 0.0, margin, 0.0)


def test_ties_count_half() -> None:
    rows = [
        row("a", policy=1, reference=-1, margin=2),
        row("b", policy=0, reference=1, margin=0),
        row("c", policy=-1, reference=0, margin=-1),
    ]
    figures = summary(rows)
    assert (figures["pairs"], figures["ranked"], figures["reference_ranked"]) == (3, 1.5, 1.5)
    assert figures["rewarded"] == 1.5
    assert figures["margin_quantiles"]["50"] == 0


def test_without_pairs_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert summary(read(tmp_path)) == {}


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [-5.0, -1.0, 0.5, 2.0, 9.0]])
@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.75, 0.95])
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(np.quantile(values, share))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [row("ä", policy=1.25, reference=0.1, margin=0.3)]
    write(tmp_path, rows)
    assert read(tmp_path) == rows


def test_a_run_tells_every_held_out_pair_and_what_it_comes_to(done: Path) -> None:  # noqa: F811
    rows = read(done)
    assert [pair.id for pair in rows] == [f"p{number}" for number in range(24, 30)]
    figures = read_json(done / "result.json")["held_out"]
    assert figures == summary(rows)
    assert figures["pairs"] == 6
    margin = sum(pair.margin for pair in rows) / 6
    assert margin == pytest.approx(metrics(done, "held_out", "reward_margin")[-1])
    beta = 0.1
    for pair in rows:
        assert pair.reward_chosen == pytest.approx(
            beta * (pair.logp_chosen - pair.reference_chosen)
        )
    # Before the first step the policy equals its reference, so their rankings do too.
    first = metrics(done, "held_out", "ranking_accuracy")[0]
    assert first == metrics(done, "held_out", "reference_ranking_accuracy")[0]
    assert figures["reference_ranked"] == pytest.approx(6 * first)
    assert figures["ranked"] == pytest.approx(6 * metrics(done, "held_out", "ranking_accuracy")[-1])
