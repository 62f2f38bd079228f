"""Tar archives that are generated while they are sent."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from training.exports.archive import members_of, size_of, tar_of


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1_100_000])
def test_any_tar_reads_it_and_its_size_is_known(tmp_path: Path, size: int) -> None:
    (tmp_path / "deep" / ("n" * 120)).mkdir(parents=True)
    (tmp_path / "deep" / ("n" * 120) / "wörter.bin").write_bytes(b"x" * size)
    (tmp_path / "README.md").write_text("old")
    (tmp_path / ".hidden").write_text("not this")
    members = members_of(tmp_path, "top", {"README.md": "new ü"})
    data = b"".join(tar_of(members))
    assert len(data) == size_of(members)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert contents == {
        "top/README.md": "new ü".encode(),
        f"top/deep/{'n' * 120}/wörter.bin": b"x" * size,
    }


def test_a_file_that_shrinks_ends_the_sending(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    members = members_of(tmp_path, "top", {})
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(OSError, match="shorter"):
        list(tar_of(members))


def test_an_absent_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        members_of(tmp_path / "nowhere", "top", {})
