"""Preference pairs as JSON Lines, in TRL's conversational preference format.

The one place that turns pairs into bytes: downloads, the command and the snapshots that rounds
train on all use it, so what is exported is what is trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import QuerySet

from annotate.content.completions import storable
from annotate.models import PreferencePair, Project

ROWS_AT_ONCE = 1000


def pairs_of(project: Project) -> QuerySet[PreferencePair]:
    """All preference pairs of ``project``, less those that a rater took back."""
    return PreferencePair.objects.filter(comparison__project=project, withdrawn_at=None)


def pair_lines(
    pairs: QuerySet[PreferencePair], factors: Mapping[int, float] | None = None
) -> Iterator[bytes]:
    """One line of JSON for each of ``pairs``, by id, in constant memory.

    ``factors``, by id: what a pair's weight is multiplied by; a pair that is not in it is left out.
    Same pairs, same bytes: the order of the keys is fixed, the text is UTF-8 and unescaped where
    JSON allows it, and every line ends with a newline. ``split`` is ``held_out`` where the
    prompt is kept from training, else ``train``.
    """
    rows = pairs.order_by("pk").values_list(
        "comparison__prompt__messages",
        "chosen__text",
        "rejected__text",
        "pk",
        "weight",
        "agreement",
        "comparison__prompt__is_held_out",
    )
    for messages, chosen, rejected, pk, weight, agreement, held_out in rows.iterator(ROWS_AT_ONCE):
        if factors is not None and pk not in factors:
            continue
        yield json_line(
            {
                "prompt": [{"role": m["role"], "content": m["content"]} for m in messages],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "id": pk,
                "weight": weight if factors is None else _times(weight, factors[pk]),
                "agreement": agreement,
                "split": "held_out" if held_out else "train",
            }
        )


def _times(weight: float, factor: float) -> float:
    return weight if factor == 1 else round(weight * factor, 6)


def json_line(record: dict[str, Any]) -> bytes:
    """``record`` as one line of JSON in UTF-8, its keys in their own order.

    The importers refuse half a surrogate pair; a row made by other means may have one, and it
    becomes U+FFFD. Raises ValueError where a number is NaN or infinite.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return storable(line).encode() + b"\n"
