"""What this machine can do: device and number format. Knows nothing of jobs.

bf16 is chosen only where the hardware multiplies it: elsewhere it is slower than fp32.
"""

from __future__ import annotations

from pathlib import Path

import torch

from training.engine.config import Precision
from training.engine.errors import EngineError


def device() -> torch.device:
    """The first CUDA device if there is one, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def cpu_multiplies_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU says that it has AMX or AVX512 instructions for bf16."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    for line in text.splitlines():
        if line.startswith("flags"):
            flags = line.split()
            return "amx_bf16" in flags or "avx512_bf16" in flags
    return False


def compute_dtype(precision: Precision, where: torch.device) -> torch.dtype:
    """The number format for the frozen weights and activations; adapters stay in fp32."""
    if precision == "fp32":
        return torch.float32
    able = torch.cuda.is_bf16_supported(False) if where.type == "cuda" else cpu_multiplies_bf16()
    if precision == "bf16":
        if where.type == "cuda" and not able:
            raise EngineError(
                "no_bf16", "This GPU does not compute in bf16", 'Set precision to "auto" or "fp32".'
            )
        return torch.bfloat16
    return torch.bfloat16 if able else torch.float32
