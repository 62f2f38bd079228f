"""How good the answers of a policy are in the demo's world, by its exact classifier.

Knows texts only; where they come from is the caller's business.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from scipy import stats

from training.demo.manners import FoundManner, better, classify

Conversation = Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class MannerShare:
    """A share with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def manner_shares(answers: Sequence[tuple[Conversation, str]]) -> dict[FoundManner, MannerShare]:
    """The share of every manner that occurs, with Wilson intervals."""
    counts = Counter(classify(messages, text) for messages, text in answers)
    shares = {}
    for manner, count in counts.most_common():
        interval = stats.binomtest(count, len(answers)).proportion_ci(method="wilson")
        shares[manner] = MannerShare(count / len(answers), interval.low, interval.high)
    return shares


def win_rate(
    ours: Mapping[str, Sequence[str]],
    theirs: Mapping[str, Sequence[str]],
    conversations: Mapping[str, Conversation],
) -> MannerShare:
    """How often an answer of ours beats one of theirs to the same prompt; a tie is half a win.

    The three mappings go by prompt. Every answer meets every other one; the interval is a
    percentile bootstrap over prompts, since answers to one prompt are not independent.
    """
    by_prompt = []
    for prompt, messages in conversations.items():
        points = [
            {"a": 1.0, "b": 0.0, "tie": 0.5}[better(messages, mine, other)]
            for mine in ours.get(prompt, ())
            for other in theirs.get(prompt, ())
        ]
        if points:
            by_prompt.append(sum(points) / len(points))
    if not by_prompt:
        return MannerShare(float("nan"), float("nan"), float("nan"))
    mean = sum(by_prompt) / len(by_prompt)
    if len(set(by_prompt)) == 1:
        return MannerShare(mean, mean, mean)
    interval = stats.bootstrap(
        (by_prompt,), _mean, method="percentile", n_resamples=2000, random_state=0
    ).confidence_interval
    return MannerShare(mean, float(interval.low), float(interval.high))


def _mean(values: Sequence[float], axis: int = -1) -> object:
    import numpy as np

    return np.mean(values, axis=axis)
