"""The formats that books can be exported in, by name. Each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module

from inferworks.books.exports.base import Exporter

FORMATS = {
    "focus": "focus:FocusExporter",
    "hledger": "hledger:HledgerExporter",
    "beancount": "beancount:BeancountExporter",
    "csv": "tabular:CsvExporter",
    "parquet": "tabular:ParquetExporter",
    "json": "json_export:JsonExporter",
    "html": "page:HtmlExporter",
}
"""The module of `inferworks.books.exports` and the class, by the name of the format."""


def exporter(name: str) -> Exporter:
    """The exporter of the format `name`; KeyError when there is none."""
    module, _, driver = FORMATS[name].partition(":")
    made: Exporter = getattr(import_module(f"inferworks.books.exports.{module}"), driver)()
    return made
