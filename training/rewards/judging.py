"""A scorer as a judge between policies: how often each would beat the champion in its opinion.

On each held-out prompt the chance is the mean of σ(r - r_champion) over the answers of both; a
policy's figure is the mean over prompts, with an interval from how prompts differ. It is the
model's opinion and no rater's.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from annotate.models import Policy, Project
from training.models import Round, Score
from training.stats.win_rates import THIN

FEWEST = 2
"""Prompts without which no interval is told."""


@dataclasses.dataclass(frozen=True)
class Opinion:
    """The expected share of wins of ``policy`` against the champion, with a 95 % interval."""

    policy: Policy
    value: float
    low: float
    high: float
    prompts: int

    @property
    def between(self) -> str:
        """The interval as "55–67 %"."""
        return f"{100 * self.low:.0f}–{100 * self.high:.0f}{THIN}%"


def expected_wins(
    own: Mapping[int, Sequence[float]], theirs: Mapping[int, Sequence[float]]
) -> tuple[float, float, float, int] | None:
    """(share, low, high, prompts) from rewards by prompt; None where fewer than two are shared."""
    shared = sorted(set(own) & set(theirs))
    if len(shared) < FEWEST:
        return None
    chances = np.array(
        [_chance(np.array(own[prompt]), np.array(theirs[prompt])) for prompt in shared]
    )
    from scipy.stats import t  # slow to import, and only managers' pages need it

    mean = float(chances.mean())
    half = float(t.ppf(0.975, len(shared) - 1) * chances.std(ddof=1) / np.sqrt(len(shared)))
    return mean, max(0.0, mean - half), min(1.0, mean + half), len(shared)


def opinions(project: Project, scorer: Round) -> tuple[Policy | None, list[Opinion]]:
    """The champion, and what ``scorer`` thinks of every other policy against it; best first."""
    champion = project.policies.filter(state=Policy.State.CHAMPION).first()
    if champion is None:
        return None, []
    rewards: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows = Score.objects.filter(
        round=scorer, completion__prompt__project=project, completion__prompt__is_held_out=True
    ).values_list("completion__policy", "completion__prompt", "reward")
    for policy, prompt, reward in rows:
        rewards[policy][prompt].append(reward)
    policies = project.policies.exclude(pk=champion.pk).in_bulk(list(rewards))
    result = [
        Opinion(policies[key], *wins)
        for key, own in rewards.items()
        if key in policies and (wins := expected_wins(own, rewards[champion.pk]))
    ]
    return champion, sorted(result, key=lambda opinion: -opinion.value)


def _chance(own: np.ndarray, theirs: np.ndarray) -> float:
    return float((1 / (1 + np.exp(-(own[:, None] - theirs[None])))).mean())
