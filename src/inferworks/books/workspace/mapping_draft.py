"""Draft of a mapping for a file with unknown columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from inferworks.books.bills.base import open_bill
from inferworks.books.bills.detect import form_of
from inferworks.books.bills.draft import draft
from inferworks.books.bills.mapping import shipped, shipped_text
from inferworks.books.bills.tables import open_table
from inferworks.books.workspace.importing import is_importable, readers
from inferworks.errors import BillError

_ROWS = 1000
"""Rows that a draft is made from."""


def draft_mapping(path: Path) -> str:
    """Return a mapping for the file at `path` as TOML: its own for a known export, else a draft.

    BillError when the file needs no mapping, is empty, or cannot be read.
    """
    bill = open_bill(path)
    mappings, known = shipped(), readers()
    paths = [m.recognise.rows for m in mappings if m.recognise and m.recognise.rows]

    def recognised(header: Sequence[str]) -> bool:
        return is_importable(header, known) or any(m.recognises(header) for m in mappings)

    table = open_table(bill.name, bill.raw, form_of(bill, recognised, paths))
    mapping = next((mapping for mapping in mappings if mapping.recognises(table.header)), None)
    if mapping is not None:
        head = f"# {bill.name} is known as {mapping.title} and needs no mapping; this is the one it has.\n"
        return head + shipped_text(mapping.name)
    if is_importable(table.header, known):
        raise BillError(f"{bill.name}: has our columns and needs no mapping; import it as it is")
    if not any(table.header):
        raise BillError(f"{bill.name}: the file is empty")
    rows = [row.cells for row in islice(table.rows, _ROWS) if row.cells is not None]
    return draft(bill.name, table.header, rows)
