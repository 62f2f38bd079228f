"""Which trees are computed together: pure functions over lengths.

The optimizer step is fixed before this is asked; splitting it differently never changes the
sum of its losses. Knows nothing of tensors.
"""

from __future__ import annotations

import math
import random


def plan_steps(count: int, batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """The examples of every optimizer step of a run: a new order each epoch.

    An epoch's last step takes what is left, so no example is dropped or seen twice in one
    epoch; a fraction of an epoch is rounded up to whole steps.
    """
    per_epoch = math.ceil(count / batch_size)
    total = max(1, math.ceil(epochs * per_epoch - 1e-9))
    steps: list[list[int]] = []
    epoch = 0
    while len(steps) < total:
        order = list(range(count))
        random.Random(f"{seed}:{epoch}").shuffle(order)
        steps += [order[start : start + batch_size] for start in range(0, count, batch_size)]
        epoch += 1
    return steps[:total]


def plan_padded(longest: list[int], rows: list[int], budget: int) -> list[list[int]]:
    """Bins of trees whose padded rows fit into ``budget`` tokens.

    ``longest[i]`` is tree i's longest row, ``rows[i]`` how many rows it brings. Trees of like
    length go together. A tree above the budget gets a bin of its own.
    """
    bins: list[list[int]] = []
    width = used = 0
    for index in sorted(range(len(longest)), key=lambda i: (-longest[i], i)):
        if not bins or (used + rows[index]) * width > budget:
            bins.append([])
            width, used = longest[index], 0
        bins[-1].append(index)
        used += rows[index]
    return bins


def plan_packed(sizes: list[int], budget: int) -> list[list[int]]:
    """Bins of trees whose tokens fit into ``budget``: first fit, the largest first.

    ``sizes[i]`` is what tree i computes. A tree above the budget gets a bin of its own.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        fits = (b for b, left in enumerate(room) if sizes[index] <= left)
        chosen = next(fits, None)
        if chosen is None:
            bins.append([])
            room.append(budget)
            chosen = len(bins) - 1
        bins[chosen].append(index)
        room[chosen] -= sizes[index]
    return bins


def share_out(sizes: list[int], parts: int) -> list[list[int]]:
    """Indices for each of ``parts`` processes, about equal in tokens; some may get none.

    The largest goes first, always to the one that has least.
    """
    shares: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        lightest = loads.index(min(loads))
        shares[lightest].append(index)
        loads[lightest] += sizes[index]
    return [sorted(share) for share in shares]


def milestones(total: int, fraction: float) -> set[int]:
    """The steps at which a part of ``fraction`` of ``total`` steps is completed, and the last."""
    parts = max(1, round(1 / fraction))
    return {math.ceil(total * part / parts) for part in range(1, parts + 1)}


def learning_rate_factor(step: int, total: int, warmup: int) -> float:
    """Linear rise over ``warmup`` steps, then linear fall; never 0 for a step that is taken."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(total - step, 0) / max(total - warmup, 1)
