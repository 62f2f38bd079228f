"""The rater's own keys, other keyboard layouts, and when a key press is not for us."""

import pytest
from playwright.sync_api import expect

from annotate.people.preferences import STANDARD
from tests.browser.desk import judged, make_cards

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PRESS = """([key, code, more]) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key, code, bubbles: true, cancelable: true, ...more}))"""


@pytest.fixture
def prefer(cast):
    def prefer(**preferences):
        cast.rater.preferences = preferences
        cast.rater.save()

    return prefer


@pytest.fixture
def rating(desk, cast):
    make_cards(cast.project, 5)
    return desk.open()


def strike(desk, key, code="", **more):
    """A key event as a keyboard of another layout, or an input method, sends it."""
    desk.page.evaluate(PRESS, [key, code, more])


def test_modifiers_and_unbound_keys_do_nothing(rating):
    before = rating.code
    for key in ("Control+1", "Alt+x", "Backspace", "Space", "Shift+S", "Shift+Digit1", "7"):
        rating.page.keyboard.press(key)
    rating.all_sent()
    assert rating.code == before
    assert judged() == []


def test_an_input_method_at_work_is_left_alone(rating):
    before = rating.code
    strike(rating, "a", "KeyA", isComposing=True)
    strike(rating, "Process", "KeyA", keyCode=229)
    strike(rating, "1", "Digit1", repeat=True)
    rating.all_sent()
    assert (rating.code, judged()) == (before, [])


def test_composing_in_the_reason_sends_nothing_and_leaves_nothing(desk, cast):
    cast.project.reason_mode = "optional"
    cast.project.save()
    make_cards(cast.project, 3)
    page = desk.open().page
    page.locator("#reason").focus()
    strike(desk, "Enter", "Enter", ctrlKey=True, isComposing=True)
    strike(desk, "Escape", "Escape", isComposing=True)
    expect(page.locator("#reason")).to_be_focused()
    expect(page.locator("#notice")).to_be_empty()
    assert judged() == []


def test_digits_and_letters_by_their_place_on_other_keyboards(rating):
    rating.next_card(lambda: strike(rating, "&", "Digit1"))  # French, without Shift
    rating.next_card(lambda: strike(rating, "ч", "KeyX"))  # Russian
    rating.next_card(lambda: strike(rating, "2", "Numpad2"))
    rating.all_sent()
    assert len(judged()) == 3
    assert judged()[1] == "both_bad"


def test_own_keys_judge_and_stand_on_the_keycaps(desk, cast, prefer):
    prefer(profile="own", keys=STANDARD | {"left": ["j"], "right": ["k"], "help": ["h"]})
    make_cards(cast.project, 3)
    page = desk.open().page
    assert page.locator("[value=left] kbd").inner_text() == "J"
    page.keyboard.press("1")
    page.keyboard.press("h")
    expect(page.locator("#keys-dialog .keys")).to_contain_text("K")
    page.keyboard.press("Escape")
    assert judged() == []
    desk.press("k")
    desk.all_sent()
    assert len(judged()) == 1


def test_arrow_keys_judge_but_move_what_has_the_focus(desk, cast, prefer):
    prefer(profile="arrows")
    make_cards(cast.project, 6)
    page = desk.open().page
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        desk.press(key)
    desk.all_sent()
    assert judged()[2:] == ["tie", "both_bad"]
    page.locator(".answer.left .scroll").focus()
    page.keyboard.press("ArrowDown")
    desk.all_sent()
    assert len(judged()) == 4


def test_keys_can_be_switched_off(desk, cast, prefer):
    prefer(profile="off")
    make_cards(cast.project, 3)
    page = desk.open().page
    assert page.locator(".bar kbd").count() == 0
    for key in ("1", "0", "?", "g", "u", "Control+z"):
        page.keyboard.press(key)
    assert page.locator("dialog[open]").count() == 0
    desk.next_card(lambda: page.click("text=Tie"))
    desk.all_sent()
    assert judged() == ["tie"]


def test_the_settings_page_takes_keys_as_they_are_pressed_and_refuses_doubles(rating, cast):
    page = rating.page
    page.keyboard.press("?")
    page.click("text=Change or switch off the keys")
    page.check("[value=own]")
    page.locator("#id_left_1").press("ArrowLeft")
    expect(page.locator("#id_left_1")).to_have_value("←")
    page.locator("#id_right_1").press("x")
    page.expected_errors.append("422")
    page.click("text=Save your settings")
    expect(page.get_by_text("X already stands for", exact=False)).to_be_visible()
    page.wait_for_load_state()  # the script that handles keys has run by now
    page.locator("#id_right_1").press("l")
    page.check("#id_theme_2")
    page.check("#id_text_2")
    page.click("text=Save your settings")
    expect(page.locator("#card")).to_be_visible()  # back to rating
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-text", "large")
    rating.press("l")
    rating.press("ArrowLeft")
    rating.all_sent()
    assert len(judged()) == 2


def test_the_difference_comes_and_goes_by_its_key(rating):
    page = rating.page
    if not page.locator("#difference").count():
        pytest.skip("no address for the difference yet")
    before = page.inner_html("#left-text")
    page.keyboard.press("d")
    expect(page.locator("#difference")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#left-text .difference").first).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator("#difference")).to_have_attribute("aria-pressed", "false")
    assert page.inner_html("#left-text") == before
    page.expected_errors.append("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.keyboard.press("d")
    expect(page.locator("#notice")).to_contain_text("needs the connection")
