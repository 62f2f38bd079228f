"""What can give rewards: finished DPO rounds, by their policy and reference, and reward models.

The implicit reward is r(x, y) = β (log π(y|x) - log π_ref(y|x)) (Rafailov et al. 2023, eq. 5, up
to a term of the prompt alone, so only differences between answers to one prompt mean anything).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotate.models import Project
from training.engine.config import DpoJob, job_from_dict, job_to_dict
from training.errors import Refused
from training.models import Round

KINDS = (Round.Kind.DPO, Round.Kind.REWARD)


def scorers(project: Project) -> QuerySet[Round]:
    """The rounds whose models give rewards, the newest first."""
    return (
        project.rounds.filter(state=Round.State.SUCCEEDED, kind__in=KINDS)
        .select_related("project", "policy", "reference", "start")
        .order_by("-number")
    )


def usual(project: Project) -> Round | None:
    """The newest reward model; without one, the newest round's implicit reward."""
    rounds = scorers(project)
    return rounds.filter(kind=Round.Kind.REWARD).first() or rounds.first()


def beta_of(scorer: Round) -> float | None:
    """β of a round's implicit reward; None for a reward model."""
    if scorer.kind != Round.Kind.DPO:
        return None
    return float(scorer.config.get("beta", DpoJob.beta))


def name_of(scorer: Round) -> str:
    """The scorer in a few words."""
    name = (
        _("Reward model of round %(number)s")
        if scorer.kind == Round.Kind.REWARD
        else _("Implicit reward of round %(number)s")
    )
    return name % {"number": scorer.number}


def job_of(scorer: Round) -> dict[str, Any]:
    """The engine's job that scores completions: the lengths and number format of the training.

    Raises Refused where the round cannot give rewards.
    """
    trained = scorer.config
    common = {
        "model": {
            "base": scorer.start.base_model,
            "revision": scorer.start.base_revision or None,
            "trust_remote_code": settings.TRUST_REMOTE_CODE,
        },
        "max_length": trained.get("optimisation", {}).get("max_length", 2048),
        "precision": trained.get("precision", "auto"),
        "load_in_4bit": trained.get("load_in_4bit", False),
    }
    if scorer.kind == Round.Kind.REWARD and scorer.reward_adapter:
        own: dict[str, Any] = {"kind": "judge", "adapter": scorer.reward_adapter}
    elif scorer.kind == Round.Kind.DPO and scorer.policy is not None:
        own = {
            "kind": "score",
            "adapters": {scorer.policy.slug: scorer.policy.adapter_path or None},
            "reference_adapter": scorer.reference.adapter_path or None,
        }
    else:
        raise Refused(_("Round %(number)s gives no rewards.") % {"number": scorer.number})
    return job_to_dict(job_from_dict(common | own))
