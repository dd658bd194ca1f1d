"""Comparison of the lines of parts, looked up in the database, where they stay.

A bill has a million lines, and few of them differ from those that are here. So the database counts the
alike lines, and only the *odd* ones are read one by one: lines of one side without an alike line left on
the other.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from inferworks.books.charge import Charge, ChargeId
from inferworks.books.deliveries.arriving import Totals, listed, totals_of
from inferworks.books.deliveries.canonical import Delivery, Line, told_invoice
from inferworks.books.deliveries.decide import Alike
from inferworks.books.deliveries.parts import Part, Spans
from inferworks.units import NS_PER_SECOND

_DAY_NS: Final = 86_400 * NS_PER_SECOND


class _Said(msgspec.Struct):
    """Amounts, times and invoice of a line."""

    invoice: str
    period_start_ns: int
    period_end_ns: int
    amount_pico: int
    effective_pico: int | None

    @property
    def amounts(self) -> tuple[int, int]:
        """Return the billed and the effective amount."""
        return self.amount_pico, self.effective_pico or 0


_said = msgspec.json.Decoder(_Said).decode
_charge = msgspec.json.Decoder(Charge).decode


class Lines:
    """The lines of parts, those that arrive (of negative number) and those that are there."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def alike(self, one: Sequence[Part], other: Sequence[Part]) -> Alike:
        """Compare the lines of `one` with those of `other`."""
        names = self._compared("name", one, other)
        about = self._compared("about", one, other)
        lines = sum(part.lines for part in one), sum(part.lines for part in other)
        return Alike(
            names,
            *lines,
            one_restates=about == lines[1],
            other_restates=about == lines[0],
            apart=not about,
            restated=about > names,
        )

    def within(self, parts: Sequence[Part], start_ns: int, end_ns: int) -> int:
        """Return the number of lines of `parts` within that time."""
        arriving, there = _sides(parts)
        [(found,)] = self._db.execute(
            f"SELECT (SELECT COUNT(*) FROM arriving WHERE part IN ({arriving}) AND "
            "period_start_ns >= ? AND period_end_ns <= ?) + (SELECT COUNT(*) FROM lines JOIN charges "
            f"USING (id) WHERE part IN ({there}) AND period_start_ns >= ? AND period_end_ns <= ?)",
            (start_ns, end_ns, start_ns, end_ns),
        )
        return int(found)

    def to_date(self, older: Sequence[Part], newer: Sequence[Part]) -> bool:
        """Return True if `older` is an earlier state of an export of the month to date, now `newer`.

        Both begin alike and have the same lines, up to the last day of the older one. That day was not
        over: it may have more lines now, and larger amounts of one subject, but never less.
        """
        start_ns, last_ns = _begin_ns(older), max(part.end_ns for part in older) - _DAY_NS
        settled = self.within(older, start_ns, last_ns)
        if start_ns != _begin_ns(newer) or settled != self.within(newer, start_ns, last_ns):
            return False
        odd: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for about, said in self._odd(older, newer):
            if said.period_end_ns <= last_ns:
                return False
            odd[about].append(said.amounts)
        if not odd:
            return settled > 0
        was, now = self._sums(older, odd.keys()), self._sums(newer, odd.keys())
        for about, lines in odd.items():
            pairs = zip(was[about], now.get(about, (0, 0)), strict=True)
            if not all(0 <= then <= by_now or by_now <= then <= 0 for then, by_now in pairs):
                return False
            if any(a * b < 0 for line in lines for a, b in zip(line, was[about], strict=True)):
                return False  # a credit and a charge of one subject
        return settled > 0

    def same_way(self, one: Sequence[Part], other: Sequence[Part]) -> bool:
        """Return True if no odd line of one side is a credit where the other has a charge."""
        credits_ = {about for about, said in self._odd(one, other) if said.amount_pico < 0}
        lone = credits_ ^ {about for about, said in self._odd(other, one) if said.amount_pico < 0}
        if not lone:
            return True
        there = self._db.execute(f"SELECT it FROM ({_counts('about', other)})")
        return lone.isdisjoint(about for (about,) in there)

    def is_apart(self, part: Part, within: Sequence[Part], rest: Sequence[Part]) -> bool:
        """Return True if no line of `part` beyond `within` has the subject of a line of `rest`."""
        [(found,)] = self._db.execute(
            f"SELECT COUNT(*) FROM ({_counts('about', [part])}) AS a "
            f"JOIN ({_counts('about', rest)}) USING (it) "
            f"LEFT JOIN ({_counts('about', within)}) AS b USING (it) WHERE a.n > COALESCE(b.n, 0)"
        )
        return not found

    def reissues(self, part: Part, others: Sequence[Part]) -> bool:
        """Return True if `part` charges for everything that one of the invoices of `others` is about."""
        mine, _ = _sides([part])
        abouts = self._db.execute(
            f"SELECT about, amount_pico FROM arriving WHERE part IN ({mine})"
        ).fetchall()
        charged = {about for about, amount in abouts if int(amount) > 0}
        lines: Counter[str] = Counter()
        for about, body in self._bodies(others) if charged else ():
            lines[_said(body).invoice] += 1 if about not in charged else 0
        return bool(charged) and not all(lines.values())

    def of_time(
        self, there: int, spans: Spans, arriving: Iterable[int], *, inside: bool = True
    ) -> list[tuple[str, str]]:
        """Name and id of the lines of a part that is `there` which `arriving` ones of this time replace.

        Those that lie within it, or are about the same. Not `inside`: of all others.
        """
        within = " OR ".join(["period_start_ns >= ? AND period_end_ns <= ?"] * len(spans))
        return self._db.execute(
            "SELECT name, id FROM lines JOIN charges USING (id) WHERE part = ? AND "
            f"{'' if inside else 'NOT '}({within} OR about IN "
            f"(SELECT about FROM arriving WHERE part IN ({listed(arriving)})))",
            (there, *(moment for span in spans for moment in span)),
        ).fetchall()

    def part_of(
        self, delivery: Delivery, lines: Iterable[tuple[str, str]], like: Part
    ) -> tuple[Part, Totals]:
        """Return lines that are here, given by name and id, as a part of their own; and their totals."""
        charges = (
            (Line(ChargeId(name), "", "", told_invoice(delivery, charge)), charge)
            for name, id_ in lines
            for charge in [_charge(self._body(id_))]
        )
        return totals_of(charges, like)

    def _body(self, id_: str) -> bytes:
        [(body,)] = self._db.execute("SELECT body FROM charges WHERE id = ?", (id_,))
        return bytes(body)

    def _odd(self, one: Sequence[Part], other: Sequence[Part]) -> Iterator[tuple[str, _Said]]:
        """Yield (about, values) of each line of `one` that is alike no line of `other`."""
        arriving, there = _sides(one)
        names = self._db.execute(
            f"SELECT a.it, a.n - COALESCE(b.n, 0) FROM ({_counts('name', one)}) AS a "
            f"LEFT JOIN ({_counts('name', other)}) AS b USING (it) WHERE a.n > COALESCE(b.n, 0)"
        )
        find = (
            f"SELECT about, body FROM arriving WHERE part IN ({arriving}) AND name = ? UNION ALL "
            f"SELECT about, body FROM lines JOIN charges USING (id) WHERE part IN ({there}) AND name = ? "
            "LIMIT 1"
        )
        for name, number in names:
            [(about, body)] = self._db.execute(find, (name, name))
            yield from [(about, _said(body))] * number

    def _sums(self, parts: Sequence[Part], abouts: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return the billed and effective sums of the lines of `parts` about each of `abouts`."""
        sums: dict[str, tuple[int, int]] = {}
        for about, body in self._bodies(parts, abouts):
            billed, effective = sums.get(about, (0, 0))
            more = _said(body).amounts
            sums[about] = billed + more[0], effective + more[1]
        return sums

    def _bodies(
        self, parts: Sequence[Part], abouts: Collection[str] | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """The lines of `parts`, with what each is about; with `abouts` only those about one of them."""
        arriving, there = _sides(parts)
        rows = self._db.execute(
            f"SELECT about, id, body FROM arriving WHERE part IN ({arriving}) UNION ALL "
            f"SELECT about, id, NULL FROM lines WHERE part IN ({there})"
        )
        for about, id_, body in rows:
            if abouts is None or about in abouts:
                yield about, body if body is not None else self._body(id_)

    def _compared(self, column: str, one: Sequence[Part], other: Sequence[Part]) -> int:
        """Return the number of lines that both have in common by `column`, as multisets."""
        [(found,)] = self._db.execute(
            f"SELECT COALESCE(SUM(MIN(a.n, b.n)), 0) FROM ({_counts(column, one)}) AS a "
            f"JOIN ({_counts(column, other)}) AS b USING (it)"
        )
        return int(found)


def _counts(column: str, parts: Sequence[Part]) -> str:
    arriving, there = _sides(parts)
    return (
        f"SELECT it, SUM(n) AS n FROM (SELECT {column} AS it, COUNT(*) AS n FROM arriving "
        f"WHERE part IN ({arriving}) GROUP BY it UNION ALL SELECT {column}, COUNT(*) FROM lines "
        f"WHERE part IN ({there}) GROUP BY {column}) GROUP BY it"
    )


def _sides(parts: Iterable[Part]) -> tuple[str, str]:
    numbers = [part.number for part in parts]
    return listed(n for n in numbers if n < 0), listed(n for n in numbers if n >= 0)


def _begin_ns(parts: Iterable[Part]) -> int:
    return min(part.start_ns for part in parts)
