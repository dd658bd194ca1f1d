"""A billable unit is one row, and every other module reads the rows."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import inferworks
from inferworks.catalog.units import BILLABLE, DIRECTIONS, INPUT, OUTPUT, PARTS, PRICED_BY, buckets
from inferworks.meter.events import CallData
from inferworks.meter.usage import COUNT_COLUMNS, ITEM_UNITS, TOKEN_UNITS, Items, Tokens
from inferworks.units import Unit

SOURCE = Path(inferworks.__file__).parent
NAMES = frozenset(
    {*BILLABLE, *(unit.name for unit in BILLABLE)}
    | {*Tokens.__struct_fields__, *Items.__struct_fields__}
)
"""Spellings of a unit: its value, its name in `Unit`, its field of `Tokens` or `Items`."""
MOST = 5
"""Names of units that a list may spell out; more are a list of the units."""
WHERE_THEY_STAND = {
    "units.py": "names them",
    "meter/usage.py": "counts them",
    "meter/events.py": "declares what others report, for the API's description",
    "api/usage.py": "declares what a customer is told, in the words of OpenAI's usage API",
}


def lists_of_units(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each list, dict, class or signature that names more than `MOST` units."""
    for node in ast.walk(tree):
        match node:
            case ast.List(elts=parts) | ast.Set(elts=parts) | ast.Tuple(elts=parts):
                pass
            case ast.Dict(keys=keys):
                parts = [key for key in keys if key is not None]
            case ast.FunctionDef(args=args):
                if sum(one.arg in NAMES for one in (*args.args, *args.kwonlyargs)) > MOST:
                    yield node.lineno
                continue
            case ast.ClassDef(body=body):
                targets = (one.target for one in body if isinstance(one, ast.AnnAssign))
                assigned = (one.targets[0] for one in body if isinstance(one, ast.Assign))
                parts = [*targets, *assigned]
            case _:
                continue
        if sum(any(map(names_a_unit, ast.walk(part))) for part in parts) > MOST:
            yield node.lineno


def names_a_unit(node: ast.AST) -> bool:
    """Return whether `node` is the name of a unit: as a text, an attribute or a field."""
    match node:
        case ast.Constant(value=str() as name) | ast.Attribute(attr=name) | ast.Name(id=name):
            return name in NAMES
    return False


@pytest.mark.slow
def test_no_other_module_lists_the_units() -> None:
    """A new unit needs its row and its name: no dict, list or class elsewhere spells the units out."""
    found = {
        path.relative_to(SOURCE).as_posix(): line
        for path in sorted(SOURCE.rglob("*.py"))
        for line in lists_of_units(ast.parse(path.read_text("utf-8")))
    }
    assert found.keys() == WHERE_THEY_STAND.keys(), found


def test_a_list_of_units_is_found() -> None:
    """Dicts, tuples and fields that name most units are found; a few names are not a list."""
    names = [f"Unit.{unit.name}" for unit in BILLABLE][: MOST + 1]
    for text in (f"[{', '.join(names)}]", "{" + ", ".join(f"{name}: 1" for name in names) + "}"):
        assert list(lists_of_units(ast.parse(text))) == [1]
    assert not list(lists_of_units(ast.parse(f"[{', '.join(names[:MOST])}]")))


def test_each_count_of_a_call_is_a_row() -> None:
    """Counts of a call, counts that others report and rows are the same units; a request is one itself."""
    assert {*TOKEN_UNITS, *ITEM_UNITS, Unit.REQUESTS} == BILLABLE.keys()
    assert set(TOKEN_UNITS) == DIRECTIONS.keys()
    reported = {field.name for field in msgspec.structs.fields(CallData)}
    assert set(COUNT_COLUMNS) <= reported


def test_rows_stand_in_the_order_of_the_units() -> None:
    """Rows are in the order of `Unit`, in which bills and price books have always shown them."""
    assert list(BILLABLE) == [unit for unit in Unit if unit in BILLABLE]


@pytest.mark.parametrize("unit", DIRECTIONS)
def test_a_unit_pays_the_price_of_what_it_is_part_of(unit: Unit) -> None:
    """A unit pays its own price, else that of its whole, and at last that of its side of the call."""
    first, *others = PRICED_BY[unit]
    assert first is unit
    whole = {INPUT: Unit.INPUT_TOKENS, OUTPUT: Unit.OUTPUT_TOKENS}[DIRECTIONS[unit]]
    assert [unit, *others][-1] is whole
    parts = [parts for parts in PARTS if unit in parts]
    assert (unit is whole) == (not parts)
    assert [PARTS[one] for one in parts] == others[:1]


def test_buckets_hold_each_token_once() -> None:
    """Parts are taken out of their totals: an hour's cache out of the cache, a modality out of the rest."""
    tokens = Tokens(
        input=1000,
        output=500,
        cache_read=100,
        reasoning=50,
        cache_write=200,
        cache_write_1h=30,
        input_audio=650,
        output_audio=20,
        input_image=300,
        output_image=10,
    )
    counts = dict(zip(TOKEN_UNITS, msgspec.structs.astuple(tokens), strict=True))
    found = buckets(counts.__getitem__, operator.sub, min)
    assert list(found.items()) == [
        (Unit.INPUT_TOKENS, 0),
        (Unit.CACHE_READ_TOKENS, 100),
        (Unit.CACHE_WRITE_TOKENS, 170),
        (Unit.CACHE_WRITE_1H_TOKENS, 30),
        (Unit.INPUT_AUDIO_TOKENS, 650),
        (Unit.INPUT_IMAGE_TOKENS, 50),
        (Unit.OUTPUT_TOKENS, 420),
        (Unit.REASONING_TOKENS, 50),
        (Unit.OUTPUT_AUDIO_TOKENS, 20),
        (Unit.OUTPUT_IMAGE_TOKENS, 10),
    ]
