"""Bounded reading of configured files: regular ones only."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from inferworks.errors import ConfigError
from inferworks.files import read_bytes, text_of


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """As many bytes as may be are read, one more is refused."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bytes(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="it has more than 99 bytes") as refused:
        read_bytes(path, 99)
    assert refused.value.errno == errno.EFBIG
    assert refused.value.filename == str(path)


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    """Nothing is read, whatever the bound."""
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "empty", 0) == b""


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe without a writer would be waited for without an end; so would a device be read."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_bytes(path, 100)


def test_the_text_of_a_file_or_one_line_about_it(tmp_path: Path) -> None:
    """UTF-8, without its mark; else a refusal of the caller's kind that names the file and why."""
    path = tmp_path / "pools.toml"
    path.write_bytes(b"\xef\xbb\xbf\xc3\xbc = 1")
    assert text_of(path, "pools file") == "ü = 1"
    path.write_bytes(b"ab\xff")
    os.mkfifo(tmp_path / "pipe")
    for name, text in {
        "pools.toml": f"the pools file {path} is not UTF-8 text, at byte 2",
        "none": f"cannot read the pools file {tmp_path}/none: No such file or directory",
        "pipe": f"cannot read the pools file {tmp_path}/pipe: it is not a regular file; "
        "save what it has in one",
    }.items():
        with pytest.raises(ConfigError) as refused:
            text_of(tmp_path / name, "pools file", ConfigError)
        assert str(refused.value) == text


def test_a_link_leads_to_its_file(tmp_path: Path) -> None:
    """Secrets are often mounted as links; one that leads nowhere is an error."""
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "astray").symlink_to(tmp_path / "nothing")
    assert read_bytes(tmp_path / "link", 10) == b"s"
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "astray", 10)


def test_a_path_that_has_a_null_is_an_error_as_any_other() -> None:
    """No file can be called so."""
    with pytest.raises((OSError, ValueError)):
        read_bytes(Path("a\0b"), 10)
