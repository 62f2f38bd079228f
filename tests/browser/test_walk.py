"""The whole loop as a new user goes through it, in a real browser, with every part real."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotate.models import Comparison, Judgement, Policy
from config.login_links import login_link
from tests.factories import make_project, make_prompt, make_user
from training.demo import MODEL_DIR
from training.demo.world import prompts
from training.models import LoopSettings, Metric, Round, SamplingJob

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.django_db(transaction=True)]
MINUTES = 60_000


@pytest.fixture
def project():
    screening = {"on": ["same"]}  # answers as short as these are all cut off
    project = make_project("walk", name="Walk", held_out_percent=0, screening=screening)
    LoopSettings.objects.create(
        project=project,
        base_model=str(MODEL_DIR),
        completions_per_prompt=2,
        max_new_tokens=24,
        round_config={
            "optimisation": {
                "learning_rate": 1e-3,
                "batch_size": 4,
                "max_length": 256,
                "epochs": 8,
            },
        },
    )
    for number, prompt in enumerate(prompts(0)[:14]):
        make_prompt(project, prompt.messages[-1]["content"], held_out=number < 2)
    return project


def rate_by_keyboard(page: Page, times: int) -> None:
    for _ in range(times):
        expect(page.locator("#card[data-ready]")).to_be_attached()
        card = page.locator("#card[data-code]")
        code = card.get_attribute("data-code") or ""
        left, right = (page.locator(f"#{side}-text").inner_text() for side in ("left", "right"))
        page.keyboard.press("1" if len(left) <= len(right) else "2")
        expect(card).not_to_have_attribute("data-code", code)  # one prompt may come twice


def test_log_in_rate_train_watch_and_rate_the_new_model(celery_workers, live_server, page, project):
    admin = make_user("admin")
    admin.is_superuser = admin.is_staff = True
    admin.save()
    link = login_link(user=admin)
    page.goto(live_server.url + link[link.index("/login/") :])
    page.goto(reverse("project", args=["walk"]))

    page.get_by_role("button", name="Write completions for 14 prompts").click()
    expect(page.get_by_text(re.compile("Succeeded|Done")).first).to_be_visible(timeout=3 * MINUTES)
    assert SamplingJob.objects.get().stored == 28

    page.goto(reverse("rate", args=["walk"]))
    rate_by_keyboard(page, 10)
    expect(page.locator("#today")).to_have_text("10 today")
    assert Judgement.objects.filter(decided_at__isnull=False).count() == 10

    page.goto(reverse("project", args=["walk"]))
    page.get_by_role("button", name=re.compile(r"Start round 1 with \d+ pairs")).click()
    expect(page).to_have_url(re.compile(r"/rounds/1/"))
    expect(page.locator("svg .series").first).to_be_visible(timeout=3 * MINUTES)
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=3 * MINUTES)
    made = Round.objects.get()
    assert Metric.objects.filter(round=made, name="train/reward_margin").count() > 3

    page.goto(reverse("sampling", args=["walk"]))
    expect(page.locator(".state.running, .state.queued")).to_have_count(0, timeout=3 * MINUTES)
    new = Comparison.objects.filter(state="open", priority=1)
    assert new.filter(a__policy=made.policy).exists() or new.filter(b__policy=made.policy).exists()

    page.goto(reverse("rate", args=["walk"]))
    rate_by_keyboard(page, 5)  # the first two are the cards that were held before
    expect(page.locator("#today")).to_have_text("15 today")
    latest = Judgement.objects.filter(decided_at__isnull=False).order_by("-decided_at")[:3]
    assert {judgement.comparison.priority for judgement in latest} == {1}

    page.goto(reverse("project", args=["walk"]))
    expect(page.get_by_role("rowheader", name=re.compile("^round-1"))).to_be_visible()
    page.get_by_role("button", name="Promote round-1").click()
    assert Policy.objects.get(state="champion").slug == "round-1"
