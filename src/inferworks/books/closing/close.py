"""Closing: a period's statement is built, sealed, and from then on only corrected.

Problem. Bills come weeks late, prices and policies change, programs get better. A reported figure must
never change all the same, and every later record must still be counted, once.

Decision. A close keeps the inputs of the statement (`inputs.py`), the rules, and the statement itself,
and seals all three (`seal.py`, `ledger.py`). The statement of a closed period is always read from its
seal. A late record needs no change of the close: every open statement compares the records of each closed
period with the sealed ones, and a record that was not sealed is *late* (`prior_period.py`). The period is
restated with it and the difference is a correction in the open period (`corrections.py`); the next close
seals the restatement, so that it is corrected from there on. A bill that arrives between the reading and
the sealing is simply late. No lock spans two files.

A record under a name that is sealed is never late: it would be a change, and `audit.py` finds it.

Periods close in order and reopen in reverse order: the statements of later periods rest on it.

Rejected. Flags on the charges (a second source of truth, which an interrupted import leaves wrong);
restating every closed period under today's prices or policy (a new price would change past figures).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from inferworks.books.accounting.policy import MARGINAL, Policy, load_policy
from inferworks.books.closing.inputs import (
    PAPER,
    STATEMENT,
    Source,
    prefix_of,
    sealed_bodies,
    sealed_inputs_of,
    seen_by,
)
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.prior_period import (
    booked_under_policy,
    corrections_booked_in,
    open_books,
    restated,
    with_closed_months,
)
from inferworks.books.closing.seal import (
    Close,
    Reopening,
    Sealable,
    body_of,
    body_of_json,
    code_version,
)
from inferworks.books.period import Period, Periods, Status, refuse_overlap
from inferworks.books.statement.computation import Inputs, line_order
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.five_questions import answer
from inferworks.books.statement.income_statement import must_be_booked
from inferworks.books.statement.revenue_by_location import placed_sum
from inferworks.books.statement.statement import Statement, whole_span
from inferworks.errors import BooksError, UserError


class Closed(NamedTuple):
    """A close that was made: its record, its hash, and the statement it sealed."""

    record: Close
    sha256: str
    statement: Statement


class CloseRequest(NamedTuple):
    """Order to close a period."""

    period: Period
    by: str
    """Name of the person who closes it."""
    at_ns: int
    accept: str = ""
    """Reason to leave out what is in quarantine, or to close a period in which nothing is recorded."""
    begin: bool = False
    """True if the books begin with this period: what is recorded for earlier ones is left out."""


def close_period(ledger: Ledger, source: Source, request: CloseRequest) -> Closed:
    """Build the statement of a period, check it, and seal it; all or nothing.

    UserError when it is closed already, when an earlier period is open, or, without a reason to accept
    that, when something in quarantine may belong to it or nothing is recorded in it. BooksError when a
    theorem does not hold of the statement.
    """
    period = request.period
    closes = standing(ledger.records())
    periods = ledger.periods()
    first = request.begin or periods.closed  # nothing lies before that was not closed or left out
    refuse_out_of_order(period, periods, None if first else source.earliest_ns(period.start_ns))
    accepted = {name for close in closes for name in close.accepted}
    quarantined = source.conflicts(period.span)
    conflicts = {name: fault for name, fault in quarantined.items() if name not in accepted}
    if conflicts and not request.accept:
        listed = "\n".join(f"  {name}: {text}" for name, text in sorted(conflicts.items()))
        items = "item" if len(conflicts) == 1 else "items"
        raise UserError(
            f"period {period.name} cannot be closed: {len(conflicts)} {items}, in quarantine or missing, "
            f"may belong to it\n{listed}\nresolve them with their senders, or close without them: "
            f'inferworks books close {period.name} --accept "REASON" (accept="REASON")'
        )
    late = list(restated(ledger, source, closes, period.end_ns))
    inputs = with_closed_months(ledger, closes, late, source.inputs(period.span))
    own = source.statement_of(inputs)
    if not (late or _anything_recorded(inputs, own)):
        if not request.accept:
            raise UserError(
                f"period {period.name} cannot be closed: nothing is recorded in it, no bill, no call and "
                "no use of machines, so all its figures would be 0; check the data folder and the period, "
                f"import its bills, or close it empty: inferworks books close {period.name} "
                '--accept "REASON" (accept="REASON")'
            )
        conflicts[f"nothing recorded in {period.name}"] = ""
    statement = with_corrections(own, [restatement.correction for restatement in late])
    bodies: list[Sealable] = [
        *sealed_bodies("", inputs, own),
        body_of(STATEMENT, statement),
        body_of_json(PAPER, statement.to_json()),
    ]
    for restatement in late:
        now = restatement.now
        bodies += sealed_bodies(prefix_of(restatement.period), now.inputs, now.statement)
    number, previous = ledger.head()
    record = Close(
        number=number,
        previous=previous,
        period=period,
        at_ns=request.at_ns,
        by=request.by,
        currency=inputs.currency,
        policy=inputs.policy.name,
        code=code_version(),
        begin=request.begin,
        reason=request.accept if conflicts else "",
        accepted=tuple(sorted(conflicts)),
        corrects=tuple(restatement.period for restatement in late),
        parts=tuple(body.part for body in bodies),
    )
    return Closed(record, ledger.append(record, bodies), statement)


def _anything_recorded(inputs: Inputs, statement: Statement) -> bool:
    """Return True if a bill, a call, use of a machine or an entry of any kind is in the span."""
    span = inputs.span
    return bool(
        len(inputs.charges)
        or statement.lines
        or statement.revenue_rows
        or statement.entries
        or span.meet(*whole_span((), inputs.facts)).length_ns
        or any(span.meet(one.start_ns, one.end_ns).length_ns for one in inputs.segments)
    )


def reopen_period(
    ledger: Ledger, period: Period, *, reason: str, by: str, at_ns: int
) -> tuple[Reopening, str]:
    """Let `period` be open again; the record of it and its hash.

    Its close stays in the chain, superseded. UserError when it is not closed, when a later period is, or
    without a reason.
    """
    if not reason.strip():
        raise UserError(
            f"period {period.name}: give the reason for reopening it with --reason (reason)"
        )
    closes = {close.period: close for close in standing(ledger.records())}
    if period not in closes:
        raise UserError(f"period {period.name} is not closed; there is nothing to reopen")
    last = max(closes)
    if last != period:
        raise UserError(
            f"period {last.name} was closed after {period.name} and depends on it; reopen it first, or "
            "let the correction show in the open period"
        )
    number, previous = ledger.head()
    record = Reopening(
        number=number,
        previous=previous,
        period=period,
        at_ns=at_ns,
        by=by,
        reason=reason.strip(),
        supersedes=closes[period].number,
    )
    return record, ledger.append(record)


def statement_of(
    ledger: Ledger, source: Source, period: Period, view: Policy | None = None
) -> Statement:
    """The statement of `period`: as it was sealed when it is closed, else as it stands now.

    The first open period also carries the corrections of the closed ones. Under another policy, the
    `view`, it is computed anew from the same inputs. BooksError when a theorem does not hold, or a seal
    is damaged; LakeError when a segment is missing or was altered.
    """
    close = _close_of(ledger, period)
    if close is not None and (view is None or view.name == close.policy):
        return ledger.body(close, STATEMENT).rows(Statement)[0]
    corrections: Iterable[Correction]
    if close is None:
        inputs, corrections = open_books(ledger, source, period)
    else:
        inputs, corrections = (
            sealed_inputs_of(ledger, close),
            corrections_booked_in(ledger, source, period),
        )
    if view is not None:
        inputs = seen_by(inputs, view) if close else msgspec.structs.replace(inputs, policy=view)
        corrections = [
            booked_under_policy(correction, view, inputs.currency, period.end_ns)
            for correction in corrections
        ]
    return with_corrections(source.statement_of(inputs), corrections)


def sealed_paper(ledger: Ledger, period: Period) -> bytes | None:
    """The statement of a closed period as JSON, byte for byte as it was sealed; None while it is open."""
    close = _close_of(ledger, period)
    return None if close is None else ledger.body(close, PAPER).raw.rstrip(b"\n")


def sealed_inputs(ledger: Ledger, period: Period) -> Inputs | None:
    """Return the inputs that a closed period was built from; None while it is open."""
    close = _close_of(ledger, period)
    return None if close is None else sealed_inputs_of(ledger, close)


def _close_of(ledger: Ledger, period: Period) -> Close | None:
    """The close of `period` that counts; None while it is open."""
    closes = standing(ledger.records())
    return next((close for close in closes if close.period == period), None)


def with_corrections(own: Statement, corrections: Iterable[Correction]) -> Statement:
    """`own` with the rows of `corrections` among its own, and the corrections listed beside them."""
    kept = tuple(correction for correction in corrections if not correction.empty)
    if not kept:
        return own
    lines = sorted((*own.lines, *(n for c in kept for n in c.lines)), key=line_order)
    notes: list[str] = []
    for correction in kept:
        count = len(correction.causes)
        listed = ", ".join(correction.causes[:3]) + (", ..." if count > 3 else "")
        notes.append(
            f"Late for the closed period {correction.period.name}, corrected here: "
            f"{'1 record' if count == 1 else f'{count} records'}: {listed}."
        )
        notes += (true_up.text for true_up in correction.true_ups)
    statement = msgspec.structs.replace(
        own,
        billed_pico=own.billed_pico + sum(correction.billed_pico for correction in kept),
        lines=tuple(lines),
        revenue_rows=(*own.revenue_rows, *(row for c in kept for row in c.revenue_rows)),
        entries=(*own.entries, *(entry for c in kept for entry in c.entries)),
        questions=answer(lines, load_policy(MARGINAL)),
        notes=(*own.notes, *notes),
        corrections=kept,
        prepaid_pico=_sum([own.prepaid_pico, *(c.prepaid_pico for c in kept)]),
        accrued_pico=_sum([own.accrued_pico, *(c.accrued_pico for c in kept)]),
        placed=placed_sum((*own.placed, *(place for c in kept for place in c.placed))),
    )
    must_be_booked(statement.lines, statement.revenue_rows, statement.entries)
    if statement.billed_pico != statement.allocated_pico:
        raise BooksError(
            "theorem 12 (closed is closed): the corrections do not sum to what was billed late"
        )
    return statement


def _sum(changes: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [pico for pico in changes if pico is not None]
    return sum(known) if known else None


def refuse_out_of_order(period: Period, periods: Periods, earliest_ns: int | None) -> None:
    """UserError unless `period` is the next to be closed."""
    if periods.status(period) is Status.CLOSED:
        raise UserError(
            f"period {period.name} is closed: late records show as corrections in the open period; to "
            f"open it again, use: inferworks books reopen {period.name}"
        )
    refuse_overlap(period, (*periods.closed, *(p for p in periods.declared if p != period)))
    if periods.closed and period.end_ns <= periods.closed[0].start_ns:
        first, last = periods.closed[0], periods.closed[-1]
        raise UserError(
            f"period {period.name} cannot be closed: it lies before {first.name}, the first closed period, "
            "and periods are closed in order; to begin the books earlier, reopen what is closed, the last "
            f"first: inferworks books reopen {last.name}"
        )
    first_ns = periods.closed_until_ns  # of the time before the period that is still open
    if first_ns is None:
        first_ns = None if earliest_ns is None else min(earliest_ns, period.start_ns)
    if first_ns not in (None, period.start_ns):
        earlier = periods.holding(first_ns)
        begin = (
            ""
            if periods.closed
            else f"; or begin the books with {period.name}, with --begin (begin=True)"
        )
        raise UserError(
            f"period {period.name} cannot be closed yet: {earlier.name} is still open; periods are "
            f"closed in order, so first: inferworks books close {earlier.name}{begin}"
        )
