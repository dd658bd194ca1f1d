"""Arriving lines: the lines of files that are being imported, before anything is decided.

Lines go to a temporary table as they are read, so that a bill of a million lines is never in memory; the
table is on the disk beside the books and goes with the connection. A row there is a row of `charges`,
ready to be taken over, with the columns that the decision needs: part, name, about, carried
(`canonical.Line`).

Until then lines are columns (`ArrivingLines`), summed by who read them and with a list of their sorts. So
nobody on the way has to make an object of each line, or to decode it; who has a question about lines asks
it of each sort, or of the few lines that it is about.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby, islice, repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.books.charge import Charge, NaturalClass
from inferworks.books.deliveries.canonical import (
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
COMMITMENT_STATUS: Final = "CommitmentDiscountStatus"
TAGS: Final = "Tags"
_BATCH = 200
"""Lines that are named and written together, while they are at hand."""
_BODY_BYTES = 2_048
_encoder = msgspec.json.Encoder()
decoded = msgspec.json.Decoder(Charge).decode


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


class Sort(NamedTuple):
    """Facts that decide on notes and questions about a line: few lines of a bill differ in all of them."""

    provider: str
    issuer: str
    service_name: str
    service_category: str
    charge_category: str
    resource_type: str | None
    department: str | None
    natural_class: NaturalClass
    commitment_status: str | None
    tags: str | None


class ArrivingLines(NamedTuple):
    """Some lines of a file that is being imported, one after the other, column by column."""

    file: str
    file_sha256: str
    deliveries: Sequence[Delivery]
    places: Sequence[int]
    """Of each line the place of its delivery."""
    sorts: Sequence[Sort]
    sort_places: Sequence[int]
    """Of each line the place of its sort."""
    lines: tuple[Sequence[str], Sequence[str], Sequence[str]]
    """Of each line (`canonical.Line`) its name, which is its id here, its subject and what it carries."""
    starts_ns: Sequence[int]
    ends_ns: Sequence[int]
    bodies: Sequence[bytes]
    """The charges as JSON."""
    checksums: Sequence[int]
    """Checksums of the rows of `charges`."""
    amounts_pico: Sequence[str]
    sums: Sequence[PartSum]
    """Of each delivery the sum of these lines."""

    def __len__(self) -> int:
        return len(self.bodies)

    def charge(self, place: int) -> Charge:
        """Return the charge at this place."""
        return decoded(self.bodies[place])

    def charges(self) -> Iterator[Charge]:
        """The charges one by one."""
        return map(decoded, self.bodies)


def arriving_lines(kind: str, charges: Iterable[Charge]) -> Iterator[ArrivingLines]:
    """`charges` of a file of this `kind`."""
    for _, of_file in groupby(charges, attrgetter("file", "file_sha256")):
        while some := list(islice(of_file, _BATCH)):
            deliveries = [delivery_of(kind, charge) for charge in some]
            lines = list(map(line_of, deliveries, some))
            names, abouts, carried, _ = zip(*lines, strict=True)
            rows = [charge_row(with_id(*one)) for one in zip(some, names, strict=True)]
            sums: dict[Delivery, PartSum] = {}
            for delivery, charge, line in zip(deliveries, some, lines, strict=True):
                sums.setdefault(delivery, PartSum()).add(line, charge)
            numbers = {delivery: place for place, delivery in enumerate(sums)}
            yield ArrivingLines(
                some[0].file,
                some[0].file_sha256,
                list(sums),
                [numbers[delivery] for delivery in deliveries],
                list(map(sort_of, some)),
                range(len(some)),
                (names, abouts, carried),
                [charge.period_start_ns for charge in some],
                [charge.period_end_ns for charge in some],
                [row[4] for row in rows],
                [row[5] for row in rows],
                [str(charge.amount_pico) for charge in some],
                list(sums.values()),
            )


def sort_of(charge: Charge) -> Sort:
    """Return the sort of a line."""
    told = dict(charge.other)
    return Sort(
        charge.provider,
        charge.issuer,
        charge.service_name,
        charge.service_category,
        charge.charge_category,
        charge.resource_type,
        charge.department,
        charge.natural_class,
        told.get(COMMITMENT_STATUS),
        told.get(TAGS),
    )


class PartSum:
    """Running sum of a part while its lines come in."""

    def __init__(self) -> None:
        self.digest = self.lines = 0
        self.spans: set[tuple[int, int]] = set()
        self.invoices: set[str] = set()
        self.pico: dict[str, int] = {}
        self.left: dict[str, Decimal] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartSum) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.digest)

    def add(self, line: Line, charge: Charge) -> None:
        """Count one line."""
        billed = charge if charge.foreign is None else charge.foreign
        self.count(
            billed.currency,
            [line.name],
            [line.invoice],
            [charge.period_start_ns],
            [charge.period_end_ns],
            [billed.amount_pico],
            [charge.exact],
        )

    def count(
        self,
        currency: str,
        names: Sequence[str],
        invoices: Sequence[str],
        starts_ns: Sequence[int],
        ends_ns: Sequence[int],
        amounts_pico: Sequence[int],
        exacts: Sequence[str | None],
    ) -> None:
        """Count lines billed in `currency`, given column by column."""
        numbers = [int(name[4:], 16) for name in names]
        self.digest = (self.digest + sum(numbers)) % (1 << DIGEST_BITS)
        self.lines += len(names)
        self.invoices.update(invoices)
        self.spans.update(zip(starts_ns, ends_ns, strict=True))
        self.pico[currency] = self.pico.get(currency, 0) + sum(amounts_pico)
        if any(exacts):
            for pico, exact in zip(amounts_pico, exacts, strict=True):
                if exact is not None:
                    left = EXACT.subtract(Decimal(exact), EXACT.scaleb(Decimal(pico), -12))
                    self.left[currency] = EXACT.add(self.left.get(currency, Decimal(0)), left)

    def merge(self, other: PartSum) -> None:
        """Count the lines of `other`."""
        self.digest = (self.digest + other.digest) % (1 << DIGEST_BITS)
        self.lines += other.lines
        self.spans |= other.spans
        self.invoices |= other.invoices
        for currency, pico in other.pico.items():
            self.pico[currency] = self.pico.get(currency, 0) + pico
        for currency, left in other.left.items():
            self.left[currency] = EXACT.add(self.left.get(currency, Decimal(0)), left)

    def part(self, number: int, series: str, place: str) -> Part:
        """Return the lines as the part of this `number`, the `place` in its `series`."""
        spans, invoices = merged(self.spans), tuple(sorted(self.invoices))
        return Part(number, self.digest, self.lines, spans, series, place, invoices)

    def totals(self) -> Totals:
        """Return the totals of the lines by currency."""
        found: Totals = {}
        for currency, pico in self.pico.items():
            units = EXACT.scaleb(Decimal(pico), -12)
            exact = EXACT.add(units, self.left.get(currency, Decimal(0)))
            found[currency] = Total(decimal_text(str(exact)), pico)
        return found


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
    db: sqlite3.Connection, given: Iterable[ArrivingLines], series: tuple[str, str], first: int
) -> list[Arrival]:
    """Stage the lines of one file; return the arrivals of each delivery.

    Parts are numbered from `first` down. Whatever `given` raises leaves no row behind.
    """
    sums: dict[Delivery, PartSum] = {}
    numbers: dict[Delivery, int] = {}
    file = file_sha256 = ""
    try:
        for some in given:
            if not numbers.keys() >= set(some.deliveries):
                file, file_sha256 = some.file, some.file_sha256
            for delivery, total in zip(some.deliveries, some.sums, strict=True):
                numbers.setdefault(delivery, first - len(numbers))
                sums.setdefault(delivery, PartSum()).merge(total)
            parts = [numbers[delivery] for delivery in some.deliveries]
            names, abouts, carried = some.lines
            db.executemany(
                "INSERT INTO arriving VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                zip(
                    map(parts.__getitem__, some.places), names, abouts, carried, names,
                    repeat(some.file_sha256), some.starts_ns, some.ends_ns, some.bodies, some.checksums,
                    some.amounts_pico, strict=False,
                ),
            )  # fmt: skip
    except BaseException:
        discard(db, numbers.values())
        raise
    return [
        Arrival(delivery, one.part(numbers[delivery], *series), one.totals(), file, file_sha256)
        for delivery, one in sums.items()
    ]


def totals_of(lines: Iterable[tuple[Line, Charge]], like: Part) -> tuple[Part, Totals]:
    """Return lines as a part of their own, of the series and place of `like`; and their totals."""
    total = PartSum()
    for line, charge in lines:
        total.add(line, charge)
    return total.part(like.number, like.series, like.place), total.totals()


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


def listed(numbers: Iterable[int]) -> str:
    """The numbers of parts as they stand in a list of SQL."""
    return ", ".join(map(str, numbers))
