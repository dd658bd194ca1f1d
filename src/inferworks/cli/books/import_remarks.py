"""Remarks on a file's lines: no errors, but worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferworks.books.accounting.tax import is_tax, recoverable
from inferworks.books.bills.payroll import is_nobodys
from inferworks.books.bills.sense import Doubts
from inferworks.books.charge import Charge
from inferworks.cli.show import counted
from inferworks.money import format_pico


class Remarks:
    """Remarks collected while the lines of the file `name` go by."""

    def __init__(
        self, name: str, currency: str, recoverable_taxes: Sequence[str], now_ns: int
    ) -> None:
        self._name, self._currency = name, currency
        self._recoverable_taxes = recoverable_taxes
        self._nobodys_lines = 0
        self._nobodys_pico = 0
        self._tax_pico = 0
        self._said: list[str] = []
        self._doubts = Doubts(now_ns)

    def say(self, text: str) -> None:
        """Let `text` be said of the file."""
        self._said.append(text)

    def look_at(self, charge: Charge) -> None:
        """Look at one line of the file."""
        self._doubts.look_at(charge)
        if is_nobodys(charge):
            self._nobodys_lines += 1
            self._nobodys_pico += charge.amount_pico
        if is_tax(charge) and recoverable(charge, self._recoverable_taxes) is None:
            self._tax_pico += charge.amount_pico

    def notes(self) -> Iterator[str]:
        """Yield the remarks."""
        yield from (f"{self._name}: {text}" for text in (*self._said, *self._doubts.texts()))
        if self._nobodys_lines:
            yield (
                f"{self._name}: {counted(self._nobodys_lines, 'line')} of pay without a split or a "
                f"department: {format_pico(self._nobodys_pico)} {self._currency} stays unallocated, in "
                "cost of revenue"
            )
        if self._tax_pico:
            yield (
                f"{self._name}: {format_pico(self._tax_pico)} {self._currency} of tax counts as cost; "
                "name what you get back in books.recoverable_taxes"
            )
