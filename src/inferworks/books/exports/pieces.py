"""The pieces of which the HTML report is made: sections, tables and amounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from inferworks.books.charge import Function
from inferworks.books.exports.values import html_text, shown_amount
from inferworks.money import format_pico


class Amount(NamedTuple):
    """A cell with money in it."""

    pico: int
    good: bool | None = None
    """True for a gain, False for a loss, each in its colour; None for neither."""


def signed(pico: int) -> Amount:
    """Return an amount of which a positive value is a gain, and a negative one a loss."""
    return Amount(pico, pico > 0 if pico else None)


class Share(NamedTuple):
    """A cell with a percentage in it, or a dash without one."""

    percent: Decimal | None


Cell = str | Amount | Share

BELOW = {
    Function.RESEARCH_AND_DEVELOPMENT: "Research and development",
    Function.SALES_AND_MARKETING: "Sales and marketing",
    Function.GENERAL_AND_ADMINISTRATIVE: "General and administrative",
}
"""The functions below the gross margin, in words."""
FUNCTIONS = {
    **BELOW,
    Function.COST_OF_REVENUE: "Cost of revenue",
    Function.UNUSED_CAPACITY: "Unused capacity",
}
"""The functions in words."""


def use_text(use: str) -> str:
    """A use in words: `unused:idle` is unused capacity, and why; `department:sales` is sales."""
    return (
        use.replace("unused:", "unused, ")
        .replace("Unallocated:", "unallocated, ")
        .removeprefix("department:")
    )


def section(title: str, lead: str, body: str) -> str:
    """A part of the page: its heading, a few words about it, and what stands in it."""
    paragraph = f'<p class="quiet">{html_text(lead)}</p>' if lead else ""
    return f"<section><h2>{html_text(title)}</h2>\n{paragraph}\n{body}</section>"


def table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    """A table; each row is its class and its cells, the first of which heads it."""
    rows = list(rows)
    figures = {
        place for _, cells in rows for place, c in enumerate(cells) if not isinstance(c, str)
    }
    head = "".join(
        f'<th scope="col"{_numeric(place in figures)}>{html_text(name)}</th>'
        for place, name in enumerate(columns)
    )
    body = ""
    for kind, (first, *others) in rows:
        rest = "".join(f"<td{_numeric(not isinstance(c, str))}>{_cell(c)}</td>" for c in others)
        attribute = f' class="{kind}"' if kind else ""
        body += f'<tr{attribute}><th scope="row">{_cell(first)}</th>{rest}</tr>'
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _numeric(yes: bool) -> str:
    return ' class="n"' if yes else ""


def _cell(cell: Cell) -> str:
    if isinstance(cell, Share):
        return "–" if cell.percent is None else f"{cell.percent:,}".replace("-", "−")
    return money(cell) if isinstance(cell, Amount) else html_text(cell)


def money(amount: Amount) -> str:
    """An amount rounded for reading, with the exact one in its title."""
    kind = "" if amount.good is None else f' class="{"gain" if amount.good else "loss"}"'
    return f'<span{kind} title="{format_pico(amount.pico)}">{shown_amount(amount.pico)}</span>'
