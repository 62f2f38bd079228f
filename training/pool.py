"""The pool: which policies are sampled, and which one is to be beaten."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Policy, Project
from training.errors import NotNow
from training.models import LoopSettings


def loop_of(project: Project) -> LoopSettings:
    """The project's loop settings, made with defaults where there are none yet."""
    return LoopSettings.objects.get_or_create(project=project)[0]


@transaction.atomic
def ensure_base(*, project: Project) -> Policy:
    """The policy of the project's base model, put into the pool as champion where it is new.

    Raises NotNow where the project names no base model.
    """
    loop = loop_of(project)
    if not loop.base_model:
        raise NotNow(_("This project has no base model yet. Name one in its settings."))
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


def sampled_policies(project: Project) -> list[Policy]:
    """The pool's policies that the engine or an endpoint can sample."""
    return list(
        Policy.objects.filter(
            project=project,
            state__in=Policy.IN_POOL,
            kind__in=(Policy.Kind.BASE, Policy.Kind.ADAPTER, Policy.Kind.ENDPOINT),
            weight__gt=0,
        )
        .exclude(kind=Policy.Kind.ENDPOINT, served_by=None)
        .order_by("pk")
    )


@transaction.atomic
def promote(*, policy: Policy) -> None:
    """Make ``policy`` the champion; the one before it stays in the pool."""
    Project.objects.select_for_update().get(pk=policy.project_id)
    Policy.objects.filter(project=policy.project_id, state=Policy.State.CHAMPION).update(
        state=Policy.State.ACTIVE
    )
    Policy.objects.filter(pk=policy.pk).update(state=Policy.State.CHAMPION)


@transaction.atomic
def retire(*, policy: Policy) -> None:
    """Take ``policy`` out of the pool; what it wrote stays. Raises NotNow for the champion."""
    Project.objects.select_for_update().get(pk=policy.project_id)
    state = Policy.objects.values_list("state", flat=True).get(pk=policy.pk)
    if state == Policy.State.CHAMPION:
        raise NotNow(_("The champion cannot be retired. Promote another policy first."))
    Policy.objects.filter(pk=policy.pk).update(state=Policy.State.RETIRED)


def rejoin(*, policy: Policy) -> None:
    """Put a retired policy back into the pool."""
    Policy.objects.filter(pk=policy.pk, state=Policy.State.RETIRED).update(
        state=Policy.State.ACTIVE
    )
