"""What a project may ask besides the verdict, with and without JavaScript."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotate.models import Judgement
from tests.browser.desk import judged, make_cards

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def asking(cast):
    """Switch on the named options, and make some cards."""

    def ask(**options):
        for name, value in options.items():
            setattr(cast.project, name, value)
        cast.project.save()
        make_cards(cast.project, 5)

    return ask


def stored():
    return Judgement.objects.filter(decided_at__isnull=False).latest("decided_at")


def test_nothing_is_in_the_way_when_nothing_is_asked(desk, asking):
    asking()
    desk.open()
    assert desk.page.locator(".details, .strength, textarea").count() == 0


def test_strength_by_shift_by_the_plain_key_and_by_the_scale(desk, asking):
    asking(strength_mode="required")
    page = desk.open().page
    desk.press("Shift+Digit1")
    expect(page.locator("#toast")).to_contain_text("A is much better")
    desk.all_sent()
    assert stored().strength == 2
    desk.press("2")
    expect(page.locator("#toast")).to_contain_text("B is slightly better")
    desk.all_sent()
    assert stored().strength == 1
    page.click("text=A is better")
    expect(page.locator("[data-error=strength]")).to_have_text("Say how much better it is.")
    expect(page.locator("#strength-1")).to_be_focused()
    desk.next_card(lambda: page.click("label[for=strength-2]"))  # completes what was chosen
    desk.all_sent()
    assert (stored().strength, len(judged())) == (2, 3)
    desk.press("0")
    desk.all_sent()
    assert (stored().outcome, stored().strength) == ("tie", None)


def test_optional_strength_is_not_said_by_the_plain_key(desk, asking):
    asking(strength_mode="optional")
    desk.open().press("1")
    desk.all_sent()
    assert stored().strength is None


def test_what_is_required_is_asked_for_in_the_page_and_kept_until_it_is_there(desk, asking):
    asking(
        criteria=[{"key": "helpful", "name": "Helpful"}, {"key": "honest", "name": "Honest"}],
        criteria_required=True,
        reason_mode="required",
        reason_min_length=12,
        reason_tags=["Wrong facts"],
    )
    page = desk.open().page
    page.keyboard.press("1")
    expect(page.locator("#criterion-1-left")).to_be_focused()
    page.click("label[for=criterion-1-left]")
    page.click("label[for=criterion-2-tie]")
    page.keyboard.press("1")
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("B lies")
    expect(page.locator("#reason-count")).to_have_text("6 of at least 12 characters")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-error=reason]")).to_contain_text("at least 12 characters")
    assert judged() == []
    page.locator("#reason").press_sequentially(", plainly.")
    page.keyboard.press("End")
    desk.next_card(lambda: page.keyboard.press("Control+Enter"))
    desk.all_sent()
    judgement = stored()
    assert judgement.criteria["honest"] == "tie"
    assert judgement.criteria["helpful"] == judgement.outcome
    assert "plainly" in judgement.reason
    desk.press("s")  # a skip needs none of this
    desk.all_sent()
    assert judged()[-1] == "skip"


def test_typing_is_not_judging_and_escape_leaves_the_field(desk, asking):
    asking(reason_mode="optional")
    page = desk.open().page
    page.locator("#reason").press_sequentially("1ab 20exsud?")
    page.keyboard.press("Control+Enter")  # nothing is chosen yet
    expect(page.locator("#notice")).to_contain_text("Now choose")
    assert judged() == []
    page.locator("#reason").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#reason")).not_to_be_focused()
    desk.press("2")
    desk.all_sent()
    assert stored().reason == "1ab 20exsud?"


def test_cannot_judge_goes_with_skip(desk, asking):
    asking(flags_on=True)
    page = desk.open().page
    page.click("label[for=flag-cannot]")
    page.keyboard.press("1")
    expect(page.locator("[data-error=flag]")).to_contain_text("goes with Skip")
    desk.press("s")
    desk.all_sent()
    assert (stored().outcome, stored().flags) == ("skip", ["cannot_judge"])


@pytest.mark.parametrize("source", ["left", "right", "blank"])
def test_a_better_answer_from_either_or_from_nothing(desk, asking, source):
    asking(editing_on=True)
    page = desk.open().page
    shown = "" if source == "blank" else page.inner_text(f"#{source}-text").strip()
    page.click("text=Write a better answer")
    page.click(f"label[for=from-{source}]")
    expect(page.locator("#edit")).to_have_value(shown)
    page.fill("#edit", f"{shown} But better.")
    page.keyboard.press("Escape")
    desk.press("1")
    desk.all_sent()
    assert stored().edited_text == f"{shown} But better."
    assert bool(stored().edited_from) == (source != "blank")


def test_a_rule_that_came_meanwhile_brings_the_card_back_with_what_was_entered(desk, asking, cast):
    asking(reason_mode="optional")
    page = desk.open().held(1).page
    page.fill("#reason", "Short")
    first = desk.code
    cast.project.reason_min_length = 20
    cast.project.save()
    page.expected_errors.append("422")
    page.locator("#reason").press("Escape")
    page.keyboard.press("1")
    expect(page.locator("[data-error=reason]")).to_contain_text("20")
    assert desk.code == first
    expect(page.locator("#reason")).to_have_value("Short")
    assert judged() == []


def test_without_javascript_errors_and_values_come_back(browser, live_server, cast, asking):
    asking(
        strength_mode="required",
        criteria=[{"key": "helpful", "name": "Helpful"}],
        reason_mode="required",
        reason_tags=["Rude"],
        flags_on=True,
    )
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as plain:
        page = plain.new_page()
        page.goto(reverse("rate", args=[cast.project.slug]))
        page.get_by_label("Username").fill("rater")
        page.get_by_label("Password").fill("rater")
        page.get_by_role("button", name="Sign in").click()
        page.click("label[for=criterion-1-right]")
        page.click("label[for=flag-unsafe]")
        page.get_by_role("button", name="A is better").click()
        expect(page.locator("[data-error=strength]")).not_to_be_empty()
        expect(page.locator("[data-error=reason]")).not_to_be_empty()
        expect(page.locator("#criterion-1-right")).to_be_checked()
        expect(page.locator("#flag-unsafe")).to_be_checked()
        page.click("label[for=strength-2]")
        page.click("label[for=tag-1]")
        before = page.inner_text(".turn.user .text")
        page.get_by_role("button", name="A is better").click()
        assert page.inner_text(".turn.user .text") != before
        assert (stored().strength, stored().reason_tags) == (2, ["Rude"])
        page.get_by_role("button", name="Undo").click()
        assert page.inner_text(".turn.user .text") == before
        page.get_by_role("button", name="Skip").click()
        assert judged() == ["skip"]
