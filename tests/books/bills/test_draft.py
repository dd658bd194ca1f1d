"""Drafts of mappings: for any file, to be completed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import invoke
from tests.support.mappings import charges, stated

from inferworks.books.bills.base import header_of
from inferworks.books.bills.draft import draft
from inferworks.books.bills.mapping import load_mapping, read_mapping
from inferworks.errors import BillError
from inferworks.money import format_pico


def test_a_draft_is_a_mapping_once_it_is_completed() -> None:
    """A completed draft loads and reads the file."""
    text = "date,instance,hours,cost_cents,region\n2026-11-01,i-1,24,4800,us\n2026-11-02,i-1,24,4800,us\n"
    header, *rows = [line.split(",") for line in text.splitlines()]
    drafted = draft("bill.csv", header, [dict(zip(header, row, strict=True)) for row in rows])
    with pytest.raises(BillError, match="is still to be filled in"):
        read_mapping("draft.toml", drafted)
    done = drafted.replace('InvoiceIssuerName = "?"', 'InvoiceIssuerName = "A"')
    done = done.replace('BillingCurrency = "?"', 'BillingCurrency = "USD"')
    lines = charges(text, read_mapping("draft.toml", done))
    assert [format_pico(line.amount_pico) for line in lines] == ["48.00", "48.00"]
    assert {(line.resource_id, line.region_id, line.quantity) for line in lines} == {
        ("i-1", "us", "24")
    }


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Day;Kosten", ["01.11.2026;1180,80", "02.11.2026;319,80"]),
        ("Tag;Stunden;Kosten", ["01.11.2026;24;1.180,80", "02.11.2026;6,5;319,80"]),
        ("Tag;Kosten", ["20261101;1.180,80", "20261102;319,80"]),
        ("Kosten;Tag", ["1,180.80;11/01/26", "319.80;11/02/26"]),
    ],
)
def test_a_day_is_no_amount(header: str, cells: list[str]) -> None:
    """Although digits between points could be a number; of several numbers the last is the amount."""
    names = header.split(";")
    rows = [dict(zip(names, line.split(";"), strict=True)) for line in cells]
    text = draft("bill.csv", names, rows)
    assert 'BilledCost = "Kosten"  #' in text
    assert f'ChargePeriodStart = "{names[0] if names[0] != "Kosten" else names[1]}"  #' in text


def test_a_draft_is_valid_whatever_the_columns_are_called() -> None:
    """Nothing in it is an escape to a terminal, and its names are those of the file."""
    odd = 'cost "\\\x1b[2J\u202e\x7f'
    text = draft("odd\x1b.csv", [odd, "day"], [{odd: "1", "day": "2026-11-01"}])
    assert text.isascii() or all(letter.isprintable() or letter == "\n" for letter in text)
    assert "\x1b" not in text
    done = text.replace('"?"', '"USD"')
    assert read_mapping("d.toml", done).columns["BilledCost"] == odd


def test_map_of_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known export has its mapping written; a file of our own needs none; nothing is written over."""
    monkeypatch.chdir(tmp_path)
    Path("oai.csv").write_text(
        "start_time,end_time,amount_value,amount_currency,line_item,project_id,organization_id\n"
        "1793491200,1793577600,0.5,usd,x,p,o\n"
    )
    done = invoke("books", "map", "oai.csv", "--output", "mine.toml")
    assert done.exit_code == 0, done.output
    assert load_mapping(Path("mine.toml")).title.startswith("OpenAI costs")
    again = invoke("books", "map", "oai.csv", "--output", "mine.toml")
    assert "is there already" in str(again.exception)
    Path("focus.csv").write_text("BilledCost,ChargePeriodStart\n")
    assert "needs no mapping" in str(invoke("books", "map", "focus.csv").exception)
    assert (
        header_of(stated(Path("oai.csv").read_text(), load_mapping(Path("mine.toml"))))[0]
        == "BilledCost"
    )
