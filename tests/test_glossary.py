"""The glossary: words in order; names of standards are names that the code uses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
CODE = "".join(
    path.read_text("utf-8") for kind in ("*.py", "*.toml") for path in (ROOT / "src").rglob(kind)
)
SECTIONS = {
    part.partition("\n")[0]: [
        line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")
    ][1:]
    for part in GLOSSARY.split("\n## ")[1:]
}


def test_words_are_in_order_and_stand_once() -> None:
    """Alphabetical within a section; no word has two meanings; each has a meaning and a source."""
    words = []
    for rows in SECTIONS.values():
        names = [row[0].lower() for row in rows]
        assert names == sorted(names)
        words += [word for name in names for word in name.split(", ")]
        assert all(len(row) == 3 and all(row) for row in rows)
    assert len(words) == len(set(words))


def test_names_of_standards_are_ones_that_the_code_uses() -> None:
    """A column of FOCUS or an attribute of OpenTelemetry that stands here is read or written somewhere."""
    for rows in SECTIONS.values():
        for *_, source in rows:
            if source.startswith(("FOCUS", "OTel")):
                for name in re.findall(r"`([\w.]+)`", source):
                    assert f'"{name}"' in CODE, name
