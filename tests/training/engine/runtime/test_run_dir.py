"""Files appear complete, grow by lines, and survive a torn end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.training.engine.conftest import read_json, read_lines
from training.engine.errors import EngineError, explain
from training.engine.runtime.run_dir import LineLog, RunDir, drop_torn_line, write_json


def test_a_torn_last_line_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    log = LineLog(path)
    log.append({"a": 3})
    log.close()
    assert [row["a"] for row in read_lines(path)] == [1, 2, 3]


def test_a_file_of_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("x" * 200_000)
    drop_torn_line(path)
    assert path.read_text() == ""


def test_json_is_replaced_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    for value in (1, 2):
        write_json(tmp_path / "r.json", {"value": value})
    assert read_json(tmp_path / "r.json") == {"value": 2}
    assert len(list(tmp_path.iterdir())) == 1


def test_values_that_are_not_finite_are_left_out_of_the_metrics(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.metrics(1, 2, "train", {"loss": 0.5, "odd": float("nan")})
    assert run.recorded_steps("train") == {1}
    assert run.recorded_steps("held_out") == set()
    assert read_lines(tmp_path / "metrics.jsonl")[0]["values"] == {"loss": 0.5}


def test_the_heartbeat_tells_phase_and_step(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.open()
    run.phase("training", step=3, total_steps=9)
    run.close()
    beat = read_json(tmp_path / "heartbeat")
    assert (beat["phase"], beat["step"], beat["total_steps"]) == ("training", 3, 9)


def test_stopped_is_the_last_word_of_a_run(tmp_path: Path) -> None:
    """The thread that ends and the work still running may report in any order."""
    run = RunDir(tmp_path)
    run.phase("loading libraries")
    run.phase("stopped")
    run.phase("waiting for the device")
    assert read_json(tmp_path / "heartbeat")["phase"] == "stopped"


def test_failures_are_explained() -> None:
    assert explain(OSError(28, "No space left on device")).kind == "disk_full"
    assert explain(RuntimeError("CUDA out of memory. Tried")).kind == "out_of_memory"
    assert explain(RuntimeError("DefaultCPUAllocator: can't allocate memory")).kind == (
        "out_of_memory"
    )
    assert explain(KeyError("x")).kind == "internal"
    assert explain(EngineError("bad_data", "m", "a")).as_dict() == {
        "kind": "bad_data",
        "message": "m",
        "advice": "a",
    }


def test_the_pulse_and_the_work_may_beat_at_once(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        beats = [pool.submit(lambda: [run.beat() for _ in range(200)]) for _ in range(4)]
    for beat in beats:
        beat.result()  # raises what was raised
    assert read_json(tmp_path / "heartbeat")["phase"] == "starting"
