"""The lock that keeps a data folder to one running Whetstone."""

import os

import pytest

from config.launch.single_instance import AlreadyRunningError, sole


def test_the_second_reads_the_note_of_the_first(tmp_path):
    with (
        sole(tmp_path / "lock", note="here (process 7)"),
        pytest.raises(AlreadyRunningError, match=r"^here \(process 7\)$"),
        sole(tmp_path / "lock", note="there"),
    ):
        pass


def test_it_is_free_again_afterwards(tmp_path):
    for note in ("one", "two"):
        with sole(tmp_path / "lock", note=note):
            assert (tmp_path / "lock").read_text() == note


def test_it_is_free_when_its_holder_dies(tmp_path):
    pid = os.fork()
    if pid == 0:
        with sole(tmp_path / "lock", note="short-lived"):
            os._exit(0)
    os.waitpid(pid, 0)
    with sole(tmp_path / "lock", note="next"):
        pass
