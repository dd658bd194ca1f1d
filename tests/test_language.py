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
QUOTED = re.compile(rf"[\"'](\\\n)?\s*({ASKS.pattern})")
"""One of them at the beginning of any text: files without it need not be parsed."""
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
"""Nodes whose first statement may be a docstring."""


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring: of modules, classes, functions, fields and constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for place, one in enumerate(body if isinstance(body, list) else ()):
            is_first = place == 0 and isinstance(node, DOCUMENTED)
            if not is_first and not isinstance(body[place - 1], ast.Assign | ast.AnnAssign):
                continue
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                text = one.value.value
                if isinstance(text, str):
                    yield one.lineno, text.strip()


def riddles(path: Path) -> Iterator[str]:
    """Yield the first line of each docstring in a file that begins as it should not, with its place."""
    source = path.read_text("utf-8")
    for line, text in docstrings(ast.parse(source)) if QUOTED.search(source) else ():
        if ASKS.match(text):
            yield f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("top", ["src/inferworks", "tests", "tools", "benchmarks", "examples"])
def test_docstrings_begin_with_a_noun_or_a_verb(top: str) -> None:
    """A reader knows from its first word what a thing is, or what it does."""
    found = [one for path in sorted((ROOT / top).rglob("*.py")) for one in riddles(path)]
    assert not found, "\n".join([f"{len(found)} docstrings ask, or have no noun:", *found])


def test_the_rule_knows_a_riddle() -> None:
    """Interrogatives and pronouns are found wherever a docstring is; nouns and verbs are not."""
    asking = ("What it costs.", "Whoever asks.", "Whether so.", "Those in force.")
    assert all(map(ASKS.match, asking))
    for opening in ("'", '"', "'''", '"""', '"""\n    ', '"""\\\n', 'r"""'):
        assert all(QUOTED.search(f"{opening}{text}") for text in asking)
    assert not any(map(ASKS.match, ("Whatsoever", "Itemised bill.", "Return it.", "Whole tokens.")))


def test_every_kind_of_docstring_is_read() -> None:
    """Docstrings of modules, classes, functions, fields and constants are found, other texts are not."""
    source = (
        "'module'\nONE = 1\n'constant'\n'loose'\nclass A:\n  'class'\n  b: int\n  'field'\n"
        "  def f(self):\n    'function'\n    return 'value'\n"
    )
    found = {text for _, text in docstrings(ast.parse(source))}
    assert found == {"module", "constant", "class", "field", "function"}
