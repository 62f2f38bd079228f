"""A machine that trains, as its engine described it. Knows no database."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Hardware:
    """Bytes and cores; ``flops`` were measured, in ``dtype``."""

    host: str
    device: str
    devices: int
    free_memory: int
    cores: int
    dtype: str
    flops: float
    names: tuple[str, ...] = ()

    @property
    def is_gpu(self) -> bool:
        return self.device == "cuda"
