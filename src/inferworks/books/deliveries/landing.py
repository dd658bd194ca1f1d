"""Execution of a decision: lines are taken in, kept, amended, replaced or reversed.

A revision acts by its difference. Lines that are alike keep their ids, whichever file they were first in;
lines that are in the books and not in the revision are removed, and new ones added. While their time is
open they are deleted (a copy stays in `replaced`); where a period is closed they stay as they were
sealed, and an exact reversal is posted beside them, which is late for that period and corrects the open
one (`late`).

A line that is amended (its invoice has a number now, a tag was added) keeps its id and its amount. Where a
period is closed it stays as it was sealed.

Amounts finer than a picounit are rounded line by line; the difference to the delivery's exact total is a
line of its own, the *rounding line*, recomputed whenever the delivery changes. (Theorem 17.)
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.books.calendar.span import Timed
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import RateRow, as_billed, converted_pico
from inferworks.books.deliveries.arriving import (
    Totals,
    charge_row,
    listed,
    rounding_pico,
)
from inferworks.books.deliveries.canonical import (
    Delivery,
    amended,
    id_of,
    line_of,
    told_invoice,
    with_id,
)
from inferworks.books.statement.corrections import reversal

SCHEMA: Final = """
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, issuer TEXT NOT NULL, account TEXT NOT NULL,
    period TEXT NOT NULL, UNIQUE (kind, issuer, account, period)
);
CREATE TABLE parts (
    number INTEGER PRIMARY KEY, delivery INTEGER NOT NULL REFERENCES deliveries, file TEXT NOT NULL,
    file_sha256 TEXT NOT NULL, series TEXT NOT NULL, place TEXT NOT NULL, revision INTEGER NOT NULL,
    state TEXT NOT NULL, digest TEXT NOT NULL, lines INTEGER NOT NULL, spans BLOB NOT NULL,
    totals BLOB NOT NULL,
    invoices BLOB NOT NULL, at_ns INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX parts_by_delivery ON parts (delivery);
CREATE TABLE lines (
    part INTEGER NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, about TEXT NOT NULL,
    carried TEXT NOT NULL, PRIMARY KEY (part, name, id)
) WITHOUT ROWID;
CREATE TABLE replaced (
    id TEXT NOT NULL, part INTEGER NOT NULL, at_ns INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE questions (
    number INTEGER PRIMARY KEY, file TEXT NOT NULL, file_sha256 TEXT NOT NULL,
    delivery INTEGER NOT NULL REFERENCES deliveries, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    text TEXT NOT NULL, at_ns INTEGER NOT NULL, settled_ns INTEGER, by TEXT NOT NULL, reason TEXT NOT NULL,
    UNIQUE (file_sha256, delivery)
);
"""
PERIODS: Final = "CREATE INDEX charges_by_period ON charges (period_start_ns, period_end_ns)"
_MANY: Final = 10_000
"""Lines for which an index is rather built anew than kept, where they are most of the charges."""
_PAIRS: Final = """
CREATE TEMP TABLE pairs (
    row INTEGER NOT NULL, part INTEGER NOT NULL, carried TEXT NOT NULL,
    old_part INTEGER NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, old_carried TEXT NOT NULL
)"""
_ROUNDING: Final = "Rounding"
_decode = msgspec.json.Decoder(Charge).decode
Row = tuple[Any, ...]


class Closed(NamedTuple):
    """The time of the closed periods, which adjoin; empty where none is."""

    start_ns: int = 0
    end_ns: int = 0

    def meets(self, charge: Timed) -> bool:
        """Return True if some of the time of `charge` is closed."""
        return charge.period_start_ns < self.end_ns and self.start_ns < charge.period_end_ns


NOTHING_CLOSED: Final = Closed()


class Changed(NamedTuple):
    """Numbers of lines by their fate."""

    added: int = 0
    kept: int = 0
    gone: int = 0
    changed: int = 0
    """Number of added and removed lines about the same subject."""
    amended: int = 0
    withheld: int = 0
    """Amendments of lines of a closed period, which stay as they were sealed."""
    added_pico: int = 0
    """Sum of the new lines, in the currency of the books."""
    late: tuple[Charge, ...] = ()
    """Lines and reversals that are for a closed period."""


class _Gone(NamedTuple):
    """A line that goes."""

    part: int
    name: str
    id: str
    about: str


class Landing:
    """Does within one transaction what was decided for one delivery."""

    def __init__(
        self, db: sqlite3.Connection, load: Callable[[str], Charge], closed: Closed, at_ns: int
    ) -> None:
        self._db = db
        self._load = load
        self._closed = closed
        self._at_ns = at_ns

    def take_in(
        self, delivery: Delivery, numbers: dict[int, int], replaced: Sequence[int]
    ) -> dict[int, Changed]:
        """Enter arriving parts, the keys of `numbers`, under those numbers, in place of those `replaced`.

        Return the changes of each; removed lines count with the first.
        """
        gone: list[_Gone] = []
        kept: dict[int, int] = {}
        amended_lines = withheld = 0
        if replaced:
            gone = self._pair(list(numbers), replaced)
            kept = dict(
                self._db.execute("SELECT part, COUNT(*) FROM pairs GROUP BY part").fetchall()
            )
            amended_lines, withheld = self._amend(delivery, overrule=True)
            # the old line of each pair is one of the new part, and the arriving one is forgotten
            self._db.execute("DELETE FROM arriving WHERE rowid IN (SELECT row FROM pairs)")
            self._db.executemany(
                "UPDATE pairs SET part = ? WHERE part = ?",
                ((number, part) for part, number in numbers.items()),
            )
            self._db.execute(
                "UPDATE lines SET part = pairs.part FROM pairs WHERE lines.part = pairs.old_part "
                "AND lines.name = pairs.name AND lines.id = pairs.id"
            )
        changed = self._changed(list(numbers), Counter(line.about for line in gone))
        late = [self._remove(line.part, line.name, line.id) for line in gone]
        found = self._add(numbers)
        found = {
            part: one._replace(kept=kept.get(part, 0), gone=changed[part], changed=changed[part])
            for part, one in found.items()
        }
        first = next(iter(numbers))
        found[first] = found[first]._replace(
            gone=len(gone) - sum(changed.values()) + changed[first],
            amended=amended_lines,
            withheld=withheld,
            late=(*(charge for charge in late if charge), *found[first].late),
        )
        return found

    def repeat(
        self, delivery: Delivery, parts: dict[int, int], there: Sequence[int], *, overrule: bool
    ) -> dict[int, Changed]:
        """The arriving `parts`, with how many lines each, say again what is there: they amend it."""
        self._pair(list(parts), there)
        amended_lines, withheld = self._amend(delivery, overrule=overrule)
        found = {part: Changed(kept=lines) for part, lines in parts.items()}
        first = next(iter(parts))
        found[first] = found[first]._replace(amended=amended_lines, withheld=withheld)
        return found

    def take_back(self, parts: Sequence[int]) -> Changed:
        """Take all lines of `parts` out of force."""
        rows = self._db.execute(
            f"SELECT part, name, id FROM lines WHERE part IN ({listed(parts)}) ORDER BY id"
        ).fetchall()
        late = [self._remove(*row) for row in rows]
        return Changed(gone=len(rows), late=tuple(charge for charge in late if charge))

    def round(self, number: int, delivery: Delivery, totals: Totals) -> tuple[Charge, ...]:
        """Set the rounding line of a delivery by its `totals`; return the late lines of that."""
        late: list[Charge] = []
        wanted = {
            currency: pico for currency, total in totals.items() if (pico := rounding_pico(total))
        }
        there = self._db.execute("SELECT name, id FROM lines WHERE part = ?", (-number,)).fetchall()
        if not wanted and not there:
            return ()
        fresh = {charge.id: charge for charge in self._rounding(number, delivery, wanted)}
        for name, id_ in there:
            if id_ in fresh:
                del fresh[id_]
            elif (reversed_ := self._remove(-number, name, id_)) is not None:
                late.append(reversed_)
        for charge in fresh.values():
            line = line_of(delivery, charge)
            self._insert_charges([charge])
            self._db.execute(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?)",
                (-number, line.name, charge.id, line.about, line.carried),
            )
            late += [charge] if self._closed.meets(charge) else []
        return tuple(late)

    def _rounding(
        self, number: int, delivery: Delivery, wanted: dict[str, int]
    ) -> Iterator[Charge]:
        """The rounding lines, one for each currency, in the time of the first line in it."""
        for currency, pico in sorted(wanted.items()):
            like = self._like(number, currency)
            billed = as_billed(like)
            charge = msgspec.structs.replace(
                billed,
                line=f"{_ROUNDING} of {delivery}",
                row=0,
                service_category="Other",
                service_name=_ROUNDING,
                resource_id=None,
                resource_type=None,
                region_id=None,
                description="The exact total less its lines, each rounded to 10^-12",
                natural_class=NaturalClass.OTHER,
                charge_category="Adjustment",
                charge_class=None,
                amount_pico=pico,
                effective_pico=pico,
                quantity=None,
                unit=None,
                exact=None,
                other=tuple(pair for pair in like.other if pair[0].startswith("Billing")),
            )
            if like.foreign is not None:
                foreign = msgspec.structs.replace(
                    like.foreign, amount_pico=pico, effective_pico=pico
                )
                rate = RateRow(
                    foreign.rate_day, currency, like.currency, foreign.rate, foreign.rate_source
                )
                booked_pico = converted_pico(pico, rate)
                charge = msgspec.structs.replace(
                    charge,
                    currency=like.currency,
                    amount_pico=booked_pico,
                    effective_pico=booked_pico,
                    foreign=foreign,
                )
            name = line_of(delivery, charge).name
            ordinal = next(n for n in count(1) if not self._is_used(id_of(name, n), -number))
            yield with_id(charge, name, ordinal)

    def _like(self, number: int, currency: str) -> Charge:
        """The first line of a delivery that is billed in `currency`: it lends its time and its rate."""
        rows = self._db.execute(
            "SELECT body FROM lines JOIN parts ON parts.number = lines.part JOIN charges USING (id) "
            "WHERE delivery = ? ORDER BY charges.period_start_ns, charges.period_end_ns, lines.id",
            (number,),
        )
        for (body,) in rows:
            charge = _decode(body)
            if (charge.foreign.currency if charge.foreign else charge.currency) == currency:
                return charge
        raise AssertionError(f"delivery {number} has no line in {currency}")

    def _is_used(self, id_: ChargeId, part: int = 0) -> bool:
        """Return True if a charge with this id exists that is not among the lines of `part`."""
        found = self._db.execute(
            "SELECT 1 FROM charges WHERE id = ? AND id NOT IN (SELECT id FROM lines WHERE part = ?)",
            (id_, part),
        ).fetchone()
        return found is not None

    def _pair(self, parts: Sequence[int], there: Sequence[int]) -> list[_Gone]:
        """Pair the lines of arriving `parts` with alike ones that are `there`, in `pairs`.

        What of `there` is left over.
        """
        self._db.execute("DROP TABLE IF EXISTS pairs")
        self._db.execute(_PAIRS)
        arriving = self._db.execute(
            f"SELECT name, carried, rowid, part FROM arriving WHERE part IN ({listed(parts)}) "
            "ORDER BY name, carried"
        )
        old = self._db.execute(
            f"SELECT name, carried, id, part, about FROM lines WHERE part IN ({listed(there)}) "
            "ORDER BY name, carried, id"
        )
        left: list[_Gone] = []
        pairs: list[Row] = []
        for name, ours, theirs in _matched(arriving, old):
            for new, kept in _coupled(name, ours, theirs):
                if new is None:
                    left.append(_Gone(kept[3], name, kept[2], kept[4]))
                else:
                    pairs.append((new[2], new[3], new[1], kept[3], name, kept[2], kept[1]))
            if len(pairs) > 5_000:
                self._db.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?)", pairs)
                pairs.clear()
        self._db.executemany("INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?)", pairs)
        return left

    def _amend(self, delivery: Delivery, *, overrule: bool) -> tuple[int, int]:
        """Let paired lines carry what the arriving ones say beyond; how many did, and were kept sealed.

        `overrule` lets arriving columns win where both are filled.
        """
        done = withheld = 0
        found = self._db.execute(
            "SELECT pairs.id, pairs.old_part, pairs.name, arriving.body FROM pairs "
            "JOIN arriving ON arriving.rowid = pairs.row WHERE pairs.carried != old_carried"
        )
        for id_, part, name, body in found:
            kept, told = self._load(id_), _decode(body)
            invoice = told_invoice(delivery, told)
            if overrule:
                new = amended(kept, told, invoice)
            else:
                new = amended(told, kept, told_invoice(delivery, kept))
                new = msgspec.structs.replace(
                    kept,
                    invoice=new.invoice,
                    other=new.other,
                    provider=new.provider,
                    department=new.department,
                )
            carried = line_of(delivery, new).carried
            if carried == line_of(delivery, kept).carried:
                continue
            if self._closed.meets(kept):
                withheld += 1
                continue
            done += 1
            row = charge_row(new)
            self._db.execute(
                "UPDATE charges SET body = ?, checksum = ? WHERE id = ?",
                (row[4], row[5], id_),
            )
            self._db.execute(
                "UPDATE lines SET carried = ? WHERE part = ? AND name = ? AND id = ?",
                (carried, part, name, id_),
            )
        return done, withheld

    def _changed(self, parts: Sequence[int], gone: Counter[str]) -> dict[int, int]:
        """Count the lines of each arriving part that stand instead of one that is `gone`, by its about."""
        changed = dict.fromkeys(parts, 0)
        if not gone:
            return changed
        left = gone.copy()
        rows = self._db.execute(
            f"SELECT part, about, COUNT(*) FROM arriving WHERE part IN ({listed(parts)}) "
            "GROUP BY part, about"
        )
        for part, about, number in rows:
            found = min(number, left.get(about, 0))
            changed[part] += found
            left[about] -= found
        return changed

    def _remove(self, part: int, name: str, id_: str) -> Charge | None:
        """Take a line out of force; its reversal, where its time is closed and it stays."""
        charge = self._load(id_)
        self._db.execute(
            "DELETE FROM lines WHERE part = ? AND name = ? AND id = ?", (part, name, id_)
        )
        if self._closed.meets(charge):
            gone = reversal(charge)
            self._insert_charges([gone])
            return gone
        self._db.execute(
            "INSERT INTO replaced VALUES (?, ?, ?, ?)",
            (id_, part, self._at_ns, msgspec.json.encode(charge)),
        )
        self._db.execute("DELETE FROM charges WHERE id = ?", (id_,))
        return None

    def _add(self, numbers: dict[int, int]) -> dict[int, Changed]:
        """Take over what is left of the arriving parts: how many, their sum, and those that are late."""
        parts = listed(numbers)
        self._tell_apart(parts)
        [(lines,)] = self._db.execute(f"SELECT COUNT(*) FROM arriving WHERE part IN ({parts})")
        [(charges,)] = self._db.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM charges LIMIT ?)", (lines + 1,)
        )
        is_rebuilt = lines >= _MANY and charges <= lines
        if is_rebuilt:  # in the order of ids, each line would fall on another page of it
            self._db.execute("DROP INDEX IF EXISTS charges_by_period")
        self._db.execute(  # their ids are put in order, and not the kilobyte of each
            "INSERT INTO charges SELECT line.id, file_sha256, period_start_ns, period_end_ns, body, "
            f"checksum FROM (SELECT rowid AS row FROM arriving WHERE part IN ({parts}) ORDER BY id) "
            "CROSS JOIN arriving AS line ON line.rowid = row"
        )
        if is_rebuilt:
            self._db.execute(PERIODS)
        added: dict[int, Changed] = {}
        for part, number in numbers.items():
            self._db.execute(
                "INSERT INTO lines SELECT ?, name, id, about, carried FROM arriving WHERE part = ? "
                "ORDER BY name, id",
                (number, part),
            )
            amounts = "SELECT amount_pico FROM arriving WHERE part = ?"
            lines = amount_pico = 0
            for (amount,) in self._db.execute(amounts, (part,)):
                lines, amount_pico = lines + 1, amount_pico + int(amount)
            late = self._db.execute(
                "SELECT body FROM arriving WHERE part = ? AND period_start_ns < ? AND period_end_ns > ? "
                "ORDER BY name, rowid",
                (part, self._closed.end_ns, self._closed.start_ns),
            )
            added[part] = Changed(
                lines, added_pico=amount_pico, late=tuple(_decode(body) for (body,) in late)
            )
        return added

    def _tell_apart(self, parts: str) -> None:
        """Number arriving lines that are alike, or like a present or former line."""
        again = self._db.execute(
            f"SELECT name FROM arriving WHERE part IN ({parts}) GROUP BY name HAVING COUNT(*) > 1 UNION "
            "SELECT arriving.name FROM arriving JOIN charges ON charges.id = arriving.name "
            f"WHERE part IN ({parts})"
        ).fetchall()
        for (name,) in again:
            rows = self._db.execute(
                f"SELECT rowid, body FROM arriving WHERE name = ? AND part IN ({parts}) "
                "ORDER BY carried, rowid",
                (name,),
            ).fetchall()
            ordinals = count(1)
            for row, body in rows:
                ordinal = next(n for n in ordinals if not self._is_used(id_of(name, n)))
                if ordinal > 1:
                    charge = with_id(_decode(body), name, ordinal)
                    id_, _, _, _, body, checksum = charge_row(charge)
                    self._db.execute(
                        "UPDATE arriving SET id = ?, body = ?, checksum = ? WHERE rowid = ?",
                        (id_, body, checksum, row),
                    )

    def _insert_charges(self, charges: Iterable[Charge]) -> None:
        self._db.executemany(
            "INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)", map(charge_row, charges)
        )


def _matched(
    arriving: Iterable[Row], old: Iterable[Row]
) -> Iterator[tuple[str, list[Row], list[Row]]]:
    """Yield each name with its rows in both, which are in the order of their names."""
    ours = ((name, list(rows)) for name, rows in groupby(arriving, itemgetter(0)))
    theirs = ((name, list(rows)) for name, rows in groupby(old, itemgetter(0)))
    mine, yours = next(ours, None), next(theirs, None)
    while mine or yours:
        if yours is None or (mine and mine[0] < yours[0]):
            assert mine is not None
            yield mine[0], mine[1], []
            mine = next(ours, None)
        elif mine is None or yours[0] < mine[0]:
            yield yours[0], [], yours[1]
            yours = next(theirs, None)
        else:
            yield mine[0], mine[1], yours[1]
            mine, yours = next(ours, None), next(theirs, None)


def _coupled(
    name: str, ours: Sequence[Row], theirs: Sequence[Row]
) -> Iterator[tuple[Row | None, Row]]:
    """Each line that is there with the arriving one that it stays for; None where there is none.

    Lines that carry the same go together; of what is too much, the last by number goes.
    """
    if len(theirs) > 1:
        place = {id_of(ChargeId(name), n): n for n in range(1, len(theirs) + len(ours) + 9)}
        theirs = sorted(theirs, key=lambda row: place.get(row[2], len(place) + 1))
    kept, gone = theirs[: len(ours)], theirs[len(ours) :]
    carried: dict[str, list[Row]] = defaultdict(list)
    for row in reversed(ours):
        carried[row[1]].append(row)
    odd = []
    for row in kept:
        same = carried.get(row[1])
        if same:
            yield same.pop(), row
        else:
            odd.append(row)
    rest = (row for rows in carried.values() for row in reversed(rows))
    yield from zip(rest, odd, strict=False)
    yield from ((None, row) for row in gone)
