"""Late records of a closed period: detection and correction.

A closed period *stands* as it was sealed, or as the last close that took in late records restated it. A
record that is present now and was not sealed is late. It is found by its permanent name, such as (source,
id), and only among new records: bill lines, and facts outside the sealed segments. Only when one is found
are the period's inputs collected and its statement built again.

A correction is shown in two places: in the period that *posts* it, as part of its figures, and beside the
period that it is *for*, whose sealed figures never change. `corrections_booked_in` and `LaterCorrection`
are those two views of the same rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from inferworks.accounts.directory import Directory
from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.accounting.policy import Policy
from inferworks.books.accounting.prepaid import Prepaid, days_of
from inferworks.books.accruals.expected_bills import true_ups
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.closing.inputs import (
    CHARGES,
    INPUTS,
    OWN,
    PREPAID,
    RULES,
    STATEMENT,
    Arrived,
    Source,
    all_facts,
    inputs_of,
    prefix_of,
    sealed_inputs_of,
)
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.seal import Close
from inferworks.books.lines import Charges, unknown, with_more
from inferworks.books.period import Period
from inferworks.books.revenue.customer_currency import completed
from inferworks.books.revenue.rating import ToDate, to_date_of
from inferworks.books.statement.computation import Inputs, Line, Rules
from inferworks.books.statement.corrections import Correction, corrected
from inferworks.books.statement.income_statement import expense_account
from inferworks.books.statement.statement import Row, Statement
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts


class PostedPeriod(NamedTuple):
    """State of a closed period: as it was sealed, or as a later close restated it."""

    inputs: Inputs
    statement: Statement


class Restated(NamedTuple):
    """A closed period with its late records, and the correction that they cause."""

    period: Period
    now: PostedPeriod
    correction: Correction


class LaterCorrection(NamedTuple):
    """A correction of a closed period, and the later period in which it is booked."""

    booked_in: Period
    sealed: bool
    """True if that period is closed too; else its figures are those of the open period now."""
    correction: Correction

    @property
    def name(self) -> str:
        """Return the title for readers."""
        return f"booked in {self.booked_in.name}"


class Adjustment(NamedTuple):
    """A correction beside the figures of a period that was asked for."""

    name: str
    """`for 2026-11` where the period books it, `booked in 2026-12` where a later one does."""
    correction: Correction


def posted_period(ledger: Ledger, closes: Iterable[Close], period: Period) -> PostedPeriod:
    """Return the state of the closed `period` after all of `closes`."""
    place = latest_close(list(closes), period)
    return PostedPeriod(sealed_inputs_of(ledger, *place), _own(ledger, *place))


def with_late(
    sealed: Inputs, recorded: Inputs | Arrived, prepaid: Prepaid
) -> tuple[Inputs, tuple[str, ...]]:
    """`sealed` with what is recorded and was not known then, and the names of that, sorted.

    `recorded` has none of the facts in the segments of `sealed`; `prepaid` is what came before by what is
    known now: of the month, and of what credit was used for. Prices and rules stay those that were sealed.
    """
    merged: dict[str, tuple[Any, ...]] = {}
    names: list[str] = []
    late_charges = unknown(recorded.charges, sealed.charges)
    names += [f"charge {charge.id}" for charge in late_charges]
    for one in INPUTS[1:-1]:  # all but the charges and the plans
        known = inputs_of(sealed, one.part)
        keys = {one.key(item) for item in known}
        late = [item for item in inputs_of(recorded, one.part) if one.key(item) not in keys]
        merged[one.part.removeprefix("inputs/")] = (*known, *late)
        names += [f"{one.word} {'/'.join(map(str, one.key(item)))}" for item in late]
    charges = with_more(sealed.charges, late_charges)
    first = utc_day(sealed.span.start_ns)
    if prepaid.to_date != sealed.prepaid.to_date:
        names.append(f"revenue of the month before {first}")
    changed = set(prepaid.earned_before) - set(sealed.prepaid.earned_before)
    names += [f"credit of {customer} used before {first}" for customer, _ in changed]
    inputs = msgspec.structs.replace(
        sealed, charges=charges, facts=Facts(**merged), prepaid=prepaid
    )
    return inputs, tuple(sorted(names))


def restated(
    ledger: Ledger, source: Source, closes: Sequence[Close], booked_ns: int
) -> Iterator[Restated]:
    """The closed periods for which something came late, in order; corrections dated `booked_ns`."""
    periods = sorted(close.period for close in closes)
    yield from _restated(ledger, source, closes, periods, booked_ns)


def corrections_booked_in(ledger: Ledger, source: Source, period: Period) -> tuple[Correction, ...]:
    """The corrections of earlier periods that `period` books: sealed ones, or as they stand now."""
    closes = standing(ledger.records())
    for close in closes:
        if close.period == period:
            return ledger.body(close, STATEMENT).rows(Statement)[0].corrections
    if not carries_corrections(period, closes):
        return ()
    late = restated(ledger, source, closes, period.end_ns)
    return tuple(one.correction for one in late if not one.correction.empty)


def corrected_later(ledger: Ledger, source: Source, period: Period) -> tuple[LaterCorrection, ...]:
    """The corrections of the closed `period`, in the order in which they are booked; none while open."""
    closes = standing(ledger.records())
    if all(close.period != period for close in closes):
        return ()
    later = [
        LaterCorrection(close.period, True, correction)
        for close in closes
        if period in close.corrects
        for correction in ledger.body(close, STATEMENT).rows(Statement)[0].corrections
        if correction.period == period
    ]
    open_period = ledger.periods().first_open(0)
    close, prefix = latest_close(closes, period)
    rules = ledger.body(close, prefix + RULES).rows(Rules)[0]
    before = _in_months(closes, period.start_ns, rules.customers)
    if _prepaid(ledger, close, prefix).earned_before:
        before = [one.period for one in closes if one.period < period]
    parts = [*sorted(before), period]
    later += (
        LaterCorrection(open_period, False, one.correction)
        for one in _restated(ledger, source, closes, parts, open_period.end_ns)
        if one.period == period and not one.correction.empty
    )
    return tuple(later)


def adjustments(
    ledger: Ledger, source: Source, period: Period, policy: Policy
) -> tuple[Adjustment, ...]:
    """The corrections that `period` books and those that later ones book for it, seen under `policy`."""
    named = [(f"for {c.period.name}", c) for c in corrections_booked_in(ledger, source, period)]
    named += [(later.name, later.correction) for later in corrected_later(ledger, source, period)]
    return tuple(Adjustment(name, under_policy(c, policy)) for name, c in named)


def carries_corrections(period: Period, closes: Sequence[Close]) -> bool:
    """Return True if `period` is the open one that follows the last of `closes`."""
    return bool(closes) and period.start_ns == max(close.period.end_ns for close in closes)


def under_policy(correction: Correction, policy: Policy) -> Correction:
    """`correction` with its cost called as `policy` calls it; the entries stay as they are booked."""
    lines = tuple(
        msgspec.structs.replace(line, function=line.function_under(policy))
        for line in correction.lines
    )
    return msgspec.structs.replace(correction, lines=lines)


def booked_under_policy(
    correction: Correction, policy: Policy, currency: str, at_ns: int
) -> Correction:
    """`under_policy`, with one entry more, at `at_ns`, that moves what `policy` calls otherwise."""
    seen = under_policy(correction, policy)
    moved: dict[str, int] = defaultdict(int)
    for before, after in zip(correction.lines, seen.lines, strict=True):
        moved[expense_account(before)] -= after.amount_pico
        moved[expense_account(after)] += after.amount_pico
    postings = [Posting(name, pico, currency) for name, pico in sorted(moved.items()) if pico]
    if not postings:
        return seen
    text = f"called as {policy.name} calls it ({correction.period.name})"
    entries = (*seen.entries, Entry(at_ns, text, tuple(postings)))
    return msgspec.structs.replace(seen, entries=entries)


def as_corrected(statement: Statement, later: Iterable[LaterCorrection]) -> tuple[Row, ...]:
    """The figures of a closed period: as sealed, each correction, and all together; they add up."""
    rows = [_row("as sealed", statement.revenue_pico, statement.lines)]
    rows += [_row(one.name, one.correction.revenue_pico, one.correction.lines) for one in later]
    return (*rows, _sum("as corrected", rows))


def own_and_corrections(statement: Statement) -> tuple[Row, ...]:
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


def charges_in(ledger: Ledger, span: Span) -> Iterator[Charges]:
    """The charges that the closed periods which meet `span` stand with."""
    closes = standing(ledger.records())
    for close in closes:
        if span.meet(*close.period.span).length_ns:
            place, prefix = latest_close(closes, close.period)
            yield ledger.charges(place, prefix + CHARGES)


def latest_close(closes: Sequence[Close], period: Period) -> tuple[Close, str]:
    """The close in which `period` stands after all of `closes`, and under which prefix."""
    close, prefix = next(close for close in closes if close.period == period), ""
    for later in closes:
        if period in later.corrects:
            close, prefix = later, prefix_of(period)
    return close, prefix


def _own(ledger: Ledger, close: Close, prefix: str) -> Statement:
    """The statement without corrections of earlier periods that `close` keeps under `prefix`."""
    return ledger.body(close, prefix + OWN).rows(Statement)[0]


def _restated(
    ledger: Ledger,
    source: Source,
    closes: Sequence[Close],
    periods: Sequence[Period],
    booked_ns: int,
) -> Iterator[Restated]:
    """Yield the closed `periods` with late records, restated, in order of time.

    What came late for the first part of a month moves the tiers and minimums of the others, and what came
    late for any period uses credit that later ones have used; so those before must be among `periods`.
    """
    earlier: dict[Period, Restated] = {}
    for period in periods:
        place = latest_close(closes, period)
        sealed = sealed_inputs_of(ledger, *place)
        to_date = sealed.prepaid.to_date
        if to_date is not None:
            to_date = _to_date(ledger, closes, earlier, sealed)
        earned = _earned_before(sealed, earlier)
        prepaid = msgspec.structs.replace(sealed.prepaid, to_date=to_date, earned_before=earned)
        known = {segment.name for segment in sealed.segments}
        _, names = with_late(sealed, source.arrived(period.span, known), prepaid)
        if not names:
            continue
        recorded = source.inputs(
            period.span
        )  # with the estimates that what is new may have changed
        new = [segment for segment in recorded.segments if segment.name not in known]
        facts = all_facts(
            msgspec.structs.replace(recorded, segments=tuple(new)), source.sealed_facts
        )
        rates = completed(prepaid.rates, recorded.prepaid.rates)
        prepaid = msgspec.structs.replace(prepaid, rates=rates)
        inputs, causes = with_late(sealed, Arrived(recorded.charges, facts), prepaid)
        now = source.statement_of(inputs)
        differences = true_ups(sealed.charges, inputs.charges, period.span)
        correction = corrected(period, _own(ledger, *place), now, causes, booked_ns, differences)
        earlier[period] = Restated(period, PostedPeriod(inputs, now), correction)
        yield earlier[period]


def open_inputs(ledger: Ledger, source: Source, period: Period) -> Inputs:
    """Return the current inputs of the open `period`."""
    return open_books(ledger, source, period)[0]


def open_books(
    ledger: Ledger, source: Source, period: Period
) -> tuple[Inputs, tuple[Correction, ...]]:
    """Return the current inputs of the open `period`, and the corrections that it posts."""
    closes = standing(ledger.records())
    late: Iterable[Restated] = restated(ledger, source, closes, period.end_ns)
    corrections: tuple[Correction, ...] = ()
    if carries_corrections(period, closes):
        late = tuple(late)
        corrections = tuple(one.correction for one in late if not one.correction.empty)
    return with_closed_months(ledger, closes, late, source.inputs(period.span)), corrections


def with_closed_months(
    ledger: Ledger, closes: Sequence[Close], late: Iterable[Restated], inputs: Inputs
) -> Inputs:
    """`inputs` of an open period, on top of what the closed parts of customers' months came to.

    `late` are the closed periods for which something came late, which the open one corrects.
    """
    if not _in_months(closes, inputs.span.start_ns, inputs.rules.customers):
        return inputs
    to_date = _to_date(ledger, closes, {one.period: one for one in late}, inputs)
    prepaid = msgspec.structs.replace(inputs.prepaid, to_date=to_date)
    return msgspec.structs.replace(inputs, prepaid=prepaid)


def _to_date(
    ledger: Ledger,
    closes: Sequence[Close],
    earlier: Mapping[Period, Restated],
    inputs: Inputs,
) -> tuple[ToDate, ...]:
    """Return the totals reached before `inputs` by their first months, as the closed parts stand now.

    As it was sealed, or is recorded, where they are not closed up to there.
    """
    before = sorted(_in_months(closes, inputs.span.start_ns, inputs.rules.customers))
    if not before or before[-1].end_ns != inputs.span.start_ns:
        return inputs.prepaid.to_date or ()
    statements = (
        earlier[period].now.statement
        if period in earlier
        else _own(ledger, *latest_close(closes, period))
        for period in before
    )
    rows = (row for statement in statements for row in statement.revenue_rows)
    at_ns, calendars = inputs.span.start_ns, calendars_of(inputs.rules.customers)
    first = earlier[before[0]].now.inputs.prepaid if before[0] in earlier else None
    totals = (first or _prepaid(ledger, *latest_close(closes, before[0]))).to_date or ()
    begun = (
        total
        for total in totals
        if calendars.of(total.customer).month(at_ns).start_ns < before[0].start_ns
    )
    return to_date_of(rows, inputs.plans, at_ns, calendars, begun)


def _prepaid(ledger: Ledger, close: Close, prefix: str) -> Prepaid:
    """Return the prior-period totals that `close` kept under `prefix`."""
    return ledger.body(close, prefix + PREPAID).rows(Prepaid)[0]


def _earned_before(
    sealed: Inputs, earlier: Mapping[Period, Restated]
) -> tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...]:
    """Return what customers with credit owed before a period, with the corrections of `earlier` ones."""
    earned, calendars = [], calendars_of(sealed.rules.customers)
    for customer, before in sealed.prepaid.earned_before:
        days = dict(before)
        for one in earlier.values():
            rows, calendar = one.correction.revenue_rows, calendars.of(customer)
            for day, pico in days_of(rows, customer, one.period.span, calendar).items():
                if pico:
                    days[day] = days.get(day, 0) + pico
        earned.append((customer, tuple(sorted(days.items()))))
    return tuple(earned)


def _in_months(closes: Iterable[Close], at_ns: int, directory: Directory) -> list[Period]:
    """The closed periods that have a part, before `at_ns`, of a month in which a customer is then."""
    begun = Span(calendars_of(directory).since_ns(at_ns), at_ns)
    periods = (close.period for close in closes)
    return [one for one in periods if one.end_ns <= at_ns and begun.meet(*one.span).length_ns]


def _row(name: str, revenue_pico: int, lines: Iterable[Line]) -> Row:
    cost_pico = research_pico = other_pico = 0
    for line in lines:
        if line.function in COST_OF_REVENUE:
            cost_pico += line.amount_pico
        elif line.function is Function.RESEARCH_AND_DEVELOPMENT:
            research_pico += line.amount_pico
        else:
            other_pico += line.amount_pico
    return Row(name, revenue_pico, cost_pico, research_pico, other_pico)


def _sum(name: str, rows: Sequence[Row]) -> Row:
    return Row(
        name,
        sum(row.revenue_pico for row in rows),
        sum(row.cost_of_revenue_pico for row in rows),
        sum(row.research_and_development_pico for row in rows),
        sum(row.other_pico for row in rows),
    )
