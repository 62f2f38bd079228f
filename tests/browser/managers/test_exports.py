"""After a round, in a browser: comparing two rounds, changing the champion, notifications."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import Policy
from tests.factories import make_policy
from training.models import LoopSettings, Metric, Round, Snapshot


@pytest.fixture
def rounds(transactional_db, cast):
    """Two rounds that have succeeded, with curves; the champion is the first one's."""
    project = cast.project
    LoopSettings.objects.create(project=project, base_model="some/model")
    base = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    now = timezone.now()
    for number in (1, 2):
        made = make_policy(
            project, f"round-{number}", kind=Policy.Kind.ADAPTER, base_model="some/model"
        )
        round_ = Round.objects.create(
            project=project,
            number=number,
            snapshot=Snapshot.objects.create(
                project=project,
                counts={"train": 9, "held_out": 4},
                sha256=f"{number:064d}",
                path="absent",
            ),
            start=base,
            reference=base,
            policy=made,
            state=Round.State.SUCCEEDED,
            step=4,
            total_steps=4,
            config={"kind": "dpo", "beta": number / 10},
            started_at=now - timedelta(minutes=2),
            finished_at=now,
        )
        for step in (0, 4):
            for name in ("held_out/loss", "held_out/reward_accuracy"):
                Metric.objects.create(round=round_, step=step, name=name, value=0.5 + step / 10)
    Policy.objects.filter(slug="round-1").update(state=Policy.State.CHAMPION)
    Policy.objects.filter(slug="round-2").update(state=Policy.State.CANDIDATE)


def test_two_rounds_are_picked_from_the_list_and_compared(page, log_in, cast, rounds):
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/")
    page.click("text=Compare them")
    page.wait_for_selector("h1:has-text('Round 1 beside round 2')")
    assert page.locator(".figures-grid .legend li").count() == 4  # loss and accuracy of both rounds
    assert "beta" in page.inner_text("text=Settings that differ >> xpath=../..")
    page.set_viewport_size({"width": 375, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.select_option("#compare-a", "2")
    page.click("text=Compare them")
    page.wait_for_selector("text=Choose two different rounds.")


def test_a_policy_is_promoted_and_the_former_champion_comes_back(page, log_in, cast, rounds):
    log_in(cast.manager)
    page.goto("/p/sharpen/policies/round-2/")
    page.click("button:has-text('Promote')")
    page.click("button:has-text('Promote it unjudged')")
    page.wait_for_selector(".page-head .state.champion")
    assert Policy.objects.get(slug="round-2").state == Policy.State.CHAMPION
    page.click("button:has-text('Back to round-1')")
    page.wait_for_load_state()
    page.goto("/p/sharpen/policies/round-1/")
    page.wait_for_selector(".page-head .state.champion")
    assert Policy.objects.get(slug="round-1").state == Policy.State.CHAMPION


def test_a_report_is_read_and_printed(page, log_in, cast, rounds):
    log_in(cast.manager)
    page.goto("/p/sharpen/rounds/2/")
    page.click("text=Report and downloads")
    page.wait_for_selector("h1:has-text('Report of round 2')")
    assert page.is_visible("#take")
    page.emulate_media(media="print")
    assert not page.is_visible("#take")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 375, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_a_webhook_is_added_and_its_secret_shown_once(page, log_in, cast, rounds, settings):
    settings.ENDPOINT_HOSTS = ["hooks.example.org"]
    log_in(cast.manager)
    page.set_viewport_size({"width": 375, "height": 740})
    page.goto("/p/sharpen/settings/notifications/")
    page.select_option("[name=kind]", "webhook")
    page.fill("[name=address]", "https://hooks.example.org/a/long/way/to/the/hook?room=training")
    page.click("text=Add recipient")
    assert page.input_value("#secret").startswith("whsec_")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.goto("/p/sharpen/settings/notifications/")
    assert page.locator("#secret").count() == 0
    assert "whsec_" not in page.content()
