"""When an answer is over, and what of its tokens is its text. Knows nothing of models."""

from __future__ import annotations

from typing import Any

from training.engine.data.chat import Chat

MARGIN = 4  # tokens of a stop sequence's look-back that may be no text at all


class EndRule:
    """End tokens, the template's own stop strings and those that a job asks for."""

    def __init__(self, chat: Chat, tokens: set[int], stop_sequences: tuple[str, ...]) -> None:
        self.tokens = tokens
        self.strings = [*chat.stop_strings, *stop_sequences]
        self._chat = chat
        # A token is at least a byte, so that many last ones hold a whole stop sequence.
        self._newest = MARGIN + max((len(stop.encode()) for stop in self.strings), default=0)

    def reached(self, ids: list[int]) -> bool:
        """Whether the newest of ``ids`` ended the answer; asked after every token."""
        if ids[-1] in self.tokens:
            return True
        if not self.strings or not self._chat.stops_within(ids, self.strings, self._newest):
            return False
        return len(self._chat.before(ids, self.strings)) < len(ids)

    def cut(self, ids: list[int]) -> tuple[list[int], str]:
        """``ids`` up to and with the first end token, or up to a stop string, and why."""
        for index, token in enumerate(ids):
            if token in self.tokens:
                return self._chat.before(ids[: index + 1], self.strings), "stop"
        before_stop = self._chat.before(ids, self.strings)
        return before_stop, "length" if len(before_stop) == len(ids) else "stop"


def end_tokens(base: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a turn: the tokenizer's, and those of the base's generation settings."""
    ends = {tokenizer.eos_token_id} - {None}
    configured = base.generation_config.eos_token_id
    return ends | set(
        configured
        if isinstance(configured, list)
        else [configured]
        if configured is not None
        else []
    )


def context_length(config: Any) -> int:
    """The longest sequence that the model can hold; without a stated limit, a very long one."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(text, "max_position_embeddings", None) or 1 << 30)
