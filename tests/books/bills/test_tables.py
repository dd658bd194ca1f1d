"""The same rows as CSV, as JSON Lines and as Parquet, with every amount as its sender wrote it."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from inferworks.books.bills.base import BillFile, bill_file, no_progress
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.tables import Form, open_table
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge
from inferworks.errors import BillError
from inferworks.money import format_pico

READERS = (FocusBillReader(), TimesheetReader())
START, END = dt.datetime(2026, 11, 1, tzinfo=dt.UTC), dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
COLUMNS: dict[str, Any] = {
    "BilledCost": pa.array([Decimal("1.000000000001"), Decimal("-2.5")], pa.decimal128(38, 12)),
    "BillingCurrency": pa.array(["USD", "USD"]).dictionary_encode(),
    "ChargePeriodStart": pa.array([START, START], pa.timestamp("us", "UTC")),
    "ChargePeriodEnd": pa.array([END, END], pa.timestamp("ns")),
    "ServiceProviderName": ["A Cloud", "A Cloud"],
    "RegionId": ["eu-1", None],
    "x_LineId": [1, 2],
    "Tags": pa.array([[("team", "x")], None], pa.map_(pa.string(), pa.string())),
}


def parquet_file(columns: dict[str, Any], name: str = "bill.parquet") -> BillFile:
    """A Parquet file of `columns`."""
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, write_page_checksum=True)
    return bill_file(name, sink.getvalue())


def read(bill: BillFile) -> tuple[Charge, ...]:
    """The charges of `bill` by whichever reader recognises it."""
    return reader_for(bill, READERS).read(bill, "USD", no_progress)


def test_parquet_keeps_decimals_exact() -> None:
    """Decimals, timestamps of any unit, dictionaries, integers, nulls and maps."""
    first, second = read(parquet_file(COLUMNS))
    assert [format_pico(charge.amount_pico) for charge in (first, second)] == [
        "1.000000000001",
        "-2.50",
    ]
    assert (first.period_start_ns, first.period_end_ns) == (
        int(START.timestamp()) * 10**9,
        int(END.timestamp()) * 10**9,
    )
    assert (first.region_id, second.region_id) == ("eu-1", None)
    assert (first.line, first.row, first.provider) == ("1", 1, "A Cloud")
    assert json.loads(dict(first.other)["Tags"]) == {"team": "x"}


def test_the_same_lines_in_three_forms_are_the_same_charges() -> None:
    """Ids and amounts agree, whatever form carried the lines."""
    names = (
        "BilledCost",
        "BillingCurrency",
        "ChargePeriodStart",
        "ChargePeriodEnd",
        "InvoiceIssuerName",
    )
    row = ("0.1", "USD", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "A Cloud")
    as_csv = ",".join(names) + "\n" + ",".join(row) + "\n"
    as_json = json.dumps(dict(zip(names, row, strict=True))).replace('"0.1"', "0.10") + "\n\n"
    as_parquet = {name: [text] for name, text in zip(names, row, strict=True)}
    found = [
        read(bill_file("a.csv", as_csv.encode())),
        read(bill_file("a.jsonl", as_json.encode())),
        read(parquet_file(as_parquet)),
    ]
    assert len({(c.id, c.amount_pico, c.period_start_ns) for (c,) in found}) == 1


@pytest.mark.parametrize(
    ("value", "amount"), [(0.1, "0.10"), (1e-06, "0.000001"), (100.0, "100.00"), (-2.5, "-2.50")]
)
def test_a_float_that_is_some_decimal_is_that_decimal(value: float, amount: str) -> None:
    """Up to 15 significant digits survive a double; that text is exact."""
    (charge,) = read(parquet_file({n: v[:1] for n, v in COLUMNS.items()} | {"BilledCost": [value]}))
    assert format_pico(charge.amount_pico) == amount


@pytest.mark.parametrize(
    ("value", "pico", "exact"),
    [
        (0.1 + 0.2, 300_000_000_000, "0.30000000000000004"),
        (1 / 3, 333_333_333_333, "0.3333333333333333"),
        (2**60 + 0.0, 1_152_921_504_606_847 * 10**15, None),
    ],
)
def test_a_float_is_the_shortest_decimal_that_gives_it_back(
    value: float, pico: int, exact: str | None
) -> None:
    """Rounded once, half to even; where that leaves something out, as it is written stays beside it."""
    (charge,) = read(parquet_file({n: v[:1] for n, v in COLUMNS.items()} | {"BilledCost": [value]}))
    assert (charge.amount_pico, charge.exact) == (pico, exact)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_amount(value: float) -> None:
    """The refusal names row and column."""
    bill = parquet_file({n: v[:1] for n, v in COLUMNS.items()} | {"BilledCost": [value]})
    with pytest.raises(BillError, match=r"bill.parquet, row 1, column BilledCost"):
        read(bill)


def test_a_float_that_is_no_amount_is_kept_as_it_is() -> None:
    """Quantities and prices are text to us."""
    (charge,) = read(
        parquet_file({n: v[:1] for n, v in COLUMNS.items()} | {"ConsumedQuantity": [1 / 3]})
    )
    assert charge.quantity == repr(1 / 3)


def test_a_truncated_parquet_is_one_clear_error() -> None:
    """Wherever it was cut off."""
    whole = parquet_file(COLUMNS).raw
    for length in (4, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(BillError, match=r"^bill\.parquet: not a whole Parquet file") as refused:
            read(bill_file("bill.parquet", whole[:length]))
        assert "\n" not in str(refused.value)


def test_a_damaged_page_is_noticed() -> None:
    """The page's checksum reveals the damage, where the writer wrote one."""
    damaged = bytearray(parquet_file(COLUMNS).raw)
    damaged[40] ^= 0xFF
    with pytest.raises(BillError, match="not a whole Parquet file"):
        read(bill_file("bill.parquet", bytes(damaged)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7", "not a JSON object"),
        ('{"BilledCost": NaN}', "NaN is not a number"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"a": ' + "[" * 100_000, "not a JSON object"),
        ("{", "not a JSON object"),
        ('{"BilledCost": "1", "BilledCost": "7"}', "'BilledCost' stands twice"),
        ('{"BilledCost": "1", "Tags": {"a": "1", "b": "2", "a": "3"}}', "'a' stands twice"),
    ],
)
def test_a_line_that_is_no_json_object(line: str, reason: str) -> None:
    """Named by file and line, with the other bad lines."""
    good = {
        "BilledCost": "1",
        "BillingCurrency": "USD",
        "ChargePeriodStart": "2026-11-01",
        "ChargePeriodEnd": "2026-11-02",
        "InvoiceIssuerName": "A",
    }
    text = json.dumps(good) + "\n" + line + "\n" + json.dumps(good | {"BilledCost": "x"}) + "\n"
    with pytest.raises(BillError) as refused:
        read(bill_file("a.jsonl", text.encode()))
    first, second = str(refused.value).splitlines()
    assert first.startswith(("a.jsonl, line 2: ", "a.jsonl, line 2, column a: "))
    assert reason in first
    assert second.startswith("a.jsonl, line 3, column BilledCost")


def test_a_document_of_which_no_row_can_be_read_says_why() -> None:
    """A document without one readable row is not empty; the column with the broken text is named."""
    raw = b'[{"BilledCost": "1", "ChargePeriodStart": "2026-11-01", "Tags": "X\\ud800"}]'
    with pytest.raises(BillError, match=r"a\.json, row 1, column Tags: half a surrogate pair"):
        open_table("a.json", raw, Form(rows="[]"))


starts = st.sampled_from(
    [b"", b"PAR1", b'{"a": 1}\n{', b"BilledCost,ChargePeriodStart\n", b"\xef\xbb\xbf"]
)


@pytest.mark.slow
@settings(max_examples=200)
@given(starts, st.binary(max_size=200))
def test_any_bytes_are_charges_or_one_refusal(start: bytes, rest: bytes) -> None:
    """Never a traceback, whatever form the file claims to be."""
    with contextlib.suppress(BillError):
        read(bill_file("bill", start + rest))


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_a_parquet_with_any_bytes_changed(data: st.DataObject) -> None:
    """Charges or a refusal, never a traceback."""
    raw = bytearray(parquet_file(COLUMNS).raw)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BillError):
        read(bill_file("bill.parquet", bytes(raw)))


def test_a_cell_without_an_end_is_one_line_about_the_cell() -> None:
    """In the header as below it: a file of another form, or a quote that is not closed."""
    long, text = "x" * 200_000, "a cell has more than 131,072 characters; is it CSV?"
    with pytest.raises(BillError, match=f"a.csv, line 1: {re.escape(text)}"):
        open_table("a.csv", f"{long},b\n1,2\n".encode(), Form())
    [row] = open_table("a.csv", f"BilledCost,b\n1,{long}\n".encode(), Form()).rows
    assert (row.number, row.problems) == (2, {"": text})
