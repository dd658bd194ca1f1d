"""One module with every suite, so that nobody has to know where each lives."""

from __future__ import annotations

import ast
from pathlib import Path

from inferworks.testing import conformance


def test_each_suite_is_there_and_described() -> None:
    """A module of suites has its first one there, which calls the others of its module."""
    folder = Path(conformance.__file__).parent
    firsts = []
    for path in sorted(folder.glob("*.py")):
        names = [
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("check_")
        ]
        firsts += names[:1]
    assert sorted(firsts) == conformance.__all__
    assert conformance.__doc__ is not None
    page = (Path(__file__).parents[2] / "docs/api.md").read_text()
    for name in conformance.__all__:
        assert callable(getattr(conformance, name))
        assert f"`{name}`" in conformance.__doc__
        assert f"`{name}`" in page
