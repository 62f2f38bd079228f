"""Only complete checkpoints count."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.engine.errors import EngineError
from training.engine.runtime.checkpoint import MANIFEST, fault, new_checkpoint, newest


def make(run_dir: Path, step: int) -> Path:
    with new_checkpoint(run_dir, step) as folder:
        (folder / "weights").write_bytes(b"w" * 100)
        (folder / "state").write_text(str(step))
    return run_dir / f"checkpoint-{step}"


def test_the_newest_is_found_by_number_and_old_ones_go(tmp_path: Path) -> None:
    for step in (2, 9, 10):
        made = make(tmp_path, step)
        assert fault(made) is None
    assert newest(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_nothing_yet(tmp_path: Path) -> None:
    assert newest(tmp_path) is None


@pytest.mark.parametrize("damage", ["flip", "shorten", "remove", "no manifest", "bad manifest"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: str) -> None:
    good, bad = make(tmp_path, 1), make(tmp_path, 2)
    match damage:
        case "flip":
            (bad / "weights").write_bytes(b"w" * 99 + b"x")
        case "shorten":
            (bad / "weights").write_bytes(b"w" * 50)
        case "remove":
            (bad / "weights").unlink()
        case "no manifest":
            (bad / MANIFEST).unlink()
        case "bad manifest":
            (bad / MANIFEST).write_text("{")
    assert newest(tmp_path) == good


def test_if_all_are_damaged_it_is_an_error(tmp_path: Path) -> None:
    (make(tmp_path, 1) / "weights").write_bytes(b"")
    with pytest.raises(EngineError, match="checkpoint-1: weights is not what was written"):
        newest(tmp_path)


def test_a_failed_write_leaves_the_last_good_one_alone(tmp_path: Path) -> None:
    good = make(tmp_path, 1)

    def write_and_fail() -> None:
        with new_checkpoint(tmp_path, 2) as folder:
            (folder / "weights").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_and_fail()
    assert [p.name for p in tmp_path.iterdir()] == [good.name]
    assert newest(tmp_path) == good
