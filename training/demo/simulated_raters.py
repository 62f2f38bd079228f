"""Raters with a stated preference and a stated error rate, who use the app over HTTP.

They see what a person sees: the page's text. They know nothing of the database, of policies
or of which completion is whose.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

import httpx
from lxml import html

Choice = Literal["a", "b", "tie"]
Preference = Callable[[list[dict[str, str]], str, str], Choice]
"""Which of two texts a rater without error would choose for a conversation."""

PATIENCE_SECONDS = 120.0
"""How long a rater waits at an empty queue before going home."""


@dataclasses.dataclass(frozen=True)
class Card:
    """What the rating page shows: where to send the verdict, the conversation, two texts."""

    action: str
    messages: list[dict[str, str]]
    left: str
    right: str


class Tickets:
    """How many judgements are still wanted, shared by all raters."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def give_back(self) -> None:
        with self._lock:
            self._left += 1


def read_card(page: str) -> Card | None:
    """The card on a rating page (or in its fragment); None where the queue is empty."""
    tree = html.fromstring(page)
    forms = tree.xpath("//form[contains(@class, 'verdict')]")
    if not forms:
        return None
    turns = tree.xpath("//*[contains(concat(' ', @class, ' '), ' turn ')]")
    return Card(
        action=forms[0].get("action"),
        messages=[
            {
                "role": next(r for r in ("system", "user", "assistant") if r in turn.classes),
                "content": _text(turn.xpath(".//*[contains(@class, 'text')]")[0]),
            }
            for turn in turns
        ],
        left=_text(tree.get_element_by_id("left-text")),
        right=_text(tree.get_element_by_id("right-text")),
    )


def _text(element: html.HtmlElement) -> str:
    return " ".join(str(element.text_content()).split())


class Visitor:
    """Somebody with a browser and an account. ``errors`` counts answers that were not 2xx."""

    def __init__(self, *, url: str, username: str, password: str) -> None:
        self.errors = 0
        self._client = httpx.Client(base_url=url, follow_redirects=True, timeout=60)
        self.get("/login/")
        self.post("/login/", {"username": username, "password": password})
        if "sessionid" not in self._client.cookies:
            raise PermissionError(f"{username} could not log in at {url}")

    def get(self, path: str) -> str:
        """The page at ``path``, its redirects followed."""
        return self._checked(self._client.get(path))

    def post(self, path: str, data: dict[str, str], *, htmx: bool = False) -> str:
        """What the server answers to a form, with the CSRF token of the cookie."""
        headers = {
            "X-CSRFToken": self._client.cookies.get("csrftoken") or "",
            "Referer": str(self._client.base_url),
        }
        if htmx:
            headers["HX-Request"] = "true"
        return self._checked(self._client.post(path, data=data, headers=headers))

    def _checked(self, answer: httpx.Response) -> str:
        if not answer.is_success:
            self.errors += 1
        return answer.text


@dataclasses.dataclass
class SimulatedRater:
    """One rater. With probability ``error_rate`` the verdict is not the preferred one."""

    visitor: Visitor
    rate_path: str
    prefer: Preference
    error_rate: float
    random: Random
    judged: int = 0

    def work(self, tickets: Tickets) -> None:
        """Judge until no more judgements are wanted, or the queue has long been empty."""
        card = None
        while tickets.take():
            card = card or self._wait_for_card()
            if card is None:
                tickets.give_back()
                return
            page = self.visitor.post(card.action, {"choice": self.choose(card)}, htmx=True)
            self.judged += 1
            card = read_card(page)

    def choose(self, card: Card) -> str:
        """The verdict on a card, as the form names it."""
        preferred = self.prefer(card.messages, card.left, card.right)
        right_answer = {"a": "left", "b": "right", "tie": "tie"}[preferred]
        if self.random.random() >= self.error_rate:
            return right_answer
        return self.random.choice([side for side in ("left", "right") if side != right_answer])

    def _wait_for_card(self) -> Card | None:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            card = read_card(self.visitor.get(self.rate_path))
            if card is not None:
                return card
            time.sleep(2)
        return None


def judge_together(raters: Sequence[SimulatedRater], judgements: int) -> int:
    """Have all raters work at once until ``judgements`` verdicts are in. Returns how many are."""
    tickets = Tickets(judgements)
    before = sum(rater.judged for rater in raters)
    threads = [threading.Thread(target=rater.work, args=[tickets]) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rater.judged for rater in raters) - before
