"""The rating card under real fingers: keys, focus, double clicks, a phone."""

import pytest

from annotate.models import Judgement
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

ACTION = "document.querySelector('.verdict')?.getAttribute('action')"


@pytest.fixture
def card(page, log_in, cast):
    """A page with the first of five cards."""
    for _ in range(5):
        make_comparison(cast.project)
    log_in(cast.rater)
    page.goto("/p/sharpen/rate/")
    return page


def next_card(page, act):
    """Do ``act`` and wait for another card."""
    before = page.evaluate(ACTION)
    act()
    page.wait_for_function(f"before => {ACTION} !== before", arg=before)


def judged():
    return Judgement.objects.filter(outcome__isnull=False, retracted_at=None)


@pytest.mark.parametrize(
    ("key", "outcomes"),
    [
        *(("1", "ab"), ("a", "ab"), ("2", "ab"), ("b", "ab"), ("0", ["tie"]), ("e", ["tie"])),
        *(("x", ["both_bad"]), ("s", ["skip"])),
    ],
)
def test_each_key_gives_its_verdict(card, key, outcomes):
    next_card(card, lambda: card.keyboard.press(key))
    assert judged().get().outcome in outcomes


def test_left_is_the_left_one(card):
    left = card.inner_text("#left-text")
    next_card(card, lambda: card.keyboard.press("1"))
    found = judged().get()
    chosen = {"a": found.comparison.a, "b": found.comparison.b}[found.outcome]
    assert chosen.text == left


@pytest.mark.parametrize("key", ["u", "Control+z"])
def test_undo_brings_the_card_back(card, key):
    left = card.inner_text("#left-text")
    next_card(card, lambda: card.keyboard.press("1"))
    next_card(card, lambda: card.keyboard.press(key))
    assert card.inner_text("#left-text") == left
    assert not judged().exists()


def test_after_a_verdict_the_new_card_is_announced_and_has_the_focus(card):
    next_card(card, lambda: card.keyboard.press("1"))
    card.wait_for_function("document.getElementById('said').textContent === 'Next comparison'")
    assert card.evaluate("document.activeElement.id") == "card-heading"
    assert card.inner_text("#today") == "1 today"


def test_a_key_held_down_judges_once(card):
    def hold():
        for _ in range(5):
            card.keyboard.down("1")

    next_card(card, hold)
    card.keyboard.up("1")
    assert judged().count() == 1


def test_a_double_click_judges_once(card):
    next_card(card, lambda: card.dblclick("text=A is better"))
    card.wait_for_load_state("networkidle")
    assert judged().count() == 1


@pytest.mark.parametrize("keys", [("Control+1",), ("Alt+a",), ("?", "1"), ("g", "1")])
def test_no_verdict_with_a_modifier_or_behind_a_dialog(card, keys):
    for key in keys:
        card.keyboard.press(key)
    card.wait_for_load_state("networkidle")
    assert not judged().exists()


def test_a_verdict_that_could_not_be_sent_is_not_lost(card):
    card.expected_errors += ["ERR_INTERNET_DISCONNECTED", "sendError", "afterRequest"]
    card.context.set_offline(True)
    card.keyboard.press("1")
    card.wait_for_function("document.getElementById('notice').textContent.includes('Not saved')")
    card.context.set_offline(False)
    next_card(card, lambda: card.keyboard.press("1"))
    assert judged().count() == 1


def test_on_a_phone_one_response_at_a_time(card):
    card.set_viewport_size({"width": 390, "height": 780})
    card.click("label[for=show-right]")
    assert not card.is_visible("#left-text")
    assert card.is_visible("#right-text")
    next_card(card, lambda: card.click("text=B is better"))
    assert card.is_visible("#left-text")


def test_nothing_moves_between_a_short_and_a_long_answer(card, cast):
    policy = make_policy(cast.project)
    prompt = make_prompt(cast.project)
    make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, policy, "A long story. " * 400),
        b=make_completion(prompt, policy, "Short."),
        priority=9,
    )

    def button():
        return card.locator("[value=left]").bounding_box()

    short = button()
    next_card(card, lambda: card.keyboard.press("1"))
    assert card.evaluate("document.documentElement.scrollHeight > innerHeight")
    assert button() == short
