import json

import pytest

from training.jobs.progress import in_words, marks_of, percent, seconds_left

EVEN = [(100.0 + 2 * step, step) for step in range(1, 11)]  # two seconds a step, ten done


@pytest.mark.parametrize(
    ("marks", "total", "now", "expected"),
    [
        ([], 10, 0, None),
        ([(100.0, 1)], 10, 100, None),
        (EVEN, 40, 120, 60),
        (EVEN, 40, 125, 55),  # five seconds have passed since the last step
        (EVEN, 40, 1000, 0),  # never negative
        (EVEN, 10, 120, None),  # all done
        ([(5.0, 3), (5.0, 4)], 10, 5, None),  # no time between them, so no pace
        # A slow start is not among the twenty marks that count.
        ([(0.0, 0), *((1000.0 + step, step) for step in range(1, 31))], 40, 1030, 10),
    ],
)
def test_time_left_at_the_recent_pace(marks, total, now, expected):
    assert seconds_left(marks, total_steps=total, now=now) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a minute"),
        (44, "less than a minute"),
        (50, "about 1 minute"),
        (240, "about 4 minutes"),
        (2 * 3600, "about 2 hours"),
        (3 * 86_400, "about 3 days"),
    ],
)
def test_lengths_of_time_in_words(seconds, text):
    assert in_words(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [(0, 0, 0), (0, 9, 0), (199, 200, 99), (200, 200, 100), (9, 3, 100)],
)
def test_a_hundred_per_cent_only_when_all_is_done(done, total, expected):
    assert percent(done, total) == expected


def test_marks_are_the_training_steps_that_were_written_whole(tmp_path):
    lines = [
        {"time": 1.0, "step": 1, "split": "train"},
        {"time": 2.0, "step": 1, "split": "held_out"},
        {"time": 3.0, "step": 2, "split": "train"},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"time": 4.0, "st'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert marks_of(tmp_path) == [(1.0, 1), (3.0, 2)]


def test_of_a_long_file_the_end_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("training.jobs.progress.TAIL_BYTES", 120)
    lines = [{"time": float(step), "step": step, "split": "train"} for step in range(1, 9)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert marks_of(tmp_path) == [(7.0, 7), (8.0, 8)]


def test_no_marks_where_the_run_directory_is_elsewhere(tmp_path):
    assert marks_of(tmp_path / "not-here") == []
