"""From messages to token ids, the same way for training, scoring and sampling.

A tokenizer without a chat template is given a plain one ("User: … / Assistant: …", the end
token after each assistant turn), so there is only one path. The completion starts where the
tokenised prompt and the tokenised prompt + completion diverge, as in TRL. Knows nothing of
models.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from training.engine.data.pairs import ChatMessage, Pair
from training.engine.errors import EngineError

PLAIN_TEMPLATE = (
    "{bos}{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{% if message.role == 'system' %}{{ message.content }}{{ '\\n' }}"
    "{% elif message.role == 'assistant' %}{{ 'Assistant: ' + message.content | trim }}{eos}"
    "{% else %}{{ 'User: ' + message.content | trim }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\nAssistant:' }}{% endif %}"
)
NEXT_TURN = "\nUser:"  # a plain model that writes this has begun to speak for the user
log = logging.getLogger("engine")


@dataclasses.dataclass(frozen=True)
class Tree:
    """A prompt and the completions that follow it, as token ids.

    A preference pair has two branches, chosen and rejected; a demonstration has one. Every
    branch's tokens are predicted, the prompt's are not.
    """

    id: str
    prompt: list[int]
    branches: tuple[list[int], ...]
    weight: float = 1.0

    @property
    def rows(self) -> list[list[int]]:
        """Prompt and branch together, one list a branch."""
        return [self.prompt + branch for branch in self.branches]


class Chat:
    """A tokenizer and its template."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.plain = tokenizer.chat_template is None
        if self.plain:
            tokenizer.chat_template = _plain_template(tokenizer)
            log.info("the tokenizer has no chat template: using User:/Assistant: lines")

    @property
    def template(self) -> str:
        """What the reference cache's key must know of."""
        return str(self.tokenizer.chat_template)

    @property
    def identity(self) -> str:
        """A hash that changes with the vocabulary, its size or the template."""
        vocabulary = json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        return hashlib.sha256(f"{self.template}\0{vocabulary}".encode()).hexdigest()

    def prompt_ids(self, conversations: list[list[ChatMessage]]) -> list[list[int]]:
        """Token ids of each conversation, up to where the assistant begins to speak."""
        return self._ids([self._render(messages, asking=True) for messages in conversations])

    def pair_trees(self, pairs: list[Pair], max_length: int) -> list[Tree]:
        """A tree with the branches (chosen, rejected) for each pair."""
        return self.trees(
            [(p.id, p.prompt, [p.chosen, p.rejected], p.weight, p.line) for p in pairs], max_length
        )

    def demonstration_trees(self, pairs: list[Pair], max_length: int) -> list[Tree]:
        """A tree with one branch, the chosen answer, for each pair."""
        return self.trees(
            [(p.id, p.prompt, [p.chosen], p.weight, p.line) for p in pairs], max_length
        )

    def trees(
        self,
        rows: list[tuple[str, list[ChatMessage], list[list[ChatMessage]], float, int]],
        max_length: int,
    ) -> list[Tree]:
        """Trees of rows (id, prompt, completions, weight, line in the file).

        A tree whose longest row exceeds ``max_length`` loses its prompt's beginning; only where
        the completion alone is too long is that cut too, at its end.
        """
        texts: list[str] = []
        for identity, prompt, completions, _, line in rows:
            try:
                texts.append(self._render(prompt, asking=True))
                texts.extend(self._render(prompt + c, asking=False) for c in completions)
            except EngineError as error:
                message = f"line {line} (id {identity}): {error.message}"
                raise EngineError(error.kind, message, error.advice) from error
        ids = iter(self._ids(texts))
        trees = []
        cut = 0
        for identity, _, completions, weight, line in rows:
            prompt_ids, full = next(ids), [next(ids) for _ in completions]
            tree, shortened = _grow(prompt_ids, full, max_length)
            if not tree[0] or not all(tree[1]):
                raise EngineError(
                    "bad_data",
                    f"line {line} (id {identity}): the prompt or a completion has no tokens",
                    "Check the chat template: the prompt must come out the same with and "
                    "without an answer behind it.",
                )
            cut += shortened
            trees.append(Tree(identity, tree[0], tuple(tree[1]), weight))
        if cut:
            log.warning("%d of %d rows cut to %d tokens", cut, len(rows), max_length)
        return trees

    def text(self, ids: list[int]) -> str:
        """A completion's text: no special tokens, no white space at its end."""
        text = self._raw(ids)
        return text.strip() if self.plain else text.rstrip()

    @property
    def stop_strings(self) -> list[str]:
        """What ends an answer besides an end token, and is no part of it."""
        return [NEXT_TURN] if self.plain else []

    def before(self, ids: list[int], stops: Sequence[str]) -> list[int]:
        """``ids`` up to where the first of ``stops`` begins; all of them if none is there."""
        if not stops:
            return ids
        text = self._raw(ids)
        places = [place for place in map(text.find, stops) if place >= 0]
        if not places:
            return ids
        keep = len(ids)
        while keep and len(self._raw(ids[:keep])) > min(places):
            keep -= 1
        return ids[:keep]

    def stops_within(self, ids: list[int], stops: Sequence[str], newest: int) -> bool:
        """Whether one of ``stops`` may have been completed by the last of ``newest`` tokens."""
        text = self._raw(ids[-newest:])
        return any(stop in text for stop in stops)

    def _raw(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _render(self, messages: list[ChatMessage], *, asking: bool) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=asking
                )
            )
        except Exception as error:  # templates are programs: they raise what they like
            raise EngineError(
                "bad_data",
                f"the model's chat template refuses these messages: {error}",
                "Many templates take no system message, or want user and assistant in turn.",
            ) from error

    def _ids(self, texts: list[str]) -> list[list[int]]:
        # Templates write their own special tokens, so none are added (as transformers does).
        return [list(i) for i in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _plain_template(tokenizer: Any) -> str:
    bos = tokenizer.bos_token_id
    starts_with_bos = bos is not None and bos in tokenizer("a")["input_ids"][:1]
    return PLAIN_TEMPLATE.replace("{bos}", "{{ bos_token }}" if starts_with_bos else "").replace(
        "{eos}", "{{ eos_token }}" if tokenizer.eos_token else ""
    )


def _grow(
    prompt: list[int], full: list[list[int]], max_length: int
) -> tuple[tuple[list[int], list[list[int]]], bool]:
    """Split rows where the prompt ends, and cut what is too long: ((prompt, branches), cut?)."""
    shared = min(common_prefix(prompt, row) for row in full)
    head, branches = prompt[:shared], [row[shared:] for row in full]
    longest = max(map(len, branches))
    if shared + longest <= max_length:
        return (head, branches), False
    # A quarter of the room at most is kept for the prompt when the completion wants it all.
    room = max_length - min(shared, max(1, max_length // 4))
    branches = [branch[:room] for branch in branches]
    keep = max_length - min(longest, room)
    return (head[-keep:], branches), True


def common_prefix(a: list[int], b: list[int]) -> int:
    """How many tokens ``a`` and ``b`` have in common at their beginning."""
    for index, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return index
    return min(len(a), len(b))
