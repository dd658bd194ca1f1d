"""Bills in: FOCUS, time sheets, and everything that can be wrong with a file."""

from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.csv_bills import SHIFT, billed, csv_file, read

from inferworks.books.bills.base import BillReader, Problem, bill_file, open_bill, refuse
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge, NaturalClass, charge_id
from inferworks.errors import BillError
from inferworks.money import parse_pico
from inferworks.testing.books import check_bill_reader

SHARED = Path(__file__).parents[4] / "shared" / "data" / "bills"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no folder {SHARED}")
LINE = {
    "BilledCost": "1.50",
    "BillingCurrency": "USD",
    "BillingAccountId": "acct-1",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodEnd": "2026-11-02T00:00:00Z",
    "InvoiceIssuerName": "A Cloud",
    "ServiceCategory": "Compute",
    "ServiceName": "Machines",
    "ResourceId": "gpu-1",
}


@shared
@pytest.mark.parametrize(
    ("name", "total", "inputs"),
    [
        ("focus_ai_per_token.csv", "94.50", "42.00"),
        ("focus_ai_prompt_caching.csv", "33.90", "11.40"),
    ],
)
def test_the_specifications_own_examples_come_out_at_their_totals(
    name: str, total: str, inputs: str
) -> None:
    """The FOCUS specification states these totals, and those of the input side."""
    charges = read(open_bill(SHARED / name))
    assert billed(charges) == total
    assert billed([c for c in charges if '"TokenDirection":"Input"' in details(c)]) == inputs


def details(charge: Charge) -> str:
    """A column that we have no field for, kept under its name."""
    return dict(charge.other)["SkuPriceDetails"].replace(": ", ":")


@shared
def test_a_thousand_real_lines_of_four_clouds() -> None:
    """Every line of the published sample lands, under an id of its own, at the sum of its column."""
    charges = read(open_bill(SHARED / "focus_1_0_sample.csv"))
    with (SHARED / "focus_1_0_sample.csv").open(newline="") as file:
        expected = sum(parse_pico(row["BilledCost"]) for row in csv.DictReader(file))
    assert len({charge.id for charge in charges}) == 1000
    assert sum(charge.amount_pico for charge in charges) == expected
    assert {charge.issuer for charge in charges} >= {"Microsoft", "Oracle"}


def test_a_focus_line_becomes_a_charge() -> None:
    """Columns by name; unknown ones kept; NULL is nothing; what was bought is told by the service."""
    [charge] = read(csv_file([{**LINE, "Tags": '{"team": "x"}', "x_Odd": "7", "RegionId": "NULL"}]))
    assert charge.issuer == charge.provider == "A Cloud"
    assert charge.invoice == "acct-1/2026-11-01"
    assert charge.amount_pico == 15 * 10**11
    assert charge.natural_class is NaturalClass.PURCHASED_COMPUTE
    assert charge.resource_id == "gpu-1"
    assert (charge.period_end_ns - charge.period_start_ns) == 86_400 * 10**9
    assert dict(charge.other)["x_Odd"] == "7"
    assert charge.region_id is None


def test_the_order_of_columns_and_rows_does_not_name_a_line() -> None:
    """A line is named by what it is about, alike lines by an ordinal that no order changes."""
    rows = [LINE, {**LINE, "BilledCost": "2.50"}, {**LINE, "ResourceId": "gpu-2"}]
    turned = [dict(reversed(row.items())) for row in reversed(rows)]
    ids = {charge.id: charge.amount_pico for charge in read(csv_file(rows))}
    assert len(ids) == 3
    assert {charge.id: charge.amount_pico for charge in read(csv_file(turned))} == ids


def test_natural_class_may_be_stated() -> None:
    """`x_NaturalClass` overrules the service category; a word that is none is refused."""
    [charge] = read(csv_file([{**LINE, "x_NaturalClass": "depreciation"}]))
    assert charge.natural_class is NaturalClass.DEPRECIATION
    with pytest.raises(BillError, match="x_NaturalClass: 'gold': must be one of"):
        read(csv_file([{**LINE, "x_NaturalClass": "gold"}]))


def test_every_bad_cell_is_reported_with_line_column_value_and_reason() -> None:
    """A person mends a file in one go."""
    bad = [
        LINE,
        {**LINE, "BilledCost": "1,50"},
        {**LINE, "ChargePeriodStart": "yesterday"},
        {**LINE, "ChargePeriodEnd": "2026-02-30T00:00:00Z", "BilledCost": ""},
        {**LINE, "ChargePeriodEnd": "2026-11-01T00:00:00Z"},
        {**LINE, "InvoiceIssuerName": "NULL"},
    ]
    with pytest.raises(BillError) as refused:
        read(csv_file(bad))
    assert str(refused.value).splitlines() == [
        "bill.csv, line 3, column BilledCost: '1,50': not a plain decimal number: '1,50'",
        (
            "bill.csv, line 4, column ChargePeriodStart: 'yesterday': "
            "not a moment; write 2026-11-21T09:00:00Z"
        ),
        "bill.csv, line 5, column ChargePeriodEnd: '2026-02-30T00:00:00Z': no such date or time",
        "bill.csv, line 5, column BilledCost: '': must not be empty",
        (
            "bill.csv, line 6, column ChargePeriodEnd: '2026-11-01T00:00:00Z': "
            "must be after ChargePeriodStart '2026-11-01T00:00:00Z'"
        ),
        "bill.csv, line 7, column InvoiceIssuerName: 'NULL': must not be empty: it says whom we owe",
    ]


def test_another_currency_is_one_clear_line() -> None:
    """The error is said once, not on each of a thousand lines."""
    with pytest.raises(BillError) as refused:
        read(csv_file([{**LINE, "BillingCurrency": "EUR"}] * 3))
    assert str(refused.value) == (
        "bill.csv, line 2, column BillingCurrency: 'EUR': "
        "the books are kept in USD and there is no rate from EUR for 2026-11-01; "
        "import one first (columns date, from, to, rate, source)"
    )


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"a,b\n1,2\n", "neither a FOCUS bill"),
        (
            b"BilledCost,ChargePeriodStart\n1,2\n",
            "column BillingCurrency, ChargePeriodEnd is missing",
        ),
        (b"person,minutes,pay\n", "column start, end, node, activity, currency, sheet is missing"),
        (b"BilledCost,BilledCost\n", "'BilledCost' stands twice"),
        (b"BilledCost\xff\n", "not UTF-8 text at byte 10"),
        (b'"BilledCost\n', "not CSV"),
        (b"PK\x03\x04\x00\x00", "neither a FOCUS bill"),
    ],
)
def test_a_file_that_is_no_bill_is_refused(raw: bytes, reason: str) -> None:
    """One clear line: what, where, what to do."""
    with pytest.raises(BillError, match=reason) as refused:
        read(bill_file("bill.csv", raw))
    assert str(refused.value).startswith("bill.csv")
    assert "\n" not in str(refused.value)


def test_rows_of_another_shape_are_refused() -> None:
    """Rows with too few or too many cells, or an open quote: never a guess at which cell is which."""
    text = csv_file([LINE]).text
    with pytest.raises(BillError, match="line 3: has 2 cells where the header has 10"):
        read(bill_file("bill.csv", (text + "1,2\n").encode()))
    with pytest.raises(BillError, match="line 3: not CSV"):
        read(bill_file("bill.csv", (text + '"1,2\n').encode()))


def test_blank_lines_and_a_byte_order_mark_are_no_matter() -> None:
    """Spreadsheets add both."""
    bill = bill_file("bill.csv", b"\xef\xbb\xbf" + csv_file([LINE]).text.encode() + b"\r\n\r\n")
    assert billed(read(bill)) == "1.50"


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """Missing, a folder, or a pipe or device, of which a read has no end."""
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(BillError, match=f"cannot read {path}"):
            open_bill(path)


def test_a_bad_cell_is_told_once() -> None:
    """Also where two of our columns are made of it: the start of a charge, and its end."""
    bad = Problem("a.csv", 3, "Tag", "1/32", "no such day", "line")
    other = bad._replace(line=2)
    with pytest.raises(BillError) as refused:
        refuse([bad, other, bad])
    assert str(refused.value) == f"{other}\n{bad}"


names = st.text(max_size=6)


@given(st.lists(st.tuples(names, names, names), min_size=2, max_size=2, unique=True))
def test_two_lines_never_share_an_id(lines: list[tuple[str, str, str]]) -> None:
    """Issuer `a`, invoice `b-c` is not issuer `a-b`, invoice `c`."""
    assert charge_id(*lines[0]) != charge_id(*lines[1])


@pytest.mark.parametrize(
    ("reader", "rows"),
    [
        (FocusBillReader(), [LINE, LINE, {**LINE, "BilledCost": "-7"}]),
        (TimesheetReader(), [SHIFT, SHIFT, {**SHIFT, "person": "bob"}]),
    ],
)
def test_every_reader_keeps_the_promises_of_the_seam(
    reader: BillReader, rows: list[dict[str, str]]
) -> None:
    """The conformance suite that a stranger's reader can run too."""
    check_bill_reader(reader, csv_file(rows), "USD")


garbage = st.text(alphabet=st.sampled_from(list('1.-eE,"\n NULLT:Z2026\x00é')), max_size=30)


@given(st.dictionaries(st.sampled_from(sorted({*LINE, *SHIFT})), garbage, max_size=6), garbage)
def test_no_file_makes_a_reader_stumble(cells: dict[str, str], tail: str) -> None:
    """Any text in a cell or after the last line makes charges, or a BillError."""
    for row in (LINE, SHIFT):
        good = csv_file([{name: cells.get(name, text) for name, text in row.items()}])
        with contextlib.suppress(BillError):
            read(bill_file("bill.csv", (good.text + tail).encode()))
