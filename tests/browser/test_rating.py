"""The rating card in a real browser: keys, undo, focus, phone, no JavaScript, two windows."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotate.models import Judgement, PreferencePair
from tests.conftest import wait_for
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def comparisons(cast):
    policy = make_policy(cast.project)
    made = []
    for number in range(4):
        prompt = make_prompt(cast.project, f"Question number {number}?")
        made.append(
            make_comparison(
                cast.project,
                prompt=prompt,
                a=make_completion(prompt, policy, f"First answer to {number}"),
                b=make_completion(prompt, policy, f"Second answer to {number}"),
            )
        )
    return made


@pytest.fixture
def rating(page: Page, cast, comparisons, log_in) -> Page:
    log_in(cast.rater)
    page.goto(reverse("rate", args=[cast.project.slug]))
    return page


def decided() -> list[str]:
    return list(
        Judgement.objects.filter(decided_at__isnull=False, retracted_at=None)
        .order_by("decided_at")
        .values_list("outcome", flat=True)
    )


def prompt_shown(page: Page) -> str:
    return page.locator(".turn.user .text").inner_text()


@pytest.mark.parametrize(
    ("key", "outcomes"),
    [
        ("1", {"a", "b"}),
        ("b", {"a", "b"}),
        ("0", {"tie"}),
        ("e", {"tie"}),
        ("x", {"both_bad"}),
        ("s", {"skip"}),
    ],
)
def test_one_key_stores_and_advances(rating, key, outcomes):
    before = prompt_shown(rating)
    rating.keyboard.press(key)
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    assert len(decided()) == 1
    assert set(decided()) <= outcomes


def test_the_left_key_chooses_what_stands_left(rating):
    left = rating.locator("#left-text").inner_text().strip()
    rating.keyboard.press("1")
    wait_for(lambda: PreferencePair.objects.exists(), "the pair")
    assert PreferencePair.objects.get().chosen.text == left


def test_fast_presses_while_a_verdict_is_on_its_way_judge_no_unseen_card(rating):
    requests = []
    rating.on("request", lambda request: requests.append(request.method))
    before = prompt_shown(rating)
    for _ in range(3):  # within one round trip: the second and third press find a sent card
        rating.evaluate(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '0', bubbles: true}))"
        )
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    assert requests.count("POST") == len(decided()) == 1


def test_a_held_key_counts_once(rating):
    before = prompt_shown(rating)
    rating.keyboard.down("0")
    rating.keyboard.down("0")
    rating.keyboard.down("0")
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    rating.keyboard.up("0")
    assert len(decided()) == 1


def test_undo_brings_the_card_back_and_it_can_be_judged_otherwise(rating):
    before = prompt_shown(rating)
    rating.keyboard.press("0")
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    rating.keyboard.press("u")
    expect(rating.locator(".turn.user .text")).to_have_text(before)
    rating.keyboard.press("x")
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    assert decided() == ["both_bad"]


def test_keys_with_modifiers_and_unbound_keys_do_nothing(rating):
    before = prompt_shown(rating)
    for key in ("Control+1", "Alt+x", "Backspace", "Space", "Shift+S", "7"):
        rating.keyboard.press(key)
    assert prompt_shown(rating) == before
    assert decided() == []


def test_help_and_guidelines_open_by_key_and_close_by_escape(rating, cast):
    for key, dialog in (("?", "#keys-dialog"), ("g", "#guidelines-dialog")):
        rating.keyboard.press(key)
        expect(rating.locator(dialog)).to_be_visible()
        rating.keyboard.press("1")
        assert decided() == []
        rating.keyboard.press("Escape")
        expect(rating.locator(dialog)).to_be_hidden()


def test_reload_shows_the_same_card_on_the_same_sides(rating):
    left = rating.locator("#left-text").inner_text()
    rating.reload()
    assert rating.locator("#left-text").inner_text() == left


def test_two_windows_share_one_card_and_one_verdict(rating, context):
    other = context.new_page()
    other.goto(rating.url)
    assert prompt_shown(other) == prompt_shown(rating)
    before = prompt_shown(rating)
    rating.keyboard.press("0")
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    other.keyboard.press("0")
    expect(other.locator(".turn.user .text")).to_have_text(prompt_shown(rating))
    assert decided() == ["tie"]


def test_the_focus_goes_to_the_new_card(rating):
    before = prompt_shown(rating)
    rating.get_by_role("button", name="Tie").click()
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    expect(rating.locator("#card-heading")).to_be_focused()


def test_on_a_phone_one_answer_is_shown_and_the_buttons_are_in_reach(rating):
    rating.set_viewport_size({"width": 390, "height": 844})
    expect(rating.locator("#left-text")).to_be_visible()
    expect(rating.locator("#right-text")).to_be_hidden()
    rating.locator("label[for=show-right]").click()
    expect(rating.locator("#right-text")).to_be_visible()
    expect(rating.locator("#left-text")).to_be_hidden()
    box = rating.get_by_role("button", name="A is better").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844
    assert box["height"] >= 44
    width = rating.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


def test_the_empty_queue_says_why(rating):
    for _ in range(4):
        before = prompt_shown(rating)
        rating.keyboard.press("0")
        wait_for(
            lambda before=before: (
                rating.locator("#card.nothing").is_visible() or prompt_shown(rating) != before
            ),
            "the next card",
        )
    expect(rating.get_by_text("You have judged everything there is")).to_be_visible()


def test_without_javascript_it_rates_and_undoes(browser, live_server, cast, comparisons):
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as plain:
        page = plain.new_page()
        page.goto(reverse("rate", args=[cast.project.slug]))
        page.get_by_label("Username").fill("rater")
        page.get_by_label("Password").fill("rater")
        page.get_by_role("button", name="Sign in").click()
        before = prompt_shown(page)
        page.get_by_role("button", name="Both are bad").click()
        assert prompt_shown(page) != before
        assert decided() == ["both_bad"]
        page.get_by_role("button", name="Undo").click()
        assert prompt_shown(page) == before
        page.get_by_role("button", name="Skip").click()
        assert decided() == ["skip"]


def test_a_lost_connection_is_told_and_nothing_is_lost(rating, context):
    rating.expected_errors += ["ERR_INTERNET_DISCONNECTED", "htmx:"]
    before = prompt_shown(rating)
    context.set_offline(True)
    rating.keyboard.press("0")
    expect(rating.get_by_text("Not saved")).to_be_visible()
    context.set_offline(False)
    rating.keyboard.press("0")
    expect(rating.locator(".turn.user .text")).not_to_have_text(before)
    assert decided() == ["tie"]
