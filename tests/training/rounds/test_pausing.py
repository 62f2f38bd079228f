"""Pausing and resuming: who has the device, what the sweep ignores, what never happens twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.training.views.test_rounds import make_round
from training import tasks
from training.errors import Refused
from training.jobs import claims
from training.jobs.engine_process import EngineEnding, EngineProgress
from training.jobs.worker import EngineWorker
from training.models import Round
from training.rounds import pausing

pytestmark = pytest.mark.django_db
S = Round.State


@pytest.fixture
def queued(cast):
    return make_round(cast.project, state=S.QUEUED, step=0, total_steps=0)


def fresh(round_):
    return Round.objects.get(pk=round_.pk)


def age(round_, seconds=1000):
    Round.objects.filter(pk=round_.pk).update(
        heartbeat_at=timezone.now() - timedelta(seconds=seconds)
    )


def other(round_, **fields):
    return Round.objects.create(
        project=round_.project,
        number=2,
        snapshot=round_.snapshot,
        start=round_.start,
        reference=round_.reference,
        **fields,
    )


def test_a_queued_round_pauses_at_once_and_no_worker_gets_it(queued):
    pausing.request_pause(round_=queued)
    assert fresh(queued).state == S.PAUSED
    assert claims.claim(Round, queued.pk) is None
    assert queued.pk not in claims.due_for_dispatch(Round)


def at_work(queued, run_dir):
    """A worker that has claimed the round."""

    class AnyRoundWorker(EngineWorker[Round]):
        model = Round

    worker = AnyRoundWorker(*claims.claim(Round, queued.pk))
    worker.run_dir = run_dir
    return worker


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (EngineEnding(75, None, None), S.PAUSED),
        (EngineEnding(-9, None, None), S.PAUSED),  # it took too long to write its checkpoint
        (EngineEnding(1, None, {"message": "The disk is full."}), S.FAILED),
    ],
)
def test_a_running_round_is_paused_once_its_engine_has_stopped(queued, tmp_path, ending, state):
    worker = at_work(queued, tmp_path)
    assert worker.follow(EngineProgress("training", 3, 8)) == "go on"
    pausing.request_pause(round_=queued)
    assert worker.follow(EngineProgress("training", 4, 8)) == "stop"
    worker.record_ending(ending)
    round_ = fresh(queued)
    assert round_.state == state
    if state == S.PAUSED:
        assert (round_.pause_requested_at, round_.attempt, round_.stops) == (None, 1, 1)


def test_cancelling_wins_over_pausing(queued, tmp_path):
    worker = at_work(queued, tmp_path)
    pausing.request_pause(round_=queued)
    claims.request_cancel(job=queued)
    worker.record_ending(EngineEnding(75, None, None))
    assert fresh(queued).state == S.CANCELLED


def test_a_paused_round_is_cancelled_at_once(queued):
    pausing.request_pause(round_=queued)
    claims.request_cancel(job=queued)
    assert fresh(queued).state == S.CANCELLED


def test_no_sweep_revives_a_paused_round(queued, monkeypatch):
    monkeypatch.setattr("training.tasks.dispatch", lambda job: pytest.fail(f"{job} was dispatched"))
    claims.claim(Round, queued.pk)
    pausing.request_pause(round_=queued)
    age(queued)
    tasks.sweep()  # its worker died before it could pause
    assert fresh(queued).state == S.PAUSED
    age(queued)
    tasks.sweep()
    assert fresh(queued).state == S.PAUSED


@pytest.mark.parametrize("state", [S.PAUSED, S.CANCELLED, S.FAILED])
def test_a_round_is_taken_up_with_its_attempts_counted_anew(queued, state, settings):
    finished = None if state == S.PAUSED else timezone.now()
    Round.objects.filter(pk=queued.pk).update(
        state=state,
        attempt=3,
        stops=0,
        finished_at=finished,
        cancel_requested_at=finished,
        error="The worker died." if state == S.FAILED else "",
        run_dir="runs/here",
    )
    pausing.resume(round_=fresh(queued))
    round_ = fresh(queued)
    assert (round_.state, round_.finished_at, round_.cancel_requested_at) == (S.QUEUED, None, None)
    assert (round_.error, round_.run_dir) == ("", "runs/here")
    for _ in range(settings.MAX_ATTEMPTS - 1):
        assert claims.claim(Round, queued.pk) is not None
        age(queued)
        claims.sweep_dead(Round)
        assert fresh(queued).state == S.QUEUED


@pytest.mark.parametrize("state", [S.QUEUED, S.RUNNING])
def test_what_is_under_way_is_not_taken_up_again(queued, state):
    Round.objects.filter(pk=queued.pk).update(state=state)
    with pytest.raises(Refused, match="neither paused"):
        pausing.resume(round_=fresh(queued))
    assert fresh(queued).state == state


@pytest.mark.parametrize("unfinished", [S.QUEUED, S.RUNNING, S.PAUSED])
def test_two_rounds_are_never_unfinished_together(queued, unfinished):
    Round.objects.filter(pk=queued.pk).update(state=S.CANCELLED)
    other(queued, state=unfinished)
    assert not pausing.can_be_resumed(fresh(queued))
    with pytest.raises(Refused, match="Round 2 has not finished"):
        pausing.resume(round_=fresh(queued))
    assert fresh(queued).state == S.CANCELLED


def test_a_worker_from_before_the_pause_writes_nothing_any_more(queued):
    _, first = claims.claim(Round, queued.pk)
    claims.pause(first)
    pausing.resume(round_=fresh(queued))
    claims.claim(Round, queued.pk)
    assert not first.update(step=7)
    assert not first.end(S.FAILED)


def test_only_whole_checkpoints_count_as_kept(tmp_path):
    assert pausing.newest_kept(tmp_path) is None
    for step, is_whole in ((10, True), (20, True), (30, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if is_whole:
            (folder / "manifest.json").write_text("{}")
    assert pausing.newest_kept(tmp_path) == 20
