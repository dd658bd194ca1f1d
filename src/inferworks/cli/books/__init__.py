"""`inferworks books`: import bills, print statements, close periods. One file per command."""

from __future__ import annotations

from inferworks.cli.lazy import LazyGroup

VERBS = {
    "import": (
        "inferworks.cli.books.import_bills:import_bills",
        "Import costs: bills, time sheets, payroll and the like.",
    ),
    "map": (
        "inferworks.cli.books.map_columns:map_columns",
        "Draft a mapping for a file whose columns are not known.",
    ),
    "imports": (
        "inferworks.cli.books.imports:imports",
        "List imports, and void one.",
    ),
    "quarantine": (
        "inferworks.cli.books.quarantine:quarantine",
        "List files in quarantine, and settle their questions.",
    ),
    "reconcile": (
        "inferworks.cli.books.reconcile:reconcile",
        "Compare the imported bills with the suppliers' invoices.",
    ),
    "statement": (
        "inferworks.cli.books.statement:statement",
        "Print revenue, cost of revenue, gross margin and the rest.",
    ),
    "forecast": (
        "inferworks.cli.books.forecasts:show_forecast",
        "Forecast what the running month comes to.",
    ),
    "bridge": (
        "inferworks.cli.books.bridge:show_bridge",
        "Walk from revenue to the fully loaded margin, pool by pool.",
    ),
    "economics": (
        "inferworks.cli.books.economics:show_economics",
        "Print what one more customer costs and contributes.",
    ),
    "compare": (
        "inferworks.cli.books.compare:show_comparison",
        "Compare a period under two policies.",
    ),
    "explain": (
        "inferworks.cli.books.explain:show_explanation",
        "Break a figure down to the bill lines and calls behind it.",
    ),
    "methods": (
        "inferworks.cli.books.methods:show_methods",
        "Compare the methods by which shared costs are divided.",
    ),
    "estimates": (
        "inferworks.cli.books.estimates:estimates",
        "Compare estimated costs of providers' APIs with their bills.",
    ),
    "report": (
        "inferworks.cli.books.report:report",
        "Write the report as one HTML file.",
    ),
    "export": (
        "inferworks.cli.books.export:export",
        "Write the books for other tools: ledgers, FOCUS, CSV, JSON.",
    ),
    "chart": (
        "inferworks.cli.books.chart:show_chart",
        "Print the chart of accounts, or check your own.",
    ),
    "close": (
        "inferworks.cli.books.close:close",
        "Close a period: compute its statement, check it, seal it.",
    ),
    "verify": (
        "inferworks.cli.books.verify:verify",
        "Check the chain of closes, and recompute every closed period.",
    ),
    "reopen": ("inferworks.cli.books.reopen:reopen", "Reopen the period that was closed last."),
    "periods": (
        "inferworks.cli.books.periods:periods",
        "List periods, or declare one of your own.",
    ),
}

books = LazyGroup("books", VERBS, "Import bills; report revenue, cost and margin; close periods.")
