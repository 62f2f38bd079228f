"""A rater at the rating page: what they press, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from playwright.sync_api import Page, expect

from annotate.models import Comparison, Judgement, Project
from tests.factories import make_comparison, make_completion, make_policy, make_prompt


def make_cards(project: Project, number: int, **fields: Any) -> list[Comparison]:
    """Comparisons whose texts contain their number."""
    policy = make_policy(project)
    made = []
    for index in range(number):
        prompt = make_prompt(project, f"Question number {index}?")
        a, b = (make_completion(prompt, policy, f"{side} answer to {index}") for side in "AB")
        made.append(make_comparison(project, prompt=prompt, a=a, b=b, **fields))
    return made


def judged() -> list[str]:
    """The outcomes of all judgements that count, in order."""
    rows = Judgement.objects.filter(decided_at__isnull=False, retracted_at=None)
    return list(rows.order_by("decided_at").values_list("outcome", flat=True))


class Desk:
    """The rating page in one window."""

    def __init__(self, page: Page, project: Project) -> None:
        self.page = page
        self.project = project

    def open(self) -> Desk:
        self.page.goto(reverse("rate", args=[self.project.slug]))
        return self.ready()

    def ready(self) -> Desk:
        """Wait until the card has been on the screen long enough to take a verdict."""
        expect(self.page.locator("#card[data-ready]")).to_be_attached()
        return self

    @property
    def code(self) -> str | None:
        return self.page.locator("#card").get_attribute("data-code")

    @property
    def prompt(self) -> str:
        return self.page.locator(".turn.user .text").last.inner_text()

    def next_card(self, act: Callable[[], object]) -> str:
        """Call ``act`` and wait until another card can be judged; returns that card's code."""
        before = self.ready().code
        act()
        card = self.page.locator("#card[data-code]")
        expect(card).not_to_have_attribute("data-code", before or "")
        self.ready()
        return self.code or ""

    def press(self, key: str) -> str:
        return self.next_card(lambda: self.page.keyboard.press(key))

    def held(self, number: int) -> Desk:
        """Wait until ``number`` cards are held ahead."""
        desk = self.page.locator("#desk")
        expect(desk).to_have_attribute("data-held", str(number))
        return self

    def until(self, condition: Callable[[], object], description: str) -> None:
        """Wait for something in the test's own process while the browser's routes are handled."""
        for _ in range(12_000):
            if condition():
                return
            self.page.wait_for_timeout(10)
        raise AssertionError(f"gave up waiting for {description}")

    def all_sent(self) -> None:
        """Wait until every verdict has reached the server."""
        self.page.wait_for_function(
            "() => !Object.keys(localStorage).some((key) => key.includes(':out:'))"
        )
