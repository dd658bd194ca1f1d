"""Waterfall chart: steps from one amount to another, with horizontal bars.

Problem. Vertical bars need room for the labels of all steps side by side; a phone has none, and rotated
labels cannot be read.

Decision. A table with a bar in each row: the label and the exact amount are text beside their bar, so the
picture is its own table, wraps as text does, and prints. All bars share one scale; each begins where the
last one ended, and a thin line shows where. Pure: bars in, HTML out. Widths are floats, because a picture
is not a ledger; the exact amount stands in `data-pico`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from inferworks.books.exports.values import html_text, shown_amount
from inferworks.money import format_pico


class Kind(StrEnum):
    """Kind of a row."""

    REACHED = "reached"
    """Level reached by the steps so far; its bar begins at zero."""
    LEVEL = "level"
    """Level as a mark without a bar: if nothing else begins at zero, the chart need not show zero."""
    CHANGE = "change"
    """Amount added on the way to the next row; mostly negative."""
    HEADING = "heading"
    """A few words above the changes that follow."""


class Bar(NamedTuple):
    """A row of the picture; amounts in picounits."""

    label: str
    pico: int = 0
    kind: Kind = Kind.CHANGE
    colour: str = ""
    """A CSS class; without one, the colour tells gain from loss."""
    note: str = ""
    """A few words below the label."""


class Placed(NamedTuple):
    """A bar and the two levels it spans, in picounits."""

    bar: Bar
    from_pico: int
    to_pico: int


def waterfall(bars: Sequence[Bar], currency: str) -> str:
    """The table of `bars`, from top to bottom; a bar that is reached begins at zero."""
    placed = place(bars)
    levels = [level for item in placed for level in (item.from_pico, item.to_pico)]
    lowest, highest = min(levels, default=0), max(levels, default=0)
    whole, rows = max(1, highest - lowest), ""
    for item in placed:
        bar = item.bar
        if bar.kind is Kind.HEADING:
            rows += f'<tr class="heading"><th colspan="3">{html_text(bar.label)}</th></tr>'
            continue
        reached = bar.kind is not Kind.CHANGE
        tells = f' class="{_sign(bar.pico)}"' if reached and bar.pico and not bar.colour else ""
        note = f'<span class="note">{html_text(bar.note)}</span>' if bar.note else ""
        rows += (
            f'<tr class="{"sum" if reached else "part"}">'
            f'<th scope="row">{html_text(bar.label)}{note}</th>'
            f'<td class="n"><span{tells} title="{format_pico(bar.pico)}">{shown_amount(bar.pico)}</span>'
            f'</td><td class="bar">{_svg(item, lowest, whole)}</td></tr>'
        )
    noted = " noted" if any(bar.note for bar in bars) else ""
    return (
        f'<table class="bars bridge{noted}"><thead><tr><th scope="col"></th>'
        f'<th scope="col" class="n">{html_text(currency)}</th><td class="bar"></td></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def place(bars: Iterable[Bar]) -> list[Placed]:
    """Each bar with the levels it spans: a change begins where the bar before it ended."""
    placed, level_pico = [], 0
    for bar in bars:
        begins_pico = {Kind.REACHED: 0, Kind.LEVEL: bar.pico}.get(bar.kind, level_pico)
        level_pico = begins_pico + (0 if bar.kind is Kind.LEVEL else bar.pico)
        placed.append(Placed(bar, begins_pico, level_pico))
    return placed


def _svg(item: Placed, lowest: int, whole: int) -> str:
    """The bar of one row; a line marks zero, ticks where it came from and where it leads."""
    bar = item.bar
    came, leads = (_x(level, lowest, whole) for level in (item.from_pico, item.to_pico))
    marks = [_line(leads, 8.5, 10.0)]
    if lowest <= 0 <= lowest + whole:
        marks.append(_line(_x(0, lowest, whole), 0.0, 10.0))
    if bar.kind is not Kind.REACHED:
        marks.append(_line(came, 0.0, 1.5))
    shape = (
        _line(leads, 0.0, 10.0)
        if bar.kind is Kind.LEVEL
        else (
            f'<rect class="{bar.colour or _sign(bar.pico)}" data-pico="{bar.pico}" '
            f'x="{min(came, leads):.2f}" y="1.5" width="{max(0.4, abs(leads - came)):.2f}" height="7"/>'
        )
    )
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{html_text(f"{bar.label}: {shown_amount(bar.pico)}")}">'
        f"{''.join(marks)}{shape}</svg>"
    )


def _line(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.2f}" y1="{top:g}" x2="{x:.2f}" y2="{bottom:g}"/>'


def _x(level_pico: int, lowest: int, whole: int) -> float:
    """Return the position of a level from the left, between 0.5 and 99.5 per cent."""
    return 0.5 + 99.0 * (level_pico - lowest) / whole


def _sign(pico: int) -> str:
    return "gain" if pico >= 0 else "loss"
