"""Mappings that people write: what they can say, and what is wrong with them, said at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.command_line import invoke
from tests.support.mappings import READERS, charges, knows, stated

from inferworks.books.bills.base import bill_file, no_progress, read_rows
from inferworks.books.bills.detect import reader_for, understood
from inferworks.books.bills.draft import draft
from inferworks.books.bills.mapping import BillMapping, load_mapping, read_mapping, shipped
from inferworks.errors import BillError, NoBillError
from inferworks.money import format_pico

DOCUMENT = Path(__file__).parents[3] / "docs" / "mappings.md"
BILL = """\
title = "a test"
kind = "bill"
[columns]
BilledCost = {cost}
ChargePeriodStart = {start}
ChargePeriodEnd = {{ column = "day", plus = "1 day" }}
[constants]
BillingCurrency = "USD"
InvoiceIssuerName = "A"
"""


def mapping(cost: str = '"cost"', start: str = '"day"', more: str = "") -> BillMapping:
    """A mapping of a bill."""
    return read_mapping("test.toml", BILL.format(cost=cost, start=start) + more)


def cost(text: str, how: str, column: str = "cost") -> str:
    """The amount of a line whose cost is written as `text` and mapped by `how`."""
    quoted = '"' + text.replace('"', '""') + '"'
    [charge] = charges(f"day;{column}\n2026-11-01;{quoted}\n", mapping(how))
    return format_pico(charge.amount_pico)


@pytest.mark.parametrize(
    ("text", "how", "amount"),
    [
        ("12.5", '"cost"', "12.50"),
        ("12,5", '"COST"', "12.50"),
        ("1250", '{ column = "cost", unit = "cents" }', "12.50"),
        ("1.250.000,5", '{ column = "cost", unit = "micro" }', "1.2500005"),
        ("12500000000000", '{ column = "cost", unit = "pico" }', "12.50"),
        ("-12.5", '{ column = "cost", sign = -1 }', "12.50"),
        ("(12.5)", '{ column = "cost", sign = -1 }', "12.50"),
        ('{"value": 12.5}', '"cost.value"', "12.50"),
        ('[{"n": 12}, {"n": "0.5"}, {}]', '{ add = ["cost[].n"] }', "12.50"),
        ("12.5", '["none", "cost"]', "12.50"),
        ("", '["cost", { text = "3" }]', "3.00"),
        ("", '{ column = "cost", default = "3" }', "3.00"),
        ("net 12.5", '{ column = "cost", after = "net " }', "12.50"),
        ("12.5 net", '{ column = "cost", before = " net" }', "12.50"),
        ("FREE", '{ column = "cost", words = { free = "0" } }', "0.00"),
    ],
)
def test_what_an_amount_can_be_made_of(text: str, how: str, amount: str) -> None:
    """Columns in any case, paths into JSON, units, signs, words and what stands where there is none."""
    assert cost(text, how) == amount


def test_a_column_is_found_by_a_pattern() -> None:
    """The text that the pattern stands for is taken from the column's name."""
    given = read_mapping(
        "test.toml",
        BILL.format(cost='"Amount (*)"', start='"day"')
        .replace('BillingCurrency = "USD"\n', "")
        .replace("[constants]", 'BillingCurrency = { in_name = "Amount (*)" }\n[constants]'),
    )
    [charge] = charges("day,amount (usd)\n2026-11-01,3\n", given)
    assert (format_pico(charge.amount_pico), charge.currency) == ("3.00", "USD")


@pytest.mark.parametrize(
    ("text", "start", "moment_ns"),
    [
        ("1793491200", '{ column = "at", unit = "unix" }', 1_793_491_200 * 10**9),
        ("1793491200123", '{ column = "at", unit = "unix_ms" }', 1_793_491_200_123 * 10**6),
        ("1793491200.5", '{ column = "at", unit = "unix" }', 1_793_491_200_500 * 10**6),
        ("2026-11-01T00:00:00Z", '{ column = "at", plus = "-1 hour" }', 1_793_487_600 * 10**9),
        ("1.10.2026", '{ column = "at", plus = "1 month" }', 1_793_491_200 * 10**9),
        ("202611", '{ column = "at", unit = "month" }', 1_793_491_200 * 10**9),
        (
            "2026-10-30",
            '{ column = "at", unit = "month", plus = "1 month" }',
            1_793_491_200 * 10**9,
        ),
        ("2026-11-01", '{ join = ["at", "time"] }', 1_793_523_600 * 10**9),
    ],
)
def test_what_a_moment_can_be_made_of(text: str, start: str, moment_ns: int) -> None:
    """Numbers since 1970, days and times apart, and a while later or before."""
    [charge] = charges(f"day,at,time,cost\n2026-11-05,{text},9:00 AM,3\n", mapping(start=start))
    assert charge.period_start_ns == moment_ns


def test_what_is_not_mapped_is_kept_beside_the_line() -> None:
    """Under its name, and never as a column that we would read."""
    [charge] = charges(
        "day,cost,team,LineId,secret\n2026-11-01,3,infra,7,s\n2026-11-01,3,TOTAL,,\n",
        read_mapping(
            "test.toml",
            'ignore = ["Secret"]\n'
            + BILL.format(cost='"cost"', start='"day"')
            + '[[leave_out]]\ncolumn = "team"\nis = ["Total"]\n',
        ),
    )
    assert charge.line.startswith("about:")
    other = dict(charge.other)
    assert (other["x_team"], other["x_their_LineId"]) == ("infra", "7")
    assert "x_secret" not in other


def test_what_is_wrong_with_a_cell_names_the_files_own_column() -> None:
    """With its line and the value."""
    with pytest.raises(BillError) as refused:
        charges("day,cost\n2026-11-01,abc\n,4\n", mapping())
    first, *others = str(refused.value).splitlines()
    assert first.startswith("bill.csv, line 2, column cost: 'abc'")
    assert any("line 3, column day: " in line for line in others)


def test_a_column_that_is_not_there_is_named() -> None:
    """A missing column is named, with the columns that exist, whether its kind needs it or not."""
    given = mapping(more='[columns.ResourceId]\ncolumn = "server"\n')
    with pytest.raises(NoBillError, match=r"names server, .* the columns are: day, cost"):
        charges("day,cost\n2026-11-01,3\n", given)


def test_files_of_our_own_in_the_same_command_are_read_as_they_are() -> None:
    """A mapping is for what it fits."""
    shift = (
        "person,start,end,minutes,node,activity,pay,currency,sheet\n"
        "ann,2026-11-01,2026-11-02,40,gpu-3,,32.00,USD,s\n"
    )
    assert stated(shift, mapping()).mapping is None
    assert stated("day,cost\n2026-11-01,3\n", mapping()).mapping == mapping()


def test_a_time_sheet_in_hours_of_a_zone() -> None:
    """Hours become minutes; a wall clock's times are those of its zone."""
    given = read_mapping(
        "hours.toml",
        'title = "t"\nkind = "timesheet"\n[form]\nzone = "Europe/Berlin"\nencoding = "windows-1252"\n'
        '[columns]\nperson = "Wer"\nstart = { join = ["Tag", "Von"] }\nend = { join = ["Tag", "Bis"] }\n'
        'minutes = { column = "Stunden", unit = "hours" }\nnode = "Gerät"\n'
        '[constants]\ncurrency = "EUR"\npay = "0"\nsheet = "11"\n',
    )
    bill = stated("Wer;Tag;Von;Bis;Stunden;Gerät\nJörg;13.11.2026;09:00;10:20;1,33;gpu-3\n", given)
    [cells] = read_rows(bill, [], no_progress)
    assert (cells.row["person"], cells.row["node"]) == ("Jörg", "gpu-3")
    assert (cells.row["start"], cells.row["end"]) == (
        "2026-11-13T08:00:00Z",
        "2026-11-13T09:20:00Z",
    )
    assert float(cells.row["minutes"]) == 79.8


def test_what_a_file_is_like_is_said_when_it_is_refused() -> None:
    """With the column that it lacks, and how to go on."""
    bill = bill_file("oai.csv", b"start_time,end_time,amount_value,line_item\n1,2,3,x\n")
    with pytest.raises(NoBillError) as refused:
        reader_for(understood(bill, knows, mappings=shipped()), READERS, shipped())
    said = str(refused.value)
    assert (
        "it is like OpenAI costs, exported from the dashboard, but has no column amount_currency"
        in said
    )
    assert "inferworks books map oai.csv" in said


def test_a_bill_of_ours_in_another_encoding_needs_no_more_than_to_say_so() -> None:
    """Columns of such a bill have our names."""
    given = read_mapping(
        "latin.toml",
        'title = "t"\nkind = "bill"\nkeep_names = true\n[form]\nencoding = "windows-1252"\n',
    )
    [charge] = charges(
        "BilledCost;BillingCurrency;ChargePeriodStart;ChargePeriodEnd;InvoiceIssuerName\n"
        "3,50;USD;1.11.2026;2.11.2026;Müller\n",
        given,
    )
    assert (charge.issuer, format_pico(charge.amount_pico)) == ("Müller", "3.50")


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("title = ", "not TOML"),
        ('kind = "bill"', "title"),
        ('title = "t"\nkind = "invoice"', "there is no 'invoice'; it is one of bill, timesheet"),
        ('title = "t"\nkind = "bill"\ncolour = "red"', "colour"),
        (BILL.format(cost='"c"', start='"d"').replace("BilledCost", "BiledCost"), "BilledCost is missing"),
        (BILL.format(cost='"c"', start='"d"').replace("BilledCost", "Cost"), "Cost is no column of a bill"),
        (BILL.format(cost='{ column = "c", unit = "hours" }', start='"d"'), "unit 'hours' is none of"),
        (BILL.format(cost='{ column = "c", sign = 2 }', start='"d"'), "sign is 1 or -1"),
        (BILL.format(cost='{ column = "c", text = "x" }', start='"d"'), "give one of column, join"),
        (BILL.format(cost='"c"', start='{ column = "d", plus = "a week" }'), "plus is written"),
        (BILL.format(cost='"c"', start='"d"') + "InvoiceId = 7\n", "constants"),
        (BILL.format(cost='"c"', start='"d"') + 'InvoiceId = "?"\n', "is still to be filled in"),
        (BILL.format(cost='"c"', start='"d"') + '[form]\nzone = "Atlantis"\n', "there is no 'Atlantis'"),
        (BILL.format(cost='"c"', start='"d"') + '[form]\nencoding = "x"\n', "there is no 'x'"),
        (BILL.format(cost='"c"', start='"d"') + '[[leave_out]]\ncolumn = "x"\n', "give one of is, starts"),
        (BILL.format(cost='"c"', start='"d"') + '[beside]\nListCost = ["Tags"]\n', "Tags is no number"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping(text: str, flaw: str) -> None:
    """A fault is told when the mapping is loaded, with the line's name and the text to write."""
    with pytest.raises(BillError) as refused:
        read_mapping("mine.toml", text)
    assert flaw in str(refused.value)
    assert str(refused.value).startswith("mine.toml: ")


def test_a_mapping_that_cannot_be_read(tmp_path: Path) -> None:
    """One line, also for a pipe, which would be waited for."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xfc"')
    (tmp_path / "long.toml").write_bytes(b"#" * 300_000)
    for name, flaw in (
        ("none", "cannot read"),
        ("latin", "not UTF-8"),
        ("pipe", "not a regular file"),
        ("long", "more than 262,144 bytes"),
    ):
        with pytest.raises(BillError, match=flaw):
            load_mapping(tmp_path / f"{name}.toml")


def blocks(kind: str) -> dict[str, str]:
    """The files that the document shows, by their names."""
    found = re.findall(rf"<!-- {kind} (\S+) -->\n```\w+\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return dict(found)


def test_the_example_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a draft to the lines that it says are in."""
    monkeypatch.chdir(tmp_path)
    files = blocks("file") | blocks("mapping")
    for name, text in files.items():
        Path(name).write_text(text)
    drafted = invoke("books", "map", "gpu-cloud.csv")
    assert drafted.exit_code == 0
    assert 'ChargePeriodEnd = { column = "Tag", plus = "1 day" }' in drafted.output
    assert "InvoiceIssuerName is missing" in drafted.output
    done = invoke("books", "import", "--json", "--mapping", "gpu-cloud.toml", "gpu-cloud.csv")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    [landed] = said["files"]
    assert (landed["accepted"], landed["amount"]) == (2, "1500.60")
    assert landed["mapping"] == "gpu-cloud"
    assert said["notes"] == ["gpu-cloud.csv: 1 row was left out by the mapping gpu-cloud"]


def test_the_document_names_every_mapping_and_line() -> None:
    """Mappings that ship are in the table, and all that a mapping can say is explained."""
    text = DOCUMENT.read_text()
    for known in shipped():
        assert f"`{known.name}`" in text
    for name in (*BillMapping.__struct_fields__, "unix_ns", "h:mm:ss", "otherwise", "in_name"):
        assert name == "name" or name in text, name


ODD = st.sampled_from(
    ["", "1", "1,234", "1.234,5", "(3)", "$5", "--1", "(-1)", "NULL", "1e999", "1e-400", "NaN", "inf",
     "9" * 60, "\u0661", "[]", '{"a":1}', "1:30:00", "usd", "€", "11/1/2026", "31.12.2026", "2026-11-01",
     "2026-13-45", "2026-11-01 25:00", "9999-12-31", "0001-01-01", "29 Feb 2026", "1 Foo 2026", "12/31/26",
     "2026-11-01T10:00+9999", "1793491200", "10:00 AM", "a,b", "Total", "é", "1''0"]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_cell_makes_a_mapping_stumble(data: st.DataObject) -> None:
    """Any text in the columns of a known export makes lines, or a refusal."""
    known = data.draw(st.sampled_from(shipped()))
    assert known.recognise is not None
    sources = [source for place in known.places() for source in place.sources]
    columns = list(dict.fromkeys((*known.recognise.columns, *sources)))
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, ODD)), max_size=3))
    lines = [
        ";".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row.values()) for row in rows
    ]
    raw = "\n".join([";".join(columns), *lines]).encode()
    with contextlib.suppress(BillError):
        bill = understood(bill_file("f", raw), knows, mappings=shipped())
        list(read_rows(bill, [], no_progress))
    assert draft("f", columns, rows)
