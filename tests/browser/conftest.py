"""A real Chromium that can reach only the live server and reports every error on a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.browser.find_chromium import ABSENT, find_chromium, launch_arguments

if TYPE_CHECKING:
    from annotate.models import User

CHROMIUM = find_chromium()
expect.set_options(timeout=30_000)  # a busy machine may be slow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(ABSENT)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's synchronous calls run an event loop in this thread, which Django takes
        # for asynchronous code. The tests' own queries do not run inside that loop.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=launch_arguments(),
            chromium_sandbox=os.geteuid() != 0,
        )
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser, live_server: Any) -> Iterator[BrowserContext]:
    """A new browser profile on the live server; a request to anywhere else fails the test."""
    strayed: list[str] = []

    def only_ours(route: Route) -> None:
        url = route.request.url
        if url.startswith((live_server.url, "data:", "blob:")):
            route.continue_()
        else:
            strayed.append(url)
            route.abort()

    with browser.new_context(base_url=live_server.url, locale="en-GB") as context:
        context.set_default_timeout(90_000)
        context.route("**/*", only_ours)
        yield context
    assert not strayed, f"asked of other servers: {strayed}"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page with nobody logged in; errors of its scripts or its policy fail the test.

    A test that means to make a request fail says so: ``page.expected_errors.append("403")``.
    """
    errors: list[str] = []
    page = context.new_page()
    page.expected_errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: errors.append(message.text) if message.type == "error" else None,
    )
    yield page
    expected: list[str] = page.expected_errors  # type: ignore[attr-defined]
    assert not [error for error in errors if not any(part in error for part in expected)]


@pytest.fixture
def log_in(context: BrowserContext, live_server: Any) -> Callable[[User], None]:
    """``log_in(user)`` gives the browser a session of ``user``."""
    from django.test import Client

    def log_in(user: User) -> None:
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}]
        )

    return log_in


@pytest.fixture
def desk(page: Page, cast: Any, log_in: Callable[[User], None]) -> Any:
    """The rater, signed in, before the rating page is opened."""
    from tests.browser.desk import Desk

    log_in(cast.rater)
    return Desk(page, cast.project)
