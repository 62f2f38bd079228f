"""With WHETSTONE_CI set, a skip without a good reason fails the run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import NO_GPU, ROOT


@pytest.mark.parametrize(("reason", "status"), [(NO_GPU, 0), ("felt like it", 1)])
def test_a_skip_needs_a_good_reason(tmp_path, reason, status):
    test = tmp_path / "test_one.py"
    test.write_text(f"import pytest\ndef test_one(): pytest.skip({reason!r})\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", "pyproject.toml", test],
        cwd=ROOT,
        env={**os.environ, "WHETSTONE_CI": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stdout
    assert ("skipped without need" in result.stdout) == bool(status)
