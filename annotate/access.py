"""Who may do what in a project. A stranger gets 404, a member without the right gets 403."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from annotate.db.fast_rows import Reading
from annotate.models import Membership, Project, User

Role = Membership.Role

MEMBERSHIP = Reading(
    "SELECT {membership}, {project} FROM annotate_membership AS membership"
    " JOIN annotate_project AS project ON project.id = membership.project_id"
    " WHERE project.slug = %s AND membership.user_id = %s",
    membership=Membership,
    project=Project,
)


def project_for(
    request: HttpRequest, slug: str, *, manage: bool = False
) -> tuple[Project, Membership]:
    """The project and the asking user's membership in it.

    A superuser manages every project: where no membership exists, an unsaved manager's one
    is returned. Raises Http404 for strangers, PermissionDenied where ``manage`` is asked of
    somebody who may not.
    """
    user = request.user
    if not isinstance(user, User):
        raise Http404
    row = MEMBERSHIP.first(slug, user.pk)
    if row is not None:
        membership, project = row
        membership.project = project
    else:
        project_by_slug = Project.objects.filter(slug=slug).first() if user.is_superuser else None
        if project_by_slug is None:
            raise Http404
        project = project_by_slug
        membership = Membership(project=project, user=user, role=Role.MANAGER)
    if manage and not (membership.role == Role.MANAGER or user.is_superuser):
        raise PermissionDenied
    return project, membership


def projects_of(user: User) -> list[Project]:
    """The projects that ``user`` sees, by name."""
    if user.is_superuser:
        return list(Project.objects.all())
    return list(Project.objects.filter(memberships__user=user))
