"""Failures in words that a person can act on.

Knows nothing of where the words are shown. ``explain`` turns any exception into one of ours.
"""

from __future__ import annotations

import errno


class EngineError(Exception):
    """What went wrong (``message``), what to do about it (``advice``), and a stable ``kind``."""

    def __init__(self, kind: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.advice = advice

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "message": self.message, "advice": self.advice}


class Stopped(Exception):
    """The process was asked to stop and what could be kept has been kept."""


def explain(error: BaseException) -> EngineError:
    """``error`` as an EngineError; those that nobody foresaw have the kind "internal"."""
    if isinstance(error, EngineError):
        return error
    if is_disk_full(error):
        return EngineError(
            "disk_full",
            f"The disk is full: {_first_line(error)}",
            "Free some space and start the run again; it goes on from its last checkpoint.",
        )
    if is_out_of_memory(error):
        return EngineError(
            "out_of_memory",
            f"Not enough memory: {_first_line(error)}",
            "Lower optimisation.token_budget (it does not change the result), then "
            "optimisation.max_length; or choose a smaller model.",
        )
    if "busy or unavailable" in str(error):  # CUDA's words for a device in exclusive use
        return EngineError(
            "device_taken",
            f"The device is used by another program: {_first_line(error)}",
            "End that program (nvidia-smi shows it), or wait for it, and start another round.",
        )
    return EngineError(
        "internal",
        f"{type(error).__name__}: {_first_line(error)}",
        "This was not foreseen. The traceback is in engine.log.",
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether ``error``, or what led to it, says that there is no room for a file."""
    while error is not None:
        full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if isinstance(error, OSError) and error.errno in full:
            return True
        text = str(error)  # safetensors and torch write files in their own ways
        if "No space left on device" in text or "PytorchStreamWriter failed writing" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that an allocation failed, on a GPU or on the CPU."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch here
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text
        or "DefaultCPUAllocator: can't allocate" in text
        or "bad_alloc" in text
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
