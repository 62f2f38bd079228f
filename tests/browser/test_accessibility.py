"""axe-core finds no violation of WCAG 2.2, A and AA, on any page, theme, size or opened part.

Pages take turns in themes and sizes; ``make test-thorough`` looks at every theme and size of each.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.pages import ABSENT, PAGES, TOKEN, fill
from tests.conftest import THOROUGH

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
EVERYTHING = {"runOnly": {"type": "tag", "values": LEVELS}, "resultTypes": ["violations"]}
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LOOKS = [("light", DESK), ("dark", PHONE), ("light", PHONE), ("contrast", DESK)]


@pytest.fixture
def site(page, cast, log_in, transactional_db):
    cast.manager.is_superuser = cast.manager.is_staff = True
    cast.manager.save()
    fill(cast.project)
    log_in(cast.manager)
    page.emulate_media(reduced_motion="reduce", color_scheme="light")
    page.set_viewport_size(DESK)
    page.expected_errors.append("404")
    return page


def faults(page):
    """What axe-core finds, as text: the rule, the element, what is wrong with it."""
    violations = Axe().run(page, options=EVERYTHING).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary'][:240]}"
        for violation in violations
        for node in violation["nodes"]
    ]


def wear(page, theme):
    page.evaluate(
        "theme => { document.documentElement.dataset.theme = theme; }",
        theme,
    )


@pytest.mark.parametrize("half", [0, 1])  # so that two processes can share the work
def test_no_page_has_a_fault_in_any_theme_or_size(site, half):
    wrong = {}
    for number, path in enumerate(PAGES[half::2]):
        site.set_viewport_size(DESK)
        answer = site.goto(path)
        assert answer.status == (404 if path in ABSENT else 200)
        assert site.url.endswith(path)
        for theme, size in LOOKS if THOROUGH else [LOOKS[number % len(LOOKS)]]:
            site.set_viewport_size(size)
            wear(site, theme)
            if page_faults := faults(site):
                wrong[path, theme, size["width"]] = page_faults
    assert not wrong


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("/p/sharpen/", ".menu summary"),
        ("/p/sharpen/rate/", ".menu summary"),
        ("/p/sharpen/rate/", "[data-dialog=guidelines-dialog]"),
        ("/p/sharpen/rate/", "[data-dialog=keys-dialog]"),
        ("/p/sharpen/rate/", "#difference"),
        ("/p/sharpen/rate/", ".edit > summary"),
        ("/p/sharpen/people/", "tbody .menu summary"),
        ("/p/sharpen/invitations/", "text=Make the link"),
        ("/p/sharpen/practice/", "button[value=left]"),
        ("/p/sharpen/rounds/1/", "text=Cancel round 1…"),
    ],
)
def test_what_opens_has_no_fault_either(site, path, selector):
    site.goto(path)
    site.click(selector)
    if selector == "#difference":
        site.wait_for_selector(".difference")
    assert not faults(site)


def test_what_is_said_after_practice_has_no_fault(site):
    site.goto("/p/sharpen/practice/")
    for _ in range(2):
        site.click("button[value=right]")
        site.click("#next")
    site.wait_for_selector("text=Practise again")
    assert not faults(site)


def test_signing_up_and_failing_to_has_no_fault(site):
    site.context.clear_cookies()
    site.goto(f"/join/{TOKEN}/")
    assert not faults(site)
    site.fill("[name=username]", "manager")
    site.fill("[name=password1]", "short")
    site.fill("[name=password2]", "other")
    site.click("text=Sign up and join")
    site.wait_for_selector(".errorlist")
    assert not faults(site)


def test_signing_in_and_failing_to_has_no_fault(page, live_server, transactional_db):
    page.goto("/login/")
    assert not faults(page)
    page.fill("[name=username]", "nobody")
    page.fill("[name=password]", "wrong")
    page.click("button.main")
    page.wait_for_selector("[role=alert]")
    assert not faults(page)


@pytest.mark.parametrize(
    ("where", "field", "save"),
    [
        ("settings", "max_new_tokens", "Save settings"),
        ("card", "judgements_wanted", "Save the card"),
    ],
)
def test_settings_that_are_refused_have_no_fault(site, where, field, save):
    site.expected_errors.append("422")
    site.goto(f"/p/sharpen/{where}/")
    site.fill(f"[name$={field}]", "")
    site.click(f"text={save}")
    site.wait_for_selector(".errorlist")
    assert not faults(site)
