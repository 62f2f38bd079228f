"""A round's page while it runs: it updates while it is used, and the round pauses and resumes."""

from __future__ import annotations

from django.utils import timezone

from tests.browser.managers.test_pages import busy  # noqa: F401
from training.models import Metric, Round, RoundSample

HELD = """() => {
  window.held = [...document.querySelectorAll("#figure-loss, #figure-loss details, #plot-loss")];
  window.heights = () => document.querySelector("#plot-loss").getBoundingClientRect().height;
  window.height = window.heights();
}"""
STILL = """() => window.held.every((node) => node.isConnected) && document
  .querySelector("#figure-loss details").open && document.activeElement.id === "plot-loss" &&
  window.heights() === window.height"""


def advance(round_: Round, step: int) -> None:
    """What a worker stores after one more step."""
    for name in ("train/loss", "held_out/loss"):
        Metric.objects.create(round=round_, step=step, name=name, value=0.7 - step / 10)
    RoundSample.objects.create(
        round=round_,
        step=step,
        place=0,
        text=f"At {step}.",
        token_count=3,
        messages=[{"role": "user", "content": "What colour is a frog?"}],
    )
    Round.objects.filter(pk=round_.pk).update(
        step=step, kept_step=step, log_tail=f"step {step} of 4", heartbeat_at=timezone.now()
    )


def test_the_page_renews_itself_without_moving_anything(page, log_in, cast, busy):  # noqa: F811
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/1/")
    page.click("#figure-loss summary")
    page.focus("#plot-loss")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    readout = page.inner_text("#readout-loss")
    assert "Step 1: 0.600 · Held-out pairs" in readout
    shown = page.inner_text("#legend-loss")
    assert "Held-out pairs Step 1: 0.600" in shown
    assert "→" not in shown
    page.evaluate(HELD)
    scrolled = page.evaluate("scrollY")

    advance(busy, 3)
    page.wait_for_selector("#legend-loss :text('0.40')", state="attached", timeout=120_000)
    assert page.evaluate(STILL)
    assert page.evaluate("scrollY") == scrolled
    assert page.inner_text("#readout-loss") == readout
    assert page.inner_text("#legend-loss") == shown
    assert page.locator("#plot-loss .dot.here").count() == 2
    assert page.locator("#table-loss tbody tr").count() == 4
    page.wait_for_selector("#round-samples :text('At 3.')", timeout=120_000)
    assert "step 3 of 4" in page.inner_text("#round-log")

    page.click("#sample-0 summary")
    advance(busy, 4)
    page.wait_for_selector("#sample-0-now :text('At 4.')", timeout=120_000)
    assert page.evaluate("document.querySelector('#sample-0 details').open")


def test_a_round_pauses_and_goes_on_by_buttons(page, log_in, cast, busy):  # noqa: F811
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/1/")
    page.click("button:has-text('Pause round 1')")
    page.wait_for_selector("text=Asked to pause")
    busy.refresh_from_db()
    assert busy.pause_requested_at is not None

    Round.objects.filter(pk=busy.pk).update(  # what its worker does
        state=Round.State.PAUSED, pause_requested_at=None, kept_step=2, phase=""
    )
    page.wait_for_selector("text=Progress up to step 2 is kept", timeout=120_000)
    page.click("button:has-text('Resume round 1')")
    page.wait_for_selector("text=starts as soon as a worker is free")
    busy.refresh_from_db()
    assert busy.state == Round.State.QUEUED

    page.click("text=Cancel round 1…")
    page.click("form button:has-text('Cancel round 1')")
    page.wait_for_selector("button:has-text('Resume round 1')")
    assert page.is_visible("text=Progress up to step 2 is kept")
