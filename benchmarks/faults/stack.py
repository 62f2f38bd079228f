"""``python -m benchmarks.faults.stack``: what ``up`` runs, and a second gpu worker, kept running.

The environment says which data folder; the second worker has a device of its own.
"""

from __future__ import annotations

import dataclasses
import os


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.conf import settings

    from config.launch.processes import all_processes
    from config.launch.supervisor import keep_running

    processes = []
    for process in all_processes():
        processes.append(process)
        if process.name == "gpu-worker":
            lock = f"WHETSTONE_DEVICE_LOCK={settings.HOME / 'second.lock'}"
            command = ["env", lock, *process.command]
            command[command.index("gpu@%h")] = "gpu2@%h"
            processes.append(dataclasses.replace(process, name="gpu-worker-2", command=command))
    keep_running(
        processes,
        logs=settings.HOME / "logs",
        directory=settings.BASE_DIR,
        say=lambda line: print(line, flush=True),
        while_running=lambda: None,
    )


if __name__ == "__main__":
    main()
