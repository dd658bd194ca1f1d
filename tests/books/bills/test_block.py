"""Rows read column by column: what `Cells` finds of each row alone, and every problem noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.bills.base import Cells, Money, Problem, cell_text
from inferworks.books.bills.block import Block, Memo, Memory, missing
from inferworks.books.bills.tables import Batch, Table

DAY_NS = 86_400 * 10**9
FILE = "bill.csv"


class Colour(StrEnum):
    """Names that a cell may have."""

    RED = "red"
    BLUE = "blue"


def a_block(
    columns: Mapping[str, Sequence[str]], memory: Memory | None = None, place: str = "line"
) -> tuple[Block, list[Problem]]:
    """A block of these columns from line 2 on, and where its problems are noted."""
    rows = len(next(iter(columns.values()), ()))
    problems: list[Problem] = []
    table = Table(tuple(columns), iter(()), place)
    return (
        Block(FILE, table, Batch(range(2, 2 + rows), columns), problems, memory or Memory()),
        problems,
    )


def texts(problems: Sequence[Problem]) -> list[str]:
    """The problems in words, by line."""
    return list(map(str, sorted(problems)))


def test_a_block_has_as_many_rows_as_lines() -> None:
    """Also none."""
    assert len(a_block({"a": ["x", "y"]})[0]) == 2
    assert len(a_block({"a": []})[0]) == len(a_block({})[0]) == 0


def test_a_column_that_is_missing_is_empty() -> None:
    """So a file of an older version reads like one whose cells are empty."""
    block, _ = a_block({"a": ["x", ""]})
    assert block.cells("b") == ["", ""]
    assert block.optional("b") == [None, None]
    assert block.optional_money_pico("b") == [None, None]


def test_texts_are_trimmed_and_nothing_is_none() -> None:
    """As for one cell: NULL and null are nothing, and so is white space."""
    cells = [" x ", "", "NULL", "null", "  ", "Null", "0"]
    block, problems = a_block({"a": cells})
    assert block.optional("a") == list(map(cell_text, cells))
    assert block.optional("a") is block.optional("a")
    assert problems == []


def test_the_first_column_with_a_text_counts() -> None:
    """Row by row, in the order in which the columns are named."""
    block, _ = a_block({"a": ["1", "", ""], "b": ["2", "2", ""], "c": ["3", "3", "3"]})
    assert block.first("a", "b", "c") == ["1", "2", "3"]
    assert block.first("a", "missing") == ["1", None, None]
    assert block.first("c", "a") == ["3", "3", "3"]


def test_a_text_that_must_be_there_is_noted_where_it_is_not() -> None:
    """With its line, its column and what stands in its place."""
    block, problems = a_block({"a": ["x", "", "NULL"]})
    assert block.text("a") == ["x", "", ""]
    assert texts(problems) == [
        "bill.csv, line 3, column a: '': must not be empty",
        "bill.csv, line 4, column a: 'NULL': must not be empty",
    ]


def test_problems_count_what_the_file_counts() -> None:
    """Rows of a Parquet file have no lines."""
    block, problems = a_block({"a": [""]}, place="row")
    block.note(0, "b", "is odd")
    block.note_where([0], "a", "must not be empty")
    assert texts(problems) == [
        "bill.csv, row 2, column a: '': must not be empty",
        "bill.csv, row 2, column b: '': is odd",
    ]


def test_amounts_are_exact_and_rounded_once() -> None:
    """A finer one keeps its text; an empty or wrong one is noted, and counts as nothing."""
    block, problems = a_block({"a": ["1.50", "1E-13", "-2", "", "x", "x"]})
    assert block.money("a") == [
        Money(1_500_000_000_000), Money(0, "1E-13"), Money(-2 * 10**12), Money(0), Money(0), Money(0),
    ]  # fmt: skip
    noted = texts(problems)
    assert noted[0] == "bill.csv, line 5, column a: '': must not be empty"
    assert [text.partition(": ")[0] for text in noted[1:]] == [
        "bill.csv, line 6, column a",
        "bill.csv, line 7, column a",
    ]


def test_an_amount_may_be_missing() -> None:
    """But not wrong."""
    block, problems = a_block({"a": ["1", "", "NULL", "many"]})
    assert block.optional_money_pico("a") == [10**12, None, None, None]
    assert [problem.line for problem in problems] == [5]


@pytest.mark.parametrize(
    ("start", "end", "wanted", "noted"),
    [
        ("1970-01-02", "1970-01-03", (DAY_NS, 2 * DAY_NS), []),
        ("1970-01-02T00:00:00Z", "1970-01-02T00:00:01+00:00", (DAY_NS, DAY_NS + 10**9), []),
        ("1970-01-01", "1970-01-02", (0, DAY_NS), []),
        ("1970-01-02", "1970-01-02", (DAY_NS, DAY_NS), ["end"]),
        ("1970-01-03", "1970-01-02", (2 * DAY_NS, DAY_NS), ["end"]),
        ("", "1970-01-02", (0, DAY_NS), ["start"]),
        ("yesterday", "", (0, 0), ["end", "start"]),
    ],
)
def test_periods_must_have_a_length(
    start: str, end: str, wanted: tuple[int, int], noted: list[str]
) -> None:
    """The first moment of 1970 is a moment; each wrong cell is noted, in a row of its own."""
    block, problems = a_block({"start": ["1970-01-02", start], "end": ["1970-01-03", end]})
    starts_ns, ends_ns = block.period_ns("start", "end")
    assert (starts_ns[0], ends_ns[0]) == (DAY_NS, 2 * DAY_NS)
    assert (starts_ns[1], ends_ns[1]) == wanted
    assert sorted(problem.column for problem in problems) == noted
    assert {problem.line for problem in problems} <= {3}


def test_a_choice_is_one_of_the_names_or_the_usual_one() -> None:
    """Another name is noted, and counts as the usual one of its row."""
    block, problems = a_block({"a": ["red", "", "Red", "blue"]})
    usual = [Colour.BLUE, Colour.BLUE, Colour.RED, Colour.RED]
    assert block.choice("a", Colour, usual) == [Colour.RED, Colour.BLUE, Colour.RED, Colour.BLUE]
    assert texts(problems) == ["bill.csv, line 4, column a: 'Red': must be one of red, blue"]
    assert block.choice("missing", Colour, usual) == usual


def test_formulas_that_we_escaped_are_restored() -> None:
    """In every column, and nothing else."""
    block, _ = a_block({"a": ["'=1+1", "'quoted'", "'-5"], "b": ["x", "'@y", ""]})
    assert block.restored() is block
    assert block.cells("a") == ["=1+1", "'quoted'", "'-5"]
    assert block.cells("b") == ["x", "@y", ""]


def test_unread_columns_are_pairs_in_json() -> None:
    """By name, without those that are read or empty."""
    block, _ = a_block({"b": ["x", ""], "a": ['"', "NULL"], "c": ["1", "2"]})
    found = [msgspec.json.decode(b"[%b]" % row) for row in block.unread(["c"])]
    assert found == [[["a", '"'], ["b", "x"]], []]
    assert block.unread(["a", "b", "c"]) == [b"", b""]


def test_columns_about_a_line_and_carried_ones_are_told_apart() -> None:
    """Each in its one form: a subject as text, what is carried as a number or a moment where it is one."""
    block, _ = a_block({
        "SkuId": [" 1.0 "], "Tags": ["{}"], "ListCost": ["1.00"], "x_At": ["1970-01-01"],
        "BillingAccountId": ["acct"], "Read": ["x"],
    })  # fmt: skip
    about, carried = (
        msgspec.json.decode(b"[%b]" % make(["Read"])[0]) for make in (block.about, block.carried)
    )
    assert about == [["SkuId", "1.0"]]
    assert carried == [["ListCost", "1"], ["Tags", "{}"], ["x_At", "0 ns"]]


def test_what_was_found_is_kept_for_the_next_block() -> None:
    """Each text is worked out once, and each wrong one is noted in every block."""
    asked: list[str] = []

    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    memory = Memory()
    for rows in (["a", "bb", "a"], ["bb", "ccc"]):
        assert a_block({"x": rows}, memory)[0].each("x", length) == list(map(len, rows))
    assert asked == ["a", "bb", "ccc"]
    for _ in range(2):
        block, problems = a_block({"x": ["wrong", "1"]}, memory)
        assert block.optional_money_pico("x") == [None, 10**12]
        assert [problem.value for problem in problems] == ["wrong"]


def test_results_are_kept_by_column_and_by_function() -> None:
    """So a text may be wrong in one column and right in another."""
    memory = Memory()
    assert memory.each("a", len, ["xx"]) == [2]
    assert memory.each("a", str.upper, ["xx"]) == ["XX"]
    assert memory.memo("a", len) is memory.memo("a", len)
    assert memory.memo("a", len) is not memory.memo("b", len)


def test_results_are_not_kept_where_nothing_repeats() -> None:
    """Ids that are new in each row would fill the memory; what is asked is answered all the same."""
    memo = Memo[int, int](abs)
    assert memo.each(range(5_000)) == list(range(5_000))
    assert (memo.repeats, len(memo)) == (False, 0)
    assert memo.each([-1, 7]) == [1, 7]
    assert len(memo) == 0
    repeating = Memo[int, int](abs)
    assert repeating.each([*range(5_000)] * 3) == [*range(5_000)] * 3
    assert (repeating.repeats, len(repeating)) == (True, 0)


def test_places_of_nothing() -> None:
    """An empty text is a text."""
    assert missing(["a", None, "", None]) == [1, 3]
    assert missing([]) == []


CELLS = st.sampled_from(
    ["", "NULL", " 1.50 ", "1E-13", "x", "1970-01-01", "1970-01-03T00:00:00Z", "red", "'=1"]
)
READERS: Mapping[str, tuple[Callable[[Block], Sequence[Any]], Callable[[Cells], Any]]] = {
    "optional": (lambda b: b.optional("a"), lambda c: c.optional("a")),
    "first": (lambda b: b.first("a", "b"), lambda c: c.first("a", "b")),
    "text": (lambda b: b.text("a"), lambda c: c.text("a")),
    "money": (lambda b: b.money("a"), lambda c: c.money("a")),
    "pico": (lambda b: b.optional_money_pico("a"), lambda c: c.optional_money_pico("a")),
    "period": (
        lambda b: list(zip(*b.period_ns("a", "b"), strict=True)),
        lambda c: c.period_ns("a", "b"),
    ),
    "choice": (
        lambda b: b.choice("a", Colour, [Colour.BLUE] * len(b)),
        lambda c: c.choice("a", Colour, Colour.BLUE),
    ),
    "unread": (
        lambda b: [
            tuple(map(tuple, msgspec.json.decode(b"[%b]" % row))) for row in b.unread(["b"])
        ],
        lambda c: c.unread(["b"]),
    ),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=12)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_a_block_reads_what_each_row_reads_alone(name: str, rows: list[tuple[str, str]]) -> None:
    """The problems are the same in any block, and without any the values; a file with one is refused."""
    columns, alone = READERS[name]
    block, problems = a_block({"a": [a for a, _ in rows], "b": [b for _, b in rows]})
    noted: list[Problem] = []
    cells = [
        Cells(FILE, line, {"a": a, "b": b}, noted) for line, (a, b) in enumerate(rows, start=2)
    ]
    found, wanted = list(columns(block)), [alone(one) for one in cells]
    assert texts(problems) == texts(noted)
    assert found == wanted or noted
