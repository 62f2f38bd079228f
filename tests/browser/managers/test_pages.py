"""The managers' pages in a browser: they fit, obey the content policy, and stop polling."""

import pytest
from django.utils import timezone

from annotate.models import Policy
from tests.factories import make_comparison, make_policy
from training.models import LoopSettings, Metric, Round, SamplingJob, Snapshot


@pytest.fixture
def busy(transactional_db, cast):
    """A project with a round and a sampling job running."""
    project = cast.project
    LoopSettings.objects.create(project=project, base_model="some/model")
    make_comparison(project)
    base = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="absent"
    )
    round_ = Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=base,
        reference=base,
        state=Round.State.RUNNING,
        phase="training",
        step=2,
        total_steps=4,
        started_at=timezone.now(),
    )
    for step in range(3):
        for name in ("train/loss", "held_out/loss"):
            Metric.objects.create(round=round_, step=step, name=name, value=0.7 - step / 10)
    job = SamplingJob.objects.create(
        project=project, state=SamplingJob.State.RUNNING, stored=1, total_steps=9
    )
    job.policies.set([base])
    return round_


PATHS = ["", "rounds/", "rounds/1/", "completions/", "pairs/", "settings/", "guidelines/", "rate/"]


@pytest.mark.parametrize("path", PATHS)
def test_no_page_scrolls_sideways_on_a_phone(page, log_in, cast, busy, path):
    log_in(cast.manager)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/p/sharpen/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_rounds_page_becomes_its_report_and_stops_asking(page, log_in, cast, busy):
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/1/")
    page.wait_for_selector("text=Cancel round 1…")
    made = make_policy(cast.project, "round-1", kind=Policy.Kind.ADAPTER)
    Round.objects.filter(pk=busy.pk).update(
        state=Round.State.SUCCEEDED, policy=made, step=4, finished_at=timezone.now()
    )
    page.wait_for_selector("text=Results")
    assert page.locator("text=Cancel round 1").count() == 0
    assert page.locator("[hx-trigger^=every]").count() == 0


def test_the_chosen_theme_is_there_from_the_first_paint(page, log_in, cast, busy):
    log_in(cast.manager)
    page.goto("/p/sharpen/")
    page.click(".menu summary")
    page.click("text=Dark")
    page.goto("/p/sharpen/rounds/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.content().index('data-theme="dark"') < page.content().index("<head>")


def test_cancelling_asks_once(page, log_in, cast, busy):
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/1/")
    page.click("text=Cancel round 1…")
    assert page.is_visible("text=It produces no policy. Its checkpoint and pairs are kept")
    page.click("form button:has-text('Cancel round 1')")
    page.wait_for_selector("text=was asked to stop")
    busy.refresh_from_db()
    assert busy.cancel_requested_at is not None
