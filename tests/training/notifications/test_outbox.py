"""Events are detected from the rows, and each is recorded once for each recipient."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import make_policy
from training.models import Delivery, Event, Gate, Metric, Recipient, Round
from training.notifications import outbox
from training.notifications.recipients import change_events

pytestmark = pytest.mark.django_db


def deliveries_of(recipient: Recipient) -> list[tuple[str, str]]:
    return list(recipient.deliveries.order_by("pk").values_list("event", "subject"))


def test_a_round_that_ends_is_told_once(add, end_round):
    recipient = add("email", "a@example.org")
    end_round("succeeded")
    for _turn in range(3):
        outbox.sweep()
    assert deliveries_of(recipient) == [("round.succeeded", "Sharpen: round 1 has succeeded")]
    body = Delivery.objects.get().body
    assert "On 8 held-out pairs it prefers the chosen answer 75" in body
    assert "/p/sharpen/rounds/1/report/" in body


def test_a_failure_is_told_with_its_reason(add, end_round):
    recipient = add("email", "a@example.org")
    end_round("failed")
    outbox.sweep()
    assert deliveries_of(recipient) == [("round.failed", "Sharpen: round 1 has failed")]
    assert "The disk is full." in Delivery.objects.get().body


def test_everybody_is_told_what_they_chose(add, end_round):
    both = add("email", "both@example.org", [Event.SUCCEEDED, Event.FAILED])
    bad = add("email", "bad@example.org", [Event.FAILED])
    end_round("succeeded")
    end_round("failed", 2)
    outbox.sweep()
    assert [event for event, _ in deliveries_of(both)] == ["round.succeeded", "round.failed"]
    assert [event for event, _ in deliveries_of(bad)] == ["round.failed"]


def test_what_was_before_is_not_told(add, end_round):
    end_round("succeeded", finished_at=timezone.now() - timedelta(seconds=1))
    recipient = add("email", "a@example.org")
    outbox.sweep()
    assert deliveries_of(recipient) == []


def test_a_wider_choice_holds_from_now_on(add, end_round):
    recipient = add("email", "a@example.org", [Event.FAILED])
    end_round("succeeded")
    end_round("failed", 2)
    change_events(recipient=recipient, events=[Event.FAILED, Event.SUCCEEDED], is_on=True)
    outbox.sweep()
    assert [event for event, _ in deliveries_of(recipient)] == ["round.failed"]


def test_who_is_switched_off_is_told_nothing_of_that_time(add, end_round):
    recipient = add("email", "a@example.org")
    change_events(recipient=recipient, events=recipient.events, is_on=False)
    end_round("failed")
    outbox.sweep()
    change_events(recipient=recipient, events=recipient.events, is_on=True)
    outbox.sweep()
    assert deliveries_of(recipient) == []


def test_numbers_that_need_attention_are_told_while_it_runs(add, end_round):
    recipient = add("email", "a@example.org")
    round_ = end_round("running", heartbeat_at=timezone.now())
    for step, value in ((0, 0.69), (1, 0.5), (2, 0.8)):
        Metric.objects.create(round=round_, step=step, name="held_out/loss", value=value)
    outbox.sweep()
    outbox.sweep()
    assert deliveries_of(recipient) == [("round.warning", "Sharpen: round 1 has warnings")]
    body = Delivery.objects.get().body
    assert "overfit" in body
    assert "Concern(" not in body


def test_numbers_of_a_round_long_over_are_not_looked_at_again(add, end_round):
    recipient = add("email", "a@example.org")
    Recipient.objects.update(since=timezone.now() - timedelta(days=9))
    round_ = end_round("succeeded")
    Round.objects.filter(pk=round_.pk).update(finished_at=timezone.now() - timedelta(days=2))
    for step, value in ((0, 0.69), (1, 0.5), (2, 0.8)):
        Metric.objects.create(round=round_, step=step, name="held_out/loss", value=value)
    outbox.sweep()
    assert [event for event, _ in deliveries_of(recipient)] == ["round.succeeded"]


def test_a_reward_model_is_told_as_one(add, end_round):
    add("email", "a@example.org")
    round_ = end_round("failed")
    Round.objects.filter(pk=round_.pk).update(
        state="succeeded", kind="reward", reward_adapter="somewhere"
    )
    outbox.sweep()
    body = Delivery.objects.get().body
    assert "reward model" in body
    assert "/rewards/?by=1" in body


def test_a_decided_gate_is_told(add, cast):
    recipient = add("webhook", "https://hooks.example.org/1")
    candidate, champion = make_policy(cast.project, "new"), make_policy(cast.project, "old")
    Gate.objects.create(
        project=cast.project,
        candidate=candidate,
        champion=champion,
        state=Gate.State.PROMOTED,
        decided_at=timezone.now(),
        figures={"meetings": 40, "share": 0.7, "low": 0.55, "high": 0.82},
    )
    outbox.sweep()
    payload = json.loads(Delivery.objects.get().body)
    assert deliveries_of(recipient) == [("gate.decided", "Sharpen: new is the new champion")]
    assert payload["type"] == "gate.decided"
    assert payload["data"]["champion"] == "old"
    assert payload["data"]["share"] == 0.7


def test_a_gate_that_is_won_waits_for_a_manager(add, cast, monkeypatch):
    from training.policies import gates
    from training.policies.gate_rules import evidence

    recipient = add("email", "a@example.org")
    Gate.objects.create(
        project=cast.project,
        candidate=make_policy(cast.project, "new", state="candidate"),
        champion=make_policy(cast.project, "old", state="champion"),
    )
    outbox.sweep(look_at_gates=True)
    assert deliveries_of(recipient) == []  # nothing has met yet
    won = gates.GateStanding(Gate.objects.get(), evidence([1.0] * 60), [], 0)
    monkeypatch.setattr("training.policies.gates.standing", lambda gate: won)
    outbox.sweep()
    assert deliveries_of(recipient) == []  # gates are costly: only some sweeps look
    outbox.sweep(look_at_gates=True)
    outbox.sweep(look_at_gates=True)
    assert deliveries_of(recipient) == [
        ("gate.ready", "Sharpen: the gate of new waits for your decision")
    ]


def test_people_are_told_in_their_language_and_programs_in_english(add, end_round):
    person = add("email", "a@example.org", language="de")
    program = add("webhook", "https://hooks.example.org/1", language="de")
    end_round("failed")
    outbox.sweep()
    assert deliveries_of(person) != deliveries_of(program)
    assert deliveries_of(program) == [("round.failed", "Sharpen: round 1 has failed")]


def test_one_recipients_trouble_is_not_the_others(add, end_round, monkeypatch, caplog):
    add("email", "broken@example.org")
    well = add("email", "well@example.org")
    end_round("failed")
    collect = outbox.collect

    def torn(recipient, **fields):
        if recipient != well:
            raise RuntimeError("torn")
        return collect(recipient, **fields)

    monkeypatch.setattr(outbox, "collect", torn)
    outbox.sweep()
    assert len(deliveries_of(well)) == 1
    assert "no news for recipient" in caplog.text


def test_two_sweeps_at_once_note_it_once(add, end_round):
    recipient = add("email", "a@example.org")
    end_round("failed")
    outbox.collect(recipient)
    known = list(recipient.deliveries.values_list("message_id", flat=True))
    Delivery.objects.bulk_create(
        [Delivery(recipient=recipient, key=recipient.deliveries.get().key, subject="x", body="x")],
        ignore_conflicts=True,
    )
    assert list(recipient.deliveries.values_list("message_id", flat=True)) == known


def test_a_cancelled_round_is_nobodys_news(add, end_round):
    recipient = add("email", "a@example.org")
    end_round(Round.State.CANCELLED)
    outbox.sweep()
    assert deliveries_of(recipient) == []


def test_workers_are_told_of_what_is_due_and_of_nothing_else(add, end_round, messages):
    recipient = add("email", "a@example.org")
    end_round("failed")
    outbox.sweep()
    assert messages == [recipient.deliveries.get().pk]
    Delivery.objects.update(next_at=timezone.now() + timedelta(hours=1))
    outbox.sweep()
    assert len(messages) == 1


def test_without_redis_it_is_found_out_once(add, end_round, monkeypatch):
    for name in "abc":
        add("email", f"{name}@example.org")
    end_round("failed")
    asked = []
    monkeypatch.setattr(outbox, "dispatch", asked.append)  # returns None: no worker was notified
    outbox.sweep()
    assert len(asked) == 1
