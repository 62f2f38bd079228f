"""``python -m training.engine.model.compare ONE OTHER``: how two adapters' weights differ, as JSON.

One object: ``{"tensors": N, "different": [{"name", "most"}]}``; ``most`` is the largest
absolute difference (null for another shape, or where the name is in one of them alone).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from training.engine.config import ADAPTER_WEIGHTS


def differences(folder: Path, other: Path) -> dict[str, Any]:
    """How the weights in the folders ``folder`` and ``other`` differ, bit by bit."""
    first, second = load_file(folder / ADAPTER_WEIGHTS), load_file(other / ADAPTER_WEIGHTS)
    different: list[dict[str, Any]] = []
    for name in sorted(first.keys() | second.keys()):
        a, b = first.get(name), second.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            different.append({"name": name, "most": None})
        elif not torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8)):
            most = float((a.double() - b.double()).abs().max())
            different.append({"name": name, "most": most})
    return {"tensors": len(first.keys() | second.keys()), "different": different}


if __name__ == "__main__":
    print(json.dumps(differences(Path(sys.argv[1]), Path(sys.argv[2]))))
