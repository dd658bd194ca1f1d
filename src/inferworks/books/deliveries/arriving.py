"""Arriving lines: the lines of files that are being imported, before anything is decided.

Lines go to a temporary table as they are read, so that a bill of a million lines is never in memory; the
table is on the disk beside the books and goes with the connection. A row there is a row of `charges`,
ready to be taken over, with the columns that the decision needs: part, name, about, carried
(`canonical.Line`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.books.charge import Charge
from inferworks.books.deliveries.canonical import (
    Columns,
    Delivery,
    Line,
    decimal_text,
    delivery_of,
    line_of,
    with_id,
)
from inferworks.books.deliveries.parts import Part, merged
from inferworks.checksum import long_row_checksum
from inferworks.money import EXACT

SCHEMA: Final = """
CREATE TEMP TABLE arriving (
    part INTEGER NOT NULL, name TEXT NOT NULL, about TEXT NOT NULL, carried TEXT NOT NULL,
    id TEXT NOT NULL, file_sha256 TEXT NOT NULL, period_start_ns INTEGER NOT NULL,
    period_end_ns INTEGER NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL,
    amount_pico TEXT NOT NULL
)"""
INDEX: Final = """
CREATE INDEX temp.arriving_by_name
ON arriving (part, name, carried, about, id, period_start_ns, period_end_ns, amount_pico)"""
"""Index with all columns that are read of many lines at once; bodies are read once, when taken over."""
DIGEST_BITS: Final = 96
_BATCH = 200
"""Rows that are written at once, while they are at hand."""
_BODY_BYTES = 2_048
_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder(Charge).decode


class Total(msgspec.Struct):
    """Total of lines in the currency of their bill."""

    exact: str = "0"
    """An exact decimal, in units."""
    pico: int = 0
    """The sum of the lines as they are kept, each rounded."""

    @property
    def left(self) -> Decimal:
        """Return the amount that rounding the lines one by one left out, in units."""
        return EXACT.subtract(Decimal(self.exact), EXACT.scaleb(Decimal(self.pico), -12))


Totals = dict[str, Total]
"""Totals by currency."""


class Arrival(NamedTuple):
    """The lines of one delivery in one file."""

    delivery: Delivery
    part: Part
    totals: Totals
    file: str
    file_sha256: str


class ArrivingLine(NamedTuple):
    """A line of a file that is being imported."""

    charge: Charge
    """The charge; its id is the name of the line."""
    delivery: Delivery
    line: Line
    row: tuple[Any, ...]
    """Row of the table `charges`, with its checksum."""


def arriving_line(
    delivery: Delivery, charge: Charge, columns: Columns | None = None
) -> ArrivingLine:
    """`charge`, of this `delivery`; `columns` are its own, where they are known."""
    line = line_of(delivery, charge, columns)
    named = with_id(charge, line.name)
    return ArrivingLine(named, delivery, line, charge_row(named))


def arriving_lines(kind: str, charges: Iterable[Charge]) -> Iterator[ArrivingLine]:
    """Each of `charges`, of a file of this `kind`."""
    return (arriving_line(delivery_of(kind, charge), charge) for charge in charges)


class _Packed(msgspec.Struct, array_like=True):
    """Lines as they go from one process to another."""

    deliveries: list[Delivery]
    lines: list[tuple[int, Line, bytes, int]]
    """Each line with the place of its delivery, its body and its checksum."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Packed).decode


def packed(lines: Iterable[ArrivingLine]) -> bytes:
    """`lines` for `unpacked` in another process."""
    places: dict[Delivery, int] = {}
    found = [
        (places.setdefault(one.delivery, len(places)), one.line, one.row[4], one.row[5])
        for one in lines
    ]
    return _pack(_Packed(list(places), found))


def unpacked(raw: bytes) -> list[ArrivingLine]:
    """The lines that were packed."""
    deliveries, lines = msgspec.structs.astuple(_unpack(raw))
    found = []
    for place, line, body, checksum in lines:
        charge = _decode(body)
        row = (charge.id, charge.file_sha256, charge.period_start_ns, charge.period_end_ns)
        found.append(ArrivingLine(charge, deliveries[place], line, (*row, body, checksum)))
    return found


class _Sum:
    """Running sum of a part while its lines come in."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.digest = self.lines = 0
        self.spans: set[tuple[int, int]] = set()
        self.invoices: set[str] = set()
        self.pico: dict[str, int] = {}
        self.left: dict[str, Decimal] = {}

    def add(self, line: Line, charge: Charge) -> None:
        """Count one line."""
        self.invoices.add(line.invoice)
        billed = charge if charge.foreign is None else charge.foreign
        self.digest = (self.digest + int(line.name[4:], 16)) % (1 << DIGEST_BITS)
        self.lines += 1
        self.spans.add((charge.period_start_ns, charge.period_end_ns))
        self.pico[billed.currency] = self.pico.get(billed.currency, 0) + billed.amount_pico
        if charge.exact is not None:
            rounded = EXACT.scaleb(Decimal(billed.amount_pico), -12)
            left = EXACT.subtract(Decimal(charge.exact), rounded)
            self.left[billed.currency] = EXACT.add(self.left.get(billed.currency, Decimal(0)), left)

    def part(self, series: str, place: str) -> Part:
        """Return the lines as a part, the `place` in its `series`."""
        spans, invoices = merged(self.spans), tuple(sorted(self.invoices))
        return Part(self.number, self.digest, self.lines, spans, series, place, invoices)

    def totals(self) -> Totals:
        """Return the totals of the lines by currency."""
        return {
            currency: _total(pico, self.left.get(currency)) for currency, pico in self.pico.items()
        }


def _total(pico: int, left: Decimal | None) -> Total:
    units = EXACT.scaleb(Decimal(pico), -12)
    exact = units if left is None else EXACT.add(units, left)
    return Total(decimal_text(str(exact)), pico)


def added(one: Totals, other: Totals) -> Totals:
    """The sum of both."""
    found = dict(one)
    for currency, total in other.items():
        before = found.get(currency, Total())
        exact = EXACT.add(Decimal(before.exact), Decimal(total.exact))
        found[currency] = Total(decimal_text(str(exact)), before.pico + total.pico)
    return found


def rounding_pico(total: Total) -> int:
    """Return the amount of a delivery's rounding line: its exact total, rounded once, less its lines."""
    exact = EXACT.scaleb(Decimal(total.exact), 12)
    return int(EXACT.to_integral_value(exact)) - total.pico


def stage(
    db: sqlite3.Connection, lines: Iterable[ArrivingLine], series: tuple[str, str], first: int
) -> list[Arrival]:
    """Stage `lines` of one file; return the arrivals of each delivery.

    Parts are numbered from `first` down. Whatever `lines` raises leaves no row behind.
    """
    sums: dict[Delivery, _Sum] = {}
    rows: list[Sequence[Any]] = []
    file = file_sha256 = ""
    try:
        for charge, delivery, line, row in lines:
            total = sums.get(delivery)
            if total is None:
                total = sums[delivery] = _Sum(first - len(sums))
                file, file_sha256 = charge.file, charge.file_sha256
            total.add(line, charge)
            rows.append((total.number, *line[:3], *row, str(charge.amount_pico)))
            if len(rows) == _BATCH:
                _insert(db, rows)
                rows.clear()
        _insert(db, rows)
    except BaseException:
        discard(db, [total.number for total in sums.values()])
        raise
    return [
        Arrival(delivery, one.part(*series), one.totals(), file, file_sha256)
        for delivery, one in sums.items()
    ]


def totals_of(lines: Iterable[tuple[Line, Charge]], like: Part) -> tuple[Part, Totals]:
    """Return lines as a part of their own, of the series and place of `like`; and their totals."""
    total = _Sum(like.number)
    for line, charge in lines:
        total.add(line, charge)
    return total.part(like.series, like.place), total.totals()


def charge_row(charge: Charge) -> tuple[Any, ...]:
    """`charge` as a row of `charges`, with its checksum."""
    body = bytearray(_BODY_BYTES)  # what does not have to grow is written in half the time
    _encoder.encode_into(charge, body)
    row = (
        charge.id,
        charge.file_sha256,
        charge.period_start_ns,
        charge.period_end_ns,
        bytes(body),
    )
    return (*row, long_row_checksum("charges", row))


def discard(db: sqlite3.Connection, parts: Iterable[int]) -> None:
    """Forget the lines of `parts`."""
    db.executemany("DELETE FROM arriving WHERE part = ?", ((part,) for part in parts))


def _insert(db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
    db.executemany("INSERT INTO arriving VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
