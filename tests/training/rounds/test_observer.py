"""What a worker reports about a running round, and what the round's page shows of it."""

import json

import pytest

from tests.training.views.test_rounds import make_round
from training.models import Round, RoundSample
from training.rounds.observer import Observer
from training.views.rounds.live import samples_of

pytestmark = pytest.mark.django_db


def line(step, place=0, text="It is green.", **changes):
    return {
        "time": 1.0,
        "step": step,
        "place": place,
        "id": "7",
        "held_out": True,
        "messages": [{"role": "user", "content": "What colour is a frog?"}],
        "text": text,
        "token_count": 4,
        "finish_reason": "stop",
    } | changes


def write(folder, *lines):
    with (folder / "samples.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in lines)


@pytest.fixture
def round_(cast):
    return make_round(cast.project)


def test_samples_become_rows_once(round_, tmp_path):
    observer = Observer(round_, tmp_path)
    write(tmp_path, line(0, text="Go\0away."), line(4, finish_reason="length"))
    observer.news(8)
    observer.news(8)
    Observer(round_, tmp_path).news(8)  # a worker that takes over reads from the beginning
    first, second = RoundSample.objects.order_by("step")
    assert (first.text, first.is_cut, second.is_cut) == ("Go\u2400away.", False, True)


def test_only_what_is_new_is_told(round_, tmp_path):
    observer = Observer(round_, tmp_path)
    assert observer.news(8) == {}
    (tmp_path / "engine.log").write_text("phase: training\n")
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "manifest.json").write_text("{}")
    assert observer.news(8) == {"log_tail": "phase: training", "kept_step": 4}
    assert observer.news(8) == {}


def test_the_time_left_comes_from_the_worker_too(round_, tmp_path):
    with (tmp_path / "metrics.jsonl").open("w") as file:
        for step in (1, 2):
            row = {"time": 1000.0 * step, "step": step, "split": "train", "values": {}}
            file.write(json.dumps(row) + "\n")
    assert Observer(round_, tmp_path).news(8) == {"seconds_left": 0.0}


def test_start_now_and_between_stand_by_place(round_, tmp_path):
    write(tmp_path, *[line(step, place) for step in (0, 4, 8) for place in (1, 0)])
    Observer(round_, tmp_path).news(8)
    first, second = samples_of(Round.objects.get(pk=round_.pk))
    assert (first.place, second.place) == (0, 1)
    assert (first.start.step, first.now.step, [s.step for s in first.between]) == (0, 8, [4])
    assert first.asked == "What colour is a frog?"
