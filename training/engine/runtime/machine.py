"""What the machine is that the engine runs on, for planning the next job.

``python -m training.engine.runtime.machine FOLDER`` writes it down and does nothing else.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from training.engine.runtime import device as capability
from training.engine.runtime.memory import available_bytes
from training.engine.runtime.run_dir import write_json

SIZE = 768  # of the matrices that the speed is measured with
SECONDS = 0.05


def describe(folder: Path) -> None:
    """Write ``machine.json``: devices and their memory, cores, formats, and a measured speed."""
    write_json(folder / "machine.json", report(), sync=False)


def report() -> dict[str, Any]:
    """Bytes, cores, and floating-point operations a second in the format that "auto" chooses."""
    device = capability.device()
    dtype = capability.compute_dtype("auto", device)
    return {
        "host": platform.node(),
        "device": device.type,
        "devices": [
            {
                "name": torch.cuda.get_device_name(index),
                "memory": torch.cuda.get_device_properties(index).total_memory,
            }
            for index in range(torch.cuda.device_count())
        ],
        "free_memory": available_bytes(device),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "flops": _speed(device, dtype),
    }


def _speed(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply two matrices for a moment. Touches no random state."""
    matrix = torch.ones(SIZE, SIZE, dtype=dtype, device=device)
    with torch.no_grad():
        matrix @ matrix  # the first is slow
        _settle(device)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            for _ in range(4):
                matrix @ matrix
            _settle(device)
            count += 4
    return count * 2 * SIZE**3 / (time.monotonic() - began)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    describe(Path(sys.argv[1]))
