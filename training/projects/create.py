"""Founding a project: its row, its loop and its first manager, or none of them."""

from __future__ import annotations

from django.db import transaction

from annotate.models import Membership, Project, User
from annotate.onboarding import texts
from training.models import LoopSettings
from training.policies.pool import ensure_base


@transaction.atomic
def create_project(*, project: Project, loop: LoopSettings, manager: User) -> Project:
    """Save an unsaved ``project`` with its ``loop``, and make ``manager`` its manager."""
    project.save()
    loop.project = project
    loop.save()
    Membership.objects.create(project=project, user=manager, role=Membership.Role.MANAGER)
    for kind, field in texts.FIELDS.items():
        texts.write(project=project, kind=kind, text=getattr(project, field), author=manager)
    if loop.base_model:
        ensure_base(project=project)
    return project
