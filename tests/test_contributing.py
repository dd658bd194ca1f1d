"""The worked examples of docs/contributing: each is what it says, and runs."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
import tomllib
from pathlib import Path

import msgspec
import pytest

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.detect import reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import read_mapping
from inferworks.catalog.providers import ProviderCatalog, ProviderRow
from inferworks.cloud.operation import Operation
from inferworks.http.client import Origin
from inferworks.money import format_pico

FOLDER = Path(__file__).parent.parent / "docs" / "contributing"
PAGES = sorted(FOLDER.glob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code in `language` on a page, without the indentation of the list they stand in."""
    text = (FOLDER / page).read_text("utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(body) for _, body in found]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(page: Path) -> None:
    """The blocks of Python on a page are one module, whose own tests pass."""
    module: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page.name, "python"):
        exec(compile(block, page.name, "exec"), module)
    tests = [run for name, run in module.items() if name.startswith("test_") and callable(run)]
    assert tests
    for run in tests:
        run()


@pytest.mark.parametrize("page", ["provider.md", "engine.md"])
def test_rows_are_rows(page: str) -> None:
    """A row that a page shows is one that the catalogue takes; its operations and address are good."""
    (block,) = blocks(page, "toml")
    (row,) = msgspec.convert(tomllib.loads(block)["provider"], list[ProviderRow])
    assert ProviderCatalog([row]).row(row.id, dt.date(2027, 1, 1)) == row
    assert {Operation(name) for name in row.operations}
    assert Origin.parse(row.url).tls != row.local


def test_the_mapping_reads_the_bill() -> None:
    """The colocation bill is known by its columns, and comes to what stands in it."""
    (bill,) = blocks("bill-reader.md", "csv")
    (text,) = blocks("bill-reader.md", "toml")
    mapping = read_mapping("hall", text)
    known = understood(bill_file("hall.csv", bill.encode()), lambda _: False, mappings=[mapping])
    assert known.mapping == mapping
    charges = reader_for(known, [FocusBillReader()]).read(known, "EUR", no_progress)
    assert [format_pico(charge.amount_pico) for charge in charges] == ["552.15", "273.60"]
    assert [charge.description for charge in charges] == [
        "Power of cabinet A-07",
        "Power of cabinet A-08",
    ]
