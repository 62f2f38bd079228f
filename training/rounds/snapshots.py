"""Snapshots: the exact bytes that a round trains on and that an export serves."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.content.export import pair_lines, pairs_of
from annotate.models import PreferencePair, Project
from annotate.queue.leases import release_expired
from training.errors import Refused
from training.models import Round, Snapshot
from training.rounds.pair_selection import ALL, PairSelection, SelectablePair, choose
from training.storage import artifacts

BATCH = 500


def usable_pairs(project: Project) -> QuerySet[PreferencePair]:
    """The pairs of a project that a round may use."""
    return pairs_of(project).filter(weight__gt=0)


def chosen_pairs(
    project: Project, selection: PairSelection, *, seed: int = 0, now: datetime | None = None
) -> dict[int, float]:
    """The usable pairs that ``selection`` takes, by id, each with its factor of weight."""
    rounds_at = project.rounds.filter(state="succeeded").order_by("created_at")
    return choose(
        _candidates(project),
        selection,
        rounds_at=list(rounds_at.values_list("created_at", flat=True)),
        now=now or timezone.now(),
        seed=seed,
    )


def not_yet_trained_on(pairs: QuerySet[PreferencePair]) -> QuerySet[PreferencePair]:
    """Those of ``pairs`` that no round has taken but reward rounds: new for the next policy."""
    taken = Snapshot.objects.filter(rounds__kind=Round.Kind.REWARD).exclude(
        rounds__in=Round.objects.exclude(kind=Round.Kind.REWARD)
    )
    mine = list(taken.values_list("pk", flat=True).distinct())
    if not mine:
        return pairs.filter(frozen_at=None)
    through = PreferencePair.snapshots.through.objects.filter(preferencepair=OuterRef("pk"))
    by_rewards_alone = Q(Exists(through.filter(snapshot__in=mine))) & ~Q(
        Exists(through.exclude(snapshot__in=mine))
    )
    return pairs.filter(Q(frozen_at=None) | by_rewards_alone)


def count_pairs(project: Project, selection: PairSelection) -> tuple[int, int, int]:
    """Of the pairs that ``selection`` would take: how many train, are new among those, are held
    out. New is what no snapshot has yet."""
    if selection.is_all:
        pairs = usable_pairs(project)
        held_out = pairs.filter(comparison__prompt__is_held_out=True).count()
        new = not_yet_trained_on(pairs).filter(comparison__prompt__is_held_out=False).count()
        return pairs.count() - held_out, new, held_out
    taken = chosen_pairs(project, selection)
    rows = usable_pairs(project).values_list("pk", "frozen_at", "comparison__prompt__is_held_out")
    mine = [row for row in rows.iterator(BATCH) if row[0] in taken]
    held = sum(held_out for _, _, held_out in mine)
    new = sum(frozen is None and not held_out for _, frozen, held_out in mine)
    return len(mine) - held, new, held


def freeze_snapshot(*, project: Project, selection: PairSelection = ALL, seed: int = 0) -> Snapshot:
    """Freeze the pairs of ``selection``: from now on their verdicts stay.

    Raises Refused if there are none to train on. The pairs are marked first and written then, so
    nothing changes under the writing. The same pairs at the same weights give the same bytes,
    the same hash and the same snapshot. Verdicts that were reopened and left so count again
    first.
    """
    release_expired(project=project)
    now = timezone.now()
    with transaction.atomic():
        factors = chosen_pairs(project, selection, seed=seed, now=now)
        unfrozen = usable_pairs(project).filter(frozen_at=None).values_list("pk", flat=True)
        fresh = [pk for pk in unfrozen.order_by("pk") if pk in factors]
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            PreferencePair.objects.filter(pk__in=batch).update(frozen_at=now)
    pairs = usable_pairs(project).filter(frozen_at__isnull=False)
    if not factors:
        if selection.is_all:
            raise Refused(_("There are no preference pairs yet. Judge some comparisons first."))
        raise Refused(_("No pair passes the round's filter. Widen it."))
    sha256, path, counts, written = _write(pairs, factors)
    with transaction.atomic():
        snapshot, is_new = Snapshot.objects.get_or_create(
            sha256=sha256,
            defaults={
                "project": project,
                "filters": selection.as_dict(),
                "counts": counts,
                "path": str(path),
            },
        )
        if is_new:
            through = Snapshot.pairs.through
            rows = (through(snapshot_id=snapshot.pk, preferencepair_id=pk) for pk in written)
            through.objects.bulk_create(rows, batch_size=BATCH)
    return snapshot


def _candidates(project: Project) -> Iterator[SelectablePair]:
    rows = usable_pairs(project).values_list(
        "pk",
        "created_at",
        "comparison__prompt__is_held_out",
        "agreement",
        "comparison__prompt__tags",
        "chosen__policy__slug",
        "rejected__policy__slug",
    )
    for pk, created_at, held_out, agreement, tags, *policies in rows.iterator(BATCH):
        yield SelectablePair(pk, created_at, held_out, agreement, tags, policies)


def _write(
    pairs: QuerySet[PreferencePair], factors: Mapping[int, float]
) -> tuple[str, Path, dict[str, int], list[int]]:
    """The file's hash, where it is, its pairs by split, and their ids."""
    settings.SNAPSHOTS_DIR.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    counts, written = {"train": 0, "held_out": 0}, []
    descriptor, temporary = tempfile.mkstemp(dir=settings.SNAPSHOTS_DIR, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for line in pair_lines(pairs, factors):
                digest.update(line)
                file.write(line)
                record = json.loads(line)
                counts[record["split"]] += 1
                written.append(record["id"])
            file.flush()
            os.fsync(file.fileno())
        path = settings.SNAPSHOTS_DIR / f"{digest.hexdigest()}.jsonl"
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    artifacts.publish_file(path, f"snapshots/{path.name}")
    return digest.hexdigest(), path, counts, written
