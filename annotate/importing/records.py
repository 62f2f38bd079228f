"""The formats that are understood: from a JSON record to a prompt, a completion or a pair.

Pure functions; every one raises FieldError naming the field. docs/formats.md shows each format.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from annotate.content.prompts import (
    MAX_TAG_CHARS,
    MAX_TAGS,
    MessagesError,
    NewPrompt,
    check_messages,
    too_long,
)
from annotate.importing.lines import Record
from annotate.importing.refusal import FieldError, RowChoices
from annotate.models import Message

MAX_COMPLETION_CHARS = 200_000
MAX_INT64 = 2**63 - 1
MAX_INT32 = 2**31 - 1

FOLLOW_UPS = "follow_ups"
"""Where a prompt's details keep the later turns of an MT-Bench question."""

_CONVERSATION_KEYS = ("prompt", "messages", "conversations", "turns", "question", "instruction")
_TEXT_KEYS = ("prompt", "question", "instruction")
"""Those that may hold text: a question as in Orca's sets, an instruction as in Alpaca's."""

_ANSWER_KEYS = ("completion", "text", "response", "output")
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "developer": "system",
}
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_MARKS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|(?:user|assistant|system)\|>|\[/?INST\]"
)
"""What chat templates put around messages."""

_AS_IT_COMES = RowChoices()

_OF_PROMPTS = {*_CONVERSATION_KEYS, "system", "tags", "split"}
COMPLETION_KEYS = frozenset(
    {*_OF_PROMPTS, *_ANSWER_KEYS, "model", "sampling", "seed", "finish_reason", "token_count"}
    | {"logprob"}
)
PAIR_KEYS = frozenset({*_OF_PROMPTS, "chosen", "rejected", "weight", "agreement", "id"})
"""What is read of a record; anything else is left out, and the result says so."""


@dataclass(frozen=True, kw_only=True)
class CompletionRecord:
    """One answer of one model, as a file gives it. ``seed`` None: it is to be counted up."""

    prompt: NewPrompt
    text: str
    model: str
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    finish_reason: str = ""
    token_count: int | None = None
    logprob: float | None = None


@dataclass(frozen=True, kw_only=True)
class PairRecord:
    """A settled preference, as a file gives it."""

    prompt: NewPrompt
    chosen: str
    rejected: str
    weight: float = 1.0
    agreement: float = 1.0


def prompt_from(record: Record, choices: RowChoices = _AS_IT_COMES) -> NewPrompt:
    """The prompt in ``record``, with its tags; further keys are kept as its details."""
    _refuse_what_would_be_lost(record)
    key = _conversation_key(record)
    if key is None:
        raise FieldError("", _none_of_the_keys())
    messages, tags = _conversation(record, key), _tags(record)
    _ask_about_marks(messages, key, choices)
    held_out = _split(record)
    taken = {key, "system", "tags", "split"}
    if key == "instruction":
        taken.add("input")
    details: dict[str, Any] = {}
    if key == "turns":
        taken.add("category")
        category = _text(record, "category", MAX_TAG_CHARS)
        tags = list(dict.fromkeys([*tags, *([category] if category else [])]))
        if record["turns"][1:]:
            details[FOLLOW_UPS] = record["turns"][1:]
    details |= {name: value for name, value in record.items() if name not in taken}
    return NewPrompt(messages=messages, tags=tags, details=details, held_out=held_out)


def completion_from(record: Record, choices: RowChoices = _AS_IT_COMES) -> CompletionRecord:
    """The completion in ``record``, with its prompt."""
    _refuse_what_would_be_lost(record)
    key = _conversation_key(record)
    if key is None:
        raise FieldError("", _none_of_the_keys())
    answer_keys = [name for name in _ANSWER_KEYS if name in record]
    if len(answer_keys) != 1:
        reason = _("given twice, as %(names)s") if answer_keys else _("missing")
        raise FieldError("completion", reason % {"names": ", ".join(answer_keys)})
    sampling = record.get("sampling")
    if not isinstance(sampling, dict | None):
        raise FieldError("sampling", _("must be an object"))
    messages = _only_turn(record, key)
    _ask_about_marks(messages, key, choices)
    text = _answer(record, answer_keys[0], is_transcript=_is_transcript(record[key]))
    _ask_about_emptiness(text, answer_keys[0], choices)
    return CompletionRecord(
        prompt=NewPrompt(messages=messages, tags=_tags(record), held_out=_split(record)),
        text=text,
        model=_text(record, "model", 500),
        sampling=sampling or {},
        seed=_integer(record, "seed", MAX_INT64),
        finish_reason=_text(record, "finish_reason", 20),
        token_count=_integer(record, "token_count", MAX_INT32),
        logprob=_number(record, "logprob"),
    )


def pair_from(record: Record, choices: RowChoices = _AS_IT_COMES) -> PairRecord:
    """The pair in ``record``: with its prompt, or with the prompt that both answers begin with."""
    _refuse_what_would_be_lost(record)
    for name in ("chosen", "rejected"):
        if name not in record:
            raise FieldError(name, _known_format(record) or _("missing"))
    messages, chosen, rejected = _explicit(record) or _implicit(record)
    if chosen.strip() == rejected.strip():
        raise FieldError("rejected", _("is the same text as chosen"))
    _ask_about_marks(messages, "prompt", choices)
    for name, text in (("chosen", chosen), ("rejected", rejected)):
        _ask_about_emptiness(text, name, choices)
    return PairRecord(
        prompt=NewPrompt(messages=messages, tags=_tags(record), held_out=_split(record)),
        chosen=chosen,
        rejected=rejected,
        weight=_share(record, "weight"),
        agreement=_share(record, "agreement"),
    )


def as_data(value: NewPrompt | CompletionRecord | PairRecord) -> dict[str, Any]:
    """``value`` as JSON-ready data."""
    return asdict(value)


# --- what is not taken as a matter of course ---


def _refuse_what_would_be_lost(record: Record) -> None:
    """Raises FieldError where the record has tools, images or sound, which are not stored."""
    for name in ("tools", *_MEDIA):
        if record.get(name):
            raise FieldError(name, _would_be_lost())


def _would_be_lost() -> str:
    return _("is not taken over and would be lost; remove it where it does not matter")


def _ask_about_emptiness(text: str, name: str, choices: RowChoices) -> None:
    if not text.strip() and not choices.take_empty:
        reason = _("has no text. Choose to skip such rows, or to take answers without text")
        raise FieldError(name, reason)


def _ask_about_marks(messages: list[Message], key: str, choices: RowChoices) -> None:
    if choices.take_rendered:
        return
    for message in messages:
        if mark := _MARKS.search(message["content"]):
            reason = _(
                "has “%(mark)s”, so a chat template seems to have been applied already; the "
                "model's own would come on top. Take the marks out, or choose to take such prompts"
            )
            raise FieldError(key, reason % {"mark": mark[0]})


def _known_format(record: Record) -> str:
    """Why a record of a known set of another kind holds no pair; empty where it is unknown."""
    formats = [
        ({"prompt", "completion", "label"}, _("missing: this looks like single judgements (KTO)")),
        ({"model_a", "model_b", "winner"}, _("missing: this looks like battles of an arena")),
        (
            {"preferred_output", "non_preferred_output"},
            _("missing: this looks like OpenAI's format"),
        ),
    ]
    for keys, name in formats:
        if keys <= set(record):
            return name + ". " + _("It is not read yet; give prompt, chosen and rejected")
    return ""


def _split(record: Record) -> bool | None:
    """Whether the file holds the prompt out of training; None where it does not say."""
    value = record.get("split")
    if value is None or value == "":
        return None
    name = value.lower() if isinstance(value, str) else ""
    if name.startswith("train"):
        return False
    if name.startswith(("held", "hold", "test", "val", "eval", "dev")):
        return True
    raise FieldError("split", _("must be train, or test, validation or held_out"))


# --- pairs ---

Sides = tuple[list[Message], str, str]


def _explicit(record: Record) -> Sides | None:
    """The pair where the prompt has a key of its own."""
    key = _conversation_key(record)
    if key is None:
        return None
    prompt = _only_turn(record, key)
    conversations = [_whole(record, name) for name in ("chosen", "rejected")]
    if all(conversations):
        # Some sets repeat the whole conversation in both answers, beside a prompt.
        messages, chosen, rejected = _implicit(record)
        system = [message for message in prompt[:1] if message["role"] == "system"]
        spoken = prompt[len(system) :]
        if system and messages[0]["role"] != "system":
            messages = [*system, *messages]
        is_last_turn = len(spoken) == 1 and _said(spoken) == _said(messages[-1:])
        if _said(prompt) != _said(messages) and not (
            is_last_turn and (not system or system == messages[:1])
        ):
            raise FieldError(key, _("is not the conversation that chosen and rejected begin with"))
        return messages, chosen, rejected
    is_transcript = _is_transcript(record[key])
    return (
        prompt,
        _answer(record, "chosen", is_transcript=is_transcript),
        _answer(record, "rejected", is_transcript=is_transcript),
    )


def _said(messages: list[Message]) -> list[tuple[str, str]]:
    """Roles and words, without the white space around them."""
    return [(message["role"], message["content"].strip()) for message in messages]


def _implicit(record: Record) -> Sides:
    """The pair where chosen and rejected are whole conversations with one beginning."""
    chosen, rejected = _whole(record, "chosen"), _whole(record, "rejected")
    if chosen is None or rejected is None:
        raise FieldError(
            "prompt", _("missing, and chosen and rejected are not both whole conversations")
        )
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1].get("role") != "assistant":
            raise FieldError(f"{name}[{len(messages) - 1}].role", _("must be assistant"))
    if chosen[:-1] != rejected[:-1]:
        raise FieldError("rejected", _("must differ from chosen only in the last message"))
    prompt = _checked(_with_system(record, chosen[:-1]), "chosen")
    answers = [_answer_text(messages[-1], "chosen") for messages in (chosen, rejected)]
    return prompt, answers[0], answers[1]


def _whole(record: Record, name: str) -> list[Any] | None:
    """The whole conversation under ``name``, or None where it is only an answer."""
    value = record[name]
    if isinstance(value, str):
        return _merged(split_transcript(value) or []) or None
    if isinstance(value, list) and len(value) > 1:
        messages = _from_sharegpt(value)
        if all(isinstance(message, dict) for message in messages):
            return messages
        raise FieldError(name, _("must be a list of messages"))
    return None


# --- conversations ---


def _none_of_the_keys() -> str:
    return _("has none of %(names)s") % {"names": ", ".join(_CONVERSATION_KEYS)}


def _conversation_key(record: Record) -> str | None:
    keys = [name for name in _CONVERSATION_KEYS if record.get(name) is not None]
    if "messages" in keys and len(keys) > 1 and _is_repeated(record):
        keys.remove("messages")  # as UltraFeedback has them
    if len(keys) > 1:
        reason = _("is given together with %(name)s; give only one")
        raise FieldError(keys[1], reason % {"name": keys[0]})
    return keys[0] if keys else None


def _is_repeated(record: Record) -> bool:
    """Whether ``messages`` only repeats the conversation of one of the answers, or the prompt."""
    return record["messages"] in (
        record.get("chosen"),
        record.get("rejected"),
        record.get("prompt"),
    )


def _only_turn(record: Record, key: str) -> list[Message]:
    """The conversation where answers stand beside it: further turns would be lost."""
    if key == "turns" and isinstance(record["turns"], list) and len(record["turns"]) > 1:
        raise FieldError("turns[1]", _would_be_lost())
    return _conversation(record, key)


def _conversation(record: Record, key: str) -> list[Message]:
    value = record[key]
    if key == "instruction" and isinstance(value, str) and record.get("input"):
        if not isinstance(record["input"], str):
            raise FieldError("input", _("must be text"))
        value = f"{value}\n\n{record['input']}"
    if key == "turns":
        if not isinstance(value, list) or not value:
            raise FieldError("turns", _("must be a list of texts"))
        if not all(isinstance(turn, str) for turn in value):
            raise FieldError("turns", _("must hold only texts"))
        messages: list[Any] = [_user(value[0])]
    elif isinstance(value, str) and key in _TEXT_KEYS:
        transcript = split_transcript(value)
        if transcript and transcript[-1] == {"role": "assistant", "content": ""}:
            transcript.pop()
        messages = _merged(transcript) if transcript else [_user(value)]
    elif isinstance(value, list):
        messages = _from_sharegpt(value)
    else:
        if key in _TEXT_KEYS:
            raise FieldError(key, _("must be text or a list of messages"))
        raise FieldError(key, _("must be a list of messages"))
    return _checked(_with_system(record, messages), key, is_list=isinstance(value, list))


def _checked(messages: list[Any], key: str, *, is_list: bool = True) -> list[Message]:
    messages = [_plain(message, f"{key}[{i}]") for i, message in enumerate(messages)]
    try:
        return check_messages(messages)
    except MessagesError as error:
        raise FieldError(f"{key}{error.field}" if is_list else key, error.reason) from error


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _with_system(record: Record, messages: list[Any]) -> list[Any]:
    system = record.get("system")
    if system is None or system == "":
        return messages
    if not isinstance(system, str):
        raise FieldError("system", _("must be text"))
    if messages and isinstance(messages[0], dict) and messages[0].get("role") == "system":
        raise FieldError("system", _("the conversation has a system message of its own"))
    return [{"role": "system", "content": system}, *messages]


def _from_sharegpt(messages: list[Any]) -> list[Any]:
    return [_message_from_sharegpt(message) for message in messages]


def _message_from_sharegpt(message: Any) -> Any:
    """``message`` with role and content, its role as templates know it; other keys as they are."""
    if not isinstance(message, dict):
        return message
    named = dict(message)
    if "from" in named and "role" not in named:
        named["role"] = named.pop("from")
        named["content"] = named.pop("value", None)
    role = named.get("role")
    if isinstance(role, str):
        named["role"] = _ROLES.get(role, role)
    return named


def _plain(message: Any, place: str) -> Any:
    """``message`` with its text alone: parts of text are joined. Raises FieldError, naming the
    field, where it has more than that, which would be lost."""
    if not isinstance(message, dict):
        return message
    for name, value in message.items():
        if name not in ("role", "content") and value not in (None, "", [], {}):
            raise FieldError(f"{place}.{name}", _would_be_lost())
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_text_of(part, f"{place}.content[{i}]") for i, part in enumerate(content))
    return {"role": message.get("role"), "content": content}


def _text_of(part: Any, place: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else None
    raise FieldError(place, _("is no text (%(kind)s) and would be lost") % {"kind": kind or "?"})


# --- transcripts: "\n\nHuman: …\n\nAssistant: …" ---

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def split_transcript(text: str) -> list[Message] | None:
    """The turns of a transcript in the markup of the HH data set, or None if it is none.

    A transcript begins with a human turn and has an assistant's. The spaces around a turn belong
    to the markup and are left out. The last turn may be empty: the answer goes there.
    """
    text = text.lstrip()
    parts = _TURN.split(text)
    roles, contents = parts[1::2], parts[2::2]
    if not text.startswith("Human:") or "Assistant" not in roles:
        return None
    return [
        {"role": "user" if role == "Human" else "assistant", "content": content.strip()}
        for role, content in zip(roles, contents, strict=True)
    ]


def _merged(messages: list[Message]) -> list[Message]:
    """Neighbours of one role joined by a blank line: chat templates want the roles to alternate."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            joined = f"{merged[-1]['content']}\n\n{message['content']}"
            merged[-1] = {"role": message["role"], "content": joined}
        else:
            merged.append(message)
    return merged


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and split_transcript(value) is not None


# --- answers and small fields ---


def _answer(record: Record, name: str, *, is_transcript: bool) -> str:
    """The answer under ``name``: text, one message, or a list of one message."""
    value = record[name]
    if isinstance(value, list):
        if len(value) != 1:
            reason = _("has %(count)s messages; one answer is wanted")
            raise FieldError(name, reason % {"count": len(value)})
        value = value[0]
    text = _answer_text(value, name)
    return text.strip() if is_transcript else text


def _answer_text(value: Any, name: str) -> str:
    if isinstance(value, dict):
        message = _plain(_message_from_sharegpt(value), name)
        if message.get("role") != "assistant":
            raise FieldError(f"{name}.role", _("must be assistant"))
        value = message.get("content")
    if not isinstance(value, str):
        raise FieldError(name, _("must be text or a message of the assistant"))
    if len(value) > MAX_COMPLETION_CHARS:
        raise FieldError(name, too_long(len(value), MAX_COMPLETION_CHARS))
    return value


def _tags(record: Record) -> list[str]:
    value = record.get("tags")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise FieldError("tags", _("must be a list of texts"))
    if len(value) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS for tag in value):
        reason = _("at most %(most)s, each of %(longest)s characters")
        raise FieldError("tags", reason % {"most": MAX_TAGS, "longest": MAX_TAG_CHARS})
    return list(dict.fromkeys(value))


def _text(record: Record, name: str, longest: int) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError(name, _("must be text"))
    if len(value) > longest:
        raise FieldError(name, too_long(len(value), longest))
    return value.strip()


def _integer(record: Record, name: str, largest: int) -> int | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        reason = _("must be a whole number from 0 to %(largest)s")
        raise FieldError(name, reason % {"largest": largest})
    return value


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise FieldError(name, _("must be a number"))
    try:
        return float(value)
    except OverflowError as error:
        raise FieldError(name, _("is too large")) from error


def _share(record: Record, name: str) -> float:
    value = _number(record, name)
    if value is None:
        return 1.0
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise FieldError(name, _("must be a number from 0 to 1"))
    return value
