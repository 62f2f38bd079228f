"""The JSON Lines files that come with a job, read strictly.

Every wrong line is named with its number and the reason. Knows nothing of tokens.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from training.engine.errors import EngineError

ChatMessage = dict[str, Any]
Split = Literal["train", "held_out"]
SHOWN = 20  # wrong lines named in one error
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A line of ``pairs.jsonl``. ``rejected`` is empty for a demonstration."""

    id: str
    prompt: list[ChatMessage]
    chosen: list[ChatMessage]
    rejected: list[ChatMessage]
    weight: float
    split: Split
    line: int


@dataclasses.dataclass(frozen=True)
class PromptLine:
    """A line of ``prompts.jsonl``: which policy is to answer what, with which seed."""

    id: str
    messages: list[ChatMessage]
    policy: str
    seed: int
    line: int


@dataclasses.dataclass(frozen=True)
class CompletionLine:
    """A line of ``completions.jsonl`` that is to be scored."""

    id: str
    messages: list[ChatMessage]
    policy: str
    text: str
    line: int


def read_pairs(path: Path, *, demonstrations: bool = False) -> list[Pair]:
    """All pairs of ``path``; with ``demonstrations`` a line needs no rejected answer."""

    def pair(row: dict[str, Any], line: int) -> Pair:
        split = row.get("split", "train")
        _need(split in ("train", "held_out"), "split", "neither train nor held_out", split)
        weight = row.get("weight", 1.0)
        real = isinstance(weight, int | float) and not isinstance(weight, bool)
        _need(
            real and math.isfinite(weight) and weight >= 0, "weight", "not a number from 0", weight
        )
        with_rejected = not demonstrations or row.get("rejected") is not None
        return Pair(
            id=_identity(row),
            prompt=_messages(row, "prompt"),
            chosen=_messages(row, "chosen"),
            rejected=_messages(row, "rejected") if with_rejected else [],
            weight=float(weight),
            split=split,
            line=line,
        )

    return _read(path, pair)


def read_prompts(path: Path, policies: set[str]) -> list[PromptLine]:
    """All prompts of ``path``; each must name one of ``policies``, and no id comes twice."""

    def prompt(row: dict[str, Any], line: int) -> PromptLine:
        seed = row.get("seed")
        _need(isinstance(seed, int) and not isinstance(seed, bool), "seed", "not an integer", seed)
        policy = row.get("policy")
        _need(policy in policies, "policy", f"none of {', '.join(sorted(policies))}", policy)
        return PromptLine(
            _identity(row), _messages(row, "messages"), str(policy), int(seed or 0), line
        )

    return _unique(path, _read(path, prompt))


def read_completions(path: Path, policies: set[str] | None) -> list[CompletionLine]:
    """All completions of ``path``; no id comes twice.

    Each must name one of ``policies``; None: it does not matter whose they are.
    """

    def completion(row: dict[str, Any], line: int) -> CompletionLine:
        text = row.get("text")
        _need(isinstance(text, str), "text", "not a string", text)
        policy = row.get("policy", "")
        known = policies is None or policy in policies
        _need(known, "policy", f"none of {', '.join(sorted(policies or ()))}", policy)
        return CompletionLine(
            _identity(row), _messages(row, "messages"), str(policy), str(text), line
        )

    return _unique(path, _read(path, completion))


class _BadLineError(ValueError):
    pass


def _need(ok: bool, field: str, reason: str, value: object) -> None:
    if not ok:
        shown = repr(value)
        raise _BadLineError(f"{field}: {reason}: {shown[:80]}{'…' if len(shown) > 80 else ''}")


def _identity(row: dict[str, Any]) -> str:
    value = row.get("id")
    ok = (isinstance(value, str) and value != "") or (
        isinstance(value, int) and not isinstance(value, bool)
    )
    _need(ok, "id", "neither a text nor an integer", value)
    return str(value)


def _messages(row: dict[str, Any], field: str) -> list[ChatMessage]:
    value = row.get(field)
    _need(isinstance(value, list) and len(value) > 0, field, "not a list of messages", value)
    messages: list[ChatMessage] = list(value or [])
    for message in messages:
        _need(isinstance(message, dict), field, "a message is not an object", message)
        _need(
            isinstance(message.get("role"), str), f"{field}.role", "not a text", message.get("role")
        )
        _need(
            isinstance(message.get("content"), str),
            f"{field}.content",
            "not a text",
            message.get("content"),
        )
    return messages


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read(path: Path, build: Callable[[dict[str, Any], int], T]) -> list[T]:
    """One ``T`` a line; blank lines are skipped. Raises EngineError naming every wrong line."""
    rows: list[T] = []
    wrong: list[str] = []
    try:
        file = path.open(encoding="utf-8", newline="\n")
    except OSError as error:
        raise EngineError("bad_data", f"{path.name} cannot be read: {error}") from error
    with file:
        try:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    row = json.loads(text, parse_constant=_refuse_constant)
                    if not isinstance(row, dict):
                        raise _BadLineError("not a JSON object")
                    rows.append(build(row, number))
                except ValueError as error:
                    wrong.append(f"line {number}: {error}")
        except UnicodeDecodeError as error:
            raise EngineError("bad_data", f"{path.name} is not UTF-8: {error}") from error
    if wrong:
        more = f"\nand {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        listed = "\n".join(wrong[:SHOWN])
        raise EngineError(
            "bad_data",
            f"{path.name}: {len(wrong)} wrong line(s)\n{listed}{more}",
            "Correct these lines; nothing was trained or written.",
        )
    if not rows:
        raise EngineError("bad_data", f"{path.name} is empty", "There is nothing to work on.")
    return rows


def _unique(path: Path, rows: list[Any]) -> list[Any]:
    seen: dict[str, int] = {}
    for row in rows:
        if row.id in seen:
            raise EngineError(
                "bad_data",
                f"{path.name}: line {row.line}: id {row.id!r} was on line {seen[row.id]} already",
                "Give every line an id of its own.",
            )
        seen[row.id] = row.line
    return rows
