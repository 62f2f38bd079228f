"""Pages fit the window: right to left, with the largest text, on a phone and on a desktop."""

import pytest
from django.conf import settings as django_settings

from tests.browser.pages import PAGES, fill

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = (390, 1440)


@pytest.fixture
def site(page, cast, log_in, transactional_db):
    cast.manager.is_superuser = True
    cast.manager.save()
    fill(cast.project)
    log_in(cast.manager)
    page.expected_errors.append("404")
    return page


REACH = """width => {
  const reach = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth);
  if (reach <= width) return null;
  const outside = [...document.querySelectorAll("body *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && (box.right > width + 1 || box.left < -1);
  });
  return [reach, ...outside.slice(-6).map(one => one.cloneNode().outerHTML.slice(0, 80))];
}"""


def too_wide(page):
    """{(path, width): how far it goes, and what}, for pages that scroll sideways."""
    wide_pages = {}
    for path in PAGES:
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            if reach := page.evaluate(REACH, width):
                wide_pages[path, width] = reach
    return wide_pages


def choose(context, live_server, name, value):
    context.add_cookies([{"name": name, "value": value, "url": live_server.url}])


def test_no_page_scrolls_sideways_from_right_to_left(site, context, live_server, settings):
    settings.LANGUAGES = [*django_settings.LANGUAGES, ("ar", "العربية")]
    choose(context, live_server, settings.LANGUAGE_COOKIE_NAME, "ar")
    site.goto("/")
    assert site.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [
        "ar",
        "rtl",
    ]
    assert too_wide(site) == {}


def test_no_page_scrolls_sideways_in_german_with_the_largest_text(
    site, context, live_server, settings
):
    choose(context, live_server, settings.LANGUAGE_COOKIE_NAME, "de")
    choose(context, live_server, "text", "larger")
    site.goto("/")
    assert site.evaluate("document.documentElement.lang") == "de"
    assert site.evaluate("getComputedStyle(document.body).fontSize") == "22.5px"
    assert too_wide(site) == {}


MEETING = """() => {
  const shown = [...document.querySelectorAll(".bar .button")].filter(one => one.offsetParent);
  const boxes = shown.map(one => [one.textContent.trim(), one.getBoundingClientRect()]);
  return [
    ...shown.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent),
    ...boxes.flatMap(([name, one], index) => boxes.slice(index + 1).filter(([, other]) =>
      one.left < other.right - 1 && other.left < one.right - 1 &&
      one.top < other.bottom - 1 && other.top < one.bottom - 1
    ).map(([other]) => `${name} / ${other}`)),
  ];
}"""


@pytest.mark.parametrize("size", ["normal", "larger"])
def test_longer_words_fit_the_bar_at_every_width(site, context, live_server, settings, size):
    choose(context, live_server, settings.LANGUAGE_COOKIE_NAME, "de")
    choose(context, live_server, "text", size)
    for path in ("/p/sharpen/rate/", "/p/sharpen/card/"):
        site.goto(path)
        for width in (360, 390, 600, 761, 900, 1024, 1280, 1440):
            site.set_viewport_size({"width": width, "height": 844})
            assert site.evaluate(MEETING) == [], (path, width)
            assert site.evaluate(REACH, width) is None


def test_the_chosen_size_is_there_from_the_first_paint(site):
    site.goto("/p/sharpen/")
    site.click(".menu summary")
    site.click("[data-text-choice=large]")
    assert site.get_attribute("[data-text-choice=large]", "aria-pressed") == "true"
    site.goto("/p/sharpen/rounds/")
    assert site.content().index('data-text="large"') < site.content().index("<head>")
    site.click(".menu summary")
    site.click("[data-text-choice=normal]")
    site.reload()
    assert "data-text=" not in site.content().split("<head>")[0]


def test_the_language_is_chosen_in_the_menu(site):
    site.goto("/p/sharpen/rounds/")
    site.click(".menu summary")
    site.click("button[lang=de]")
    assert site.evaluate("document.documentElement.lang") == "de"
    assert site.url.endswith("/p/sharpen/rounds/")


def test_print_is_dark_on_white_in_every_theme(site, context, live_server):
    choose(context, live_server, "theme", "dark")
    site.goto("/p/sharpen/guidelines/")
    site.emulate_media(media="print")
    ink, paper = site.evaluate(
        """() => {
            const text = document.querySelector(".text p");
            return [getComputedStyle(text).color, getComputedStyle(document.body).backgroundColor];
        }"""
    )
    assert (ink, paper) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")


def test_what_scrolls_within_an_answer_can_be_reached_by_keyboard(site):
    site.goto("/p/sharpen/guidelines/")
    site.wait_for_selector(".text pre[tabindex='0']")
    site.evaluate("document.querySelector('.text pre code').textContent = 'short'")
    site.wait_for_selector(".text pre:not([tabindex])")
