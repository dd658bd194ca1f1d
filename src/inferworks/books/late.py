"""What came late for a closed period: how it is found, and what it corrects.

A closed period *stands* as it was sealed, or as the last close that took in something late restated it.
What is recorded for it now and was not sealed is late. It is looked for by name, (source, id) or what
else names a fact for ever, and only among what is new: bill lines, facts outside the segments that were
sealed. Only when something is found are the period's papers gathered and drawn up again.

A correction stands in two places in a reader's mind: in the period that *books* it, whose figures it is
part of, and beside the period that it is *for*, whose sealed figures never change. `booked_for` and
`Later` are those two views of the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.correction import Correction, corrected
from inferworks.books.ledger import Ledger, standing
from inferworks.books.papers import (
    INPUTS,
    OWN,
    STATEMENT,
    Arrived,
    Papers,
    Source,
    all_facts,
    inputs_of,
    papers_of,
    prefix_of,
)
from inferworks.books.period import Period
from inferworks.books.policy import Policy
from inferworks.books.seal import Close
from inferworks.books.statement import Row, Statement
from inferworks.books.workings import Line
from inferworks.meter.facts import Facts


class Booked(NamedTuple):
    """How a closed period stands: as it was sealed, or as a later close restated it."""

    papers: Papers
    statement: Statement


class Restated(NamedTuple):
    """A closed period with what came late for it, and what takes its booked figures there."""

    period: Period
    now: Booked
    correction: Correction


class Later(NamedTuple):
    """A correction of a closed period, and the later period in which it is booked."""

    booked_in: Period
    sealed: bool
    """Whether that period is closed too; else it is what the open period shows now."""
    correction: Correction

    @property
    def name(self) -> str:
        """As people read it."""
        return f"booked in {self.booked_in.name}"


class Adjustment(NamedTuple):
    """A correction beside the figures of a period that was asked for."""

    name: str
    """`for 2026-11` where the period books it, `booked in 2026-12` where a later one does."""
    correction: Correction


def booked(ledger: Ledger, closes: Iterable[Close], period: Period) -> Booked:
    """How the closed `period` stands after all of `closes`."""
    close, prefix = _stands_in(list(closes), period)
    statement = ledger.body(close, prefix + OWN).rows(Statement)[0]
    return Booked(papers_of(ledger, close, prefix), statement)


def with_late(sealed: Papers, recorded: Papers | Arrived) -> tuple[Papers, tuple[str, ...]]:
    """`sealed` with what is recorded and was not known then, and the names of that, sorted.

    `recorded` has none of the facts in the segments of `sealed`. Prices and rules stay those that were
    sealed.
    """
    merged: dict[str, tuple[Any, ...]] = {}
    names: list[str] = []
    for one in INPUTS[:-1]:
        known = inputs_of(sealed, one.part)
        keys = {one.key(item) for item in known}
        late = [item for item in inputs_of(recorded, one.part) if one.key(item) not in keys]
        merged[one.part.removeprefix("inputs/")] = (*known, *late)
        names += [f"{one.word} {'/'.join(map(str, one.key(item)))}" for item in late]
    charges = merged.pop("charges")
    papers = msgspec.structs.replace(sealed, charges=charges, facts=Facts(**merged))
    return papers, tuple(sorted(names))


def restated(
    ledger: Ledger, source: Source, closes: Sequence[Close], booked_ns: int
) -> Iterator[Restated]:
    """The closed periods for which something came late, in order; corrections dated `booked_ns`."""
    for period in sorted(close.period for close in closes):
        found = _restated(ledger, source, closes, period, booked_ns)
        if found is not None:
            yield found


def booked_for(ledger: Ledger, source: Source, period: Period) -> tuple[Correction, ...]:
    """The corrections of earlier periods that `period` books: sealed ones, or as they stand now."""
    closes = standing(ledger.records())
    for close in closes:
        if close.period == period:
            return ledger.body(close, STATEMENT).rows(Statement)[0].corrections
    if not carries_corrections(period, closes):
        return ()
    found = restated(ledger, source, closes, period.end_ns)
    return tuple(one.correction for one in found if not one.correction.empty)


def corrected_later(ledger: Ledger, source: Source, period: Period) -> tuple[Later, ...]:
    """The corrections of the closed `period`, in the order in which they are booked; none while open."""
    closes = standing(ledger.records())
    if all(close.period != period for close in closes):
        return ()
    later = [
        Later(close.period, True, correction)
        for close in closes
        if period in close.corrects
        for correction in ledger.body(close, STATEMENT).rows(Statement)[0].corrections
        if correction.period == period
    ]
    open_period = ledger.periods().first_open(0)
    pending = _restated(ledger, source, closes, period, open_period.end_ns)
    if pending is not None and not pending.correction.empty:
        later.append(Later(open_period, False, pending.correction))
    return tuple(later)


def adjustments(
    ledger: Ledger, source: Source, period: Period, policy: Policy
) -> tuple[Adjustment, ...]:
    """The corrections that `period` books and those that later ones book for it, seen under `policy`."""
    found = [(f"for {one.period.name}", one) for one in booked_for(ledger, source, period)]
    found += [(one.name, one.correction) for one in corrected_later(ledger, source, period)]
    return tuple(Adjustment(name, seen_under(one, policy)) for name, one in found)


def carries_corrections(period: Period, closes: Sequence[Close]) -> bool:
    """Whether `period` is the open one that follows the last of `closes`."""
    return bool(closes) and period.start_ns == max(close.period.end_ns for close in closes)


def seen_under(correction: Correction, policy: Policy) -> Correction:
    """`correction` with its cost called as `policy` calls it; the entries stay as they are booked."""
    lines = tuple(
        msgspec.structs.replace(line, function=line.function_under(policy))
        for line in correction.lines
    )
    return msgspec.structs.replace(correction, lines=lines)


def amended(statement: Statement, later: Iterable[Later]) -> tuple[Row, ...]:
    """The figures of a closed period: as sealed, each correction, and all together; they add up."""
    rows = [_row("as sealed", statement.revenue_pico, statement.lines)]
    rows += [_row(one.name, one.correction.revenue_pico, one.correction.lines) for one in later]
    return (*rows, _sum("as corrected", rows))


def made_up(statement: Statement) -> tuple[Row, ...]:
    """The figures of a statement that books corrections: its own, each correction, and all together."""
    corrections = [
        _row(f"for {one.period.name}", one.revenue_pico, one.lines) for one in statement.corrections
    ]
    whole = _row("together", statement.revenue_pico, statement.lines)
    gone = _sum("", corrections)
    own = Row(
        "its own",
        whole.revenue_pico - gone.revenue_pico,
        whole.cost_of_revenue_pico - gone.cost_of_revenue_pico,
        whole.research_and_development_pico - gone.research_and_development_pico,
        whole.other_pico - gone.other_pico,
    )
    return (own, *corrections, whole)


def _stands_in(closes: Sequence[Close], period: Period) -> tuple[Close, str]:
    """The close in which `period` stands after all of `closes`, and under which prefix."""
    close, prefix = next(close for close in closes if close.period == period), ""
    for later in closes:
        if period in later.corrects:
            close, prefix = later, prefix_of(period)
    return close, prefix


def _restated(
    ledger: Ledger, source: Source, closes: Sequence[Close], period: Period, booked_ns: int
) -> Restated | None:
    """The closed `period` with what came late for it; None when nothing did."""
    sealed = papers_of(ledger, *_stands_in(closes, period))
    known = {segment.name for segment in sealed.segments}
    _, names = with_late(sealed, source.arrived(period.span, known))
    if not names:
        return None
    recorded = source.papers(period.span)  # with the estimates that what is new may have changed
    new = [segment for segment in recorded.segments if segment.name not in known]
    facts = all_facts(msgspec.structs.replace(recorded, segments=tuple(new)), source.sealed_facts)
    papers, causes = with_late(sealed, Arrived(recorded.charges, facts))
    before = booked(ledger, closes, period)
    now = source.drawn(papers)
    correction = corrected(period, before.statement, now, causes, booked_ns)
    return Restated(period, Booked(papers, now), correction)


def _row(name: str, revenue_pico: int, lines: Iterable[Line]) -> Row:
    columns = [0, 0, 0]
    for line in lines:
        columns[_column(line.function)] += line.amount_pico
    return Row(name, revenue_pico, *columns)


def _column(function: Function) -> int:
    if function in COST_OF_REVENUE:
        return 0
    return 1 if function is Function.RESEARCH_AND_DEVELOPMENT else 2


def _sum(name: str, rows: Sequence[Row]) -> Row:
    return Row(
        name,
        sum(row.revenue_pico for row in rows),
        sum(row.cost_of_revenue_pico for row in rows),
        sum(row.research_and_development_pico for row in rows),
        sum(row.other_pico for row in rows),
    )
