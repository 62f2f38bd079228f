"""Setting up a round in a real browser: from a preset to a queued round."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.browser.scenes.rounds import REPORT
from tests.factories import join, make_comparison, make_project, make_prompt, make_user
from training.demo import MODEL_DIR
from training.models import LoopSettings, Machine, Round

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def project():
    project = make_project("form", name="Form")
    LoopSettings.objects.create(project=project, base_model=str(MODEL_DIR))
    Machine.objects.create(name="worker", report=REPORT)
    rater = join(project, make_user())
    for held_out in (False, False, True):
        make_comparison(project, prompt=make_prompt(project, held_out=held_out))
        card = serve_next(project=project, rater=rater)
        record_verdict(code=card.code, rater=rater, choice="left")
    return project


def test_from_a_preset_to_a_queued_round(live_server, page, log_in, project):
    log_in(join(project, make_user("boss"), role="manager"))
    page.goto(live_server.url + reverse("rounds", args=["form"]))
    page.get_by_role("link", name="Set up a round…").click()
    page.get_by_role("link", name=re.compile("^Noisy raters")).click()
    expect(page.locator("[name=label_smoothing]")).to_have_value("0.15")
    expect(page.locator(".estimate")).to_contain_text("GiB")

    page.locator("summary", has_text="The adapter").click()
    page.get_by_label("Rank").fill("0")
    page.get_by_role("button", name="Start round 1").click()
    expect(page.locator("#id_lora_r_error")).to_be_visible()
    assert not Round.objects.exists()

    page.get_by_label("Rank").fill("4")
    page.get_by_role("button", name="Start round 1").click()
    expect(page).to_have_url(re.compile(r"/rounds/1/$"))
    made = Round.objects.get()
    assert (made.config["loss"], made.config["lora"]["r"]) == ("robust", 4)
