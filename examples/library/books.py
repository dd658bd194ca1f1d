"""Inferworks as a library: calls and their bill are imported, a statement is drawn, and a line explained.

    .venv/bin/python examples/library/books.py [FOLDER]

The provider's bill is divided among customers by the tokens of their calls; what an evaluation used is
research and development. FOLDER, or a temporary one, becomes the data folder of the books. Only names that
the package promises (`inferworks.__all__`), and what they return, are used.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from inferworks import Workspace, format_pico, open_books

HERE = Path(__file__).parent


def october(books: Workspace) -> None:
    """Import the calls and the bill of a month, and print what it cost, whom, and why."""
    result = books.import_bills([HERE / "calls.csv", HERE / "bill.csv"])
    result.raise_for_refused()
    for file in result.files:
        print(f"{file.file}: {file.accepted} new, {file.amount} {file.currency}")

    query = books.query("2025-10")
    statement = books.statement(query)
    print(f"cost of revenue {format_pico(statement.cost_of_revenue_pico)}")
    print(f"research and development {format_pico(statement.research_and_development_pico)}")
    for row in statement.by("customer"):
        print(f"{row.name}: {format_pico(row.cost_of_revenue_pico)}")

    cost = books.explain("customer:acme", query).cost
    while cost.parts:  # from the figure to one call, by the largest part
        cost = max(cost.parts, key=lambda part: part.amount_pico)
        ratios = "; ".join(ratio.text for ratio in cost.ratios)
        print(f"{format_pico(cost.amount_pico):>18} {cost.label} {ratios or cost.detail}".rstrip())


if __name__ == "__main__":
    october(open_books(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp()))
