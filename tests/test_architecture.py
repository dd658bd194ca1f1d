"""The drawing of the house, and the test that keeps to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "inferworks"

HOUSE = """
    __main__
    cli | console
    demo
    wiring
    testing
    api | planner
    cloud | books
    observe
    hardware | meter | accounts
    catalog
    config
    http folder metering
    money units purpose clock ids secrets errors
"""
"""A row may import the rows below it. Rooms joined by `|` do not import each other."""

DRIVERS = {
    "accounts.stores": "accounts.stores.base",
    "meter.stores": "meter.stores.base",
    "meter.lakes": "meter.lakes.base",
    "cloud.providers": "cloud.providers.base",
    "cloud.backends": "cloud.backends.base",
    "cloud.credentials": "cloud.credentials.base",
    "books.bills": "books.bills.base",
    "hardware.engines": "hardware.engines.base",
    "observe.exporters": "observe.exporters.base",
}
"""Families of drivers and the one file of each that others may import.

`books.engine` is none: its engines run the expressions of its other files, which others do import, and
DuckDB needs no fake, for it is in every installation, runs in this process and forgets everything.
"""

ROWS = [row.replace("|", " ").split() for row in HOUSE.strip().splitlines()]
APART = [row.split() for row in HOUSE.strip().splitlines() if "|" not in row]
LEVEL = {room: len(ROWS) - height for height, row in enumerate(ROWS) for room in row}
TOGETHER = {room for row in APART for room in row}
"""Rooms of a row without bars may import their neighbours, as long as no cycle arises."""

MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def imports(module: str) -> Iterator[str]:
    """What `module` imports of this package, wherever in the file it does."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            own = name.removeprefix("inferworks.")
            if own != name and own in MODULES:
                yield own


def room(module: str) -> str:
    """The room a module lies in."""
    return module.split(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if m not in {"", "__init__"}])
def test_imports_point_down(module: str) -> None:
    """No module imports from a room above its own, or from a room beside it."""
    here = room(module)
    assert here in LEVEL, f"{here} has no place in the drawing"
    for other in imports(module):
        there = room(other)
        beside = here != there and LEVEL[there] == LEVEL[here] and here not in TOGETHER
        assert LEVEL[there] <= LEVEL[here], f"{module} imports {other}, which is above it"
        assert not beside, f"{module} imports {other}, which is beside it"


@pytest.mark.parametrize("module", [m for m in MODULES if m not in {"", "__init__"}])
def test_only_wiring_names_drivers(module: str) -> None:
    """A driver is named by its own family, by the root of the composition and by tests alone."""
    if room(module) in {"wiring", "testing", "cli", "__main__"}:
        return
    for other in imports(module):
        for family, base in DRIVERS.items():
            outside = not module.startswith(family)
            inside = other.startswith(f"{family}.") and other != base
            assert not (outside and inside), f"{module} names the driver {other}"


def test_only_the_top_reads_the_configuration() -> None:
    """Configuration reaches the rooms as plain arguments."""
    readers = {m for m in MODULES if "config" in set(imports(m))}
    assert {room(m) for m in readers} <= {"wiring", "cli"}


def test_there_is_no_cycle() -> None:
    """The modules can be put in an order in which each imports only earlier ones."""
    left = {module: set(imports(module)) - {module} for module in MODULES}
    while left:
        free = {module for module, needs in left.items() if not needs & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {module: needs for module, needs in left.items() if module not in free}


def test_every_fake_ships() -> None:
    """Each family of drivers has a base, a stub and at least one real driver."""
    for family in DRIVERS:
        folder = SOURCE / family.replace(".", "/")
        names = {path.stem for path in folder.iterdir() if not path.name.startswith("__")}
        assert {"base", "stub"} < names, f"{family} lacks a base or a stub: {sorted(names)}"
