"""The HTML report as an export: rendered by `html.py`, with the facts around the statement."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.html import Report, render

_TITLE = "What the answers earned, and what they cost"
_LEAD = (
    "Drawn from the meter's records and the bills that were imported. Every amount below is rounded for "
    "reading and carries its exact value; the tables sum to the bills."
)


class HtmlExporter:
    """One page without scripts or external resources."""

    name = "html"
    about = "the report: statement, comparatives and causes, bridge, cost flow, margin by customer"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file."""
        charges = tuple(item.charge for item in books.allocated)
        report = Report(
            *(_TITLE, _LEAD, "", books.statement, charges),
            later=books.later,
            beside=books.beside,
            budget=books.budget,
        )
        return [ExportFile("report.html", lambda sink: sink.writelines([render(report).encode()]))]
