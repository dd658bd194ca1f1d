"""Invariants of the books whenever a statement is built from them: theorems 16 and 17.

Problem. Revisions, amendments, voids and reversals move lines between imports one by one. A line that
such a step missed is billed twice or not at all, and no statement would show it.

Decision. Whenever charges are read for a statement, they are compared with the register of deliveries,
which counted and summed each file on import, before any line was moved. `VALIDATIONS` is the list, as for
the other theorems (`books/statement/invariants.py`): a function returns nothing when its theorem holds,
raises BooksError with the figures when it does not, and repairs nothing. Read in one transaction with the
charges; of a file that reaches beyond what is read, its lines are counted and not summed.

Rejected. Checking only after each import: damage by the disk, or by a later program, is found when the
books are read.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import Totals, added, rounding_pico
from inferworks.books.lines import Glance
from inferworks.books.statement.corrections import reversal
from inferworks.errors import BooksError
from inferworks.money import EXACT, format_pico

_IN_FORCE = "in force"
_spans = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode
_totals = msgspec.json.Decoder(Totals).decode


class Entered(NamedTuple):
    """A part of a delivery as it was counted when it came."""

    delivery: int
    file: str
    in_force: bool
    lines: int
    totals: Totals


class Register(NamedTuple):
    """Contents of the register for the time that is read."""

    parts: dict[int, Entered]
    cut: set[int]
    """The deliveries that have imports in force of other time too."""
    lines: dict[int, int]
    """Number of lines of each part; the rounding lines of a delivery, under its number negated."""
    part_of: dict[str, int]
    """The part of each line, by its id."""
    twice: str
    """Id of a line in two parts; empty without any."""


class Held:
    """The lines that are read for a statement, one by one, held against the `register`."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.sums: dict[tuple[int, str], Sum] = defaultdict(Sum)
        """Sums of the lines of each part, by the currency of their bill."""
        self.left: list[Charge] = []
        """Lines of no part."""

    def add(self, line: Glance, body: bytes) -> None:
        """Count a line, given at a glance and as JSON."""
        part = self.register.part_of.get(line.id)
        if part is None:
            self.left.append(_charge(body))
            return
        billed = line if line.foreign is None else line.foreign
        self.sums[part, billed.currency].add(billed.amount_pico, line.exact)

    def validate(self) -> None:
        """BooksError unless every theorem of `VALIDATIONS` holds."""
        for validation in VALIDATIONS:
            validation(self)

    def whole(self, part: int) -> Mapping[str, Sum] | None:
        """Return the sums of the lines of `part` by currency; None if not all of them were read."""
        sums = {currency: sum_ for (of, currency), sum_ in self.sums.items() if of == part}
        read = sum(sum_.lines for sum_ in sums.values())
        return sums if read == self.register.lines.get(part, 0) else None


class Sum:
    """Sum of lines in one currency, and the amount that rounding each left out."""

    __slots__ = ("left", "lines", "pico")

    def __init__(self) -> None:
        self.lines, self.pico, self.left = 0, 0, Decimal(0)

    def add(self, pico: int, exact: str | None) -> None:
        """Count one."""
        self.lines += 1
        self.pico += pico
        if exact is not None:
            rounded = EXACT.scaleb(Decimal(pico), -12)
            self.left = EXACT.add(self.left, EXACT.subtract(Decimal(exact), rounded))


Validation = Callable[[Held], None]
_charge = msgspec.json.Decoder(Charge).decode


def registered(db: sqlite3.Connection, start_ns: int, end_ns: int) -> Register:
    """The register in `db` of what meets that time."""
    parts: dict[int, Entered] = {}
    cut: set[int] = set()
    for number, delivery_, file, state, lines_, spans, totals in db.execute(
        "SELECT number, delivery, file, state, lines, spans, totals FROM parts"
    ):
        in_force = state == _IN_FORCE
        if any(start < end_ns and start_ns < end for start, end in _spans(spans)):
            parts[number] = Entered(delivery_, file, in_force, lines_, _totals(totals))
        elif in_force:
            cut.add(delivery_)
    if not parts:
        return Register(parts, cut, {}, {}, "")
    here = "FROM lines WHERE part <= ? AND (part >= ? OR part < 0)"
    ends = max(parts), min(parts)
    lines = dict(db.execute(f"SELECT part, count(*) {here} GROUP BY part", ends).fetchall())
    part_of: dict[str, int] = dict(db.execute(f"SELECT id, part {here}", ends))
    twice = ""
    if len(part_of) != sum(lines.values()):
        double = f"SELECT min(id) FROM (SELECT id {here} GROUP BY id HAVING count(*) > 1)"
        [twice] = db.execute(double, ends).fetchone()
    return Register(parts, cut, lines, part_of, twice)


def delivery(held: Held) -> None:
    """Theorem 16: every charge is a line of one import in force, or taken back by its exact reversal."""
    register = held.register
    for number, lines in register.lines.items():
        part = register.parts.get(number)
        if part and lines != (part.lines if part.in_force else 0):
            raise BooksError(
                f"theorem 16 (delivery): import {number} ({part.file}) has {lines} lines in the "
                f"books, not {part.lines if part.in_force else 0}"
            )
    if register.twice:
        raise BooksError(f"theorem 16 (delivery): charge {register.twice} is a line of two imports")
    for number, part in register.parts.items():
        if part.in_force and part.lines and number not in register.lines:
            raise BooksError(
                f"theorem 16 (delivery): import {number} ({part.file}) has no lines in the books"
            )
    untaken: dict[str, Charge] = {charge.id: charge for charge in held.left}
    for charge in held.left:
        gone = untaken.get(reversal(charge).id)
        if gone is not None and gone.amount_pico == -charge.amount_pico:
            untaken.pop(gone.id, None)
            untaken.pop(charge.id, None)
    if untaken:
        charge = min(untaken.values(), key=lambda one: one.id)
        raise BooksError(
            f"theorem 16 (delivery): charge {charge.id} ({charge.file}, line {charge.row}) is a line of no "
            "import and is not taken back"
        )


def footing(held: Held) -> None:
    """Theorem 17: a file comes to its lines; a delivery to its lines and its rounding line."""
    register = held.register
    deliveries: dict[int, Totals] = defaultdict(dict)
    cut = set(register.cut)
    for number, part in register.parts.items():
        if not part.in_force:
            continue
        sums = held.whole(number)
        if sums is None:
            cut.add(part.delivery)
            continue
        for currency in sorted(sums.keys() | part.totals.keys()):
            found, total = sums.get(currency, Sum()), part.totals.get(currency)
            if total is None or found.pico != total.pico or found.left != total.left:
                told = "nothing" if total is None else f"{format_pico(total.pico)} and {total.left}"
                raise BooksError(
                    f"theorem 17 (footing): import {number} ({part.file}): its lines come to "
                    f"{format_pico(found.pico)} {currency} and what rounding left out to {found.left}; "
                    f"when it came it was {told}"
                )
        deliveries[part.delivery] = added(deliveries[part.delivery], part.totals)
    for number, totals in deliveries.items():
        rounding = held.whole(-number)
        if rounding is None or number in cut:
            continue
        booked = {currency: sum_.pico for currency, sum_ in rounding.items()}
        due = {currency: rounding_pico(counted) for currency, counted in totals.items()}
        for currency in sorted(due | booked):
            one, other = booked.get(currency, 0), due.get(currency, 0)
            if one != other:
                raise BooksError(
                    f"theorem 17 (footing): the rounding line of delivery {number} is "
                    f"{format_pico(one)} {currency}, must be {format_pico(other)}"
                )


VALIDATIONS: tuple[Validation, ...] = (delivery, footing)
"""Theorems 16 and 17."""
