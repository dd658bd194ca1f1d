"""Any value of any Arrow type is a text or a problem that says why."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pyarrow import parquet

from inferworks.books.bills.arrow import arrow_text, arrow_texts, exact_digits
from inferworks.books.bills.base import Problem, bill_file, no_progress, read_rows

Arrays = st.SearchStrategy[pa.Array]

INT32 = pa.int32()
UNITS, ZONES = ("s", "ms", "us", "ns"), (None, "UTC", "Europe/Berlin", "+23:59", "No/Where")
BITS = {
    8: [pa.int8(), pa.uint8()],
    16: [pa.int16(), pa.uint16(), pa.float16()],
    32: [INT32, pa.uint32(), pa.float32(), pa.date32(), pa.time32("s"), pa.time32("ms"),
         pa.decimal32(9, 4)],
    64: [pa.int64(), pa.uint64(), pa.float64(), pa.date64(), pa.time64("us"), pa.time64("ns"),
         pa.decimal64(18, 3), *map(pa.duration, UNITS),
         *(pa.timestamp(unit, zone) for unit in UNITS for zone in ZONES)],
    128: [pa.decimal128(38, 12), pa.decimal128(38, -5), pa.month_day_nano_interval(), pa.binary(16)],
    256: [pa.decimal256(76, 30), pa.decimal256(76, -3)],
}  # fmt: skip
"""Types of a fixed width, of so many bits, which may be any."""
BYTES = {
    pa.binary(): pa.binary(), pa.large_binary(): pa.large_binary(), pa.binary_view(): pa.binary_view(),
    pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view(),
}  # fmt: skip
"""Types of bytes, and what holds them without looking whether they are UTF-8."""


class Own(pa.ExtensionType):
    """A type that only its maker knows."""

    def __init__(self, storage: pa.DataType) -> None:
        super().__init__(storage, "own")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, _serialized: bytes) -> Own:
        return cls(storage_type)


def of_bits(width: int, kind: pa.DataType) -> Arrays:
    """Arrays of `kind` with any bits, among them nulls."""
    size = width // 8
    extremes = [b"\0" * size, b"\xff" * size, b"\xff" * (size - 1) + b"\x7f"]
    cells = st.none() | st.binary(min_size=size, max_size=size) | st.sampled_from(extremes)

    def build(values: list[bytes | None]) -> pa.Array:
        plain = pa.array(values, pa.binary(size))
        return pa.Array.from_buffers(kind, len(plain), plain.buffers())

    return st.lists(cells, min_size=1, max_size=4).map(build)


def of_bytes(kind: pa.DataType, stored: pa.DataType) -> Arrays:
    """Arrays of `kind` with any bytes, whether they are UTF-8 or not."""
    cells = st.none() | st.binary(max_size=20) | st.text(max_size=6).map(str.encode)
    return st.lists(cells, min_size=1, max_size=4).map(lambda v: pa.array(v, stored).view(kind))


FLAT: dict[pa.DataType, Arrays] = {
    pa.null(): st.lists(st.none(), min_size=1, max_size=3).map(pa.array),
    pa.bool_(): st.lists(st.booleans(), min_size=1, max_size=3).map(pa.array),
    **{kind: of_bits(width, kind) for width, kinds in BITS.items() for kind in kinds},
    **{kind: of_bytes(kind, stored) for kind, stored in BYTES.items()},
    pa.uuid(): of_bits(128, pa.binary(16)).map(partial(pa.ExtensionArray.from_storage, pa.uuid())),
}


def paired(items: pa.Array, others: pa.Array) -> list[pa.Array]:
    """Both, as long as the shorter one."""
    size = min(len(items), len(others))
    return [items[:size], others[:size]]


def counted(items: pa.Array, first: int = 0, more: int = 0, kind: pa.DataType = INT32) -> pa.Array:
    """As many numbers as there are items, and some more."""
    return pa.array(range(first, first + len(items) + more), kind)


def one_map(items: pa.Array, others: pa.Array) -> pa.Array:
    """One map of all that are not null, whose keys may be alike."""
    keys, values = paired(items.drop_null(), others)
    return pa.MapArray.from_arrays([0, len(keys)], keys, values)


def sparse(items: pa.Array, others: pa.Array) -> pa.Array:
    """Either the one or the other."""
    children = paired(items, others)
    which = pa.array([place % 2 for place in range(len(children[0]))], pa.int8())
    return pa.UnionArray.from_sparse(which, children)


def dense(items: pa.Array, others: pa.Array) -> pa.Array:
    """The one and then the other."""
    which = pa.array([0] * len(items) + [1] * len(others), pa.int8())
    places = pa.array([*range(len(items)), *range(len(others))], INT32)
    return pa.UnionArray.from_dense(which, places, [items, others])


NESTED: list[Callable[[pa.Array, pa.Array], pa.Array]] = [
    lambda items, _: pa.ListArray.from_arrays(counted(items, more=1), items),
    lambda items, _: pa.LargeListArray.from_arrays(counted(items, more=1, kind=pa.int64()), items),
    lambda items, _: pa.FixedSizeListArray.from_arrays(items, 1),
    lambda items, _: pa.ListViewArray.from_arrays(counted(items), pa.array([1] * len(items), INT32), items),
    lambda items, others: pa.StructArray.from_arrays(paired(items, others), ["a", "b"]),
    lambda items, others: pa.StructArray.from_arrays(paired(items, others), ["a", "a"]),
    one_map, sparse, dense,
    lambda items, _: pa.DictionaryArray.from_arrays(counted(items), items),
    lambda items, _: pa.RunEndEncodedArray.from_arrays(counted(items, first=1), items),
    lambda items, _: pa.ExtensionArray.from_storage(Own(items.type), items),
]  # fmt: skip


@st.composite
def nested(draw: st.DrawFn, inner: Arrays) -> pa.Array:
    """An array that holds others; what Arrow itself refuses to put together is not asked for."""
    nest, items, others = draw(st.sampled_from(NESTED)), draw(inner), draw(inner)
    try:
        return nest(items, others)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        reject()


def told(column: pa.Array) -> list[str | None]:
    """The texts of `column`, None where there is none; each problem says something."""
    texts, problems = arrow_texts(column)
    assert all(problems.values())
    assert len(texts) == len(column)
    "".join(texts).encode()
    return [None if place in problems else text for place, text in enumerate(texts)]


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("arrays", FLAT.values(), ids=map(str, FLAT))
def test_any_value_of_a_flat_type(arrays: Arrays) -> None:
    """Any bits make a text or a problem, and never an exception."""

    @settings(max_examples=20)
    @given(arrays)
    def check(column: pa.Array) -> None:
        told(column)

    check()


@pytest.mark.slow
@given(st.recursive(st.one_of(*FLAT.values()), nested, max_leaves=4))
def test_any_value_of_any_type(column: pa.Array) -> None:
    """Any nested values are read, and those that Parquet can keep come out of a file as the same."""
    expected = told(column)
    sink = io.BytesIO()
    try:
        parquet.write_table(pa.table({"x": column}), sink)
        kept = parquet.read_table(pa.BufferReader(sink.getvalue()))
    except (pa.ArrowException, OSError):
        return
    problems: list[Problem] = []
    rows = list(read_rows(bill_file("a.parquet", sink.getvalue()), problems, no_progress))
    assert {row.line for row in rows} ^ {problem.line for problem in problems} == set(
        range(1, len(column) + 1)
    )
    if kept.schema.field("x").type == column.type:
        assert [row.row["x"] for row in rows] == [text for text in expected if text is not None]


DAY = 86_400


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pa.scalar(1.5, pa.float16()), "1.5"),
        (pa.scalar(0.1, pa.float32()), "0.1"),
        (pa.scalar(float("nan")), "nan"),
        (pa.scalar(Decimal("-1E+5"), pa.decimal256(20, -3)), "-100000"),
        (pa.scalar(b"a\xc3\xa9", pa.binary_view()), "aé"),
        (pa.scalar(DAY, pa.timestamp("s", "No/Where")), "1970-01-02T00:00:00Z"),
        (pa.scalar(-1, pa.timestamp("ns")), "1969-12-31T23:59:59.999999999Z"),
        (pa.scalar(253_402_300_799, pa.timestamp("s")), "9999-12-31T23:59:59Z"),
        (pa.scalar(-1, pa.date32()), "1969-12-31"),
        (pa.scalar(3_723_000_000_001, pa.time64("ns")), "01:02:03.000000001"),
        (pa.scalar(-1, pa.duration("ns")), "PT-0.000000001S"),
        (pa.scalar((14, -3, 10**9), pa.month_day_nano_interval()), "P14M-3DT1S"),
        (pa.scalar([(b"k", [0.1, None])], pa.map_(pa.binary(), pa.list_(pa.float32()))),
         '{"k": [0.1, null]}'),
        (pa.scalar({"b": True, "a": Decimal("1.50")}), '{"a": "1.50", "b": true}'),
        (pa.scalar([float("inf")]), '["inf"]'),
        (pa.scalar(bytes(16), pa.uuid()), "00000000-0000-0000-0000-000000000000"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Scalar) else "",
)  # fmt: skip
def test_the_text_of_a_value(value: pa.Scalar[Any], text: str) -> None:
    """Exact, and in the form in which bills are written."""
    assert arrow_text(value) == text


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([b"\xff"]), "bytes that are no UTF-8"),
        (pa.array([b"\xff"]).view(pa.string()), "bytes that are no UTF-8"),
        (pa.array([2**31 - 1], pa.int32()).view(pa.date32()), "a date outside of the years 1 to 9999"),
        (pa.array([253_402_300_800_000], pa.timestamp("ms")), "a date outside of the years 1 to 9999"),
        (pa.array([[(b"k", 1), (b"k", 2)]], pa.map_(pa.binary(), pa.int8())), "names something twice"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)  # fmt: skip
def test_what_has_no_text_is_named_by_row_and_column(column: pa.Array, reason: str) -> None:
    """The error names all that is odd in the file, and says what to do."""
    sink = io.BytesIO()
    parquet.write_table(pa.table({"good": ["a"] * 2, "odd": pa.concat_arrays([column] * 2)}), sink)
    problems: list[Problem] = []
    assert not list(read_rows(bill_file("a.parquet", sink.getvalue()), problems, no_progress))
    assert [str(problem).partition(reason)[:2] for problem in problems] == [
        (f"a.parquet, row {row}, column odd: ", reason) for row in (1, 2)
    ]


@pytest.mark.parametrize(
    ("kind", "digits"),
    [
        (pa.float64(), 15),
        (pa.float32(), 6),
        (pa.float16(), 3),
        (pa.dictionary(pa.int8(), pa.float32()), 6),
        (pa.run_end_encoded(pa.int32(), pa.float64()), 15),
        (pa.sparse_union([pa.field("a", pa.string()), pa.field("b", pa.float64())]), 15),
        (pa.decimal128(38, 12), None),
    ],
    ids=str,
)
def test_floats_keep_so_many_digits(kind: pa.DataType, digits: int | None) -> None:
    """Of a decimal, by their width, however they are packed."""
    assert exact_digits(kind) == digits


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, 10**17, -1, 0], pa.timestamp("us", tz="Europe/Berlin")),
        pa.array([2**62, None, 5, 5], pa.timestamp("s")),
        pa.array([None, 7, 7, -3], pa.date32()),
        pa.array(
            [Decimal("0.000000001"), None, Decimal("-12.5"), Decimal(0)], pa.decimal128(38, 9)
        ),
        pa.array([1, None, -(2**63)], pa.int64()),
        pa.array(
            [[("b", "2"), ("a", None)], None, [], [("a", "é"), ("a", "x")]],
            pa.map_(pa.string(), pa.string()),
        ),
        pa.array([[("a", None)], None], pa.map_(pa.string(), pa.int64())),
    ],
    ids=["moment", "second", "date", "decimal", "integer", "tags", "map"],
)
def test_a_column_read_at_once_has_the_texts_of_its_values(column: pa.Array[Any]) -> None:
    """A column read at once has the text of each value, and the reason where there is none."""
    texts, problems = arrow_texts(column)
    for place, value in enumerate(column):
        if place in problems:
            with pytest.raises(ValueError, match=problems[place]):
                arrow_text(value)
        else:
            assert texts[place] == arrow_text(value)
