"""The drawing of the house, and the test that keeps to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "inferworks"

HOUSE = """
    __main__
    cli | console
    demo | simulation
    wiring
    testing
    api | planner
    cloud | books
    observe
    limits
    hardware | meter | accounts
    dialects
    catalog
    config
    http folder sqlite postgres metering
    money units purpose clock supervise ids secrets checksum choices misfit webhooks
    errors extras on_demand arrow redact visible log outlet files
    spreadsheet garbage
"""
"""A row may import the rows below it. Rooms joined by `|` do not import each other."""

WITHIN = {
    "books": """
    workspace
    exports
    analysis | repository
    bills
    closing | deliveries | engines
    statement
    accruals
    accounting
    allocation | revenue
    amounts charge currency lines period token_buckets
    calendar
""",
    "cloud": """
    serving
    providers | translate
    usage_parsers
    routing
    fleet
    call credentials
    bodies operation offer backends
""",
}
"""The same for the sub-packages and top-level files of a room that is large."""

DRIVERS = {
    "accounts.sharing": "accounts.sharing.base",
    "accounts.stores": "accounts.stores.base",
    "limits.stores": "limits.stores.base",
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

`books.engines` is none: its engines run the expressions of its other files, which others do import, and
DuckDB needs no fake, for it is in every installation, runs in this process and forgets everything.
"""

CHOSEN_BY_HEADER = {"books.bills": "books.workspace"}
"""Families that one more room may name.

A reader of bills is pure, and the header of a file chooses it, not the configuration: so the accounting
service knows all of them, and whoever opens a workspace can import whatever the command line can.
"""


class Drawing:
    """Rows of rooms, the uppermost first.

    Rooms of a row without bars may import their neighbours, as long as no cycle arises.
    """

    def __init__(self, text: str) -> None:
        rows = text.strip().splitlines()[::-1]
        self.level = {
            room: height
            for height, row in enumerate(rows)
            for room in row.replace("|", " ").split()
        }
        self.together = {room for row in rows if "|" not in row for room in row.split()}

    def check(self, here: str, there: str, what: str) -> None:
        """Fail when `here` may not import `there`."""
        assert here in self.level, f"{here} has no place in the drawing"
        beside = here != there and self.level[there] == self.level[here]
        assert self.level[there] <= self.level[here], f"{what}, which is above it"
        assert not beside or here in self.together, f"{what}, which is beside it"


MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


@cache
def imports(module: str) -> tuple[str, ...]:
    """Imports of this package that `module` makes, anywhere in the file."""
    return tuple(own_names(module))


def own_names(module: str) -> Iterator[str]:
    """Each name of this package that an import of `module` may mean."""
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


def test_imports_point_down() -> None:
    """No module imports from a room above its own, or from a room beside it."""
    house, within = Drawing(HOUSE), {name: Drawing(text) for name, text in WITHIN.items()}
    for module in MODULES.keys() - {"__init__"}:
        here = room(module)
        for other in (module, *imports(module)):
            there = room(other)
            house.check(here, there, f"{module} imports {other}")
            if here == there in within and module != here != other:
                names = (name.split(".")[1] for name in (module, other))
                within[here].check(*names, f"{module} imports {other}")


def test_a_large_room_is_one_screen() -> None:
    """A room with sub-packages has few files beside them."""
    for name in WITHIN:
        files = [one for one in (SOURCE / name).iterdir() if one.suffix == ".py"]
        assert len(files) <= 8, f"{name} has {len(files)} files in a row"


def test_only_wiring_names_drivers() -> None:
    """A driver is named by its own family, by the root of the composition and by tests alone."""
    for module in MODULES:
        if room(module) in {"wiring", "testing", "simulation", "cli", "__main__"}:
            continue
        for other in imports(module):
            for family, base in DRIVERS.items():
                outside = not module.startswith(family)
                inside = other.startswith(f"{family}.") and other != base
                chooses = module.startswith(f"{CHOSEN_BY_HEADER.get(family)}.")
                named = outside and inside and not chooses
                assert not named, f"{module} names the driver {other}"


def test_only_the_top_reads_the_configuration() -> None:
    """Configuration reaches the rooms as plain arguments."""
    readers = {m for m in MODULES if "config" in set(imports(m))}
    assert {room(m) for m in readers} <= {"wiring", "cli", "simulation"}


def test_there_is_no_cycle() -> None:
    """The modules can be put in an order in which each imports only earlier ones."""
    left = {module: set(imports(module)) - {module} for module in MODULES}
    while left:
        free = {module for module, needs in left.items() if not needs & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {module: needs for module, needs in left.items() if module not in free}


def test_no_cancellation_is_lost() -> None:
    """Nothing waits by `asyncio.wait_for`: Python 3.11's swallows a cancel that comes as the wait ends.

    Work that is cancelled once then goes on for ever, and whoever stops it waits as long.
    `asyncio.timeout` passes both on.
    """
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8").replace("def wait_for(", "")
        assert "wait_for(" not in text, f"{module} waits by asyncio.wait_for"


def test_every_fake_ships() -> None:
    """Each family of drivers has a base, a stub and at least one real driver."""
    for family in DRIVERS:
        folder = SOURCE / family.replace(".", "/")
        names = {path.stem for path in folder.iterdir() if not path.name.startswith("__")}
        assert {"base", "stub"} < names, f"{family} lacks a base or a stub: {sorted(names)}"


TAKES_LONG = re.compile(
    r"^(from|import) "
    r"(anthropic|ibis|langchain\w*|openai|pyspark|schemathesis|inferworks\.books\.engines)\b",
    re.MULTILINE,
)
IS_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


def test_no_quick_test_waits_for_a_long_import() -> None:
    """A file of tests that imports a client of others or an engine at its top is slow as a whole."""
    texts = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    found = {path for path, text in texts.items() if TAKES_LONG.search(text)}
    late = [str(path) for path in found if not IS_SLOW.search(texts[path])]
    assert not late, (
        f"these want `pytestmark = pytest.mark.slow`, or an import where it is used: {late}"
    )
