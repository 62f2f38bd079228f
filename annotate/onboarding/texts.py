"""A project's guidelines and consent text: versions that are never changed, and what changed."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Literal

from django.db import transaction
from django.db.models import QuerySet

from annotate.models import Membership, Project, ProjectText, User

Kind = ProjectText.Kind
FIELDS = {Kind.GUIDELINES: "guidelines", Kind.CONSENT: "consent_text"}


def versions(project: Project, kind: Kind) -> QuerySet[ProjectText]:
    """All versions, the newest first."""
    return project.texts.filter(kind=kind).select_related("author").order_by("-number")


def newest(project: Project, kind: Kind) -> ProjectText | None:
    """The current version; None where none was ever written."""
    return project.texts.filter(kind=kind).order_by("-number").first()


@transaction.atomic
def write(
    *, project: Project, kind: Kind, text: str, author: User | None, note: str = ""
) -> ProjectText | None:
    """Make ``text`` the newest version; None, and nothing written, where it is so already.

    The author counts as having read them.
    """
    Project.objects.select_for_update().get(pk=project.pk)  # one writer at a time
    text = text.replace("\r\n", "\n").strip()
    before = newest(project, kind)
    if text == (before.text if before else ""):
        return None
    version = ProjectText.objects.create(
        project=project,
        kind=kind,
        number=before.number + 1 if before else 1,
        text=text,
        note=note.strip(),
        author=author,
    )
    Project.objects.filter(pk=project.pk).update(**{FIELDS[kind]: text})
    setattr(project, FIELDS[kind], text)
    if kind == Kind.GUIDELINES and author is not None:
        Membership.objects.filter(project=project, user=author).update(guidelines_read=version)
    return version


def mark_read(*, membership: Membership) -> None:
    """The person has the newest guidelines before them, or was told of them."""
    version = newest(membership.project, Kind.GUIDELINES)
    if membership.pk and version is not None and membership.guidelines_read_id != version.pk:
        membership.guidelines_read = version
        membership.save(update_fields=["guidelines_read"])


def unread_texts(*, membership: Membership) -> ProjectText | None:
    """The guidelines' newest version, where the person has read only an older one; else None."""
    version = newest(membership.project, Kind.GUIDELINES)
    if version is None or not membership.pk or membership.guidelines_read_id == version.pk:
        return None
    return version if version.text else None


# --- what changed ---


@dataclasses.dataclass(frozen=True)
class DifferenceLine:
    """A line of two versions merged into one listing."""

    change: Literal["same", "added", "removed", "gap"]
    text: str


def difference(old: str, new: str, *, around: int = 2) -> list[DifferenceLine]:
    """``new`` against ``old``, line by line, with ``around`` unchanged lines for context."""
    return list(_lines(old.splitlines(), new.splitlines(), around))


def _lines(old: list[str], new: list[str], around: int) -> Iterator[DifferenceLine]:
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    end = 0
    for group in matcher.get_grouped_opcodes(around):
        if group[0][1] > end:
            yield DifferenceLine("gap", "")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (DifferenceLine("same", text) for text in old[i1:i2])
            else:
                yield from (DifferenceLine("removed", text) for text in old[i1:i2])
                yield from (DifferenceLine("added", text) for text in new[j1:j2])
            end = i2
    if 0 < end < len(old):
        yield DifferenceLine("gap", "")
