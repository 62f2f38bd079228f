"""Answers that raters wrote: kept as completions of a policy that is never sampled."""

from __future__ import annotations

import hashlib
from itertools import count

from annotate.content.completions import store_completions
from annotate.models import Completion, Policy, Project

PEOPLE = "people"
"""The slug of the policy that stands for what people wrote, where it is free."""


def people_policy(project: Project) -> Policy:
    """The project's policy of kind PEOPLE, made with the first answer.

    It is retired from the beginning: it is in no pool, so nothing samples it and pairing
    never uses its answers.
    """
    policies = Policy.objects.filter(project=project)
    existing = policies.filter(kind=Policy.Kind.PEOPLE).order_by("pk").first()
    if existing is not None:
        return existing
    slugs = (PEOPLE if number == 1 else f"{PEOPLE}-{number}" for number in count(1))
    policy, _ = Policy.objects.get_or_create(
        project=project,
        slug=next(slug for slug in slugs if not policies.filter(slug=slug).exists()),
        defaults={"kind": Policy.Kind.PEOPLE, "state": Policy.State.RETIRED},
    )
    return policy


def store_demonstration(
    *, project: Project, prompt_id: int, text: str, html: str = ""
) -> Completion:
    """The completion that holds ``text``; one text to one prompt is one completion."""
    policy, seed = people_policy(project), seed_of(text)
    row = Completion(prompt_id=prompt_id, policy=policy, text=text, html=html, seed=seed)
    store_completions(rows=[row])
    return Completion.objects.get(prompt_id=prompt_id, policy=policy, seed=seed)


def seed_of(text: str) -> int:
    """The seed that a text without one is stored under: 63 bits of its hash."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
