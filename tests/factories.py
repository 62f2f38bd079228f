"""Functions that make rows for tests, in one line each."""

from __future__ import annotations

from itertools import count

from annotate.content.completions import store_completions
from annotate.content.prompts import is_held_out, prompt_digest
from annotate.models import (
    Comparison,
    Completion,
    Membership,
    Policy,
    Project,
    Prompt,
    User,
)

_numbers = count(1)


def make_user(name: str = "") -> User:
    return User.objects.create_user(name or f"person-{next(_numbers)}", password="a-long-password")


def make_project(slug: str = "", **fields: object) -> Project:
    slug = slug or f"project-{next(_numbers)}"
    return Project.objects.create(slug=slug, **{"name": slug, **fields})  # type: ignore[arg-type]


def join(project: Project, user: User, role: str = Membership.Role.RATER) -> User:
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_prompt(project: Project, text: str = "", held_out: bool | None = None) -> Prompt:
    messages = [{"role": "user", "content": text or f"Question {next(_numbers)}?"}]
    digest = prompt_digest(messages)
    if held_out is None:
        held_out = is_held_out(digest, project.held_out_percent)
    return Prompt.objects.create(
        project=project, messages=messages, digest=digest, is_held_out=held_out
    )


def make_policy(project: Project, slug: str = "", **fields: object) -> Policy:
    values = {"kind": Policy.Kind.IMPORT, **fields}
    return Policy.objects.create(project=project, slug=slug or f"policy-{next(_numbers)}", **values)  # type: ignore[misc]


def make_completion(prompt: Prompt, policy: Policy, text: str = "", **fields: object) -> Completion:
    seed = next(_numbers)
    row = Completion(prompt=prompt, policy=policy, text=text or f"Answer {seed}.", seed=seed)
    for name, value in fields.items():
        setattr(row, name, value)
    store_completions(rows=[row])
    return Completion.objects.get(prompt=prompt, policy=policy, seed=seed)


def make_comparison(project: Project, wanted: int = 1, **fields: object) -> Comparison:
    prompt = fields.pop("prompt", None) or make_prompt(project)
    policy = Policy.objects.filter(project=project).first() or make_policy(project)
    values = {
        "a": fields.pop("a", None) or make_completion(prompt, policy),  # type: ignore[arg-type]
        "b": fields.pop("b", None) or make_completion(prompt, policy),  # type: ignore[arg-type]
        "shuffle": next(_numbers),
        "judgements_wanted": wanted,
        **fields,
    }
    return Comparison.objects.create(project=project, prompt=prompt, **values)  # type: ignore[misc]
