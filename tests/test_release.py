"""Preparing a release: versions, the changelog, and the reasons not to."""

from __future__ import annotations

import datetime as dt
import re
import runpy
from pathlib import Path

import pytest

from inferworks import __version__

ROOT = Path(__file__).parent.parent
RELEASE = runpy.run_path(str(ROOT / "tools" / "release.py"))
DAY = dt.date(2027, 1, 31)
CHANGES = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.1.0 - 2026-12-01\n\n- The first.\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository of two files."""
    package = tmp_path / "src" / "inferworks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A package."""\n\n__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGES)
    return tmp_path


def test_a_version_takes_what_is_unreleased(root: Path) -> None:
    """Its section is dated, the next one begins empty above it, and its text is the release's notes."""
    assert RELEASE["notes"](root) == ("0.1.0", "- The first.")
    RELEASE["give_version"](root, "0.2.0", DAY)
    assert RELEASE["notes"](root) == ("0.2.0", "### Added\n- A thing.")
    text = (root / "CHANGELOG.md").read_text()
    assert "## Unreleased\n\n## 0.2.0 - 2027-01-31\n\n### Added\n" in text
    assert text.endswith(CHANGES.partition("- A thing.\n")[2])


@pytest.mark.parametrize(
    ("version", "why"),
    [("0.1.0", "has a section already"), ("next", "no version"), ("1.0", "no version")],
)
def test_a_version_that_cannot_be_is_refused(root: Path, version: str, why: str) -> None:
    """Nothing is written then."""
    with pytest.raises(RELEASE["ReleaseError"], match=why):
        RELEASE["give_version"](root, version, DAY)
    assert (root / "CHANGELOG.md").read_text() == CHANGES


def test_nothing_new_is_no_release(root: Path) -> None:
    """Twice in a row is refused: the second has nothing to say."""
    RELEASE["give_version"](root, "0.2.0", DAY)
    with pytest.raises(RELEASE["ReleaseError"], match="nothing stands under Unreleased"):
        RELEASE["give_version"](root, "0.3.0", DAY)


def test_a_version_without_a_section_is_refused(root: Path) -> None:
    """The refusal says how to make one."""
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    with pytest.raises(RELEASE["ReleaseError"], match=r"make version VERSION=0\.1\.0"):
        RELEASE["notes"](root)


def test_the_changelog_has_one_open_section_and_dated_ones() -> None:
    """Headings are Unreleased, then versions with their days, newest first and none beyond ours."""
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head) for head in heads[1:])
    versions = [tuple(map(int, head.split()[0].split("."))) for head in heads[1:]]
    assert versions == sorted(set(versions), reverse=True)
    assert not versions or heads[1].split()[0] == __version__
