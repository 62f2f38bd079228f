"""The card in every width and with every kind of text."""

import pytest
from playwright.sync_api import expect

from tests.browser.desk import judged, make_cards
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LONG = "\n\n".join(f"Paragraph {number}. " + "A long story. " * 30 for number in range(110))


@pytest.fixture
def show(desk, cast):
    """Open a card with these two answers; ``a`` is the first one, on either side."""

    def show(a, b, turns=None):
        policy = make_policy(cast.project)
        prompt = make_prompt(cast.project)
        if turns:
            prompt.messages = turns
            prompt.save()
        first, second = (make_completion(prompt, policy, text or " ") for text in (a, b))
        make_comparison(cast.project, prompt=prompt, a=first, b=second)
        make_cards(cast.project, 2)
        return desk.open()

    return show


def is_wider_than_the_window(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_columns_scroll_apart_or_together_as_the_rater_wishes(show, cast):
    cast.project.criteria = [{"key": "helpful", "name": "Helpful"}]
    cast.project.save()
    desk = show(LONG, LONG[:20_000])
    page = desk.page
    assert not page.evaluate("document.documentElement.scrollHeight > innerHeight + 1")
    tops = "[...document.querySelectorAll('.answer .scroll')].map((one) => one.scrollTop)"
    left = page.locator(".answer.left .scroll")
    left.evaluate("(one) => { one.scrollTop = 400; }")
    page.wait_for_function(f"() => {tops}[0] === 400")
    assert page.evaluate(tops)[1] == 0
    page.click("#sync")
    left.evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
    ends = """() => [...document.querySelectorAll('.answer .scroll')].every(
        (one) => one.scrollTop + one.clientHeight > one.scrollHeight - 3)"""
    page.wait_for_function(ends)
    page.reload()
    expect(page.locator("#sync")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("PageDown")
    page.wait_for_function(f"() => {tops}.every((top) => top > 100)")
    before = page.evaluate(tops)
    page.locator("#criterion-1-left").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#criterion-1-tie")).to_be_checked()
    assert page.evaluate(tops) == before


def test_nothing_is_cut_off_and_the_buttons_stay_where_they_are(show):
    desk = show(LONG, "Short.")
    page = desk.page
    assert "Paragraph 109." in page.locator(".answers").inner_text()
    before = page.locator("[value=left]").bounding_box()
    desk.press("1")
    assert page.locator("[value=left]").bounding_box() == before


@pytest.mark.parametrize("width", [320, 390, 720, 1440])
def test_no_sideways_scrolling_whatever_the_text(show, cast, width):
    cast.project.strength_mode = cast.project.reason_mode = "optional"
    cast.project.criteria = [{"key": "helpful", "name": "Helpful"}]
    cast.project.reason_tags = ["A fairly long tag about facts", "Rude"]
    cast.project.flags_on = cast.project.editing_on = True
    cast.project.save()
    wide = (
        "x" * 3000 + "\n\n```\n" + "y" * 900 + "\n```\n\n" + "|a" * 40 + "|\n" + "|-" * 40 + "|\n"
    )
    desk = show(wide, "مرحبا بالعالم. " * 20 + "\n\n漢字とかな。" * 40)
    desk.page.set_viewport_size({"width": width, "height": 800})
    assert not is_wider_than_the_window(desk.page)
    for name in ("left", "right", "tie", "both_bad", "skip"):
        box = desk.page.locator(f"[name=choice][value={name}]").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 800
        assert min(box["width"], box["height"]) >= 24


def test_an_empty_answer_says_so(show):
    page = show("", "Something.").page
    expect(page.get_by_text("(empty answer)")).to_be_visible()


def test_a_long_history_is_folded_to_its_last_turns(show):
    turns = [{"role": "system", "content": "Be brief."}]
    for number in range(4):
        turns.append({"role": "user", "content": f"Question {number}"})
        turns.append({"role": "assistant", "content": f"Reply {number}"})
    turns.append({"role": "user", "content": "The last question"})
    page = show("One.", "Two.", turns).page
    expect(page.get_by_text("The last question")).to_be_visible()
    expect(page.get_by_text("Reply 3")).to_be_visible()
    expect(page.get_by_text("Be brief.")).to_be_hidden()
    page.click("text=7 earlier turns")
    expect(page.get_by_text("Be brief.")).to_be_visible()
    expect(page.get_by_text("Reply 0")).to_be_visible()


def test_on_a_phone_one_answer_at_a_time_and_the_buttons_in_reach(show):
    desk = show(LONG[:9000], LONG[:9000])
    page = desk.page
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#left-text")).to_be_visible()
    expect(page.locator("#right-text")).to_be_hidden()
    page.evaluate("window.scrollTo(0, 3000)")
    page.click("label[for=show-right]")  # the switch is still visible
    expect(page.locator("#right-text")).to_be_visible()
    expect(page.locator("#left-text")).to_be_hidden()
    box = page.get_by_role("button", name="A is better").bounding_box()
    assert box["height"] >= 44
    assert 844 - 220 < box["y"] < 844 - box["height"]
    desk.next_card(lambda: page.get_by_role("button", name="A is better").click())
    expect(page.locator("#left-text")).to_be_visible()
    assert page.evaluate("scrollY") == 0
    toast = page.locator("#toast").bounding_box()
    bar = page.locator(".bar").bounding_box()
    assert toast["y"] + toast["height"] <= bar["y"]
    desk.next_card(lambda: page.click("#toast-undo"))
    assert judged() == []


def test_what_has_the_focus_is_not_under_the_bar(show):
    page = show(LONG[:9000], LONG[:9000]).page
    page.set_viewport_size({"width": 720, "height": 450})  # 1440 wide at 200 %
    bar = page.locator(".bar").bounding_box()["y"]
    for _ in range(14):
        page.keyboard.press("Tab")
        low, within = page.evaluate(
            """() => {
                const one = document.activeElement;
                return [one.getBoundingClientRect().top, one.closest(".bar") !== null];
            }"""
        )
        assert within or low < bar


def test_copying_takes_the_answer(show, context):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = show("Copy **me**.", "Copy **me**.").page
    page.get_by_role("button", name="Copy response A").click()
    expect(page.locator("#said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Copy me."


def test_without_motion_nothing_waits_and_nothing_moves(show):
    desk = show("One.", "Two.")
    desk.page.emulate_media(reduced_motion="reduce")
    desk.press("1")
    assert (
        desk.page.evaluate("getComputedStyle(document.body).getPropertyValue('--quick')") == "0ms"
    )


def test_the_order_for_a_screen_reader(show):
    page = show("One.", "Two.").page
    names = page.evaluate(
        """() => [...document.querySelectorAll("#card h1, #card .turn, #card h2, #card button")]
            .map((one) => one.value || one.className.split(" ")[0] || one.tagName)
            .filter((name) => name)"""
    )
    order = ["visually-hidden", "turn", "copy", "copy", "left", "right", "tie", "both_bad", "skip"]
    places = [names.index(name) for name in order[:3]] + [names.index(n) for n in order[4:]]
    assert places == sorted(places)
    for region in ("#said", "#connection"):
        assert page.locator(region).get_attribute("role") == "status"
