"""Keeps the processes running, in the foreground, and tells a person what happens to them.

The work is supervisor's; what is added here is that the children die with their parent
however it ends, and that the terminal shows a few plain lines instead of a log.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from config.launch.processes import Process

PR_SET_PDEATHSIG = 1
# A process that dies at each start is tried again after 1, 2, 3… seconds. Only the first
# failure and every tenth are reported.
TELL_EVERY = 10


def keep_running(
    processes: Sequence[Process],
    *,
    logs: Path,
    directory: Path,
    say: Callable[[str], None],
    while_running: Callable[[], None],
) -> None:
    """Run ``processes`` until SIGINT, SIGTERM or SIGHUP; return when all of them are gone.

    ``while_running`` is called about once a second, in between, and must return soon.
    """
    logs.mkdir(parents=True, exist_ok=True)
    configuration = logs / "supervisor.conf"
    configuration.write_text(_configuration(processes, logs, directory), encoding="utf-8")
    options = _Options()
    options.realize(["-c", str(configuration)])
    options.first = True
    options.test = False
    keeper = _Keeper(options, {process.name: process for process in processes}, logs, say)
    keeper.while_running = while_running
    with contextlib.suppress(ExitNow):
        keeper.main()
    options.close_logger()


def _configuration(processes: Sequence[Process], logs: Path, directory: Path) -> str:
    """supervisor's own configuration file."""

    def literal(value: object) -> str:
        return str(value).replace("%", "%%")

    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={literal(logs / 'supervisor.log')}",
        "logfile_maxbytes=1MB",
        "logfile_backups=2",
        f"pidfile={literal(logs / 'supervisor.pid')}",
        f"childlogdir={literal(logs)}",
    ]
    # Within a group all are stopped at once; Redis has its own, so that it goes last.
    group_members = [process.name for process in processes if process.name != "redis"]
    lines += ["", "[group:whetstone]", f"programs={','.join(group_members)}", "priority=10"]
    for process in processes:
        lines += [
            "",
            f"[program:{process.name}]",
            f"command={literal(shlex.join(process.command))}",
            f"directory={literal(directory)}",
            f"priority={process.priority}",
            "autorestart=true",
            "startsecs=10",
            "startretries=1000000",
            f"stopwaitsecs={process.seconds_to_stop}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={literal(logs / process.name)}.log",
            "stdout_logfile_maxbytes=5MB",
            "stdout_logfile_backups=3",
        ]
    return "\n".join(lines) + "\n"


class _Options(ServerOptions):  # type: ignore[misc]
    """supervisor's view of the operating system, with one thing more done after a fork."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = os.getpid()
        self.prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def setpgrp(self) -> None:
        """In the child: a process group of its own, and death together with the parent."""
        super().setpgrp()
        if self.prctl is not None:
            self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.parent:  # it died before the line above
                os._exit(1)


class _Keeper(Supervisor):  # type: ignore[misc]
    """supervisor's main loop, speaking to a person."""

    while_running: Callable[[], None]

    def __init__(
        self,
        options: ServerOptions,
        processes: dict[str, Process],
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(options)
        self.processes = processes
        self.logs = logs
        self.say = say

    def runforever(self) -> None:
        events.subscribe(events.ProcessStateExitedEvent, self.tell_of_exit)
        events.subscribe(events.ProcessStateBackoffEvent, self.tell_of_failed_start)
        events.subscribe(events.SupervisorStoppingEvent, self.tell_of_stopping)
        super().runforever()

    def handle_signal(self) -> None:
        super().handle_signal()
        if self.options.mood == SupervisorStates.RESTARTING:  # SIGHUP: the terminal is gone
            self.options.mood = SupervisorStates.SHUTDOWN

    def tick(self, now: float | None = None) -> None:
        super().tick(now)
        if not self.stopping:
            self.while_running()

    def tell_of_exit(self, event: Any) -> None:
        self.say(f"{self.title(event)} stopped by itself and is started again. {self.log(event)}")

    def tell_of_failed_start(self, event: Any) -> None:
        failures = event.process.backoff
        if failures == 1 or failures % TELL_EVERY == 0:
            self.say(
                f"{self.title(event)} does not stay up (start {failures} failed); "
                f"trying again. {self.log(event)}"
            )

    def tell_of_stopping(self, _event: Any) -> None:
        self.say("Stopping…")

    def title(self, event: Any) -> str:
        return f"The {self.processes[event.process.config.name].title}"

    def log(self, event: Any) -> str:
        return f"See {self.logs / event.process.config.name}.log"
