"""Prepare a release: give what is unreleased a version, or check that a version can be packed.

    python tools/release.py version 0.2.0   # sets the version, dates its section of CHANGELOG.md
    python tools/release.py check           # that section is there; its text goes to dist/NOTES.md

A release is what a tag names, so nothing is tagged here: the command that does is printed.
"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_OPEN = "## Unreleased\n"


class ReleaseError(Exception):
    """A reason not to release, in one line."""


def give_version(root: Path, version: str, today: dt.date) -> None:
    """Set the version of the package, and put what is unreleased under it.

    ReleaseError when it is no version, has a section already, or nothing is unreleased.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"{version!r} is no version; write MAJOR.MINOR.PATCH")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    if section(text, version) is not None:
        raise ReleaseError(
            f"CHANGELOG.md: {version} has a section already; choose the next version"
        )
    if not section(text, "Unreleased"):
        raise ReleaseError("CHANGELOG.md: nothing stands under Unreleased")
    dated = f"{_OPEN}\n## {version} - {today.isoformat()}\n"
    changelog.write_text(text.replace(_OPEN, dated, 1), "utf-8")
    package = root / "src" / "inferworks" / "__init__.py"
    code = _VERSION.sub(f'__version__ = "{version}"', package.read_text("utf-8"))
    package.write_text(code, "utf-8")


def notes(root: Path) -> tuple[str, str]:
    """Return the version of the package, and the text of its section in the changelog.

    ReleaseError when there is none.
    """
    code = (root / "src" / "inferworks" / "__init__.py").read_text("utf-8")
    found = _VERSION.search(code)
    if found is None:
        raise ReleaseError("src/inferworks/__init__.py: there is no __version__")
    text = section((root / "CHANGELOG.md").read_text("utf-8"), found[1])
    if not text:
        raise ReleaseError(
            f"CHANGELOG.md: {found[1]} has no section; make one with: make version VERSION={found[1]}"
        )
    return found[1], text


def section(changelog: str, version: str) -> str | None:
    """Return the text below a version's heading; None when there is no such heading."""
    head = re.escape(version) + (r" - \d{4}-\d\d-\d\d" if version != "Unreleased" else "")
    found = re.search(rf"^## {head}\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    return found and found[1].strip()


def uncommitted() -> str:
    """Return what is not committed, a line for each file."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["version", version]:
            give_version(ROOT, version, dt.datetime.now(dt.UTC).date())
            print(f"commit this as: Release {version}")
        case ["check"]:
            version, text = notes(ROOT)
            if changed := uncommitted():
                raise ReleaseError(
                    f"commit first; not committed: {' '.join(changed.split()[1::2])}"
                )
            (ROOT / "dist").mkdir(exist_ok=True)
            (ROOT / "dist" / "NOTES.md").write_text(text + "\n", "utf-8")
            print(f"once it is packed: git tag --annotate v{version} --file dist/NOTES.md")
        case _:
            raise ReleaseError(__doc__ or "")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ReleaseError as error:
        sys.exit(f"release: {error}")
