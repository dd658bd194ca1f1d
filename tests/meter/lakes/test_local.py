"""A lake in a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from inferworks.errors import LakeError
from inferworks.meter.lakes.local import Files, LocalLake


class FullDisk(Files):
    """A disk with room for a part of a file."""

    def write(self, path: Path, data: bytes) -> None:
        """Write half of it."""
        path.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_half(tmp_path: Path) -> None:
    """No object and no part of one is left by a full disk, and earlier objects stay."""
    LocalLake(tmp_path).put("a/b", b"before")
    lake = LocalLake(tmp_path, FullDisk())
    for write in (lake.put, lake.create):
        with pytest.raises(LakeError, match=r"a/b: cannot be written .*: No space left on device"):
            write("a/b", b"after that")
    assert lake.get("a/b") == b"before"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b"]


def test_what_a_kill_left_is_swept_away(tmp_path: Path) -> None:
    """An unnamed file of a process that died goes with the next put, once it is an hour old."""
    lake = LocalLake(tmp_path)
    lake.put("a/b", b"")
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    LocalLake(tmp_path).put("a/b", b"")
    assert young.exists()
    assert not old.exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A lake in the place of a file is one clear line."""
    (tmp_path / "lake").write_text("")
    lake = LocalLake(tmp_path / "lake")
    with pytest.raises(LakeError, match="cannot be written"):
        lake.put("a/b", b"")
    with pytest.raises(LakeError, match="cannot be read"):
        lake.get("a/b")
