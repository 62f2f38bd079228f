"""Setting up a round: the form, its presets, what is refused, and the resulting round."""

import json

import pytest
from django.urls import reverse

from annotate.models import Policy, PreferencePair
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import make_comparison, make_policy, make_prompt
from training import tasks
from training.demo import MODEL_DIR
from training.management.commands.seed_demo import ROUND_CONFIG
from training.models import LoopSettings, Machine, Metric, Round, Snapshot

pytestmark = pytest.mark.django_db
NEW = reverse("new_round", args=["sharpen"])
REPORT = {
    "host": "worker",
    "device": "cpu",
    "devices": [],
    "free_memory": 8 * 2**30,
    "cores": 2,
    "dtype": "float32",
    "flops": 5e10,
}


@pytest.fixture
def manager(cast, client_of):
    LoopSettings.objects.create(
        project=cast.project, base_model=str(MODEL_DIR), round_config=ROUND_CONFIG
    )
    return client_of(cast.manager)


@pytest.fixture
def pairs(cast):
    for held_out in (False, False, False, True):
        prompt = make_prompt(cast.project, held_out=held_out)
        make_comparison(cast.project, prompt=prompt)
        card = serve_next(project=cast.project, rater=cast.rater)
        record_verdict(code=card.code, rater=cast.rater, choice="left")
    return list(PreferencePair.objects.order_by("pk"))


def sent(client, preset="", **changes):
    """What the form sends when it is filled from a preset and slightly changed."""
    form = client.get(NEW, {"preset": preset}).context["form"]
    data = dict(form.untouched().lists()) | changes
    return {name: value for name, value in data.items() if value is not None}


def start(client, preset="", **changes):
    """Press the main button."""
    return client.post(NEW, sent(client, preset, **changes) | {"go": "yes"})


def text(response):
    return response.content.decode()


def test_it_opens_with_what_the_project_says(manager, pairs):
    response = manager.get(NEW)
    form, page = response.context["form"], text(response)
    assert form["learning_rate"].value() == 5e-4
    assert (form["beta"].value(), form["lora_r"].value(), form["kind"].value()) == (0.3, 16, "dpo")
    for field in form:  # every field has an explanation
        assert f'id="{field.auto_id}_helptext"' in page, field.name


def test_sent_as_it_is_it_starts_what_the_button_starts(manager, pairs, cast):
    response = manager.post(NEW, sent(manager) | {"check": "yes"})
    assert response.context["estimate"].pairs == 3
    assert not Round.objects.exists()
    start(manager)
    made = Round.objects.get()
    assert made.requested_by == cast.manager
    usual = {**ROUND_CONFIG["optimisation"], "patience": 0, "eval_fraction": 0.1}
    assert made.config["optimisation"] | usual == made.config["optimisation"]
    assert made.config["beta"] == 0.3


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("first", {"patience": 3, "start": "base", "learning_rate": 5e-4}),
        ("careful", {"loss": "dpop", "learning_rate": 2.5e-4, "beta": 0.6}),
        ("fast", {"epochs": 1, "lora_r": 8, "lora_alpha": 16, "max_length": 256}),
        ("noisy", {"loss": "robust", "label_smoothing": 0.15, "min_agreement": 60}),
        ("no-such", {"learning_rate": 5e-4, "epochs": 3}),
    ],
)
def test_a_preset_fills_the_form_and_what_it_fills_in_is_valid(manager, pairs, preset, expected):
    form = manager.get(NEW, {"preset": preset}).context["form"]
    assert {name: form[name].value() for name in expected} == expected
    response = start(manager, preset)
    assert response["Location"] == Round.objects.get().get_absolute_url()


def test_a_warnings_remedy_is_filled_in(manager, pairs):
    page = manager.get(NEW + "?loss=dpop&beta=0.4").context["form"]
    assert (page["loss"].value(), page["beta"].value()) == ("dpop", "0.4")
    assert manager.get(NEW + "?beta=tight&nothing=1").status_code == 200  # a hand-typed address


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"learning_rate": 0}, "learning_rate", "above 0"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "label_smoothing", "does not use it"),
        ({"pairs_from": "recent", "last_rounds": None}, "last_rounds", "a number of rounds"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "until", "before the first"),
        ({"processes": 2}, "processes", "has 1: choose no more"),
        ({"max_length": 4}, "max_length", "8"),
        ({"start": "nobody"}, "start", "nobody"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(manager, pairs, changes, field, message):
    Machine.objects.create(name="worker", report=REPORT)
    response = start(manager, **changes)
    assert message in " ".join(response.context["form"].errors[field])
    assert "No round was started" in text(response)
    assert not Round.objects.exists()
    assert not PreferencePair.objects.exclude(frozen_at=None).exists()


def test_a_filter_that_nothing_passes_is_said(manager, pairs):
    response = start(manager, tags="no-such")
    assert "No pair to train on passes" in text(response)
    assert not Round.objects.exists()


def test_the_pairs_weights_and_filter_are_in_the_snapshot(manager, pairs, cast):
    start(manager)
    first = Round.objects.get()
    policy = make_policy(
        cast.project, "round-1", kind=Policy.Kind.ADAPTER, base_model=str(MODEL_DIR)
    )
    Round.objects.update(state="succeeded", policy=policy)
    make_comparison(cast.project, prompt=make_prompt(cast.project, held_out=False))
    card = serve_next(project=cast.project, rater=cast.rater)
    record_verdict(code=card.code, rater=cast.rater, choice="left")
    start(manager, half_life=1)
    made = Round.objects.get(number=2)
    assert made.snapshot.filters == {"half_life": 1.0}
    lines = [json.loads(line) for line in made.snapshot.file.read_text("utf-8").splitlines()]
    assert [line["weight"] for line in lines] == [0.5, 0.5, 0.5, 1.0, 1.0]
    assert made.snapshot.counts == {"train": 4, "held_out": 1}
    assert set(made.snapshot.pairs.all()) == set(PreferencePair.objects.all())
    served = manager.get(reverse("snapshot", args=["sharpen", made.snapshot.sha256]))
    assert b"".join(served.streaming_content) == made.snapshot.file.read_bytes()
    assert first.snapshot.filters == {}
    assert Snapshot.objects.count() == 2


def test_a_warm_up_is_the_reference_of_the_round_after_it(manager, pairs, cast):
    start(manager, kind="sft", start="base")
    warm = Round.objects.get()
    assert (warm.kind, warm.config["kind"]) == ("sft", "sft")
    assert "beta" not in warm.config
    assert warm.config["optimisation"]["learning_rate"] == 5e-4
    policy = make_policy(
        cast.project,
        "round-1",
        kind=Policy.Kind.ADAPTER,
        base_model=str(MODEL_DIR),
        adapter_path="/adapters/warm",
        parent=warm.start,
        state=Policy.State.CANDIDATE,
    )
    Round.objects.update(state="succeeded", policy=policy)
    start(manager)
    made = Round.objects.get(number=2)
    assert made.start == made.reference == policy
    assert made.config["reference_adapter"] == "/adapters/warm"


def test_kept_settings_are_the_projects_from_then_on(manager, pairs):
    changes = {"learning_rate": 7e-4, "keep": "on", "half_life": 3, "start": "base"}
    start(manager, **changes)
    loop = LoopSettings.objects.get()
    assert loop.round_config["optimisation"]["learning_rate"] == 7e-4
    assert loop.round_recipe["selection"] == {"half_life": 3.0}
    assert loop.start_from == "base"
    form = manager.get(NEW).context["form"]
    assert (form["learning_rate"].value(), form["half_life"].value()) == (7e-4, 3.0)


def test_settings_that_the_form_has_no_field_for_are_kept(manager, pairs):
    config = {"optimisation": {**ROUND_CONFIG["optimisation"], "checkpoint_fraction": 0.5}}
    LoopSettings.objects.update(round_config=config)
    start(manager)
    assert Round.objects.get().config["optimisation"]["checkpoint_fraction"] == 0.5


# --- what it would take ---


def test_without_a_worker_the_estimate_says_what_is_not_known(manager, pairs):
    response = manager.get(NEW)
    seen = response.context["estimate"]
    assert (seen.pairs, seen.held_out, seen.memory, seen.refusal) == (3, 1, None, None)
    assert "No worker has run anything yet" in " ".join(seen.bases)
    assert "every 4s" in text(response)


@pytest.mark.slow
def test_a_worker_that_is_asked_says_what_its_machine_is(manager, pairs, monkeypatch):
    sent_to_workers = []
    monkeypatch.setattr(
        tasks.measure_machine, "apply_async", lambda **how: sent_to_workers.append(how)
    )
    tasks.tick()
    assert len(sent_to_workers) == 1
    tasks.measure_machine()
    tasks.tick()
    assert len(sent_to_workers) == 1
    response = manager.get(NEW)
    seen = response.context["estimate"]
    assert seen.memory.fits
    assert seen.memory.available == Machine.objects.get().report["free_memory"] > 0
    assert "every 4s" not in text(response)
    Machine.objects.update(name="another")
    tasks.measure_machine()  # the machine is known now
    assert Machine.objects.get().name == "another"


def test_with_a_worker_memory_and_time_are_told(manager, pairs):
    Machine.objects.create(name="worker", report=REPORT)
    response = manager.get(NEW)
    seen = response.context["estimate"]
    assert seen.memory.fits
    assert seen.seconds > 0
    assert "tokenizer" in seen.bases[0]
    assert "GiB" in text(response)


def test_what_cannot_fit_is_refused_with_what_would(manager, pairs):
    Machine.objects.create(name="worker", report=REPORT | {"free_memory": 2**29})
    response = start(manager)
    assert "This does not fit" in text(response)
    assert not Round.objects.exists()


def test_a_past_rounds_pace_is_used(manager, pairs, cast):
    Machine.objects.create(name="worker", report=REPORT)
    start(manager)
    made = Round.objects.get()
    assert made.recipe["estimate"]["tokens"] > 0
    policy = make_policy(cast.project, "round-1", kind=Policy.Kind.ADAPTER)
    Round.objects.update(state="succeeded", policy=policy)
    name = "train/computed_tokens_per_second"
    for step, value in ((1, 1.0), (2, 1000.0), (3, 3000.0)):
        Metric.objects.create(round=made, step=step, name=name, value=value)
    seen = manager.get(NEW).context["estimate"]
    assert "2,000 tokens a second: as measured in round 1." in seen.bases


@pytest.mark.parametrize("name", ["new_round", "round_when"])
def test_only_managers_may(cast, client_of, name, manager):
    address = reverse(name, args=["sharpen"])
    assert client_of(cast.rater).get(address).status_code == 403
    assert client_of(cast.stranger).get(address).status_code == 404
