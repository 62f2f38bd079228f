"""Completions of other models from a file, each model as a policy."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import IO, Any

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotate.content.completions import sampling_digest, store_completions
from annotate.content.prompts import NewPrompt, store_prompts
from annotate.importing.lines import MAX_BYTES, Record
from annotate.importing.records import COMPLETION_KEYS, CompletionRecord, completion_from
from annotate.importing.refusal import FieldError, Intake, Problems
from annotate.importing.report import FileKind, ImportReport
from annotate.importing.staging import checked_rows, policy_for
from annotate.models import Completion, Policy, Project
from annotate.rendering.render import render


def import_completions(
    *,
    project: Project,
    file: IO[bytes],
    source: str = "",
    policy_slug: str | None = None,
    max_bytes: int = MAX_BYTES,
    intake: Intake | None = None,
) -> ImportReport:
    """Add the completions in ``file`` to ``project``, with their prompts and policies.

    Every model named in the file is a policy of kind import; with ``policy_slug`` the file holds
    one model, and that is its policy. Completions without a seed are numbered in their order
    of arrival; one is already there if the project has its text as often as the file did so far,
    for the same prompt, policy and sampling. Raises ImportRefused.
    """
    report = ImportReport(kind=FileKind.COMPLETIONS)
    intake = intake or Intake()
    naming = _Naming(project, policy_slug)

    def read(record: Record) -> tuple[str, CompletionRecord]:
        intake.note_ignored(record, COMPLETION_KEYS)
        completion = completion_from(record, intake.choices)
        return naming.slug_for(completion.model), completion

    def as_data(item: tuple[str, CompletionRecord]) -> dict[str, Any]:
        slug, completion = item
        return asdict(completion) | {"slug": slug, "html": render(completion.text)}

    staged = checked_rows(
        file, read=read, as_data=as_data, max_bytes=max_bytes, problems=intake.problems
    )
    with staged as batches, transaction.atomic():
        policies = {
            slug: policy_for(project, slug, base_model=model)
            for slug, model in naming.models.items()
        }
        arrival = _Arrival()
        # Given seeds go first, so that counted ones find the free places.
        for counted in (False, True):
            for batch in batches():
                lines = [(n, data) for n, data in batch if (data["seed"] is None) == counted]
                prompts = [NewPrompt(**data["prompt"]) for _, data in lines]
                stored = store_prompts(project=project, prompts=prompts, source=source)
                report.lines += len(lines)
                report.prompts_new += stored.new
                report.held_out += stored.held_out
                report.other_split += stored.other_split
                candidates = [
                    (number, _completion(data, stored.id_of(prompt), policies[data["slug"]]))
                    for (number, data), prompt in zip(lines, prompts, strict=True)
                ]
                rows = arrival.new_among(candidates)
                report.new += store_completions(rows=rows, screened_for=project)
                report.kept_out += sum(1 for row in rows if row.rejected_for)
        arrival.problems.refuse_if_any()
    return report


class _Naming:
    """Which policy's slug a model's name gets, within one file and one project."""

    def __init__(self, project: Project, policy_slug: str | None) -> None:
        self.fixed = policy_slug
        self.models: dict[str, str] = {}
        self.imported = dict(
            Policy.objects.filter(project=project, kind=Policy.Kind.IMPORT).values_list(
                "slug", "base_model"
            )
        )

    def slug_for(self, model: str) -> str:
        """The slug for ``model``. Raises FieldError where it has none of its own."""
        if not model and not self.fixed:
            reason = _("missing; name the policy on import, or give a model")
            raise FieldError("model", reason)
        slug = self.fixed or slug_of(model)
        if not slug:
            reason = _("“%(model)s” has no letters or digits to make a slug of")
            raise FieldError("model", reason % {"model": model})
        known = self.models.get(slug) or self.imported.get(slug) or model
        self.models[slug] = known
        if model and model != known:
            reason = _("“%(model)s” would join “%(known)s” in policy “%(policy)s”")
            raise FieldError("model", reason % {"model": model, "known": known, "policy": slug})
        return slug


def slug_of(model: str) -> str:
    """A policy's slug from a model's name: ``org/Model-1.5`` gives ``org-model-1-5``."""
    return slugify(model.replace("/", "-").replace(".", "-"))[:80].strip("-")


class _Arrival:
    """Tells new completions from those already there, and counts up seeds that are not given."""

    def __init__(self) -> None:
        self.problems = Problems()
        self._seen: Counter[bytes] = Counter()

    def new_among(self, candidates: list[tuple[int, Completion]]) -> list[Completion]:
        """Those of ``candidates`` (line number, unsaved row) that are new, with their seeds.

        A given seed that is taken by another text is a problem of that line.
        """
        stored = self._stored(candidates)
        new = []
        for number, row in candidates:
            group = (row.prompt_id, row.policy_id, row.sampling_digest)
            drawn, text = stored[group], _fingerprint(row.text)
            if row.seed is not None:
                if row.seed in drawn:
                    if drawn[row.seed] != text:
                        reason = _(
                            "%(seed)s is taken by another text of the same model, prompt and "
                            "sampling"
                        )
                        self.problems.add(number, "seed", reason % {"seed": row.seed})
                    continue
            else:
                fingerprint = _fingerprint(f"{group} {row.text}")
                earlier = self._seen[fingerprint]
                self._seen[fingerprint] += 1
                if sum(other == text for other in drawn.values()) > earlier:
                    continue
                row.seed = len(drawn)
                while row.seed in drawn:
                    row.seed += 1
            drawn[row.seed] = text
            new.append(row)
        return new

    @staticmethod
    def _stored(
        candidates: list[tuple[int, Completion]],
    ) -> defaultdict[tuple[Any, ...], dict[int, bytes]]:
        """For each prompt, policy and sampling, the texts' fingerprints by seed."""
        stored: defaultdict[tuple[Any, ...], dict[int, bytes]] = defaultdict(dict)
        rows = Completion.objects.filter(
            prompt_id__in={row.prompt_id for _, row in candidates},
            policy_id__in={row.policy_id for _, row in candidates},
        ).values_list("prompt_id", "policy_id", "sampling_digest", "seed", "text")
        for prompt, policy, digest, seed, text in rows.iterator():
            stored[prompt, policy, digest][seed] = _fingerprint(text)
        return stored


def _fingerprint(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _completion(data: dict[str, Any], prompt_id: int, policy: Policy) -> Completion:
    return Completion(
        prompt_id=prompt_id,
        policy=policy,
        text=data["text"],
        html=data["html"],
        seed=data["seed"],
        sampling=data["sampling"],
        sampling_digest=sampling_digest(data["sampling"]),
        finish_reason=data["finish_reason"],
        token_count=data["token_count"],
        logprob=data["logprob"],
    )
