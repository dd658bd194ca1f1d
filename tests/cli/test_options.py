"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferworks.cli.options import data_folder, free_place, moment_ns, read_config
from inferworks.errors import UserError


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """The first free name beside the ones that are taken; the ending stays."""
    report = tmp_path / "report.html"
    found = []
    for _ in range(3):
        place = free_place(report)
        place.touch()
        found.append(place.name)
    assert found == ["report.html", "report-2.html", "report-3.html"]
    (tmp_path / "report-2.html").unlink()
    assert free_place(report).name == "report-2.html"


def test_the_command_line_names_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the configuration, which is before the default."""
    monkeypatch.chdir(tmp_path)
    assert data_folder(None, None).path == Path("inferworks-data")
    Path("inferworks.toml").write_text('[data]\nfolder = "elsewhere"\n')
    assert data_folder(None, None).path == Path("elsewhere")
    assert data_folder(None, Path("here")).path == Path("here")
    Path("other.toml").write_text('[data]\nfolder = "another"\n')
    assert read_config(Path("other.toml")).data.folder == "another"


def test_a_moment_may_be_copied_from_what_we_print() -> None:
    """With our own UTC behind it; what is none is refused with the option's name."""
    assert moment_ns("1970-01-01 00:00:01 UTC", "--at") == moment_ns("1970-01-01T00:00:01Z", "--at")
    with pytest.raises(UserError, match="--at 'noon': not a moment"):
        moment_ns("noon", "--at")
