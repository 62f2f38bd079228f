"""The pool: which policies are sampled, and which one is to be beaten."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Comparison, Judgement, Policy, Project, User
from annotate.pairing.withdraw import put_back_comparisons, withdraw_comparisons
from training.errors import Refused
from training.models import ChampionTerm, Gate, Round, loop_of

MOST_WEIGHT = 100


@transaction.atomic
def ensure_base(*, project: Project) -> Policy:
    """The policy of the project's base model, put into the pool as champion where it is new.

    Raises Refused where the project names no base model.
    """
    loop = loop_of(project)
    if not loop.base_model:
        raise Refused(_("This project has no base model yet. Name one in its settings."))
    Project.objects.select_for_update().get(pk=project.pk)
    base = Policy.objects.filter(
        project=project,
        kind=Policy.Kind.BASE,
        base_model=loop.base_model,
        base_revision=loop.base_revision,
    ).first()
    if base is not None:
        return base
    has_champion = Policy.objects.filter(project=project, state=Policy.State.CHAMPION).exists()
    number = Policy.objects.filter(project=project, kind=Policy.Kind.BASE).count()
    return Policy.objects.create(
        project=project,
        slug=f"base-{number + 1}" if number else "base",
        kind=Policy.Kind.BASE,
        base_model=loop.base_model,
        base_revision=loop.base_revision,
        state=Policy.State.ACTIVE if has_champion else Policy.State.CHAMPION,
    )


def loads_in_4bit(project: Project, base_model: str) -> bool:
    """Whether answers come from the base in 4 bits: as the last finished round trained on it.

    All policies of a base are loaded alike, so that they differ by their adapters alone.
    """
    config = (
        Round.objects.filter(
            project=project, start__base_model=base_model, state=Round.State.SUCCEEDED
        )
        .exclude(kind=Round.Kind.REWARD)
        .order_by("-number")
        .values_list("config", flat=True)
        .first()
    )
    return bool(config and config.get("load_in_4bit"))


def sampled_policies(project: Project, *, with_idle: bool = False) -> list[Policy]:
    """The pool's policies that the engine or an endpoint can sample; ``with_idle``: those with
    weight 0, too."""
    kinds = Policy.Kind.BASE, Policy.Kind.ADAPTER, Policy.Kind.BEST_OF, Policy.Kind.ENDPOINT
    policies = Policy.objects.filter(
        project=project, state__in=Policy.IN_POOL, kind__in=kinds
    ).exclude(kind=Policy.Kind.ENDPOINT, served_by=None)
    return list((policies if with_idle else policies.filter(weight__gt=0)).order_by("pk"))


@transaction.atomic
def set_weights(*, project: Project, weights: Mapping[str, float]) -> None:
    """How often each policy of the pool (by slug) writes, from 0 to MOST_WEIGHT.

    Raises Refused, and changes nothing, where a policy has left or none would write.
    """
    pool = {policy.slug: policy for policy in sampled_policies(project, with_idle=True)}
    for slug in weights:
        if slug not in pool:
            raise Refused(_("%(name)s is not in the pool any more.") % {"name": slug})
    after = {slug: weights.get(slug, policy.weight) for slug, policy in pool.items()}
    if not any(after.values()):
        raise Refused(_("At least one policy must write."))
    for slug, weight in weights.items():
        Policy.objects.filter(pk=pool[slug].pk).update(weight=weight)


def is_judged(policy: Policy) -> bool:
    """Whether any verdict on an answer of ``policy`` counts."""
    judgements = Judgement.objects.counted().exclude(comparison__purpose=Comparison.Purpose.GOLD)
    return judgements.filter(
        Q(comparison__a__policy=policy) | Q(comparison__b__policy=policy)
    ).exists()


@transaction.atomic
def promote(
    *, policy: Policy, by: User | None = None, gate: Gate | None = None, is_rollback: bool = False
) -> None:
    """Make ``policy`` the champion; the one before it stays in the pool.

    Who was champion when is kept. ``gate``: the one that it won. Raises Refused for a best-of-n
    policy, from which no round could start.
    """
    if policy.kind == Policy.Kind.BEST_OF:
        raise Refused(
            _("%(name)s is not a model of its own: promote the one it is based on.")
            % {"name": policy.slug}
        )
    Project.objects.select_for_update().get(pk=policy.project_id)
    now = timezone.now()
    former = Policy.objects.filter(project=policy.project_id, state=Policy.State.CHAMPION).first()
    if former == policy:
        return
    champion_terms = ChampionTerm.objects.filter(project=policy.project_id, ended_at=None)
    if former is not None and not champion_terms.exists():  # champion since before this was kept
        ChampionTerm.objects.create(
            project_id=policy.project_id, policy=former, began_at=former.created_at, ended_at=now
        )
    champion_terms.update(ended_at=now)
    Policy.objects.filter(project=policy.project_id, state=Policy.State.CHAMPION).update(
        state=Policy.State.ACTIVE
    )
    Policy.objects.filter(pk=policy.pk).update(state=Policy.State.CHAMPION)
    ChampionTerm.objects.create(
        project_id=policy.project_id,
        policy=policy,
        began_at=now,
        gate=gate,
        begun_by=by,
        is_rollback=is_rollback,
    )


def former_champion(project: Project) -> Policy | None:
    """Who was champion before the present champion, if anybody did."""
    ended = ChampionTerm.objects.filter(project=project, ended_at__isnull=False)
    last = (
        ended.exclude(policy__state=Policy.State.CHAMPION)
        .select_related("policy")
        .order_by("-ended_at", "-pk")
        .first()
    )
    return last.policy if last else None


def roll_back(*, project: Project, by: User | None = None) -> Policy:
    """Make the former champion the champion again. Raises Refused where there was none."""
    former = former_champion(project)
    if former is None:
        raise Refused(_("There has been no other champion."))
    promote(policy=former, by=by, is_rollback=True)
    return former


@transaction.atomic
def retire(*, policy: Policy) -> None:
    """Take ``policy`` out of the pool; what it wrote stays, what nobody has rated is withdrawn.

    Raises Refused for the champion.
    """
    Project.objects.select_for_update().get(pk=policy.project_id)
    state = Policy.objects.values_list("state", flat=True).get(pk=policy.pk)
    if state == Policy.State.CHAMPION:
        raise Refused(_("The champion cannot be retired. Promote another policy first."))
    Policy.objects.filter(pk=policy.pk).update(state=Policy.State.RETIRED)
    withdraw_comparisons(policy=policy)


@transaction.atomic
def rejoin(*, policy: Policy) -> None:
    """Put a retired policy back into the pool, and its comparisons back into the queue."""
    Project.objects.select_for_update().get(pk=policy.project_id)
    retired = Policy.objects.filter(pk=policy.pk, state=Policy.State.RETIRED)
    if retired.update(state=Policy.State.ACTIVE):
        put_back_comparisons(policy=policy)
