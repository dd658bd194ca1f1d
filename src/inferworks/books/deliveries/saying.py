"""Texts of questions and notices about files: days, lines and amounts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from inferworks.books.calendar.moments import moment_text
from inferworks.books.deliveries.arriving import Total, Totals, added
from inferworks.books.deliveries.parts import Spans, merged

_AS_OPTION = '; as ImportOptions: overlap="part" or "replace"'


class Lot(NamedTuple):
    """Some lines of one delivery: of a part, of several, or of some of the time of these."""

    lines: int
    totals: Totals
    spans: Spans
    files: tuple[str, ...]
    """The files that they came in."""

    @property
    def days(self) -> str:
        """Return the days of the lines as text."""
        return f"from {moment_text(self.spans[0][0])} to {moment_text(self.spans[-1][1])}"

    @property
    def text(self) -> str:
        """Return the number of lines, their files and their totals as text."""
        return f"{_lines(self.lines)} of {', '.join(self.files)} ({amounts(self.totals)})"


def together(lots: Iterable[Lot]) -> Lot:
    """All of `lots` as one."""
    found = list(lots)
    totals: Totals = {}
    for lot in found:
        totals = added(totals, lot.totals)
    return Lot(
        sum(lot.lines for lot in found),
        totals,
        merged(span for lot in found for span in lot.spans),
        tuple(sorted({file for lot in found for file in lot.files})),
    )


def question_text(delivery: str, arrived: Lot, overlap: Lot, now: Totals) -> str:
    """Return the question about a file that overlaps existing parts, whose totals are `now`."""
    both = added(now, arrived.totals)
    instead = added(both, negated(overlap.totals))
    return _head(delivery, arrived, overlap) + (
        f"Import it with --part if both count ({amounts(both)} in all), or with --replace if it stands "
        f"instead ({amounts(instead)} in all){_AS_OPTION}"
    )


def beside_text(delivery: str, arrived: Lot, overlap: Lot) -> str:
    """Return the question about a file that overlaps another of the same import."""
    return _head(delivery, arrived, overlap) + (
        'Import with --part (overlap="part") if both count, or import the two one after the other'
    )


def _head(delivery: str, arrived: Lot, overlap: Lot) -> str:
    start_ns = max(arrived.spans[0][0], overlap.spans[0][0])
    end_ns = min(arrived.spans[-1][1], overlap.spans[-1][1])
    files = ", ".join(overlap.files)
    sums = f" ({amounts(overlap.totals)})" if overlap.totals else ""
    return (
        f"{arrived.files[0]}: its {_lines(arrived.lines)} ({amounts(arrived.totals)}) of {delivery} "
        f"overlap {_lines(overlap.lines)} of {files}{sums} from {moment_text(start_ns)} to "
        f"{moment_text(end_ns)} and are neither the same nor more; nothing of it was imported. "
    )


def instead_text(gone: Lot, left: Lot) -> str:
    """Return the text on lines that a file replaced, and on lines outside its reach that stay."""
    stays = f"; {left.text} {left.days} stay" if left.lines else ""
    return f"in place of {gone.text} {gone.days}{stays}"


def older_text(delivery: str, arrived: Lot, now: Totals) -> str:
    """Return the notice about a file that contains less than what is here."""
    return (
        f"an older copy of {delivery}: its {_lines(arrived.lines)} ({amounts(arrived.totals)}) "
        f"{arrived.days} change nothing, {amounts(now)} stay; import it with --replace "
        '(overlap="replace") if it stands instead'
    )


def amounts(totals: Totals) -> str:
    """Return `totals` as text for people: `1.40 USD and 2.00 EUR`."""
    parts = [f"{plain(total.exact)} {currency}" for currency, total in sorted(totals.items())]
    return " and ".join(parts) or "nothing"


def plain(exact: str) -> str:
    """An exact decimal written out, with at least two places."""
    whole, _, fraction = f"{Decimal(exact):f}".partition(".")
    return f"{whole}.{fraction:0<2}"


def negated(totals: Totals) -> Totals:
    """Return `totals` negated."""
    return {
        currency: Total(str(-Decimal(total.exact)), -total.pico)
        for currency, total in totals.items()
    }


def _lines(number: int) -> str:
    return f"{number} line{'' if number == 1 else 's'}"
