"""Corrections beside the figures of a period: its own of earlier ones, and later ones of it."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.closing.prior_period import LaterCorrection, as_corrected, own_and_corrections
from inferworks.books.statement.statement import Row, Statement
from inferworks.cli.books.formatting import amount, places_of, print_figures
from inferworks.money import format_pico

_COLUMNS = ("REVENUE", "COST OF REVENUE", "GROSS MARGIN", "R&D", "OTHER")


def print_corrections(statement: Statement, later: Sequence[LaterCorrection]) -> None:
    """Tables of both, where there are any; each adds up to its last line."""
    places = places_of(statement)
    if statement.corrections:
        _print("CORRECTIONS BOOKED", own_and_corrections(statement), places)
    if later:
        _print("CORRECTED SINCE", as_corrected(statement, later), places)


def corrections_json(statement: Statement, later: Sequence[LaterCorrection]) -> dict[str, object]:
    """The same as JSON values; every amount an exact decimal string."""
    return {
        "corrections_booked": _json(own_and_corrections(statement))
        if statement.corrections
        else [],
        "corrected_since": _json(as_corrected(statement, later)) if later else [],
    }


def _print(title: str, rows: Sequence[Row], places: int) -> None:
    table = [
        (row.name, *(amount(pico, places) for pico in row.amounts_pico.values())) for row in rows
    ]
    print_figures((title, *_COLUMNS), table)


def _json(rows: Sequence[Row]) -> list[dict[str, str]]:
    return [
        {
            "name": row.name,
            **{name: format_pico(pico) for name, pico in row.amounts_pico.items()},
        }
        for row in rows
    ]
