"""Where a Chromium is on this machine: ``python -m tests.browser.find_chromium``."""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ABSENT = (
    "no Chromium found: browser tests are skipped. Set CHROMIUM to one, install Debian's "
    "chromium or Google Chrome, or run `.venv/bin/playwright install chromium`"
)


def find_chromium() -> Path | None:
    """CHROMIUM, else one on the PATH, else Playwright's own download."""
    named = os.environ.get("CHROMIUM")
    if named:
        path = shutil.which(named)
        return Path(path) if path else None
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    return _playwrights_own()


def _playwrights_own() -> Path | None:
    """The Chromium that `playwright install chromium` installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def launch_arguments() -> list[str]:
    """The arguments for a Chromium under test: it sends no requests of its own."""
    arguments = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run its sandbox as root
    return arguments


if __name__ == "__main__":
    chromium = find_chromium()
    print(chromium or ABSENT)
    sys.exit(0 if chromium else 1)
