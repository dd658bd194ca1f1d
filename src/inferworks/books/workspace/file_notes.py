"""Notes on the lines of an imported file: no errors, but worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferworks.books.accounting.tax import TAX, is_tax, recoverable
from inferworks.books.bills.payroll import is_nobodys
from inferworks.books.bills.sense import Doubts
from inferworks.books.charge import STAFF_TIME
from inferworks.books.deliveries.arriving import ArrivingLines
from inferworks.books.workspace.import_result import line_count
from inferworks.money import format_pico


class FileNotes:
    """Notes collected while the lines of the file `name` are read."""

    def __init__(
        self, name: str, currency: str, recoverable_taxes: Sequence[str], now_ns: int
    ) -> None:
        self._name, self._currency = name, currency
        self._recoverable_taxes = recoverable_taxes
        self._unassigned_pay_lines = 0
        self._unassigned_pay_pico = 0
        self._tax_pico = 0
        self._texts: list[str] = []
        self._doubts = Doubts(now_ns)

    def add(self, text: str) -> None:
        """Add a note of the file's reader."""
        self._texts.append(text)

    def check(self, lines: ArrivingLines) -> None:
        """Check lines of the file: pay, tax and those of times far off one by one."""
        told = {
            place
            for place, sort in enumerate(lines.sorts)
            if sort.service_name == STAFF_TIME or sort.charge_category == TAX
        }
        are_near = not lines or self._doubts.are_near(lines.starts_ns, lines.ends_ns)
        for place, sort in enumerate(lines.sort_places) if told or not are_near else ():
            if sort not in told and are_near:
                continue
            charge = lines.charge(place)
            self._doubts.look_at(charge)
            if is_nobodys(charge):
                self._unassigned_pay_lines += 1
                self._unassigned_pay_pico += charge.amount_pico
            if is_tax(charge) and recoverable(charge, self._recoverable_taxes) is None:
                self._tax_pico += charge.amount_pico

    def texts(self) -> Iterator[str]:
        """Yield the notes."""
        yield from (f"{self._name}: {text}" for text in (*self._texts, *self._doubts.texts()))
        if self._unassigned_pay_lines:
            yield (
                f"{self._name}: {line_count(self._unassigned_pay_lines)} of pay without a split or a "
                f"department: {format_pico(self._unassigned_pay_pico)} {self._currency} stays "
                "unallocated, in cost of revenue"
            )
        if self._tax_pico:
            yield (
                f"{self._name}: {format_pico(self._tax_pico)} {self._currency} of tax counts as cost; "
                "name what you get back in books.recoverable_taxes"
            )
