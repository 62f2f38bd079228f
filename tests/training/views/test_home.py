"""The project's home page, the projects and the guidelines: who sees them, what they show."""

import pytest
from django.urls import reverse

from annotate.models import Membership, Policy, Project
from tests.factories import (
    make_comparison,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
)
from training.models import LoopSettings, Round, SamplingJob, Snapshot

pytestmark = pytest.mark.django_db


def start_training(project, **fields):
    policy = make_policy(project, kind=Policy.Kind.BASE, base_model="some/model")
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="absent"
    )
    return Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=policy,
        reference=policy,
        **{"state": Round.State.RUNNING, **fields},
    )


def home(cast, client_of, user=None):
    return client_of(user or cast.manager).get(reverse("project", args=["sharpen"]))


def test_a_rater_is_taken_to_the_cards(cast, client_of):
    response = home(cast, client_of, cast.rater)
    assert response["Location"] == reverse("rate", args=["sharpen"])


def test_a_stranger_finds_nothing(cast, client_of):
    assert home(cast, client_of, cast.stranger).status_code == 404


def test_an_empty_project_offers_the_first_step(cast, client_of):
    page = home(cast, client_of).content.decode()
    assert "Nothing here yet." in page
    assert f'class="button main" href="{reverse("import", args=["sharpen"])}"' in page


def test_prompts_without_answers_offer_to_write_them(cast, client_of):
    LoopSettings.objects.create(project=cast.project, base_model="some/model")
    make_prompt(cast.project)
    page = home(cast, client_of).content.decode()
    assert "Write completions for 1 prompt<" in page
    assert "None to compare" in page


def test_an_idle_home_asks_for_nothing_by_itself(cast, client_of):
    make_comparison(cast.project)
    assert "hx-trigger" not in home(cast, client_of).content.decode()


def test_a_busy_home_looks_again_and_stops_when_all_is_done(cast, client_of):
    job = SamplingJob.objects.create(project=cast.project, state=SamplingJob.State.RUNNING)
    live = reverse("project_live", args=["sharpen"])
    client = client_of(cast.manager)
    assert f'hx-get="{live}"' in home(cast, client_of).content.decode()
    assert client.get(live).status_code == 200
    SamplingJob.objects.filter(pk=job.pk).update(state=SamplingJob.State.SUCCEEDED)
    last = client.get(live)
    assert last.status_code == 286
    assert "hx-trigger" not in last.content.decode()


def test_the_live_part_is_for_managers(cast, client_of):
    live = reverse("project_live", args=["sharpen"])
    assert client_of(cast.rater).get(live).status_code == 403


def test_a_round_in_training_is_the_first_thing_said(cast, client_of):
    start_training(cast.project, phase="training", step=4, total_steps=9)
    assert "Round 1 is in training: step 4 of 9." in home(cast, client_of).content.decode()


def test_no_page_carries_what_the_content_security_policy_forbids(cast, client_of):
    start_training(cast.project, phase="training", step=4, total_steps=9)
    response = home(cast, client_of)
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    page = response.content.decode()
    for forbidden in ("<style", " style=", " onclick=", "hx-on", "javascript:"):
        assert forbidden not in page


def test_the_theme_comes_from_the_cookie_and_from_nowhere_else(cast, client_of):
    client = client_of(cast.manager)
    for cookie, expected in (("dark", 'data-theme="dark"'), ('"><script>', 'dir="ltr">')):
        client.cookies["theme"] = cookie
        page = client.get(reverse("project", args=["sharpen"])).content.decode()
        assert expected in page[:200]


# --- pairing, pausing, the pool ---


def test_completions_meet_at_the_press_of_a_button(cast, client_of):
    policy = make_policy(cast.project)
    prompt = make_prompt(cast.project)
    make_completion(prompt, policy, "One.")
    make_completion(prompt, policy, "Two.")
    client_of(cast.manager).post(reverse("pair_up", args=["sharpen"]))
    assert cast.project.comparisons.count() == 1


def test_pausing_and_resuming(cast, client_of):
    client, address = client_of(cast.manager), reverse("pause", args=["sharpen"])
    for wish, expected in (("yes", True), ("no", False)):
        client.post(address, {"paused": wish})
        cast.project.refresh_from_db()
        assert cast.project.is_paused is expected


@pytest.mark.parametrize(
    ("button", "before", "after"),
    [
        ("promote", Policy.State.CANDIDATE, Policy.State.CHAMPION),
        ("retire", Policy.State.ACTIVE, Policy.State.RETIRED),
        ("rejoin", Policy.State.RETIRED, Policy.State.ACTIVE),
        ("retire", Policy.State.CHAMPION, Policy.State.CHAMPION),
    ],
)
def test_the_pools_buttons(cast, client_of, button, before, after):
    policy = make_policy(cast.project, "round-1", state=before)
    client_of(cast.manager).post(reverse(button, args=["sharpen", "round-1"]), {"sure": "yes"})
    policy.refresh_from_db()
    assert policy.state == after


@pytest.mark.parametrize(
    "name", ["pair_up", "pause", "start_sampling", "start_round", "project_settings"]
)
def test_a_rater_may_press_none_of_the_managers_buttons(cast, client_of, name):
    address = reverse(name, args=["sharpen"])
    assert client_of(cast.rater).post(address).status_code == 403


@pytest.mark.parametrize("name", ["pair_up", "pause", "start_sampling", "start_round"])
def test_reading_changes_nothing(cast, client_of, name):
    address = reverse(name, args=["sharpen"])
    assert client_of(cast.manager).get(address).status_code == 405


# --- the list of projects, and a new one ---


def test_only_the_own_projects_are_listed(cast, client_of):
    make_project(name="Somebody else's")
    second = make_project(name="Second")
    Membership.objects.create(project=second, user=cast.rater)
    page = client_of(cast.rater).get(reverse("projects")).content.decode()
    assert "Sharpen" in page
    assert "Second" in page
    assert "Somebody else" not in page


def test_a_rater_of_one_project_goes_straight_there(cast, client_of):
    response = client_of(cast.rater).get(reverse("projects"))
    assert response["Location"] == cast.project.get_absolute_url()


def test_without_a_project_the_list_says_what_to_do(cast, client_of):
    page = client_of(cast.stranger).get(reverse("projects")).content.decode()
    assert "not a member of any project yet" in page


NEW = {
    "name": "Help desk",
    "slug": "help-desk",
    "base_model": "some/model",
    "judgements_wanted": 3,
    "held_out_percent": 10,
}


def test_founding_a_project_makes_its_loop_and_its_manager(admin_client, admin_user):
    admin_client.post(reverse("new_project"), NEW)
    project = Project.objects.get(slug="help-desk")
    assert project.judgements_wanted == 3
    assert project.loop.base_model == "some/model"
    assert project.memberships.get().role == Membership.Role.MANAGER
    assert project.policies.get().state == Policy.State.CHAMPION


def test_a_taken_short_name_is_refused_beside_its_field(cast, admin_client):
    response = admin_client.post(reverse("new_project"), NEW | {"slug": "sharpen"})
    assert "Another project has this short name already." in response.content.decode()
    assert Project.objects.count() == 1


def test_not_everybody_may_found_a_project(cast, client_of):
    assert client_of(cast.manager).get(reverse("new_project")).status_code == 403


def test_guidelines_are_shown_to_raters_and_made_safe(cast, client_of):
    Project.objects.update(guidelines="Be **kind** <script>alert(1)</script>")
    page = client_of(cast.rater).get(reverse("guidelines", args=["sharpen"])).content.decode()
    assert "<strong>kind</strong>" in page
    assert "<script>alert" not in page
