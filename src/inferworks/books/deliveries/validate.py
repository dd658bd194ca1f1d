"""What must hold of the books whenever a statement is drawn from them: theorems 16 and 17.

Problem. Revisions, amendments, voids and reversals move lines between imports one by one. A line that
such a step forgot, or left behind, is billed twice or not at all, and nothing in a statement would look
wrong.

Decision. Whenever charges are read for a statement, they are held against the register of deliveries,
which counted and summed each file when it came, before anything was moved. `VALIDATIONS` is the list, as
for the other theorems (`books/validate.py`): a function returns nothing when its theorem holds, raises
BooksError with the figures when it does not, and repairs nothing. Read in one transaction with the
charges; of a file that reaches beyond what is read, its lines are counted and not summed.

Rejected. Checking after each import alone: what the disk, or a later program, does to the books is found
by who reads them.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from inferworks.books.charge import Charge
from inferworks.books.correction import reversal
from inferworks.books.currency import as_billed
from inferworks.books.deliveries.arriving import Totals, added, rounding_pico
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
    """What the register says of the time that is read."""

    parts: dict[int, Entered]
    cut: set[int]
    """The deliveries that have imports in force of other time too."""
    lines: dict[int, list[str]]
    """The ids of the lines of each part; of the rounding lines of a delivery, under its number negated."""


Validation = Callable[[dict[str, Charge], Register], None]


def validate(charges: Iterable[Charge], register: Register) -> None:
    """BooksError unless every theorem of `VALIDATIONS` holds of `charges`."""
    by_id: dict[str, Charge] = {charge.id: charge for charge in charges}
    for validation in VALIDATIONS:
        validation(by_id, register)


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
    lines: dict[int, list[str]] = defaultdict(list)
    if parts:
        rows = db.execute(
            "SELECT part, id FROM lines WHERE part BETWEEN ? AND ? OR part < 0",
            (min(parts), max(parts)),
        )
        for part, id_ in rows:
            lines[part].append(id_)
    return Register(parts, cut, dict(lines))


def delivery(charges: dict[str, Charge], register: Register) -> None:
    """Theorem 16: every charge is a line of one import in force, or taken back by its exact reversal."""
    counted: set[str] = set()
    for number, ids in register.lines.items():
        part = register.parts.get(number)
        if part and len(ids) != (part.lines if part.in_force else 0):
            raise BooksError(
                f"theorem 16 (delivery): import {number} ({part.file}) has {len(ids)} lines in the "
                f"books, not {part.lines if part.in_force else 0}"
            )
        for id_ in ids:
            if id_ in counted:
                raise BooksError(f"theorem 16 (delivery): charge {id_} is a line of two imports")
            counted.add(id_)
    for number, part in register.parts.items():
        if part.in_force and part.lines and number not in register.lines:
            raise BooksError(
                f"theorem 16 (delivery): import {number} ({part.file}) has no lines in the books"
            )
    _must_be_taken_back([charge for id_, charge in charges.items() if id_ not in counted])


def footing(charges: dict[str, Charge], register: Register) -> None:
    """Theorem 17: a file comes to its lines; a delivery to its lines and its rounding line."""
    deliveries: dict[int, Totals] = defaultdict(dict)
    cut = set(register.cut)
    for number, part in register.parts.items():
        if not part.in_force:
            continue
        found = _found(register.lines.get(number, ()), charges)
        if found is None:
            cut.add(part.delivery)
            continue
        name = f"import {number} ({part.file})"
        _must_foot(name, _sums(found), part.totals)
        deliveries[part.delivery] = added(deliveries[part.delivery], part.totals)
    for number, totals in deliveries.items():
        rounding = _found(register.lines.get(-number, ()), charges)
        if rounding is None or number in cut:
            continue
        booked = {as_billed(one).currency: as_billed(one).amount_pico for one in rounding}
        due = {currency: rounding_pico(total) for currency, total in totals.items()}
        for currency in sorted(due | booked):
            one, other = booked.get(currency, 0), due.get(currency, 0)
            if one != other:
                raise BooksError(
                    f"theorem 17 (footing): the rounding line of delivery {number} is "
                    f"{format_pico(one)} {currency}, must be {format_pico(other)}"
                )


VALIDATIONS: tuple[Validation, ...] = (delivery, footing)
"""Theorems 16 and 17."""


def _must_be_taken_back(left: Sequence[Charge]) -> None:
    """BooksError unless `left`, which no import has, are charges and their exact reversals."""
    open_: dict[str, Charge] = {charge.id: charge for charge in left}
    for charge in left:
        gone = open_.get(reversal(charge).id)
        if gone is not None and gone.amount_pico == -charge.amount_pico:
            open_.pop(gone.id, None)
            open_.pop(charge.id, None)
    if open_:
        charge = min(open_.values(), key=lambda one: one.id)
        raise BooksError(
            f"theorem 16 (delivery): charge {charge.id} ({charge.file}, line {charge.row}) is a line of no "
            "import and is not taken back"
        )


def _found(ids: Sequence[str], charges: dict[str, Charge]) -> list[Charge] | None:
    """The charges of `ids`; None when some are not among them."""
    found = [charges[id_] for id_ in ids if id_ in charges]
    return found if len(found) == len(ids) else None


def _sums(charges: Iterable[Charge]) -> dict[str, tuple[int, Decimal]]:
    """By currency of the bill: the sum of the lines, and what rounding each has left out."""
    pico: dict[str, int] = defaultdict(int)
    left: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        billed = charge if charge.foreign is None else charge.foreign
        pico[billed.currency] += billed.amount_pico
        if charge.exact is not None:
            rounded = EXACT.scaleb(Decimal(billed.amount_pico), -12)
            off = EXACT.subtract(Decimal(charge.exact), rounded)
            left[billed.currency] = EXACT.add(left[billed.currency], off)
    return {currency: (sum_, left[currency]) for currency, sum_ in pico.items()}


def _must_foot(name: str, sums: dict[str, tuple[int, Decimal]], totals: Totals) -> None:
    for currency in sorted(sums.keys() | totals.keys()):
        pico, left = sums.get(currency, (0, Decimal(0)))
        total = totals.get(currency)
        if total is None or pico != total.pico or left != total.left:
            told = "nothing" if total is None else f"{format_pico(total.pico)} and {total.left}"
            raise BooksError(
                f"theorem 17 (footing): {name}: its lines come to {format_pico(pico)} {currency} and what "
                f"rounding left out to {left}; when it came it was {told}"
            )
