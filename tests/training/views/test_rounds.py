"""Rounds, completions, pairs and settings as a manager sees them."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.models import Policy, PreferencePair
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import make_comparison, make_completion, make_policy, make_prompt
from training.models import LoopSettings, Metric, Round, RoundSample, SamplingJob, Snapshot
from training.views.figures import curves_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(cast, client_of):
    LoopSettings.objects.create(project=cast.project, base_model="some/model")
    return client_of(cast.manager)


@pytest.fixture
def pair(cast):
    make_comparison(cast.project, prompt=make_prompt(cast.project, held_out=False))
    card = serve_next(project=cast.project, rater=cast.rater)
    record_verdict(code=card.code, rater=cast.rater, choice="left")
    return PreferencePair.objects.get()


def make_round(project, **fields):
    policy = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="absent"
    )
    values = {"state": Round.State.RUNNING, "phase": "training", "step": 2, "total_steps": 8}
    return Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=policy,
        reference=policy,
        started_at=timezone.now(),
        config={"kind": "dpo", "lora": {"r": 16}},
        **values | fields,
    )


def succeed(project, **fields):
    made = make_policy(project, "round-1", kind=Policy.Kind.ADAPTER, adapter_path="/adapters/one")
    done = {"state": Round.State.SUCCEEDED, "phase": "", "finished_at": timezone.now()}
    return make_round(project, policy=made, **done | fields)


ROUND = reverse("round", args=["sharpen", 1])
LIVE = reverse("round_live", args=["sharpen", 1])


def text(response):
    return response.content.decode()


# --- starting and cancelling ---


def test_the_button_starts_a_round_and_goes_to_its_page(manager, pair, cast):
    response = manager.post(reverse("start_round", args=["sharpen"]))
    assert response["Location"] == ROUND
    assert Round.objects.get().requested_by == cast.manager


def test_without_pairs_the_reason_is_said(manager):
    response = manager.post(reverse("start_round", args=["sharpen"]), follow=True)
    assert "There are no preference pairs to train on yet." in text(response)
    assert not Round.objects.exists()


def test_a_running_round_is_asked_to_stop(manager, cast):
    round_ = make_round(cast.project)
    manager.post(reverse("cancel_round", args=["sharpen", 1]))
    round_.refresh_from_db()
    assert round_.cancel_requested_at is not None


def test_a_finished_round_stays_as_it_is(manager, cast):
    round_ = succeed(cast.project)
    manager.post(reverse("cancel_round", args=["sharpen", 1]))
    round_.refresh_from_db()
    assert (round_.state, round_.cancel_requested_at) == (Round.State.SUCCEEDED, None)


def test_another_projects_round_is_not_found(manager):
    assert manager.get(ROUND).status_code == 404


# --- the page while it runs ---


def test_the_page_shows_progress_and_curves(manager, cast):
    round_ = make_round(cast.project)
    for step, value in ((1, 0.69), (2, 0.61)):
        Metric.objects.create(round=round_, step=step, name="train/loss", value=value)
    page = text(manager.get(ROUND))
    assert '<progress max="8" value="2">' in page
    assert "Step 2: 0.610 · Training pairs" in page
    assert "Cancel round 1" in page


def test_before_the_first_step_the_page_says_so(manager, cast):
    make_round(cast.project, phase="loading the model", step=0, total_steps=0)
    page = text(manager.get(ROUND))
    assert "Loading the model" in page
    assert "The first numbers appear after the first step." in page


def test_polling_brings_something_only_when_something_changed(manager, cast):
    round_ = make_round(cast.project)
    seen = manager.get(LIVE).context["seen"]
    assert manager.get(LIVE, {"seen": seen}).status_code == 204
    Round.objects.filter(pk=round_.pk).update(step=3)
    assert manager.get(LIVE, {"seen": seen}).status_code == 200


def test_only_the_parts_that_changed_are_sent(manager, cast):
    """A new step updates the charts' contents and progress; frames, buttons and warnings stay."""
    round_ = make_round(cast.project)
    Metric.objects.create(round=round_, step=1, name="train/loss", value=0.69)
    seen = manager.get(LIVE).context["seen"]
    Metric.objects.create(round=round_, step=2, name="train/loss", value=0.61)
    Round.objects.filter(pk=round_.pk).update(step=3)
    body = text(manager.get(LIVE, {"seen": seen}))
    assert '<div id="plot-loss" hx-swap-oob="innerHTML"><svg' in body
    assert 'id="round-progress"' in body
    for part in (
        "round-live",
        "round-charts",
        "figure-loss",
        "round-cancel",
        "round-concerns",
        "round-log",
    ):
        assert f'id="{part}"' not in body
    Round.objects.filter(pk=round_.pk).update(total_steps=8000)
    seen = manager.get(LIVE).context["seen"]
    Round.objects.filter(pk=round_.pk).update(step=4)
    Metric.objects.create(round=round_, step=3, name="train/loss", value=0.6)
    body = text(manager.get(LIVE, {"seen": seen}))
    assert "4 of 8,000" in body
    assert "plot-loss" not in body  # one step of such a long round would not be visible in a chart
    RoundSample.objects.create(
        round=round_,
        step=0,
        place=0,
        messages=[{"content": "<b>Why?"}],
        text="Be\u202ecause.",
        token_count=2,
    )
    body = text(manager.get(LIVE, {"seen": seen}))
    assert 'id="round-samples"' in body
    assert "&lt;b&gt;Why?" in body
    assert "\u202e" not in body


def test_a_warning_comes_with_its_figure_and_a_way_out(manager, cast):
    round_ = make_round(cast.project)
    for name, values in {"logp_chosen": (-30, -42), "logp_rejected": (-30, -70)}.items():
        for step, value in zip((0, 2), values, strict=True):
            Metric.objects.create(round=round_, step=step, name=f"held_out/{name}", value=value)
    page = text(manager.get(ROUND))
    assert "by 12.0 nats since the start" in page
    assert 'href="/p/sharpen/rounds/new/?loss=dpop"' in page


def test_a_figure_has_its_values_as_a_table(manager, cast):
    round_ = make_round(cast.project)
    for step in (0, 2):
        Metric.objects.create(round=round_, step=step, name="held_out/loss", value=0.7 - step / 10)
    Metric.objects.create(round=round_, step=2, name="train/loss", value=0.44)
    (loss,) = [f for f in manager.get(ROUND).context["figures"]() if f.key == "loss"]
    assert [name for name, _look, _change in loss.legend] == ["Training pairs", "Held-out pairs"]
    assert loss.rows == [(0, ["–", "0.700"]), (2, ["0.440", "0.500"])]


def test_of_a_long_round_not_every_step_is_read(manager, cast):
    round_ = make_round(cast.project, step=4001, total_steps=9000)
    Metric.objects.bulk_create(
        Metric(round=round_, step=step, name=name, value=0.5)
        for step in range(3502, 4002)
        for name in ("train/loss", "held_out/loss")
    )
    curves = curves_of(round_)
    assert len(curves["held_out/loss"]) == 500
    assert [step for step, _ in curves["train/loss"]][-2:] == [3991, 4001]


@pytest.mark.parametrize("kept_step", [None, 4])
def test_a_paused_round_says_what_is_kept_and_offers_to_go_on(manager, cast, kept_step):
    make_round(cast.project, state=Round.State.PAUSED, phase="", kept_step=kept_step)
    page = text(manager.get(ROUND))
    assert "The device is free for other work." in page
    assert ("up to step 4 is kept" in page) == bool(kept_step)
    assert ("starts over" in page) == (not kept_step)
    assert "Resume round 1" in page
    assert "Pause round 1" not in page
    assert "Round 1 is paused." in text(manager.get(reverse("project", args=["sharpen"])))


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_round_that_ended_without_a_model_is_taken_up_and_not_paused(manager, cast, state):
    make_round(cast.project, state=state, phase="", kept_step=4)
    page = text(manager.get(ROUND))
    assert "Resume round 1" in page
    assert "Pause round 1" not in page
    assert "Cancel round 1" not in page


def test_pausing_and_resuming_by_button(manager, cast):
    round_ = make_round(cast.project)
    manager.post(reverse("pause_round", args=["sharpen", 1]))
    round_.refresh_from_db()
    assert round_.pause_requested_at is not None
    assert "Asked to pause" in text(manager.get(ROUND))
    Round.objects.filter(pk=round_.pk).update(state=Round.State.PAUSED)
    manager.post(reverse("resume_round", args=["sharpen", 1]))
    round_.refresh_from_db()
    assert (round_.state, round_.pause_requested_at) == (Round.State.QUEUED, None)


@pytest.mark.parametrize("name", ["pause_round", "resume_round"])
def test_raters_can_neither_pause_nor_resume(cast, client_of, name):
    round_ = make_round(cast.project)
    assert client_of(cast.rater).post(reverse(name, args=["sharpen", 1])).status_code == 403
    round_.refresh_from_db()
    assert (round_.state, round_.pause_requested_at) == (Round.State.RUNNING, None)


def test_polling_ends_with_the_round(manager, cast):
    succeed(cast.project)
    last = manager.get(LIVE, headers={"HX-Request": "true"})
    assert last.status_code == 286
    assert 'hx-trigger="every' not in text(last)
    assert '<section id="round-cancel" hx-swap-oob="innerHTML">' in text(last)
    assert "Cancel round" not in text(last)


# --- the page afterwards ---


def test_a_failed_round_says_why_and_shows_the_log(manager, cast):
    make_round(
        cast.project, state=Round.State.FAILED, error="Out of memory.", log_tail="<b>last words"
    )
    page = text(manager.get(ROUND))
    assert "Out of memory." in page
    assert "&lt;b&gt;last words" in page
    assert "Cancel round" not in page


def test_a_finished_round_reports_what_it_learnt_and_where_it_lies(manager, cast):
    round_ = succeed(cast.project)
    for step, value in ((0, 0.5), (8, 0.82)):
        Metric.objects.create(round=round_, step=step, name="held_out/reward_accuracy", value=value)
    page = text(manager.get(ROUND))
    assert "prefers the chosen answer" in page
    assert "/adapters/one" in page
    assert "lora.r" in page


def test_a_report_says_why_prompts_could_not_be_shared(manager, cast):
    succeed(cast.project, result={"fallback_reason": "mamba keeps a state"})
    assert "mamba keeps a state" in text(manager.get(ROUND))


def test_answers_before_and_now_stand_side_by_side(manager, cast):
    round_ = succeed(cast.project)
    prompt = make_prompt(cast.project, "How are you?", held_out=True)
    make_completion(prompt, round_.start, "Go away.")
    make_completion(prompt, round_.policy, "Fine, thank you.")
    trained_on = make_prompt(cast.project, "Seen in training?", held_out=False)
    for policy in (round_.start, round_.policy):
        make_completion(trained_on, policy, "Yes.")
    page = text(manager.get(ROUND))
    assert page.index("How are you?") < page.index("Go away.") < page.index("Fine, thank you.")
    assert "Seen in training?" not in page


def test_the_list_says_what_the_next_round_would_be(manager, pair):
    page = text(manager.get(reverse("rounds", args=["sharpen"])))
    assert "Start round 1 with 1 pair<" in page
    assert "No round yet" in page


# --- completions ---

SAMPLING = reverse("sampling", args=["sharpen"])


def test_the_missing_completions_are_queued(manager, cast):
    make_prompt(cast.project)
    manager.post(reverse("start_sampling", args=["sharpen"]))
    assert SamplingJob.objects.get().total_steps == 2


def test_where_nothing_can_be_written_the_reason_is_said(manager):
    response = manager.post(reverse("start_sampling", args=["sharpen"]), follow=True)
    assert "There are no prompts yet. Import some first." in text(response)


def test_a_job_shows_its_progress_until_it_is_done(manager, cast):
    job = SamplingJob.objects.create(
        project=cast.project, state=SamplingJob.State.RUNNING, stored=3, total_steps=12
    )
    assert '<progress max="12" value="3">' in text(manager.get(SAMPLING))
    SamplingJob.objects.filter(pk=job.pk).update(
        state=SamplingJob.State.FAILED, error="The disk is full."
    )
    last = manager.get(reverse("sampling_live", args=["sharpen"]))
    assert last.status_code == 286
    assert "The disk is full." in text(last)


def test_a_job_can_be_stopped(manager, cast):
    job = SamplingJob.objects.create(project=cast.project)
    manager.post(reverse("cancel_sampling", args=["sharpen", job.pk]))
    job.refresh_from_db()
    assert job.state == SamplingJob.State.CANCELLED


def test_completions_of_one_policy(manager, cast):
    prompt = make_prompt(cast.project)
    make_completion(prompt, make_policy(cast.project, "one"), "From the first.")
    make_completion(prompt, make_policy(cast.project, "two"), "From the second.")
    page = text(manager.get(SAMPLING, {"policy": "two"}))
    assert "From the second." in page
    assert "From the first." not in page


# --- pairs and snapshots ---


def test_pairs_are_counted_and_can_be_taken_away(manager, pair):
    page = text(manager.get(reverse("pairs", args=["sharpen"])))
    assert "Download 1 pair<" in page
    assert reverse("export_pairs", args=["sharpen"]) in page


def test_a_snapshot_is_served_byte_for_byte(manager, pair):
    manager.post(reverse("start_round", args=["sharpen"]))
    snapshot = Snapshot.objects.get()
    response = manager.get(reverse("snapshot", args=["sharpen", snapshot.sha256]))
    assert b"".join(response) == snapshot.file.read_bytes()


def test_a_snapshot_whose_file_is_gone_is_not_found(manager, cast):
    make_round(cast.project)
    response = manager.get(reverse("snapshot", args=["sharpen", "ab" * 32]))
    assert response.status_code == 404


# --- settings ---

SETTINGS = {
    "queue_unit": "comparisons",
    "name": "Sharpen more",
    "held_out_percent": 20,
    "base_model": "some/model",
    "base_revision": "",
    "completions_per_prompt": 4,
    "temperature": 0.8,
    "top_p": 1,
    "min_p": 0,
    "repetition_penalty": 1,
    "max_new_tokens": 64,
    "start_from": "champion",
    "score_new": "on",
    "meeting": "close",
    "meeting_at_random": 40,
    "promotion": "automatic",
    "gate_votes": 120,
}
ADDRESS = reverse("project_settings", args=["sharpen"])


def test_settings_are_saved_together(manager, cast):
    manager.post(ADDRESS, SETTINGS)
    cast.project.refresh_from_db()
    loop = LoopSettings.objects.get()
    assert cast.project.name == "Sharpen more"
    assert (loop.completions_per_prompt, loop.start_from) == (4, "champion")
    assert (loop.score_new, loop.meeting, loop.meeting_at_random) == (True, "close", 40)


def test_one_wrong_field_saves_nothing(manager, cast):
    page = text(manager.post(ADDRESS, SETTINGS | {"top_p": 3}))
    cast.project.refresh_from_db()
    assert cast.project.name == "Sharpen"
    assert 'id="id_top_p_error"' in page
    assert "Nothing was saved yet" in page
