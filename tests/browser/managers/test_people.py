"""The walk from an invitation to the first card, and the managers' editors, in a real Chromium."""

import pytest
from playwright.sync_api import expect

from annotate.models import Consent, Judgement, Membership, Project
from annotate.onboarding import texts
from annotate.quality.practice import make_practice_item
from tests.factories import make_comparison

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def site(transactional_db, cast):
    """A project with every step of the first visit, and cards after them."""
    for kind, text in (
        (texts.Kind.CONSENT, "We keep **what you choose**."),
        (texts.Kind.GUIDELINES, "Choose the *kinder* one."),
    ):
        texts.write(project=cast.project, kind=kind, text=text, author=cast.manager)
    for expected in (["a"], ["tie"]):
        make_practice_item(
            comparison=make_comparison(cast.project),
            expected=expected,
            feedback="Look at the **end**.",
            by=cast.manager,
        )
    make_comparison(cast.project)
    return cast


def new_link(page, log_in, cast):
    log_in(cast.manager)
    page.goto("/p/sharpen/invitations/")
    page.click("text=Make the link")
    link = page.input_value("#link")
    page.context.clear_cookies()
    return link


def sign_up(page, link):
    page.goto(link)
    page.fill("[name=username]", "newcomer")
    page.fill("[name=password1]", "a-long-passw0rd")
    page.fill("[name=password2]", "a-long-passw0rd")
    page.click("text=Sign up and join")


@pytest.mark.parametrize("size", [None, PHONE])
def test_from_an_invitation_to_the_first_card(page, log_in, site, size):
    if size:
        page.set_viewport_size(size)
    sign_up(page, new_link(page, log_in, site))
    expect(page.get_by_text("what you choose", exact=True)).to_be_visible()
    page.click("text=I agree")
    expect(page.get_by_text("kinder")).to_be_visible()
    page.click("text=I have read them")
    expect(page.get_by_text("Practice 1/2")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("button[value=left]")
    expect(page.get_by_text("As expected")).to_be_visible()
    page.click("text=Next")
    page.click("button[value=left]")
    expect(page.get_by_text("Another answer was expected")).to_be_visible()
    page.click("text=Your practice")
    expect(page.get_by_text("1 of 2 were as expected")).to_be_visible()
    page.click("text=Start rating")
    expect(page.locator("#card button[value=left]").first).to_be_visible()
    assert Judgement.objects.filter(rater__username="newcomer").count() == 1
    assert Consent.objects.get(user__username="newcomer").text.number == 1


def test_practice_goes_by_the_keys(page, log_in, site):
    membership = Membership.objects.get(user=site.rater)
    texts.mark_read(membership=membership)
    texts.write(project=site.project, kind=texts.Kind.CONSENT, text="", author=None)
    log_in(site.rater)
    page.goto("/p/sharpen/practice/")
    page.keyboard.press("1")
    expect(page.locator("#told-title")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Practice 2/2")).to_be_visible()
    page.wait_for_load_state()  # the script for keys is deferred: it has run by now
    page.keyboard.press("0")
    expect(page.get_by_text("As expected")).to_be_visible()


def test_the_walk_needs_no_javascript(browser, live_server, site):
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/login/")
        page.fill("[name=username]", "rater")
        page.fill("[name=password]", "rater")
        page.click("button.main")
        page.goto("/p/sharpen/rate/")
        page.click("text=I agree")
        page.click("text=I have read them")
        for _ in range(2):
            page.click("button[value=tie]")
            page.click(".feedback .button")
        page.click("text=Start rating")
        expect(page.locator("#card button[value=left]")).to_be_visible()


def test_the_preview_follows_the_typing_and_judges_nothing(page, log_in, site):
    log_in(site.manager)
    page.goto("/p/sharpen/card/")
    page.fill("#id_question", "Which one is kinder?")
    expect(page.locator("#preview .question")).to_have_text("Which one is kinder?")
    page.select_option("#id_strength_mode", "optional")
    expect(page.locator("#preview").get_by_text("slightly")).to_be_visible()
    page.fill("#id_criteria_names", "Helpful\nHonest")
    expect(page.locator("#preview").get_by_text("Honest")).to_be_visible()
    assert page.locator("#preview button[value=left]").evaluate(
        "b => b.closest('[inert]') !== null"
    )
    page.locator("#id_criteria_names").blur()
    page.keyboard.press("1")
    assert not Judgement.objects.exists()
    assert Project.objects.get().question == "Which response is better?"
    page.click("text=Save the card")
    expect(page.get_by_text("Cards look like this from now on.")).to_be_visible()
    assert Project.objects.get().question == "Which one is kinder?"


def test_the_text_editor_shows_what_raters_will_read(page, log_in, site):
    log_in(site.manager)
    page.goto("/p/sharpen/texts/guidelines/")
    page.fill("#id_text", "Choose the **shorter** one.")
    expect(page.locator("#preview strong")).to_have_text("shorter")
    page.click("text=Save as version 2")
    expect(page.get_by_text("Saved as version 2.")).to_be_visible()


PATHS = [
    "people/",
    "invitations/",
    "comparisons/",
    "card/",
    "texts/guidelines/",
    "texts/guidelines/1/",
    "texts/consent/",
    "consent/",
    "progress/",
    "about-me/",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_page_scrolls_sideways_on_a_phone(page, log_in, site, path):
    log_in(site.manager)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/p/sharpen/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_member_is_changed_on_a_phone(page, log_in, site):
    log_in(site.manager)
    page.set_viewport_size(PHONE)
    page.goto("/p/sharpen/people/")
    row = page.locator("tr", has_text="colleague")
    row.locator("summary").click()
    row.locator("[name=reason]").fill("A while")
    row.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("colleague is paused")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert Membership.objects.get(user=site.colleague).paused_reason == "A while"
