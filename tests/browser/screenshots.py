"""Screenshots of every page, wide and narrow, light and dark, for people to look at.

Run it as ``python -m tests.browser.screenshots [PART_OF_A_NAME …]``. It fills a data folder of
its own, starts the product's web server on it, and writes PNG files to var/screenshots.
With ``LOCALE=de`` before it the pages are German (not those where a word is clicked on first).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, StorageState, sync_playwright

from tests.browser.find_chromium import ABSENT, find_chromium, launch_arguments

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "var" / "screenshots"
README_PICTURES = {"rate": "rating", "home-round-in-training": "home"}
"""The README shows one of these shots, from ``docs/images``."""
README_SIZE = (1200, 750)
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
DESK, PHONE = ("wide",), ("narrow",)
THEMES = ("light", "dark", "contrast")
CONTRAST_FOR = ("rate", "sign-in", "home-idle", "settings")
"""Pages whose names begin like this are shown in high contrast, too."""
TOKEN = secrets.token_urlsafe()
LOCALE = os.environ.get("LOCALE", "en-GB")
PASSWORD = secrets.token_urlsafe()


def press(*keys: str) -> Callable[[Page], None]:
    """A step that presses ``keys``, one after the other."""

    def step(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(200)

    return step


def tap(selector: str) -> Callable[[Page], None]:
    """A step that clicks on what ``selector`` finds."""
    return lambda page: page.click(selector)


def vote(*keys: str) -> Callable[[Page], None]:
    """A step that judges cards, waiting for each to be ready."""

    def step(page: Page) -> None:
        for key in keys:
            page.wait_for_selector("#card[data-ready]")
            page.keyboard.press(key)
            page.wait_for_timeout(400)

    return step


def begin_edit(page: Page) -> None:
    page.click(".edit > summary")
    page.click("label[for=from-left]")


def go_offline(page: Page) -> None:
    page.wait_for_selector("#desk[data-held]", state="attached")
    page.wait_for_timeout(1000)
    page.context.set_offline(True)
    vote("0")(page)


def go_offline_and_wait(page: Page) -> None:
    go_offline(page)
    while page.locator("#verdict").count():
        vote("0")(page)


def choose(name: str, value: str) -> Callable[[Page], None]:
    """A step that presses a button of the menu: the appearance, or the text size."""

    def step(page: Page) -> None:
        page.click(".menu summary")
        page.click(f"[data-{name}-choice={value}]")
        page.reload()

    return step


def show_difference(page: Page) -> None:
    page.wait_for_selector("#card[data-ready]")
    page.keyboard.press("d")
    page.wait_for_selector(".difference del, .text del")


def point_at_a_chart(page: Page) -> None:
    page.focus("#plot-loss")
    press("ArrowLeft", "ArrowLeft", "ArrowLeft")(page)


def sign_in_wrongly(page: Page) -> None:
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "wrong")
    page.click("button.main")
    page.wait_for_selector("[role=alert]")


def sign_up_wrongly(page: Page) -> None:
    page.fill("[name=username]", "ada")
    page.fill("[name=password1]", "short")
    page.fill("[name=password2]", "other")
    page.click("button.main")
    page.wait_for_selector(".errorlist")


def set_up_wrongly(page: Page) -> None:
    page.fill("[name=learning_rate]", "0")
    page.click("[name=go]")
    page.wait_for_selector(".errorlist")


def open_practice_item(page: Page) -> None:
    page.goto(page.url + "?item=practice")
    page.click(".found .asked a")
    page.wait_for_load_state()


@dataclass(frozen=True)
class Shot:
    """One page: its name, its path, who is logged in, the steps before, and how much is shown."""

    name: str
    path: str
    user: str = "ada"
    before: Callable[[Page], None] = field(default=lambda page: None)
    full: bool = True
    sizes: tuple[str, ...] = tuple(SIZES)


SHOTS = [
    Shot("sign-in", "/login/", user=""),
    Shot("projects", "/"),
    Shot("new-project", "/new/"),
    Shot("home-round-in-training", "/p/demo/"),
    Shot("home-idle", "/p/helpdesk/"),
    Shot("home-empty", "/p/fresh/"),
    Shot("rate", "/p/helpdesk/rate/", user="ben", full=False),
    Shot("rate-code", "/p/demo/rate/", user="ben", full=False),
    Shot("rate-long", "/p/trouble/rate/", user="ben", full=False),
    Shot("rate-other-side", "/p/demo/rate/", "ben", tap("label[for=show-right]"), False, PHONE),
    Shot("rate-keys", "/p/helpdesk/rate/", "ben", press("?"), False, DESK),
    Shot("rate-guidelines", "/p/helpdesk/rate/", "ben", press("g"), False),
    Shot("rate-menu", "/p/helpdesk/rate/", "ben", tap(".menu summary"), False),
    Shot("rate-empty", "/p/fresh/rate/", full=False),
    Shot("line-up", "/p/helpdesk/rank/", user="ben"),
    Shot("rate-paused", "/p/paused/rate/", user="ben", full=False),
    Shot("rate-maths", "/p/maths/rate/", user="ben"),
    Shot("rate-scripts", "/p/scripts/rate/", user="ben"),
    Shot(
        "rate-scripts-other", "/p/scripts/rate/", "ben", tap("label[for=show-right]"), sizes=PHONE
    ),
    Shot("rate-long-lines", "/p/lines/rate/", user="ben"),
    Shot("rate-program", "/p/program/rate/", user="ben"),
    Shot("rate-difference", "/p/program/rate/", "ben", show_difference),
    Shot("rate-hostile", "/p/hostile/rate/", user="ben"),
    Shot("rate-larger-text", "/p/maths/rate/", "ben", choose("text", "larger"), False),
    Shot("rate-refused", "/p/trouble/rate/", "dan", press("1", "Enter"), False),
    Shot("sign-in-refused", "/login/", "", sign_in_wrongly),
    Shot("join", f"/join/{TOKEN}/", user=""),
    Shot("join-refused", f"/join/{TOKEN}/", "", sign_up_wrongly),
    Shot("join-signed-in", f"/join/{TOKEN}/", user="eva", full=False),
    Shot("join-unknown", "/join/unknown/", user=""),
    Shot("consent", "/p/welcome/consent/", user="ben"),
    Shot("first-guidelines", "/p/welcome/guidelines/", user="ben"),
    Shot("practice", "/p/welcome/practice/", user="ben", full=False),
    Shot("practice-right", "/p/welcome/practice/?told=1", user="cleo", full=False),
    Shot("practice-other", "/p/welcome/practice/?told=2", user="cleo", full=False),
    Shot("practice-done", "/p/welcome/practice/", user="cleo"),
    Shot("rate-rater-paused", "/p/welcome/rate/", user="dan", full=False),
    Shot("progress", "/p/helpdesk/progress/", user="ben"),
    Shot("about-me", "/p/helpdesk/about-me/", user="ben"),
    Shot("people", "/p/helpdesk/people/"),
    Shot("people-change", "/p/helpdesk/people/", before=tap("tbody .menu summary"), full=False),
    Shot("invitations", "/p/welcome/invitations/"),
    Shot("comparisons", "/p/helpdesk/comparisons/", full=False),
    Shot("comparison", "/p/helpdesk/comparisons/", before=open_practice_item),
    Shot("card-editor", "/p/trouble/card/"),
    Shot("texts-guidelines", "/p/helpdesk/texts/guidelines/"),
    Shot("texts-consent", "/p/helpdesk/texts/consent/"),
    Shot("text-version", "/p/helpdesk/texts/guidelines/2/"),
    Shot("rate-details", "/p/trouble/rate/", "cleo", full=False),
    Shot("rate-asked-for", "/p/trouble/rate/", "cleo", press("1"), False),
    Shot("rate-edit", "/p/trouble/rate/", "cleo", begin_edit, False),
    Shot("rate-folded", "/p/helpdesk/rate/", "dan", full=False),
    Shot("rate-saved", "/p/helpdesk/rate/", "cleo", vote("0"), False),
    Shot("rate-offline", "/p/helpdesk/rate/", "eva", go_offline, False),
    Shot("rate-offline-waiting", "/p/helpdesk/rate/", "eva", go_offline_and_wait, False),
    Shot("history", "/p/helpdesk/history/", user="ben", full=False),
    Shot("you", "/you/", user="ben"),
    Shot("you-own-keys", "/you/", "ben", tap("[name=profile][value=own]")),
    Shot("guidelines", "/p/demo/guidelines/", user="ben"),
    Shot("rounds", "/p/demo/rounds/"),
    Shot("round-new", "/p/helpdesk/rounds/new/"),
    Shot("round-new-noisy", "/p/helpdesk/rounds/new/?preset=noisy", before=set_up_wrongly),
    Shot("round-when", "/p/helpdesk/rounds/when/"),
    Shot("round-running", "/p/demo/rounds/3/"),
    Shot("round-cancel", "/p/demo/rounds/3/", before=tap("text=Cancel round 3…")),
    Shot("round-paused", "/p/halted/rounds/2/"),
    Shot("round-pointed-at", "/p/demo/rounds/3/", before=point_at_a_chart, full=False, sizes=DESK),
    Shot("round-finished", "/p/demo/rounds/2/"),
    Shot("round-provenance", "/p/demo/rounds/2/", before=tap("#provenance > summary")),
    Shot("round-failed", "/p/trouble/rounds/1/"),
    Shot("report", "/p/demo/rounds/2/report/"),
    Shot("report-push", "/p/demo/rounds/1/report/"),
    Shot("compare-rounds", "/p/demo/rounds/compare/?a=1&b=2"),
    Shot("notifications", "/p/demo/settings/notifications/"),
    Shot("notifications-change", "/p/demo/settings/notifications/", before=tap(".change summary")),
    Shot("deliveries", "/p/demo/settings/notifications/deliveries/"),
    Shot("rewards", "/p/helpdesk/rewards/"),
    Shot("rewards-implicit", "/p/helpdesk/rewards/?by=3&where=held_out", full=False),
    Shot("rewards-none", "/p/fresh/rewards/"),
    Shot("round-reward", "/p/helpdesk/rounds/4/"),
    Shot("completions", "/p/demo/completions/"),
    Shot("screening", "/p/demo/completions/screening/"),
    Shot("endpoints", "/p/demo/endpoints/"),
    Shot("endpoint-new", "/p/demo/endpoints/new/"),
    Shot("endpoint", "/p/demo/endpoints/1/"),
    Shot("playground", "/p/demo/playground/"),
    Shot("tryout-named", "/p/demo/playground/1/"),
    Shot("tryout-blind", "/p/demo/playground/2/"),
    Shot("ranking", "/p/demo/ranking/"),
    Shot("policies", "/p/demo/policies/"),
    Shot("policy", "/p/demo/policies/round-2/"),
    Shot("pairs", "/p/demo/pairs/"),
    Shot("import", "/p/demo/import/"),
    Shot("settings", "/p/demo/settings/", full=False),
    Shot("not-found", "/p/nowhere/"),
    Shot("not-yours", "/p/demo/settings/", user="ben"),
]


def main(wanted: list[str]) -> int:
    chromium = find_chromium()
    if chromium is None:
        print(ABSENT, file=sys.stderr)
        return 1
    shots = [shot for shot in SHOTS if not wanted or any(part in shot.name for part in wanted)]
    TARGET.mkdir(parents=True, exist_ok=True)
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium),
            args=launch_arguments(),
            chromium_sandbox=os.geteuid() != 0,
        )
        sessions: dict[str, StorageState | None] = {"": None}
        for shot in shots:
            if shot.user not in sessions:
                sessions[shot.user] = sign_in(browser, address, shot.user)
            take(browser, address, shot, sessions[shot.user])
            if shot.name in README_PICTURES:
                take_for_readme(browser, address, shot, sessions[shot.user])
        browser.close()
    print(f"{len(list(TARGET.glob('*.png')))} pictures in {TARGET.relative_to(ROOT)}")
    return 0


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the product on its own folder and port; yields its address."""
    with tempfile.TemporaryDirectory(prefix="whetstone-pictures-") as home:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ,
            "WHETSTONE_HOME": home,
            "PORT": str(port),
            "LOG_LEVEL": "CRITICAL",
        }
        environment.pop("DEBUG", None)
        build = (
            "from tests.browser.scenes import project as scene; "
            "from tests.browser.scenes.texts import show_texts; "
            "from tests.browser.scenes.people import show_people; "
            "from tests.browser.scenes.endpoints import show_served; "
            "from tests.browser.scenes.rounds import show_rounds; "
            "from tests.browser.scenes.exports import show_after; "
            "from tests.browser.scenes.rewards import show_rewards; "
            "from annotate.models import User; "
            f"ada = scene.build(password={PASSWORD!r}); scene.show_long_answers(); "
            "scene.show_line_up(); show_rounds(); "
            "show_texts(ada, User.objects.exclude(pk=ada.pk)); "
            "show_served(ada); show_rewards(); "
            "show_after(); "
            "show_people(ada, *User.objects.filter(username__in=['ben', 'cleo', 'dan'])"
            f".order_by('username'), token={TOKEN!r})"
        )
        for command in (
            ["manage.py", "migrate", "-v0"],
            ["manage.py", "collectstatic", "--noinput", "-v0"],
            ["manage.py", "shell", "-v0", "-c", build],
        ):
            subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True)
        options = ["--bind", f"127.0.0.1:{port}", "--threads", "4", "--log-level", "warning"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "config.wsgi", *options, "--no-control-socket"],
            cwd=ROOT,
            env=environment,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/login/")
            yield address
        finally:
            server.terminate()
            server.wait(20)


def wait_for(address: str) -> None:
    for _ in range(100):
        try:
            urlopen(address, timeout=60).close()
        except URLError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the web server did not start")


def sign_in(browser: Browser, address: str, user: str) -> StorageState:
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.goto("/login/")
        page.fill("[name=username]", user)
        page.fill("[name=password]", PASSWORD)
        page.click("button.main")
        page.wait_for_load_state()
        return context.storage_state()


def take(browser: Browser, address: str, shot: Shot, session: StorageState | None) -> None:
    for size in shot.sizes:
        width, height = SIZES[size]
        for theme in THEMES:
            if theme == "contrast" and not shot.name.startswith(CONTRAST_FOR):
                continue
            with browser.new_context(
                base_url=address,
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
                is_mobile=size == "narrow",
                has_touch=size == "narrow",
                storage_state=session,
                locale=LOCALE,
            ) as context:
                if theme == "contrast":
                    cookie = {"name": "theme", "value": theme, "url": address}
                    context.add_cookies([cookie])  # type: ignore[list-item]
                page = context.new_page()
                page.goto(shot.path)
                shot.before(page)
                page.wait_for_timeout(100)
                page.screenshot(
                    path=TARGET / f"{shot.name}-{size}-{theme}.png", full_page=shot.full
                )


def take_for_readme(
    browser: Browser, address: str, shot: Shot, session: StorageState | None
) -> None:
    """A JPEG of the wide page, light: a third of the bytes of a PNG."""
    width, height = README_SIZE
    with browser.new_context(
        base_url=address,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        storage_state=session,
        locale="en-GB",
    ) as context:
        page = context.new_page()
        page.goto(shot.path)
        shot.before(page)
        page.wait_for_timeout(100)
        path = ROOT / "docs" / "images" / f"{README_PICTURES[shot.name]}.jpg"
        path.parent.mkdir(exist_ok=True)
        page.screenshot(path=path, type="jpeg", quality=80)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
