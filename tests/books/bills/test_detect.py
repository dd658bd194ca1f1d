"""Detection of a file by its columns: separator, header, rows and kind, and never by its name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferworks.books.bills.base import BillFile, bill_file, header_of
from inferworks.books.bills.detect import form_of, near, open_ours, reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import BillMapping, Recognised, shipped
from inferworks.books.bills.spelling import GivenSpelling, Order
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.errors import BillError, NoBillError

READERS = (FocusBillReader(), TimesheetReader())


def a_mapping(name: str, key: str = "Ref") -> BillMapping:
    """A mapping of files with three columns to vouchers."""
    return BillMapping(
        title=f"our {name} export",
        kind="voucher",
        columns={"id": key, "period": "Day", "amount": "Sum"},
        recognise=Recognised(columns=(key, "Day", "Sum")),
        name=name,
    )


def ours(header: Sequence[str]) -> bool:
    """Return True for a header with the columns `a` and `b`."""
    return {"a", "b"} <= set(header)


def a_file(text: str, name: str = "file.csv") -> BillFile:
    """`text` as a file."""
    return bill_file(name, text.encode())


@pytest.mark.parametrize(
    ("text", "separator", "skip"),
    [
        ("a,b\n1,2\n", ",", 0),
        ("a;b\n1;2\n", ";", 0),
        ("a\tb\n1\t2\n", "\t", 0),
        ("a|b\n1|2\n", "|", 0),
        ('"a";"b"\n1;2\n', ";", 0),
        ("Invoice 17\nTotal: 1,00\n\na;b\n1;2\n", ";", 3),
        (" a , b \n1,2\n", ",", 0),
        ("\ufeffa,b\n1,2\n", ",", 0),
    ],
)
def test_a_known_header_is_found_with_its_separator(text: str, separator: str, skip: int) -> None:
    """In one of four ways to cut a line, below what a program wrote above it."""
    form = form_of(a_file(text), ours)
    assert (form.separator, form.skip) == (separator, skip)


def test_a_header_is_looked_for_in_the_first_hundred_lines() -> None:
    """Further down nothing is a header."""
    assert form_of(a_file("x\n" * 99 + "a,b\n1,2\n"), ours).skip == 99
    assert form_of(a_file("x\n" * 100 + "a,b\n1,2\n"), ours).skip == 0


@pytest.mark.parametrize(
    ("text", "separator", "skip"),
    [
        ("x;y\n1;2\n", ";", 0),
        ("Invoice 17\nx\ty\tz\n1\t2\t3\n", "\t", 1),
        ("x,y;z,w\n1,2;3,4\n", ",", 0),
        ("x,y,z\n1;2\n", ",", 0),
        ("1,2\n3,4\n", ",", 0),
        ("x,x\n1,2\n", ",", 0),
        ("x,\n1,2\n", ",", 0),
        ("", ",", 0),
        ("x\n1\n", ",", 0),
    ],
    ids=["cut by ;", "below a title", "widest", "other width below", "values", "twice", "unnamed",
         "empty", "one column"],
)  # fmt: skip
def test_an_unknown_header_is_the_widest_with_a_name_in_each_cell(
    text: str, separator: str, skip: int
) -> None:
    """Above a line of as many cells; else it is the first line, cut by commas."""
    form = form_of(a_file(text), ours)
    assert (form.separator, form.skip) == (separator, skip)


def test_a_known_header_goes_before_a_wider_one() -> None:
    """Wherever it stands."""
    form = form_of(a_file("p;q;r;s\n1;2;3;4\na,b\n1,2\n"), ours)
    assert (form.separator, form.skip) == (",", 2)


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ([{"a": "1", "b": "2"}], "[]"),
        ({"data": [{"a": 1, "b": 2}]}, "data[]"),
        ({"results": [{"a": 1, "b": 2}]}, "results[]"),
        ({"items": [{"a": 1, "b": 2}], "rows": [{"x": 1}]}, "items[]"),
        ([{"x": 1}], "[]"),
        ({"other": [{"a": 1, "b": 2}]}, ""),
        ({"data": []}, ""),
        ({"data": [1]}, ""),
    ],
)
def test_rows_of_a_document_are_found_by_their_columns(document: object, rows: str) -> None:
    """At the usual places; an unknown list is a list of rows."""
    bill = a_file(json.dumps(document, indent=1), "file.json")
    assert form_of(bill, ours).rows == rows


def test_rows_of_a_document_may_lie_where_a_mapping_says() -> None:
    """Its path goes before the usual ones."""
    bill = a_file(json.dumps({"bill": {"lines": [{"a": 1, "b": 2}]}}, indent=1), "file.json")
    assert form_of(bill, ours).rows == ""
    assert form_of(bill, ours, ["bill.lines[]"]).rows == "bill.lines[]"


def test_lines_that_are_objects_have_no_path() -> None:
    """Known or not; text that is no JSON after all is told by who reads it."""
    for text in ('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', '{"x": 1}\n{"x": 2}\n', "{oops\n"):
        assert form_of(a_file(text, "file.jsonl"), ours).rows == ""


def test_a_packed_file_is_looked_into() -> None:
    """By its content, whatever it is called."""
    bill = bill_file("file", gzip.compress(b"a;b\n1;2\n"))
    assert form_of(bill, ours).separator == ";"


def test_a_file_of_ours_is_read_in_our_own_way() -> None:
    """Without a mapping and without a remark, whether it is surveyed or not."""
    for assuming in (True, False):
        bill = understood(a_file("a,b\n1,2\n"), ours, assuming=assuming)
        assert (bill.mapping, bill.remarks, bill.left_out) == (None, (), 0)
        assert header_of(bill) == ["a", "b"]


def test_a_file_with_a_mapping_is_read_by_it() -> None:
    """By one that knows its columns; by the given one if it fits, and for what nobody knows."""
    known, given = a_mapping("known"), a_mapping("given", "Key")
    text = "Ref,Day,Sum\nx,2026-11-21,1\n"
    assert understood(a_file(text), ours, mappings=[known]).mapping is known
    assert understood(a_file("a,b\n1,2\n"), ours, mappings=[known]).mapping is None
    assert understood(a_file(text), ours, mappings=[known], given=given).mapping is known
    both = "Ref,Key,Day,Sum\nx,k,2026-11-21,1\n"
    assert understood(a_file(both), ours, mappings=[known], given=given).mapping is given


def test_the_order_of_days_may_have_to_be_told() -> None:
    """A question, unless it is told."""
    text = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd\n1,USD,1/2/2026,1/3/2026\n"
    known = READERS[0].recognises
    with pytest.raises(BillError, match="--dates"):
        understood(a_file(text), known)
    found = understood(a_file(text), known, GivenSpelling("", Order("DMY"), ""))
    assert found.spelling.order is Order("DMY")


def test_a_file_of_ours_must_have_its_columns(tmp_path: Path) -> None:
    """In any form."""
    path = tmp_path / "file.csv"
    path.write_text("a;b;c\n1;2;3\n")
    assert header_of(open_ours(path, ("a", "b"))) == ["a", "b", "c"]
    with pytest.raises(BillError, match=r"^file\.csv, line 1: column d is missing$"):
        open_ours(path, ("a", "d"))
    with pytest.raises(BillError, match=r"nothing\.csv"):
        open_ours(tmp_path / "nothing.csv", ("a",))


def test_the_first_reader_that_recognises_a_file_reads_it() -> None:
    """By its columns, whatever its name."""
    header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd"
    assert reader_for(a_file(f"{header}\n", "sheet.csv"), READERS) is READERS[0]
    sheet = "person,start,end,minutes,node,activity,pay,currency,sheet"
    assert reader_for(a_file(f"{sheet}\n"), READERS) is READERS[1]


def test_a_file_that_no_reader_recognises_is_no_bill() -> None:
    """The refusal names its columns, up to a length, and what to do."""
    with pytest.raises(NoBillError) as refused:
        reader_for(a_file("x,y\n1,2\n"), READERS)
    assert str(refused.value).startswith("file.csv: neither a FOCUS bill (columns BilledCost, ")
    assert str(refused.value).endswith("inferworks books map file.csv; its columns are: x, y")
    with pytest.raises(NoBillError) as refused:
        reader_for(a_file(",".join(f"column-{n}" for n in range(99)) + "\n"), READERS)
    assert len(str(refused.value).partition("its columns are: ")[2]) == 120


def test_a_file_that_is_nearly_known_is_told_what_it_lacks() -> None:
    """At most half of the columns may be missing; the kind that lacks least is named."""
    mapping = a_mapping("own")
    assert near(("Ref", "Day"), [mapping]) == "it is like our own export, but has no column Sum"
    assert near(("ref", "DAY"), [mapping]) == "it is like our own export, but has no column Sum"
    assert near(("Ref",), [mapping]) == ""
    assert near(("Ref", "Day", "Sum"), [mapping]) == ""
    assert near((), []) == ""
    with pytest.raises(
        NoBillError, match="it is like our own export, but has no column Sum; export"
    ):
        reader_for(a_file("Ref,Day\nx,y\n"), READERS, [mapping])


@pytest.mark.parametrize("mapping", [m for m in shipped() if m.recognise], ids=lambda m: m.name)
def test_a_shipped_mapping_knows_its_file_by_its_columns(mapping: BillMapping) -> None:
    """All of them; of a file that lacks one it says so."""
    assert mapping.recognise is not None
    header = [name.replace("*", "x") for name in mapping.recognise.columns]
    assert mapping.recognises(header)
    assert not mapping.recognises(header[1:])
    assert (
        near(header[1:], [mapping]).startswith(f"it is like {mapping.title}, ") or len(header) < 3
    )
