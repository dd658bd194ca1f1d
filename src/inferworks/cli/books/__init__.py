"""`inferworks books`: bills in, statements out. One command file per verb."""

from __future__ import annotations

from inferworks.cli.lazy import LazyGroup

VERBS = {
    "import": "inferworks.cli.books.import_bills:import_bills",
    "map": "inferworks.cli.books.map_columns:map_columns",
    "imports": "inferworks.cli.books.imports:imports",
    "quarantine": "inferworks.cli.books.quarantine:quarantine",
    "reconcile": "inferworks.cli.books.reconcile:reconcile",
    "statement": "inferworks.cli.books.statement:statement",
    "forecast": "inferworks.cli.books.forecasts:show_forecast",
    "bridge": "inferworks.cli.books.bridge:show_bridge",
    "economics": "inferworks.cli.books.economics:show_economics",
    "compare": "inferworks.cli.books.compare:show_comparison",
    "explain": "inferworks.cli.books.explain:show_explanation",
    "methods": "inferworks.cli.books.methods:show_methods",
    "estimates": "inferworks.cli.books.estimates:estimates",
    "report": "inferworks.cli.books.report:report",
    "export": "inferworks.cli.books.export:export",
    "chart": "inferworks.cli.books.chart:show_chart",
    "close": "inferworks.cli.books.close:close",
    "verify": "inferworks.cli.books.verify:verify",
    "reopen": "inferworks.cli.books.reopen:reopen",
    "periods": "inferworks.cli.books.periods:periods",
}

books = LazyGroup("books", VERBS, "Import bills; report revenue, cost and margin; close periods.")
