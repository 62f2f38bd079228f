"""Snapshots: the exact bytes that a round trains on and that an export serves."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.exporting import pair_lines, pairs_of
from annotate.models import PreferencePair, Project
from annotate.serving import release_expired
from training import artifacts
from training.errors import NotNow
from training.models import Snapshot


def usable_pairs(project: Project) -> QuerySet[PreferencePair]:
    """The pairs of a project that a round may use."""
    return pairs_of(project).filter(weight__gt=0)


def freeze_snapshot(*, project: Project) -> Snapshot:
    """Freeze all usable pairs: from now on their verdicts stay. Raises NotNow if there are none.

    The pairs are marked first and written then, so nothing changes under the writing. The
    same pairs give the same bytes, the same hash and the same snapshot. Verdicts that were
    reopened and left so count again first.
    """
    release_expired(project=project)
    with transaction.atomic():
        chosen = list(usable_pairs(project).order_by("pk").values_list("pk", flat=True))
        usable_pairs(project).filter(pk__lte=chosen[-1] if chosen else 0, frozen_at=None).update(
            frozen_at=timezone.now()
        )
    pairs = usable_pairs(project).filter(frozen_at__isnull=False)
    if not chosen:
        raise NotNow(_("There are no preference pairs yet. Judge some comparisons first."))
    sha256, path = _write(pairs)
    held_out = pairs.filter(comparison__prompt__is_held_out=True).count()
    total = pairs.count()
    with transaction.atomic():
        snapshot, is_new = Snapshot.objects.get_or_create(
            sha256=sha256,
            defaults={
                "project": project,
                "counts": {"train": total - held_out, "held_out": held_out},
                "path": str(path),
            },
        )
        if is_new:
            snapshot.pairs.set(pairs)
    return snapshot


def _write(pairs: QuerySet[PreferencePair]) -> tuple[str, Path]:
    settings.SNAPSHOTS_DIR.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor, temporary = tempfile.mkstemp(dir=settings.SNAPSHOTS_DIR, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for line in pair_lines(pairs):
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        path = settings.SNAPSHOTS_DIR / f"{digest.hexdigest()}.jsonl"
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    artifacts.publish_file(path, f"snapshots/{path.name}")
    return digest.hexdigest(), path
