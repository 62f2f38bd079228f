"""A worker that ends in the middle of a round, gracefully or not."""

import contextlib
import os
import signal

import psutil
import pytest
from django.conf import settings

from config.launch import processes
from tests.conftest import THOROUGH, child_environment, running, wait_for
from tests.stack.test_loop import SMALL, answered, ended, judge_everything, project  # noqa: F401
from training.models import LoopSettings, Round
from training.rounds import lifecycle
from training.tasks import sweep

pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]


def engines() -> list[int]:
    """The engine processes of this test's data folder."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "training.engine" in line and str(settings.HOME) in line:
                pids.append(process.pid)
    return pids


# test_two_machines also shows that a killed worker is replaced.
@pytest.mark.parametrize("how", ["kindly", "killed"] if THOROUGH else ["kindly"])
def test_the_round_goes_on_with_another_worker_and_no_engine_is_orphaned(
    redis_server,
    project,  # noqa: F811
    how,
):
    log = settings.HOME / "leaving.log"
    with running(processes.gpu_worker_command(), log=log, env=child_environment()) as worker:
        answered(project)
        judge_everything(project)
        LoopSettings.objects.update(
            round_config={"optimisation": {**SMALL["optimisation"], "epochs": 25}}
        )
        made = lifecycle.start_round(project=project)

        def stepping():
            made.refresh_from_db()
            return made.step >= 2

        wait_for(stepping, "a second step")
        assert len(engines()) == 1
        os.kill(worker.pid, signal.SIGTERM if how == "kindly" else signal.SIGKILL)
        wait_for(lambda: not engines(), "the engine's end")

    if how == "kindly":
        made.refresh_from_db()
        assert (made.state, made.stops) == ("queued", 1)
    else:
        Round.objects.update(heartbeat_at="2020-01-01T00:00Z")  # long enough ago to be swept
    LoopSettings.objects.update(round_config={})
    with running(processes.gpu_worker_command(), log=log, env=child_environment()):
        sweep()
        assert ended(made).state == "succeeded", made.log_tail
    assert made.attempt == 2
    steps = made.metrics.filter(name="train/loss").values_list("step", flat=True)
    assert sorted(steps) == list(range(min(steps), made.total_steps + 1))
