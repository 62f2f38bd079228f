"""Errors explained: library errors are mapped to kinds that the rest of the code relies on."""

from __future__ import annotations

import errno

import pytest

from training.engine.errors import EngineError, explain


def wrapped(inner: Exception) -> Exception:
    """``inner`` as a library reports it: as the cause of the library's own error."""
    try:
        try:
            raise inner
        except Exception as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "disk_full"),
        (OSError(errno.EFBIG, "File too large"), "disk_full"),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/3"), "disk_full"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (RuntimeError("std::bad_alloc"), "out_of_memory"),
        (RuntimeError("CUDA-capable device(s) is/are busy or unavailable"), "device_taken"),
        (OSError(errno.EACCES, "Permission denied"), "internal"),
        (EngineError("bad_data", "no pairs"), "bad_data"),
    ],
)
def test_an_error_has_a_kind_and_words(error: Exception, kind: str) -> None:
    explanation = explain(error)
    assert explanation.kind == kind
    assert explanation.message
