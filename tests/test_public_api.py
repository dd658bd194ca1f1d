"""The public face: a list that is pinned, typed, documented, and loaded when it is asked for."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.old_folder import unpack_old_folder

import inferworks

FACE = Path(inferworks.__file__)
PROMISED = [
    "Accounts", "Backend", "BillError", "BillReader", "BooksError", "CallError", "Clock",
    "DataFolderError", "Dimension", "Engine", "Exporter", "ImportOptions", "InferworksError",
    "JournalError", "JournalStore", "LakeError", "LakeStore", "Money", "MoneyError", "Provider",
    "Purpose", "Rate", "UpstreamError", "UserError", "Workspace", "__version__", "format_pico",
    "metered", "open_books", "parse_pico", "split",
]  # fmt: skip
"""A change of this list breaks or binds other people's programs: it wants a version and the changelog."""


def test_the_list_is_pinned() -> None:
    """Nothing is added or taken away without this list and the changelog."""
    assert inferworks.__all__ == PROMISED
    assert dir(inferworks) == sorted(PROMISED)


def test_every_name_is_loaded_and_documented() -> None:
    """Each is what type checkers see, has a docstring, and is defined where the table says."""
    typed = {
        alias.name: node.module
        for block in ast.parse(FACE.read_text("utf-8")).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed.keys() == set(PROMISED) - {"__version__"}
    for name, module in typed.items():
        thing = getattr(inferworks, name)
        assert thing.__module__ == module
        assert inspect.getdoc(thing)


@pytest.fixture(scope="module")
def month_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `inferworks-data` are the books of a made-up company, two months of them closed."""
    return unpack_old_folder(tmp_path_factory.mktemp("month-end"))


@pytest.mark.parametrize("name", [name for name in PROMISED if name != "__version__"])
def test_examples_are_right(name: str, month_end: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docstring's examples give what they show."""
    monkeypatch.chdir(month_end)
    thing = getattr(inferworks, name)
    known = {public: getattr(inferworks, public) for public in PROMISED}
    for one in doctest.DocTestFinder(recurse=False).find(thing, name, globs=known):
        assert doctest.DocTestRunner().run(one).failed == 0


def test_an_import_loads_nothing() -> None:
    """No module of the package but itself, and none of others."""
    program = (
        "import sys; before = set(sys.modules); import inferworks; "
        "print(*sorted(name for name in set(sys.modules) - before if name.partition('.')[0] not in"
        " sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["inferworks"]
