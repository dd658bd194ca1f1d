"""`inferworks books map`: draft a mapping for a file with unknown columns."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from inferworks.books.bills import rates
from inferworks.books.bills.base import open_bill
from inferworks.books.bills.detect import form_of
from inferworks.books.bills.draft import draft
from inferworks.books.bills.mapping import shipped, shipped_text
from inferworks.books.bills.reports import kind_of
from inferworks.books.bills.tables import open_table
from inferworks.cli.books.import_bills import readers
from inferworks.cli.config import write_new
from inferworks.cli.show import say, say_on
from inferworks.errors import BillError

_ROWS = 1000


@click.command("map")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File to write.  [default: standard output]",
)
def map_columns(file: Path, output: Path | None) -> None:
    """Draft a mapping for a file with unknown columns.

    The draft is made from the names of the columns and the first rows; comments name the columns found
    and those missing. For a known file (the export of a cloud, say) its own mapping is written, to be
    changed. docs/mappings.md explains every line.

    \b
    Examples:
      inferworks books map gpu-cloud.csv --output gpu-cloud.toml
      inferworks books import --mapping gpu-cloud.toml gpu-cloud.csv
    """
    text = _mapping_for(file)
    if output is None:
        say_on(text)
        return
    write_new(output, text, "--output")
    say(f"Wrote {output}.")


def _mapping_for(file: Path) -> str:
    bill = open_bill(file)
    mappings, ours = shipped(), readers()
    paths = [m.recognise.rows for m in mappings if m.recognise and m.recognise.rows]

    def is_ours(header: list[str] | tuple[str, ...]) -> bool:
        return (
            rates.recognises(header)
            or kind_of(header) is not None
            or any(reader.recognises(header) for reader in ours)
        )

    form = form_of(
        bill, lambda h: is_ours(tuple(h)) or any(m.recognises(h) for m in mappings), paths
    )
    table = open_table(bill.name, bill.raw, form)
    known = next((mapping for mapping in mappings if mapping.recognises(table.header)), None)
    if known is not None:
        head = f"# {bill.name} is known as {known.title} and needs no mapping; this is the one it has.\n"
        return head + shipped_text(known.name)
    if is_ours(table.header):
        raise BillError(f"{bill.name}: has our columns and needs no mapping; import it as it is")
    if not any(table.header):
        raise BillError(f"{bill.name}: the file is empty")
    rows = [row.cells for row in islice(table.rows, _ROWS) if row.cells is not None]
    return draft(bill.name, table.header, rows)
