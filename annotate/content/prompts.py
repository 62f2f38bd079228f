"""Prompts: what a valid one is, when two are the same, and which are held out."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from annotate.db.write_lock import write_lock
from annotate.formatting import grouped
from annotate.models import Message, Project, Prompt
from annotate.rendering.render import VERSION, render

ROLES = ("system", "user", "assistant")
MAX_MESSAGES = 200
MAX_MESSAGE_CHARS = 100_000
MAX_PROMPT_CHARS = 200_000
MAX_TAGS = 20
MAX_TAG_CHARS = 50


class MessagesError(ValueError):
    """Messages that cannot be a prompt: ``field`` says where, ``reason`` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def check_messages(value: object) -> list[Message]:
    """``value`` as chat messages, each with exactly its role and its content, byte for byte.

    A system message may only come first, the last one must be from the user, and every content
    is text that both databases can hold. Keys other than role and content are left behind.
    Raises MessagesError.
    """
    if not isinstance(value, list):
        raise MessagesError("", _("expected a list of messages"))
    if not value:
        raise MessagesError("", _("the list of messages is empty"))
    if len(value) > MAX_MESSAGES:
        reason = _("%(count)s messages, at most %(most)s are taken")
        raise MessagesError("", reason % {"count": len(value), "most": MAX_MESSAGES})
    messages = [_check_message(item, f"[{index}]") for index, item in enumerate(value)]
    for index, message in enumerate(messages):
        if message["role"] == "system" and index > 0:
            reason = _("a system message may only come first")
            raise MessagesError(f"[{index}].role", reason)
    if messages[-1]["role"] != "user":
        reason = _("the last message must be from the user, not from the %(role)s")
        raise MessagesError(f"[{len(messages) - 1}].role", reason % {"role": messages[-1]["role"]})
    size = sum(len(message["content"]) for message in messages)
    if size > MAX_PROMPT_CHARS:
        raise MessagesError("", too_long(size, MAX_PROMPT_CHARS))
    return messages


def _check_message(value: object, place: str) -> Message:
    if not isinstance(value, dict):
        raise MessagesError(place, _("expected an object with role and content"))
    role = value.get("role")
    if role not in ROLES:
        raise MessagesError(
            f"{place}.role", _("must be one of %(roles)s") % {"roles": ", ".join(ROLES)}
        )
    content = value.get("content")
    if not isinstance(content, str):
        raise MessagesError(f"{place}.content", _("must be text"))
    if not content.strip():
        raise MessagesError(f"{place}.content", _("is empty"))
    if len(content) > MAX_MESSAGE_CHARS:
        raise MessagesError(f"{place}.content", too_long(len(content), MAX_MESSAGE_CHARS))
    if problem := unstorable(content):
        raise MessagesError(f"{place}.content", problem)
    return {"role": role, "content": content}


def too_long(characters: int, most: int) -> str:
    """Why a text of that length is not taken."""
    reason = _("%(count)s characters, at most %(most)s are taken")
    return reason % {"count": grouped(characters), "most": grouped(most)}


def unstorable(text: str) -> str:
    """Why a database could not hold ``text``, or nothing."""
    if "\0" in text:
        return _("has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _("has half of a surrogate pair")
    return ""


def safe_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The messages as ``role`` and safe ``html``; rendered again where the row's is out of date."""
    if prompt.html_version != VERSION:
        prompt.html = [str(render(message["content"])) for message in prompt.messages]
        prompt.html_version = VERSION
        with write_lock():
            Prompt.objects.filter(pk=prompt.pk).update(html=prompt.html, html_version=VERSION)
    return [
        {"role": message["role"], "html": mark_safe(html)}  # noqa: S308
        for message, html in zip(prompt.messages, prompt.html, strict=True)
    ]


RUNS_OF_SPACE, LINES_COUNT = 1, 2
"""The rules by which prompts are the same and are held out; a project keeps the one it began with.

RUNS_OF_SPACE: any run of white space counts as one space, and the whole conversation's digest says
whether it is held out. LINES_COUNT: line breaks and indentation count, blanks at the ends of lines
do not; and the first turn of the user says it, letters and digits alone, so that near-doubles
are never on both sides.
"""


def prompt_digest(messages: Sequence[Message], rule: int = RUNS_OF_SPACE) -> str:
    """SHA-256 in hex of what makes two prompts the same: roles and words.

    Composed and decomposed letters count as equal (NFC); white space counts as ``rule`` has it.
    Only the digest is normalised; the stored messages keep every byte for training.
    """
    normal = _lines_kept if rule == LINES_COUNT else _spaces_joined
    normalised = [
        [message["role"], normal(unicodedata.normalize("NFC", message["content"]))]
        for message in messages
    ]
    return hashlib.sha256(json.dumps(normalised).encode()).hexdigest()


def _spaces_joined(text: str) -> str:
    return " ".join(text.split())


def _lines_kept(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


def first_turn(messages: Sequence[Message]) -> str:
    """The user's first words as near-doubles share them: letters and digits, in one case."""
    text = next((m["content"] for m in messages if m["role"] == "user"), "")
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in folded if sign.isalnum()) or folded.strip()


def is_held_out(digest: str, percent: int) -> bool:
    """Whether the prompt of ``digest`` is kept from every round, at ``percent`` held out.

    Decided by the digest alone: the same in every project and on every machine, whatever
    arrives before or after. A larger percentage keeps all that a smaller one does.
    """
    return int(digest[:16], 16) % 100 < percent


def splits_off(messages: Sequence[Message], project: Project) -> bool:
    """Whether the rule of ``project`` holds this prompt out of training."""
    if project.prompt_rule == LINES_COUNT:
        digest = hashlib.sha256(first_turn(messages).encode()).hexdigest()
    else:
        digest = prompt_digest(messages)
    return is_held_out(digest, project.held_out_percent)


@dataclass(frozen=True, kw_only=True)
class NewPrompt:
    """A checked prompt on its way into a project."""

    messages: list[Message]
    tags: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    held_out: bool | None = None
    """As its file says; None: the project's rule decides."""


@dataclass(frozen=True, kw_only=True)
class StoredPrompts:
    """The result of storing prompts: all their rows by digest, and how many were new."""

    ids: dict[str, int]
    rule: int
    new: int
    held_out: int
    other_split: int = 0
    """Of those that were there: how many are held out where they came as trained on, or the
    other way round."""

    def id_of(self, prompt: NewPrompt) -> int:
        """The row of one of the prompts that were stored."""
        return self.ids[prompt_digest(prompt.messages, self.rule)]


@transaction.atomic
def store_prompts(
    *,
    project: Project,
    prompts: Iterable[NewPrompt],
    source: str = "",
    is_sampled: bool = True,
) -> StoredPrompts:
    """Store those ``prompts`` that ``project`` does not have, by digest; keep the others as is.

    ``held_out`` counts among the new ones. ``is_sampled``: whether the pool answers them; one that
    was stored without is answered as soon as it comes with it. Meant for some hundreds of prompts
    at a time.
    """
    # Two imports at once must count right: the second waits here for the first.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    by_digest: dict[str, NewPrompt] = {}
    for prompt in prompts:
        by_digest.setdefault(prompt_digest(prompt.messages, project.prompt_rule), prompt)
    stored = _ids_by_digest(project, by_digest)
    new = [
        Prompt(
            project=project,
            messages=prompt.messages,
            digest=digest,
            source=source[:200],
            tags=prompt.tags,
            details=prompt.details,
            is_held_out=(
                splits_off(prompt.messages, project) if prompt.held_out is None else prompt.held_out
            ),
            is_sampled=is_sampled,
        )
        for digest, prompt in by_digest.items()
        if digest not in stored
    ]
    Prompt.objects.bulk_create(new)
    if is_sampled:
        Prompt.objects.filter(pk__in=stored.values(), is_sampled=False).update(is_sampled=True)
    return StoredPrompts(
        ids=stored | {row.digest: row.pk for row in new},
        rule=project.prompt_rule,
        new=len(new),
        held_out=sum(row.is_held_out for row in new),
        other_split=_with_other_split(by_digest, stored),
    )


def _with_other_split(prompts: Mapping[str, NewPrompt], stored: Mapping[str, int]) -> int:
    expected = {
        stored[digest]: prompt.held_out
        for digest, prompt in prompts.items()
        if digest in stored and prompt.held_out is not None
    }
    rows = (
        Prompt.objects.filter(pk__in=expected).values_list("pk", "is_held_out") if expected else []
    )
    return sum(expected[pk] != held_out for pk, held_out in rows)


def _ids_by_digest(project: Project, digests: Iterable[str]) -> dict[str, int]:
    rows = Prompt.objects.filter(project=project, digest__in=list(digests))
    return dict(rows.values_list("digest", "pk"))
