"""``python -m benchmarks.rank``: how often the ranking and the gate are right.

    make bench-rank          or  python -m benchmarks.rank --repeats 30

Six simulated policies, 4,000 votes with ties by 40 raters who prefer the left and the longer
answer, paired by a strategy with favourites. Once the policies' strengths are the same on all
prompts; once they differ by kind of prompt and the strategy prefers the kinds that flatter, which
no model but only the weights can put right. Then gates, looked at after every vote: candidates
that are no better than their champion, and some that win 60 % of what is decided. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

import numpy as np

from benchmarks.rank.data import (
    biased_chances,
    cast_votes,
    corrected,
    make_world,
    without_favourites,
)
from training.policies.gate_rules import MOST_VOTES, verdict_of
from training.stats.bradley_terry import Fit, Floats, fit

VOTES = 4_000
GATES = 2_000
TIES = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--gates", type=int, default=GATES)
    arguments = parser.parse_args()
    began = time.perf_counter()
    alike = [_same_everywhere(seed) for seed in range(arguments.repeats)]
    mixed = [_by_stratum(seed) for seed in range(arguments.repeats)]
    coverage = float(np.mean([one for one, _ in alike]))
    spread = float(np.std([np.mean(one) for one, _ in alike])) / len(alike) ** 0.5
    corrected_coverage = float(np.mean([one for one, _, _, _ in mixed]))
    print(f"{arguments.repeats} repeats of {VOTES} votes, {time.perf_counter() - began:.0f} s")
    print(f"  the same strengths everywhere: in the interval {coverage:.1%} ± {2 * spread:.1%}")
    print(f"    half an interval: {np.mean([one for _, one in alike]):.3f} logits")
    print(f"  strengths by kind of prompt, corrected: in the interval {corrected_coverage:.1%}")
    print(f"    not corrected: {np.mean([one for _, one, _, _ in mixed]):.1%}")
    print(f"    mean error: {np.mean([one for _, _, one, _ in mixed]):.3f} logits")
    print(f"    not corrected: {np.mean([one for _, _, _, one in mixed]):.3f} logits")
    rates = {
        share: _gates(share, ties, arguments.gates)
        for share, ties in ((0.5, TIES), (0.6, TIES), (0.4, TIES))
    }
    for share, (promoted, rejected, length) in rates.items():
        print(
            f"  gates at {share:.0%} of what is decided, {TIES:.0%} ties, at most {MOST_VOTES}: "
            f"promoted {promoted:.1%}, rejected early {rejected:.1%}, {length:.0f} on average"
        )
    figures = {
        "coverage": round(coverage, 4),
        "coverage_corrected_bias": round(corrected_coverage, 4),
        "gate_false_promotions": round(rates[0.5][0], 4),
        "gate_power_60": round(rates[0.6][0], 4),
    }
    print(json.dumps(figures))
    return 0


def _same_everywhere(seed: int) -> tuple[list[bool], float]:
    """Which policies' intervals hold the truth; and half their width."""
    rng = np.random.default_rng(seed)
    world = make_world(rng)
    votes, cell = cast_votes(world, biased_chances(world, rng), rng, votes=VOTES)
    fitted = fit(corrected(votes, cell), world.policies)
    truth = world.strengths[0] - world.strengths[0].mean()
    first = fitted.strength(0)
    return _holds(fitted, truth), (first.high - first.low) / 2


def _by_stratum(seed: int) -> tuple[list[bool], list[bool], float, float]:
    """Which intervals hold the truth, with and without the correction; and both mean errors."""
    rng = np.random.default_rng(10_000 + seed)
    world = make_world(rng, by_stratum=0.5)
    votes, cell = cast_votes(world, biased_chances(world, rng), rng, votes=VOTES)
    truth = without_favourites(world)
    right, wrong = fit(corrected(votes, cell), world.policies), fit(votes, world.policies)
    return _holds(right, truth), _holds(wrong, truth), _error(right, truth), _error(wrong, truth)


def _holds(fitted: Fit, truth: Floats) -> list[bool]:
    estimates = [fitted.strength(estimate) for estimate in range(fitted.policies)]
    return [
        estimate.low <= value <= estimate.high
        for estimate, value in zip(estimates, truth, strict=True)
    ]


def _error(fitted: Fit, truth: Floats) -> float:
    estimates = [fitted.strength(policy).value for policy in range(fitted.policies)]
    return float(np.abs(np.array(estimates) - truth).mean())


def _gates(share: float, ties: float, repeats: int) -> tuple[float, float, float]:
    """Shares of gates that promoted, and that rejected before the cap; and their mean length."""
    ends = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        undecided, won = rng.random(MOST_VOTES) < ties, rng.random(MOST_VOTES) < share
        stream = np.where(undecided, 0.5, won.astype(float)).tolist()
        ends.append(_end(stream))
    kinds, lengths = zip(*ends, strict=True)
    early = [kind == "reject" and length < MOST_VOTES for kind, length in ends]
    promoted = float(np.mean([kind == "promote" for kind in kinds]))
    return promoted, float(np.mean(early)), float(np.mean(lengths))


def _end(stream: list[float]) -> tuple[str, int]:
    """What a manager who looks after every vote comes to see, and after how many."""
    tally: Counter[float] = Counter()
    for seen, value in enumerate(stream, start=1):
        tally[value] += 1
        verdict = verdict_of(tally, most=MOST_VOTES)
        if verdict != "go on":
            return verdict, seen
    return "go on", len(stream)


if __name__ == "__main__":
    sys.exit(main())
