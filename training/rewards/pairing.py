"""What pairing is told of rewards, where a project lets them choose which answers meet."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from annotate.models import PairsFirst, Project
from annotate.pairing.comparisons import make_comparisons
from annotate.pairing.pair_preference import PairingPreference
from training.models import LoopSettings, Round, Score, loop_of
from training.policies.gates import arrange
from training.rewards.scorers import usual
from training.rewards.scoring import has_given_up, pieces


def selection_of(project: Project, *, waits: bool = True) -> PairingPreference | None:
    """What the project prefers; None where it takes what comes, or nothing gives rewards yet.

    With ``waits`` answers without a reward are left until they have one, unless scoring has
    failed or was stopped: raters must not run out of work for it.
    """
    loop = loop_of(project)
    if loop.meeting == LoopSettings.Meeting.ANY:
        return None
    scorer = usual(project)
    if scorer is None:
        return None
    return PairingPreference(
        prefer=PairsFirst(loop.meeting),
        random_share=loop.meeting_at_random / 100,
        rewards=lambda completions: rewards_by(scorer, completions),
        waits=waits and not has_given_up(scorer),
    )


def rewards_by(scorer: Round, completions: Collection[int]) -> Mapping[int, float]:
    """The rewards of these completions, as far as ``scorer`` has given them."""
    rewards: dict[int, float] = {}
    for piece in pieces(completions):
        rows = Score.objects.filter(round=scorer, completion__in=piece)
        rewards.update(rows.values_list("completion", "reward"))
    return rewards


def pair_up(*, project: Project, waits: bool = True) -> int:
    """Let new completions meet: candidates the champion first, then what is left.

    Not ``waits``: also what would wait for its reward. Returns how many comparisons and line-ups
    there are more.
    """
    selection = selection_of(project, waits=waits)
    return arrange(project=project) + make_comparisons(project=project, selection=selection)
