"""The room of wire types as a whole: what may be in it, and that nothing is in it twice."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import inferworks.dialects

FILES = sorted(Path(inferworks.dialects.__path__[0]).glob("*.py"))


def structs() -> Iterator[type[msgspec.Struct]]:
    """Every struct of the room."""
    for found in pkgutil.iter_modules(inferworks.dialects.__path__):
        module = importlib.import_module(f"inferworks.dialects.{found.name}")
        for kind in vars(module).values():
            is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
            if is_struct and kind.__module__ == module.__name__:
                yield kind


STRUCTS = list(structs())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wire_type_knows_no_other_room(path: Path) -> None:
    """A file has types, enums and conventions: it imports its own room alone, and waits for nothing."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.With)
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            own = module.startswith("inferworks.dialects.")
            assert own or not module.startswith("inferworks"), module


def test_no_type_is_stated_twice() -> None:
    """Two types of one file differ in a field, in its type or in its default."""
    seen: dict[object, str] = {}
    for kind in STRUCTS:
        fields = {
            (field.encode_name, str(field.type), str(field.default), str(field.default_factory))
            for field in msgspec.structs.fields(kind)
        }
        key = (kind.__module__, frozenset(fields))
        assert key not in seen, f"{kind.__qualname__} is {seen[key]} again"
        seen[key] = kind.__qualname__


@pytest.mark.parametrize(
    "kind",
    [k for k in STRUCTS if k.__name__.startswith("Metered") or hasattr(k, "needed")],
    ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}",
)
def test_an_answer_may_leave_anything_out(kind: type[msgspec.Struct]) -> None:
    """Types that are read leniently have a default for every field, and need only fields they have."""
    assert isinstance(msgspec.json.decode(b"{}", type=kind), kind)
    assert getattr(kind, "needed", frozenset()) <= set(kind.__struct_fields__)
