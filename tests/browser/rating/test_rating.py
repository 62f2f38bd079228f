"""The rating card in a real browser: verdicts, undo, announcements, and where the focus is."""

import pytest
from playwright.sync_api import expect

from annotate.models import PreferencePair
from tests.browser.desk import Desk, judged, make_cards
from tests.conftest import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def rating(desk, cast):
    make_cards(cast.project, 5)
    return desk.open()


def test_one_key_stores_and_advances(desk, cast):
    make_cards(cast.project, 10)
    desk.open()
    sides = {"a", "b"}
    for key, outcomes in {
        **{"1": sides, "a": sides, "2": sides, "b": sides},
        **{"0": {"tie"}, "e": {"tie"}, "x": {"both_bad"}, "s": {"skip"}},
    }.items():
        before = len(judged())
        desk.press(key)
        desk.all_sent()
        assert len(judged()) == before + 1, key
        assert judged()[-1] in outcomes, key


def test_the_left_key_chooses_what_stands_left(rating):
    left = rating.page.inner_text("#left-text").strip()
    rating.press("1")
    wait_for(PreferencePair.objects.exists, "the pair")
    assert PreferencePair.objects.get().chosen.text == left


def test_the_next_card_is_there_before_the_server_has_answered(rating):
    rating.held(1)
    held_back = []
    rating.page.route("**/rate/*-*/", lambda route: held_back.append(route))
    rating.press("1")
    assert judged() == []
    rating.until(lambda: held_back, "the verdict")
    held_back[0].continue_()
    rating.page.unroute("**/rate/*-*/")
    rating.all_sent()
    assert len(judged()) == 1


def test_a_toast_offers_undo_and_takes_no_focus(rating):
    rating.press("2")
    expect(rating.page.locator("#toast")).to_contain_text("Saved: B is better")
    expect(rating.page.locator("#card-heading")).to_be_focused()
    expect(rating.page.locator("#said")).to_have_text("Saved: B is better. Next comparison")
    rating.next_card(lambda: rating.page.click("#toast-undo"))
    assert judged() == []


def test_the_count_of_today_goes_up(rating):
    rating.press("1")
    expect(rating.page.locator("#today")).to_have_text("1 today")


def test_the_chosen_side_is_lit_for_a_moment(rating):
    rating.page.evaluate(
        """() => {
            window.lit = [];
            new MutationObserver(() => window.lit.push(
                ...[...document.querySelectorAll(".answer.lit")].map((one) => one.className)
            )).observe(document.body, {subtree: true, attributes: true});
        }"""
    )
    rating.press("1")
    assert any("left" in name for name in rating.page.evaluate("window.lit"))


def test_undo_brings_the_card_back_and_it_can_be_judged_otherwise(rating):
    before = rating.prompt
    rating.press("0")
    rating.all_sent()
    rating.press("Control+z")
    assert rating.prompt == before
    expect(rating.page.locator("#said")).to_have_text("Your last verdict is undone.")
    assert judged() == []
    rating.press("x")
    rating.all_sent()
    assert judged() == ["both_bad"]


def test_undo_waits_for_a_verdict_that_is_on_its_way(rating):
    before = rating.held(1).code
    held_back = []
    rating.page.route("**/rate/*-*/", lambda route: held_back.append(route), times=1)
    rating.press("0")
    rating.until(lambda: held_back, "the verdict")
    rating.page.keyboard.press("u")
    rating.next_card(held_back[0].continue_)
    assert rating.code != before  # the same comparison as a new card
    assert rating.prompt == "Question number 0?"
    assert judged() == []


def test_after_undo_the_card_that_was_shown_comes_next(rating):
    rating.press("0")
    rating.all_sent()
    interrupted = rating.code
    rating.press("u")
    assert rating.press("0") == interrupted


def test_double_keys_double_clicks_and_held_keys_judge_no_unseen_card(rating):
    keyboard = rating.page.keyboard
    rating.held(1).next_card(lambda: [keyboard.press("0"), keyboard.press("0")])
    rating.held(1).next_card(lambda: rating.page.dblclick("text=Both are bad"))
    rating.held(1).next_card(lambda: [keyboard.down("0") for _ in range(4)])
    keyboard.up("0")
    rating.all_sent()
    assert judged() == ["tie", "both_bad", "tie"]


def test_help_and_guidelines_open_by_key_and_close_by_escape(rating):
    for key, dialog in (("?", "#keys-dialog"), ("g", "#guidelines-dialog")):
        rating.page.keyboard.press(key)
        expect(rating.page.locator(dialog)).to_be_visible()
        rating.page.keyboard.press("1")
        rating.page.keyboard.press("Escape")
        expect(rating.page.locator(dialog)).to_be_hidden()
    assert judged() == []


def test_reload_shows_the_same_card_on_the_same_sides(rating):
    rating.held(1)
    code, left = rating.code, rating.page.inner_text("#left-text")
    rating.page.reload()
    assert (rating.code, rating.page.inner_text("#left-text")) == (code, left)


def test_the_empty_queue_says_why_and_undo_works_there(rating):
    for _ in range(4):
        rating.press("0")
    rating.page.keyboard.press("0")
    expect(rating.page.get_by_text("You have judged everything there is")).to_be_visible()
    expect(rating.page.locator("#card-heading")).to_be_focused()
    rating.page.keyboard.press("u")
    expect(rating.page.locator(".answer.left")).to_be_visible()
    assert len(judged()) == 4


def test_the_empty_place_looks_again_by_itself(desk: Desk, cast):
    desk.page.goto(f"/p/{cast.project.slug}/rate/")
    expect(desk.page.locator("#card.nothing")).to_be_visible()
    make_cards(cast.project, 2)
    desk.page.evaluate("htmx.ajax('GET', location.href, {target: '#card', swap: 'outerHTML'})")
    desk.ready()
    desk.press("1")
    desk.all_sent()
    assert len(judged()) == 1
