"""The language of the code: a docstring says what a thing is or does, and asks nothing.

A docstring begins with a noun or an imperative verb: "Rating key of a call", "Return the offers in order".
One that begins with "What", "How" or "Whoever" makes its reader solve a riddle first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASKS = re.compile(
    r"(What|How|Whether|Who|Whom|Whose|Where|Why|When|Which)(ever)?\b|(That|Those|It|They|He|She)\b"
)
"""Words that begin no docstring: interrogatives, and pronouns whose noun is elsewhere."""
NOT_YET = {
    "src/inferworks": "",
}
"""The folders whose docstrings are yet to be written anew; `.` are the files beside them."""


def riddles(path: Path) -> Iterator[str]:
    """Yield the first line of each docstring in a file that begins as it should not, with its place."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if ASKS.match(text):
                line = 1 if isinstance(node, ast.Module) else node.lineno
                yield f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"


@pytest.mark.parametrize("top", ["src/inferworks", "tests", "tools", "benchmarks", "examples"])
def test_docstrings_begin_with_a_noun_or_a_verb(top: str) -> None:
    """A reader knows from its first word what a thing is, or what it does."""
    found = []
    for path in sorted((ROOT / top).rglob("*.py")):
        folder, _, rest = path.relative_to(ROOT / top).as_posix().partition("/")
        if (folder if rest else ".") not in NOT_YET.get(top, "").split():
            found += riddles(path)
    assert not found, "\n".join([f"{len(found)} docstrings ask, or have no noun:", *found])


def test_the_rule_knows_a_riddle(tmp_path: Path) -> None:
    """Interrogatives and pronouns are found wherever a docstring is; nouns and verbs are not."""
    assert all(
        map(ASKS.match, ("What it costs.", "Whoever asks.", "Whether so.", "Those in force."))
    )
    assert not any(map(ASKS.match, ("Whatsoever", "Itemised bill.", "Return it.", "Whole tokens.")))
