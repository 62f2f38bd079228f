"""Which completions meet. ``plan_pairs`` is the rule; ``make_comparisons`` writes the rows."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from django.db import transaction
from django.db.models import F

from annotate.content.already_compared import has_met
from annotate.models import Comparison, Completion, Policy, Project
from annotate.pairing.pair_preference import PairingPreference, by_margin, places
from annotate.queue.line_ups import make_line_up

PROMPTS_AT_ONCE = 200
OWN_SHARE = 10
"""At most one in this many comparisons is of two answers by one policy."""

QUEUE = 2**31
"""Places in the random order of the queue."""
_draw = random.SystemRandom()


@dataclasses.dataclass(frozen=True)
class PairingCandidate:
    """One completion of a prompt, as far as pairing cares.

    ``used``: it has met another; ``gated``: only in a gate, so its policy still counts as new.
    """

    pk: int
    policy: int
    text: str
    used: bool = False
    gated: bool = False


CandidatePair = tuple[PairingCandidate, PairingCandidate]
Choose = Callable[[Iterable[CandidatePair]], CandidatePair | None]
"""Which of the possible pairs comes next; None where there is none."""


def the_first(meetings: Iterable[CandidatePair]) -> CandidatePair | None:
    """Whatever comes first, without looking at the answers."""
    return next(iter(meetings), None)


def plan_pairs(
    candidates: Sequence[PairingCandidate],
    parents: Mapping[int, int | None],
    imports: Collection[int] = (),
    choose: Choose = the_first,
    *,
    is_alone: bool = False,
) -> list[tuple[int, int]]:
    """Pairs of completions of one prompt that are to meet, as (pk, pk).

    A policy's first completion meets one of its parent's, so that every round is measured
    against what it came from. A newly imported policy meets those imported before it with all
    of its completions, though theirs have met others already: that is what it was imported
    for. What is left meets across policies, then its parent's answers, though these have met
    others; within one policy only where that ``is_alone``. Apart from that no completion is used
    twice, and equal texts never meet. Where several could meet, ``choose`` says which.
    """
    by_policy: dict[int, list[PairingCandidate]] = defaultdict(list)
    for candidate in candidates:
        by_policy[candidate.policy].append(candidate)
    left = {
        policy: [candidate for candidate in own if not candidate.used]
        for policy, own in sorted(by_policy.items())
    }
    pairs: list[tuple[int, int]] = []

    def meet(pair: CandidatePair | None) -> bool:
        if pair is None:
            return False
        pairs.append((pair[0].pk, pair[1].pk))
        for paired in pair:
            left[paired.policy] = [
                candidate for candidate in left[paired.policy] if candidate.pk != paired.pk
            ]
        return True

    for policy in list(left):
        is_new = not any(candidate.used and not candidate.gated for candidate in by_policy[policy])
        parent = parents.get(policy)
        if is_new and parent is not None:
            theirs = sorted(by_policy.get(parent, []), key=lambda candidate: candidate.used)
            meet(choose(_different(left[policy], theirs)))
        if is_new and policy in imports:
            earlier = [
                candidate
                for other in imports
                if other != policy
                for candidate in by_policy.get(other, [])
                if candidate.used
            ]
            while pair := choose(_different(left[policy], earlier)):
                meet(pair)
                earlier.remove(pair[1])
    while meet(choose(_meetings(left))):
        pass
    for policy, parent in parents.items():
        theirs = [candidate for candidate in by_policy.get(parent or 0, []) if candidate.used]
        met = {pk for pair in pairs for pk in pair}
        theirs = [candidate for candidate in theirs if candidate.pk not in met]
        while pair := choose(_different(left.get(policy, []), theirs)):
            meet(pair)
            theirs.remove(pair[1])
    while is_alone and meet(choose(_own_meetings(left))):
        pass
    return pairs


def plan_own_pairs(
    candidates: Sequence[PairingCandidate], paired: Collection[int], choose: Choose = the_first
) -> list[tuple[int, int]]:
    """Pairs of unused completions of one policy, those of ``paired`` apart, as (pk, pk)."""
    left: dict[int, list[PairingCandidate]] = defaultdict(list)
    for candidate in candidates:
        if not candidate.used and candidate.pk not in paired:
            left[candidate.policy].append(candidate)
    pairs: list[tuple[int, int]] = []
    while pair := choose(_own_meetings(left)):
        pairs.append((pair[0].pk, pair[1].pk))
        left[pair[0].policy] = [
            candidate for candidate in left[pair[0].policy] if candidate not in pair
        ]
    return pairs


def own_pairs_allowed(*, others: int, own: int) -> int:
    """How many more comparisons of one policy's answers there may be, where there are ``own`` of
    them and ``others`` of two policies: so many that at most one in OWN_SHARE is such."""
    return max(0, others // (OWN_SHARE - 1) - own)


def plan_line_ups(candidates: Sequence[PairingCandidate], size: int) -> list[list[int]]:
    """Groups of ``size`` unused completions of one prompt with different texts, as (pk, …).

    Each takes from the policies with most of them left, so that many meet. None where ``size``
    is 0; what makes no full group is left for pairs.
    """
    groups: list[list[int]] = []
    left: dict[int, list[PairingCandidate]] = defaultdict(list)
    for candidate in candidates:
        if not candidate.used:
            left[candidate.policy].append(candidate)
    while size:
        group: list[PairingCandidate] = []
        texts: set[str] = set()
        rest = {policy: list(unused) for policy, unused in left.items()}
        while len(group) < size and any(rest.values()):
            policy = min(
                (policy for policy in rest if rest[policy]),
                key=lambda policy: (
                    sum(member.policy == policy for member in group),
                    -len(rest[policy]),
                    policy,
                ),
            )
            candidate = rest[policy].pop(0)
            text = " ".join(candidate.text.split())
            if text not in texts:
                texts.add(text)
                group.append(candidate)
        if len(group) < size:
            break
        groups.append([member.pk for member in group])
        for member in group:
            left[member.policy].remove(member)
    return groups


def _meetings(left: Mapping[int, list[PairingCandidate]]) -> Iterator[CandidatePair]:
    """All pairs across policies that unused completions can make, from those with most of them."""
    fullest = _fullest(left)
    for index, policy in enumerate(fullest):
        for other in fullest[index + 1 :]:
            yield from _different(left[policy], left[other])


def _own_meetings(left: Mapping[int, list[PairingCandidate]]) -> Iterator[CandidatePair]:
    """The same within one policy."""
    for policy in _fullest(left):
        own = left[policy]
        for index, candidate in enumerate(own):
            yield from _different([candidate], own[index + 1 :])


def _fullest(left: Mapping[int, list[PairingCandidate]]) -> list[int]:
    return sorted(left, key=lambda policy: (-len(left[policy]), policy))


def _different(
    candidates: Iterable[PairingCandidate], others: Sequence[PairingCandidate]
) -> Iterator[CandidatePair]:
    for candidate in candidates:
        for other in others:
            if " ".join(candidate.text.split()) != " ".join(other.text.split()):
                yield candidate, other


def make_comparisons(*, project: Project, selection: PairingPreference | None = None) -> int:
    """Pair up the pool's completions that have not met anything yet, or line them up where the
    project does that. Returns how many comparisons and line-ups were added.

    Newer policies come first in the raters' queue, so that judgements stay fresh. ``selection``
    prefers some pairs to others, both in what is paired and in what is served first among those
    of the same priority; a share of the prompts is paired without it.

    A policy that is alone meets itself; among two or more only where the project asks for it, and
    then in at most one of OWN_SHARE comparisons since there are two.
    """
    pool = list(Policy.objects.filter(project=project, state__in=Policy.IN_POOL))
    ages = generations(project)
    unpaired_prompts = (
        Completion.objects.filter(
            ~has_met(), prompt__project=project, policy__in=pool, rejected_for=""
        )
        .order_by("prompt_id")
        .values_list("prompt_id", flat=True)
        .distinct()
    )
    count = 0
    for prompts in _chunks(list(unpaired_prompts), PROMPTS_AT_ONCE):
        count += _pair_up(
            project=project, prompts=prompts, pool=pool, ages=ages, selection=selection
        )
    return count


@transaction.atomic
def _pair_up(
    *,
    project: Project,
    prompts: list[int],
    pool: list[Policy],
    ages: Mapping[int, int],
    selection: PairingPreference | None,
) -> int:
    Project.objects.select_for_update().get(pk=project.pk)  # one pairing at a time
    by_prompt: dict[int, list[PairingCandidate]] = defaultdict(list)
    policy_of: dict[int, int] = {}
    for pk, prompt, policy, text, used, met_outside_gates in (
        Completion.objects.filter(prompt__in=prompts, policy__in=pool, rejected_for="")
        .annotate(used=has_met(), met_outside_gates=has_met(Comparison.Purpose.GATE))
        .order_by("pk")
        .values_list("pk", "prompt_id", "policy_id", "text", "used", "met_outside_gates")
    ):
        by_prompt[prompt].append(
            PairingCandidate(pk, policy, text, used, used and not met_outside_gates)
        )
        policy_of[pk] = policy
    parents = {policy.pk: policy.parent_id for policy in pool}
    imports = [policy.pk for policy in pool if policy.kind == Policy.Kind.IMPORT]
    rewards = selection.rewards(policy_of) if selection else {}

    def add(prompt: int, pairs: Iterable[tuple[int, int]], choose: Choose) -> None:
        for pair in pairs:
            a, b = pair if _draw.random() < 0.5 else pair[::-1]
            row = Comparison(
                project=project,
                prompt_id=prompt,
                a_id=a,
                b_id=b,
                priority=max(ages[policy_of[a]], ages[policy_of[b]]),
                shuffle=_draw.randrange(QUEUE),
                judgements_wanted=project.judgements_wanted,
            )
            if selection and choose is not the_first and a in rewards and b in rewards:
                row.picked = selection.prefer
                picked.append((row, rewards[a] - rewards[b]))
            rows.append(row)

    writers = {
        policy.pk for policy in pool if policy.kind != Policy.Kind.IMPORT and policy.weight > 0
    }
    rows: list[Comparison] = []
    unpaired: list[tuple[int, list[tuple[int, int]], Choose]] = []
    picked: list[tuple[Comparison, float]] = []
    lined_up = 0
    for prompt, candidates in by_prompt.items():
        if selection and selection.waits:
            candidates = [
                candidate for candidate in candidates if candidate.used or candidate.pk in rewards
            ]
        for group in plan_line_ups(candidates, project.line_up_size):
            make_line_up(
                project=project,
                prompt_id=prompt,
                completions=group,
                priority=max(ages[policy_of[pk]] for pk in group),
            )
            lined_up += 1
            candidates = [
                dataclasses.replace(candidate, used=candidate.used or candidate.pk in group)
                for candidate in candidates
            ]
        choose: Choose = the_first
        if selection and _draw.random() >= selection.random_share:
            choose = by_margin(rewards, selection.prefer)
        is_alone = len(writers | {candidate.policy for candidate in candidates}) < 2
        pairs = plan_pairs(candidates, parents, imports, choose, is_alone=is_alone)
        add(prompt, pairs, choose)
        if project.compares_own_answers and not is_alone:
            paired = {pk for pair in pairs for pk in pair}
            unpaired.append((prompt, plan_own_pairs(candidates, paired, choose), choose))
    allowed = _own_pairs_left(project, pool, rows, policy_of) if unpaired else 0
    _draw.shuffle(unpaired)
    for prompt, own_pairs, choose in unpaired:
        add(prompt, own_pairs[:allowed], choose)
        allowed -= len(own_pairs[:allowed])
    if selection:
        order = places([margin for _, margin in picked], selection.prefer)
        for (row, _), place in zip(picked, order, strict=True):
            row.shuffle = int((place + _draw.random()) / len(picked) * (QUEUE - 1))
    return lined_up + len(Comparison.objects.bulk_create(rows))


def _own_pairs_left(
    project: Project,
    pool: Sequence[Policy],
    rows: Sequence[Comparison],
    policy_of: Mapping[int, int],
) -> int:
    """How many comparisons within one policy may be added to ``rows``, counting all since the
    project had its second policy."""
    second = sorted(policy.created_at for policy in pool)[1]
    earlier = Comparison.objects.filter(
        project=project, purpose=Comparison.Purpose.NORMAL, created_at__gte=second
    ).exclude(a__policy__kind=Policy.Kind.PEOPLE)
    own = earlier.filter(a__policy=F("b__policy")).count()
    added_own = sum(1 for row in rows if policy_of[row.a_id] == policy_of[row.b_id])
    others = earlier.count() - own + len(rows) - added_own
    return own_pairs_allowed(others=others, own=own + added_own)


def generations(project: Project) -> dict[int, int]:
    """For every policy, how many ancestors it has."""
    parents = dict(Policy.objects.filter(project=project).values_list("pk", "parent_id"))
    ages: dict[int, int] = {}
    for pk in parents:
        age = 0
        ancestor: int | None = parents[pk]
        while ancestor is not None:
            age += 1
            ancestor = parents.get(ancestor)
        ages[pk] = age
    return ages


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
