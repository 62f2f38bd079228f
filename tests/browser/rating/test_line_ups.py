"""The line-up page by keys, by dragging, by phone, and without a script."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotate.models import Ordering, PreferencePair
from annotate.queue.line_ups import make_line_up
from tests.factories import make_completion, make_policy, make_prompt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def line_up(cast, desk):
    """A line-up of three answers on the rater's screen."""
    project = cast.project
    project.line_up_size = 3
    project.save()
    policy, prompt = make_policy(project), make_prompt(project, held_out=False)
    answers = [make_completion(prompt, policy, f"Answer {letter}.") for letter in "xyz"]
    make_line_up(
        project=project, prompt_id=prompt.pk, completions=[a.pk for a in answers], priority=0
    )
    desk.page.goto(reverse("rate", args=[project.slug]))
    expect(desk.page.locator("h1")).to_have_text("Rank these answers, best first")
    return desk.page


def letters(page):
    return [answer.get_attribute("data-answer") for answer in page.locator(".line-up > li").all()]


def places(page):
    return [field.input_value() for field in page.locator(".line-up select").all()]


def stored():
    return dict(zip("ABC", Ordering.objects.get().places, strict=True))


def test_arrows_move_an_answer_and_say_so(line_up):
    page = line_up
    page.locator("[data-answer=C] .handle").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert letters(page) == ["C", "A", "B"]
    assert places(page) == ["1", "2", "3"]
    expect(page.locator("#moved")).to_have_text("Response C: place 1")
    expect(page.locator("[data-answer=C] .handle")).to_be_focused()
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/rate/")
    assert stored() == {"A": 2, "B": 3, "C": 1}
    assert PreferencePair.objects.count() == 3


def test_digits_give_places_and_equal_ones_are_ties(line_up):
    page = line_up
    for letter, digit in zip("ABC", "122", strict=True):
        page.locator(f"[data-answer={letter}] .scroll").focus()
        page.keyboard.press(digit)
    assert places(page) == ["1", "2", "2"]
    page.keyboard.press("9")
    assert places(page) == ["1", "2", "2"]
    page.click("text=Save this order")
    page.wait_for_url("**/rate/")
    assert stored() == {"A": 1, "B": 2, "C": 2}


def test_an_answer_is_dragged_to_its_place(line_up):
    page = line_up
    page.drag_and_drop(
        "[data-answer=A] .handle", "[data-answer=C]", target_position={"x": 80, "y": 60}
    )
    assert letters(page) == ["B", "C", "A"]
    assert places(page) == ["1", "2", "3"]


def test_an_answer_without_a_place_is_asked_for(line_up):
    page = line_up
    page.select_option("#place-0", "1")
    page.click("text=Save this order")
    expect(page.locator("#place-1")).to_be_focused()
    assert Ordering.objects.get().places is None


def test_skipped_and_changed(line_up, cast):
    page = line_up
    for place in range(3):
        page.select_option(f"#place-{place}", str(place + 1))
    page.click("text=Save this order")
    page.wait_for_url("**/rate/")
    prompt, policy = make_prompt(cast.project), make_policy(cast.project)
    answers = [make_completion(prompt, policy).pk for _ in range(3)]
    make_line_up(project=cast.project, prompt_id=prompt.pk, completions=answers, priority=0)
    page.goto(reverse("line_up", args=[cast.project.slug]))
    page.click("text=Change the last order")
    expect(page.locator(".line-up select")).to_have_count(3)
    assert places(page) == ["", "", ""]
    assert PreferencePair.objects.count() == 0
    page.click("button[name=skip]")
    expect(page.locator("h1")).to_have_text("Rank these answers, best first")
    assert Ordering.objects.filter(is_skipped=True).count() == 1
