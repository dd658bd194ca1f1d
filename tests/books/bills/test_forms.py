"""One bill in every form that programs and spreadsheets give it, and what is in no form that is read."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from inferworks.books.bills import forms
from inferworks.books.bills.base import BillFile, bill_files, no_progress
from inferworks.books.bills.detect import reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.spelling import GivenSpelling, Order
from inferworks.books.charge import Charge
from inferworks.errors import BillError, NoBillError
from inferworks.money import format_pico

READERS = (FocusBillReader(),)
BERLIN = ZoneInfo("Europe/Berlin")
LINE = {
    "BilledCost": "12.50",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodEnd": "2026-11-02T00:00:00Z",
    "InvoiceIssuerName": "A Cloud, Ltd",
}


def text_of(*lines: dict[str, str], by: str = ",") -> str:
    """The lines as a text whose cells are separated by `by`, quoted where it stands in one."""
    rows = [list(lines[0]), *(list(line.values()) for line in lines)]
    return "".join(
        by.join(f'"{cell}"' if by in cell else cell for cell in row) + "\n" for row in rows
    )


def known(header: Sequence[str]) -> bool:
    """Return whether some reader knows `header`."""
    return any(reader.recognises(header) for reader in READERS)


def files(raw: bytes, name: str = "bill", stated: GivenSpelling | None = None) -> list[BillFile]:
    """The bills in a file, understood."""
    return [understood(bill, known, stated or GivenSpelling()) for bill in bill_files(name, raw)]


def read(raw: bytes, stated: GivenSpelling | None = None) -> tuple[Charge, ...]:
    """The charges of all the bills in a file."""
    return tuple(
        charge
        for bill in files(raw, stated=stated)
        for charge in reader_for(bill, READERS).read(bill, "USD", no_progress)
    )


def zipped(**members: bytes) -> bytes:
    """A zip of these."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def as_parquet() -> bytes:
    """The bill as Parquet."""
    sink = io.BytesIO()
    parquet.write_table(pa.table({name: [text] for name, text in LINE.items()}), sink)
    return sink.getvalue()


PLAIN = text_of(LINE).encode()
FORMS = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "gzip of two members": gzip.compress(PLAIN[:40]) + gzip.compress(PLAIN[40:]),
    "zstd": pa.compress(PLAIN, codec="zstd", asbytes=True),
    "zip": zipped(a=PLAIN),
    "zip of gzip": zipped(a=gzip.compress(PLAIN)),
    "gzip of Parquet": gzip.compress(as_parquet()),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + PLAIN,
    "UTF-16 little endian": "\ufeff".encode("utf-16-le") + text_of(LINE).encode("utf-16-le"),
    "UTF-16 big endian": "\ufeff".encode("utf-16-be") + text_of(LINE).encode("utf-16-be"),
    "gzip of UTF-16": gzip.compress(text_of(LINE).encode("utf-16")),
    "semicolons": text_of(LINE, by=";").encode(),
    "tabs": text_of(LINE, by="\t").encode(),
    "pipes": text_of(LINE, by="|").encode(),
    "lines above": b"Invoice,7,,\nTotal due,$12.50,,\n\n" + PLAIN,
    "a line that names the separator": b"sep=;\r\n" + text_of(LINE, by=";").encode(),
    "empty cells below": PLAIN + b",,,,,,\n\n,,,,,,\n",
    "columns without names": PLAIN.replace(b"Name\n", b"Name,,\n").replace(b'td"\n', b'td",,\n'),
    "a JSON array": b'[{"BilledCost": 12.50, "BillingCurrency": "usd", "ChargePeriodStart":'
    b' "2026-11-01", "ChargePeriodEnd": "2026-11-02", "InvoiceIssuerName": "A Cloud, Ltd"}]',
    "rows in a JSON object": b'{"total": 1,\n "data": [{"BilledCost": 12.50, "BillingCurrency":'
    b' "USD", "ChargePeriodStart": "2026-11-01", "ChargePeriodEnd": "2026-11-02",'
    b' "InvoiceIssuerName": "A Cloud, Ltd"}]}',
}


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS.keys())
def test_one_bill_in_every_form(raw: bytes) -> None:
    """The same charge, whatever the file is packed in and its cells are separated by."""
    [charge] = read(raw)
    [plain] = read(PLAIN)
    assert format_pico(charge.amount_pico) == "12.50"
    assert (charge.issuer, charge.currency) == ("A Cloud, Ltd", "USD")
    assert (charge.period_start_ns, charge.period_end_ns) == (
        plain.period_start_ns,
        plain.period_end_ns,
    )


SPELLED = {
    "thousands": {"BilledCost": "1,234.50"},
    "decimal comma": {"BilledCost": "1.234,50"},
    "spaces": {"BilledCost": "1\u00a0234,50"},
    "apostrophe": {"BilledCost": "1'234.50"},
    "sign": {"BilledCost": "$1,234.50"},
    "sign behind": {"BilledCost": "1234.50 $"},
    "code": {"BilledCost": "USD 1234.50"},
    "lower case": {"BillingCurrency": "usd", "BilledCost": "1234.5"},
    "day of America": {"ChargePeriodEnd": "11/30/2026", "BilledCost": "1234.50"},
    "day of Europe": {"ChargePeriodEnd": "30.11.2026", "BilledCost": "1234.50"},
    "compact day": {"ChargePeriodEnd": "20261130", "BilledCost": "US$1,234.50"},
    "offset": {"ChargePeriodEnd": "2026-11-30T00:00:00+0000", "BilledCost": "1234.50"},
    "UTC": {"ChargePeriodEnd": "2026-11-30 00:00:00 UTC", "BilledCost": "1234.50"},
}


@pytest.mark.parametrize("cells", SPELLED.values(), ids=SPELLED.keys())
def test_numbers_days_and_currencies_as_spreadsheets_write_them(cells: dict[str, str]) -> None:
    """Read as they are meant, in files whose separators stand in them."""
    for by in (",", ";"):
        [charge] = read(text_of({**LINE, **cells}, by=by).encode())
        assert format_pico(charge.amount_pico) == "1234.50"


@pytest.mark.parametrize("text", ["(12.50)", "-12.50", "12.50-", "-$12.50", "($12.50)", "−12.50"])
def test_what_is_owed_to_us_is_negative(text: str) -> None:
    """Amounts owed to us are negative, however accountants write them."""
    [charge] = read(text_of({**LINE, "BilledCost": text}).encode())
    assert format_pico(charge.amount_pico) == "-12.50"


def test_one_value_tells_how_all_of_its_column_are_written() -> None:
    """1.234 is a thousand and more where another line has a decimal comma, as is 1,234 beside 5.5."""
    lines = [{**LINE, "BilledCost": cost, "InvoiceIssuerName": cost} for cost in ("1.234", "1,5")]
    assert sum(c.amount_pico for c in read(text_of(*lines).encode())) == 1_235_500_000_000_000
    lines = [{**LINE, "BilledCost": cost, "InvoiceIssuerName": cost} for cost in ("1,234", "5.5")]
    assert sum(c.amount_pico for c in read(text_of(*lines).encode())) == 1_239_500_000_000_000


@pytest.mark.parametrize(
    ("cells", "by", "question"),
    [
        ({"BilledCost": "1,234"}, ",", "'1,234' (line 2) is 1234 or 1.234"),
        ({"BilledCost": "1.234"}, ";", "'1.234' (line 2) is 1.234 or 1234"),
        (
            {"BillingPeriodStart": "", "BillingPeriodEnd": "", "ChargePeriodStart": "11/1/2026",
             "ChargePeriodEnd": "12/1/2026"},
            ",", "2026-11-01 (--dates MDY) or 2026-01-11 (--dates DMY)",
        ),
        ({"ChargePeriodStart": "11/1/26"}, ",", "a year of two digits"),
        ({"BilledCost": "€12.50"}, ",", "is not in USD"),
    ],
)  # fmt: skip
def test_what_could_be_either_is_one_question(
    cells: dict[str, str], by: str, question: str
) -> None:
    """The question names the cell, both readings and the option that decides."""
    with pytest.raises(BillError) as refused:
        read(text_of({**LINE, **cells}, by=by).encode())
    assert question in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_answer_decides() -> None:
    """An answer about a file holds for all of it."""
    raw = text_of({**LINE, "BilledCost": "1,234"}).encode()
    for mark, amount in ((".", "1234.00"), (",", "1.234")):
        [charge] = read(raw, GivenSpelling(mark=mark))
        assert format_pico(charge.amount_pico) == amount
    days = {"ChargePeriodStart": "1/11/26", "ChargePeriodEnd": "1/12/26"}
    [charge] = read(text_of({**LINE, **days}).encode(), GivenSpelling(order=Order.DAY_FIRST))
    [november] = read(text_of({**LINE, "ChargePeriodEnd": "2026-12-01"}).encode())
    assert charge.period_start_ns == november.period_start_ns
    assert charge.period_end_ns == november.period_end_ns
    [berlin] = read(
        text_of({**LINE, "ChargePeriodStart": "2026-11-01 09:00"}).encode(),
        GivenSpelling(zone="Europe/Berlin"),
    )
    assert berlin.period_start_ns == november.period_start_ns + 8 * 3600 * 10**9


@given(st.integers(0, 6 * 3600), st.integers(1, 3599))
def test_no_span_ends_before_it_begins_in_the_hour_that_autumn_repeats(
    start_s: int, length_s: int
) -> None:
    """Wall clocks name the hours; where the end's clock is before the start's the span is exact."""
    start = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC) + dt.timedelta(seconds=start_s)
    clocks = [
        at.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M:%S")
        for at in (start, start + dt.timedelta(seconds=length_s))
    ]
    line = LINE | dict(zip(("ChargePeriodStart", "ChargePeriodEnd"), clocks, strict=True))
    if clocks[0] == clocks[1]:
        return
    [bill] = files(text_of(line).encode(), stated=GivenSpelling(zone="Europe/Berlin"))
    [charge] = reader_for(bill, READERS).read(bill, "USD", no_progress)
    found_s = (charge.period_end_ns - charge.period_start_ns) // 10**9
    assert found_s in ((length_s,) if clocks[1] < clocks[0] else (length_s, length_s + 3600))
    assert bool(bill.remarks) == any("10-25 02:" in clock for clock in clocks)


def test_two_ways_in_one_column_are_refused() -> None:
    """A column is written in one way, and so are a file's days."""
    lines = [{**LINE, "BilledCost": cost} for cost in ("1.5", "1,5")]
    with pytest.raises(BillError, match="has a decimal point and '1,5'"):
        read(text_of(*lines).encode())
    lines = [{**LINE, "ChargePeriodEnd": day} for day in ("11/30/2026", "30/11/2026")]
    with pytest.raises(BillError, match="has the day first"):
        read(text_of(*lines).encode())


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff\u200b", " \u2060", "\u200e\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("quoted", [False, True])
def test_what_has_no_width_is_no_part_of_a_cell(mark: str, encoding: str, *, quoted: bool) -> None:
    """Marks without width, before a line of a joined file or before a name, are no part of a cell."""
    line = LINE | {"InvoiceIssuerName": "A Cloud", "ChargeDescription": "fühlbar"}
    lines = [line, line | {"BilledCost": "1"}]
    kind = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(lines[0]), quoting=kind)
    writer.writeheader()
    writer.writerows(lines)
    plain = sink.getvalue()
    marked = "".join(mark.strip() + line for line in plain.splitlines(keepends=True))
    if not quoted:
        marked = marked.replace(",", f",{mark}")
    as_json = "\n".join(json.dumps({mark + k: mark + v for k, v in line.items()}) for line in lines)
    expected = [told_of(charge) for charge in read(plain.encode())]
    assert [told_of(charge) for charge in read(marked.encode(encoding))] == expected
    assert [told_of(charge) for charge in read(f"\ufeff{as_json}".encode(encoding))] == expected


def told_of(charge: Charge) -> Charge:
    """A charge but for the file that it is of."""
    return msgspec.structs.replace(charge, file_sha256="", row=0)


def test_what_is_packed_twice_is_called_so() -> None:
    """A file packed twice is not called a damaged text."""
    for packed in (gzip.compress(PLAIN), zipped(bill=PLAIN)):
        with pytest.raises(BillError, match="bill: is packed twice; unpack"):
            read(gzip.compress(packed))


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        entry = tarfile.TarInfo("bill.csv")
        entry.size = len(PLAIN)
        archive.addfile(entry, io.BytesIO(PLAIN))
    return sink.getvalue()


FOREIGN = {
    "workbook": (zipped(**{"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "Excel workbook"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel workbook"),
    "OpenDocument": (zipped(**{"mimetype": b"", "content.xml": b""}), "OpenDocument"),
    "PDF": (b"%PDF-1.7", "a PDF"),
    "web page": (b"\n <!doctype html><html>", "a web page"),
    "tar": (_tar(), "tar archive"),
    "Windows-1252": (PLAIN.replace(b"Ltd", b"GmbH M\xfcnchen"), "not UTF-8 text at byte 225"),
    "half of UTF-16": (text_of(LINE).encode("utf-16")[:-1], "not utf-16 text"),
    "UTF-16 without a mark": (text_of(LINE).encode("utf-16-le"), "UTF-16 without its mark"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize(("raw", "what"), FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_bill_is_called_by_its_name(raw: bytes, what: str) -> None:
    """The error says what to do; a folder passes over such files."""
    with pytest.raises(NoBillError, match=what) as refused:
        read(raw)
    assert str(refused.value).startswith("bill: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", ["gzip", "zstd", "zip"])
def test_what_was_cut_off_is_refused(form: str) -> None:
    """Wherever; never read as far as it goes."""
    whole = FORMS[form]
    for length in (len(whole) - 1, len(whole) // 2, 12):
        with pytest.raises(BillError, match=f"not a whole {form} file"):
            read(whole[:length])


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of unpacked to packed bytes refuses a bomb, alone and in a zip."""
    monkeypatch.setattr(forms, "_ALWAYS_BYTES", 2**20)
    zeros = b"0" * (2 * 2**20)
    for raw in (
        gzip.compress(zeros),
        zipped(a=zeros),
        pa.compress(zeros, codec="zstd", asbytes=True),
    ):
        with pytest.raises(BillError, match="times its size"):
            read(raw)
    with pytest.raises(BillError, match="a zip in a zip"):
        read(zipped(a=zipped(b=PLAIN)))


def test_a_zip_is_a_folder() -> None:
    """Each member a file of its own, in the order of their names."""
    names = [bill.name for bill in files(zipped(b=PLAIN, a=PLAIN), "bills.zip")]
    assert names == ["bills.zip/a", "bills.zip/b"]


def test_windows_1252_is_read_where_it_is_declared() -> None:
    """Letters of a file in windows-1252 are those of its sender."""
    raw = PLAIN.replace(b"Ltd", b"M\xfcnchen")
    [bill] = bill_files("bill", raw, "windows-1252")
    [charge] = FocusBillReader().read(understood(bill, known), "USD", no_progress)
    assert charge.issuer == "A Cloud, München"
