"""The formats that books can be exported in, by name. Each is loaded when it is asked for.

Some take the books of a span, the others the journal of its periods, for a general ledger.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from inferworks.books.exports.base import Exporter, JournalExporter
from inferworks.choices import one_of

PAGE = "html"
"""The report: what is for reading, and may have other things beside it."""

FORMATS = {
    "focus": "focus:FocusExporter",
    "csv": "tabular:CsvExporter",
    "parquet": "tabular:ParquetExporter",
    "json": "json_export:JsonExporter",
    PAGE: "html_exporter:HtmlExporter",
}
"""The module of `inferworks.books.exports` and the class, by the name of the format."""

TEXT_LEDGERS = {
    "hledger": "hledger:HledgerExporter",
    "beancount": "beancount:BeancountExporter",
}
"""The same for ledgers in plain text, which take exact amounts."""

IMPORTED_LEDGERS = ("quickbooks", "xero", "netsuite")
"""The programs that import rounded journals under a chart of accounts (`ledger_csv.py`)."""

JOURNALS = (*TEXT_LEDGERS, *IMPORTED_LEDGERS)


def exporter(name: str) -> Exporter:
    """The exporter of the format `name`; UserError when there is none."""
    made: Exporter = _made(FORMATS[one_of("form", name, FORMATS)])
    return made


def text_ledger(name: str) -> JournalExporter:
    """The exporter of the ledger in plain text called `name`; UserError when there is none."""
    made: JournalExporter = _made(TEXT_LEDGERS[one_of("form", name, TEXT_LEDGERS)])
    return made


def _made(place: str) -> Any:
    module, _, driver = place.partition(":")
    return getattr(import_module(f"inferworks.books.exports.{module}"), driver)()
