"""What an endpoint said, read strictly. Pure functions of what came over the wire."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext as _

ErrorKind = Literal["passing", "prompt", "endpoint"]
"""Who is in trouble: this attempt (try again), this prompt (go on), the endpoint (stop)."""

MOST_WORDS = 300
MOST_TOKENS = 10_000_000


class EndpointError(Exception):
    """An answer that did not come; the message says what happened, in words."""

    def __init__(
        self, message: str, kind: ErrorKind = "passing", wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.wait = wait


@dataclasses.dataclass(frozen=True)
class EndpointAnswer:
    """One completion, with what the endpoint counted."""

    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int | None = None


def read_answer(body: bytes) -> EndpointAnswer:
    """The answer in the body of a chat completion. Raises Trouble where it is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise EndpointError(_("The endpoint's answer is not JSON.")) from error
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        reported = error_words(data)
        raise EndpointError(reported or _("The endpoint's answer has no message."))
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        raise EndpointError(_("The endpoint's answer is not text."))
    prompt_tokens, completion_tokens = usage_of(data)
    return EndpointAnswer(
        text=content,
        finish_reason=_short(choice.get("finish_reason")),
        prompt_tokens=prompt_tokens or 0,
        completion_tokens=completion_tokens,
    )


def usage_of(data: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens read and written, as far as they were told as numbers that can be."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        return None
    return value


def _short(value: object) -> str:
    return value[:20] if isinstance(value, str) else ""


def error_words(data: object) -> str:
    """What the endpoint said of its error, in one short line; empty where it said nothing."""
    if not isinstance(data, dict):
        return ""
    error = data.get("error", data.get("detail", data.get("message")))
    if isinstance(error, dict):
        error = error.get("message")
    if not isinstance(error, str):
        return ""
    line = " ".join(
        "".join(character if character.isprintable() else " " for character in error).split()
    )
    return line if len(line) <= MOST_WORDS else line[: MOST_WORDS - 1] + "…"


def endpoint_error_of(status: int, data: object, retry_after: str = "") -> EndpointError:
    """What an HTTP status other than 2xx means for the work."""
    reported = error_words(data)
    quoted = " " + _("It said: “%(words)s”") % {"words": reported} if reported else ""
    code = data.get("error") if isinstance(data, dict) else None
    code = code.get("code") if isinstance(code, dict) else None
    if status in (401, 403):
        message = _("The endpoint refuses the key (%(status)s).")
        return EndpointError(message % {"status": status} + quoted, "endpoint")
    if status == 402 or code == "insufficient_quota":
        message = _("The endpoint's account has no credit left (%(status)s).")
        return EndpointError(message % {"status": status} + quoted, "endpoint")
    if status in (404, 405, 501):
        message = _("The endpoint knows no such model, or its address is wrong (%(status)s).")
        return EndpointError(message % {"status": status} + quoted, "endpoint")
    if status == 429:
        message = _("The endpoint is asked too often (429).")
        return EndpointError(message + quoted, "passing", wait=seconds_of(retry_after))
    if status in (408, 409, 425) or status >= 500:
        message = _("The endpoint has a fault (%(status)s).")
        return EndpointError(
            message % {"status": status} + quoted, "passing", seconds_of(retry_after)
        )
    message = _("The endpoint does not take this request (%(status)s).")
    return EndpointError(message % {"status": status} + quoted, "prompt")


def seconds_of(retry_after: str) -> float | None:
    """Seconds of a Retry-After header; None where there are none (a date counts as none)."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How often something is tried, and how long is waited in between."""

    tries: int = 6
    first: float = 1.0
    longest: float = 60.0

    def wait(self, tried: int, asked: float | None, luck: float) -> float:
        """Seconds before the next try, after ``tried`` of them; doubled each time.

        ``asked`` is what the endpoint asked for; ``luck`` (0 to 1) spreads those who wait.
        """
        own: float = min(self.longest, self.first * 2.0 ** (tried - 1)) * (0.75 + 0.25 * luck)
        return own if asked is None else min(self.longest, max(own, asked))
