"""Log-probabilities under the frozen reference, computed once before the first step.

The same layout and number format as the policy's, so that step 0's loss is ln 2 to the last
bit that matters. Knows nothing of what the values are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from training.engine.data.chat import Tree
from training.engine.forward.layout import Layout
from training.engine.forward.micro_batches import MicroBatches
from training.engine.forward.reference_cache import ReferenceCache, digests_of
from training.engine.runtime.process_group import Group

KEEP_EVERY = 512  # trees scored between two parts written to the cache
ReportProgress = Callable[[int, int], None]


def score(
    layout: Layout,
    model: Any,
    trees: list[Tree],
    budget: int,
    progress: ReportProgress | None = None,
) -> Tensor:
    """Summed log-probabilities of all branches of ``trees``, fp64 on the CPU, [S].

    ``model`` speaks as whatever adapter is active. ``progress(done, total)`` is called between
    bins, and may raise to stop.
    """
    return score_share(MicroBatches(layout, budget), model, trees, Group(), progress)


def score_share(
    micro_batches: MicroBatches,
    model: Any,
    trees: list[Tree],
    group: Group,
    progress: ReportProgress | None = None,
) -> Tensor:
    """As ``score``, but only this process's share of ``trees``; 0 for all others' branches."""
    starts = [0]
    for tree in trees:
        starts.append(starts[-1] + len(tree.branches))
    result = torch.zeros(starts[-1], dtype=torch.float64)
    done = 0

    def compute(chosen: list[int]) -> None:
        nonlocal done
        if progress:
            progress(done * group.world, len(trees))
        together = [trees[i] for i in chosen]
        values = micro_batches.layout.logps(model, together).double().cpu()
        rows = torch.split(values, [len(tree.branches) for tree in together])
        for i, own in zip(chosen, rows, strict=True):
            result[starts[i] : starts[i + 1]] = own
        done += len(chosen)

    def idle() -> None:
        micro_batches.layout.logps(model, trees[:1])

    model.eval()
    with torch.no_grad():
        micro_batches.walk_share(trees, group, compute, idle)
    if progress:
        progress(len(trees), len(trees))
    return result


def score_with_cache(
    cache: ReferenceCache,
    micro_batches: MicroBatches,
    model: Any,
    trees: list[Tree],
    group: Group,
    progress: ReportProgress,
) -> tuple[Tensor, list[bool]]:
    """Values of all branches, [S], and which of them the cache had.

    What is computed is kept every few hundred trees, so a stopped run does not lose it. In a
    group each process computes its share, and the first one writes.
    """
    missing = [i for i, t in enumerate(trees) if any(cache.get(d) is None for d in digests_of([t]))]
    cached = [cache.get(d) is not None for d in digests_of(trees)]
    group.wait()  # all have read before the first one writes: they must agree on what is missing
    # Long with long, so that the pieces between two writes pack well.
    missing.sort(key=lambda i: (sum(map(len, trees[i].rows)), i), reverse=True)
    device = next(model.parameters()).device
    for start in range(0, len(missing), KEEP_EVERY):
        part = [trees[i] for i in missing[start : start + KEEP_EVERY]]

        def at(done: int, of: int, start: int = start) -> None:
            progress(start + min(done, of), len(missing))

        values = score_share(micro_batches, model, part, group, at)
        values = group.sum(values, device)
        cache.put(digests_of(part), values.tolist(), write=group.rank == 0)
    logps = [cache.get(digest) for digest in digests_of(trees)]
    return torch.tensor(logps, dtype=torch.float64), cached
