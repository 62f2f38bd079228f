"""A folder as a tar archive, made while it is sent: nothing is written, and its size is known."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

BLOCK = 512
RECORD = 10_240
PIECE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of the archive: from the disk, or a text of ours."""

    name: str
    size: int
    modified: int
    source: Path | bytes

    def header(self) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.size, info.mtime, info.mode = self.size, self.modified, 0o644
        return info.tobuf(tarfile.PAX_FORMAT)

    @property
    def padding(self) -> int:
        return -self.size % BLOCK


def members_of(folder: Path, top: str, texts: Mapping[str, str]) -> list[Member]:
    """All files below ``folder``, under ``top``; ``texts`` take the place of files of their name.

    Raises FileNotFoundError where the folder is gone. What begins with a dot stays out.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    members = []
    newest = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
            status = path.stat()
            newest = max(newest, int(status.st_mtime))
            if name not in texts:
                member = Member(f"{top}/{name}", status.st_size, int(status.st_mtime), path)
                members.append(member)
    for name, text in texts.items():
        data = text.encode()
        members.append(Member(f"{top}/{name}", len(data), newest, data))
    return sorted(members, key=lambda member: member.name)


def size_of(members: list[Member]) -> int:
    """Bytes of the whole archive."""
    held = (
        sum(len(member.header()) + member.size + member.padding for member in members) + 2 * BLOCK
    )
    return held + -held % RECORD


def tar_of(members: list[Member]) -> Iterator[bytes]:
    """The archive, a piece at a time. Raises OSError where a file has become shorter."""
    sent = 0
    for member in members:
        header = member.header()
        yield header
        left = member.size
        with _opened(member) as file:
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(f"{member.name} has become shorter while it was sent")
                left -= len(piece)
                yield piece
        yield b"\0" * member.padding
        sent += len(header) + member.size + member.padding
    yield b"\0" * (size_of(members) - sent)


def _opened(member: Member) -> BinaryIO:
    return BytesIO(member.source) if isinstance(member.source, bytes) else member.source.open("rb")
