"""Closing: a period's statement is drawn up, sealed, and from then on only corrected.

Problem. Bills come weeks late, prices and policies change, programs get better. A figure that was
reported must still never move, and whatever was learned afterwards must still be counted, once.

Decision. A close keeps what the statement was drawn from (`Papers`), the rules, and the statement
itself, and seals all three (`seal.py`, `ledger.py`). The statement of a closed period is read from its
seal, for ever. Nothing needs to be told to the close when something late arrives: every open statement
compares what is recorded for each closed period with what was sealed for it, and what is there and was
not sealed is *late*. The period is restated with it and the difference is a correction in the open
period (`correction.py`); the next close seals the restatement, so that it is corrected from there on.
A bill that arrives between the reading and the sealing is simply late. No lock spans two files.

What arrives under a name that is sealed is never late: it would be a change, and `audit.py` finds it.

Periods close in order and reopen in reverse order: what follows a period was drawn up on it.

Rejected. Flags on the charges (a second truth, which an import that dies half way leaves wrong);
restating every closed period under today's prices or policy (a new price would move the past).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from inferworks.accounts.plan import PricePlan
from inferworks.books.charge import Charge
from inferworks.books.correction import Correction, corrected
from inferworks.books.ledger import Ledger, standing
from inferworks.books.period import Period, Periods, Status, refuse_overlap
from inferworks.books.placed import placed_sum
from inferworks.books.policy import MARGINAL, Policy, load_policy
from inferworks.books.questions import answer
from inferworks.books.seal import (
    Body,
    Close,
    Reopening,
    body_of,
    body_of_json,
    body_of_set,
    code_version,
)
from inferworks.books.span import Span
from inferworks.books.statement import Statement, close_span
from inferworks.books.wallet import NOTHING_PREPAID, Prepaid
from inferworks.books.workings import Rules, line_order
from inferworks.errors import BooksError, UserError
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Usage

Key = Callable[[Any], tuple[object, ...]]


class Papers(msgspec.Struct, frozen=True):
    """Everything that the statement of `span` is drawn from: inputs and rules."""

    span: Span
    currency: str
    charges: tuple[Charge, ...]
    facts: Facts
    plans: tuple[PricePlan, ...]
    policy: Policy
    rules: Rules
    prepaid: Prepaid = NOTHING_PREPAID


class Source(Protocol):
    """Where papers come from: whatever is recorded now. Implemented by the command line and by tests."""

    def papers(self, span: Span) -> Papers:
        """Everything recorded for `span`, and the rules in force."""
        ...

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """What is in quarantine and may belong to `span`: a name for each, and what is wrong."""
        ...

    def earliest_ns(self, before_ns: int) -> int | None:
        """The first moment before `before_ns` for which anything is recorded; None when nothing is."""
        ...


class Booked(NamedTuple):
    """How a closed period stands: as it was sealed, or as a later close restated it."""

    papers: Papers
    statement: Statement


class Closed(NamedTuple):
    """A close that was made: its record, its hash, and the statement it sealed."""

    record: Close
    sha256: str
    statement: Statement


class _Input(NamedTuple):
    """A kind of input: the part it is sealed as, its type, and what names one of it for ever."""

    part: str
    kind: type[Any]
    word: str
    key: Key


INPUTS: Final = (
    _Input("inputs/charges", Charge, "charge", lambda c: (c.id,)),
    _Input("inputs/usages", Usage, "call", lambda u: (u.call_id,)),
    _Input("inputs/steps", Step, "step", lambda s: (s.replica, s.start_ns, s.seq)),
    _Input("inputs/capacity", Capacity, "capacity", lambda c: (c.replica, c.start_ns, c.state)),
    _Input("inputs/activities", Activity, "activity", lambda a: (a.source, a.id)),
    _Input("inputs/plans", PricePlan, "price plan", lambda p: (p.customer, p.effective_ns)),
)
POLICY, RULES = "rules/policy", "rules/rules"
PREPAID = "inputs/prepaid"
OWN, STATEMENT, PAPER = "outputs/own", "outputs/statement", "outputs/paper"
"""The statement without corrections of earlier periods; with them; and as it was printed."""


def close_period(
    ledger: Ledger,
    source: Source,
    period: Period,
    *,
    by: str,
    at_ns: int,
    accept: str = "",
    begin: bool = False,
) -> Closed:
    """Draw up the statement of `period`, check it, and seal it; all or nothing.

    With `begin` the books begin with this period: what is recorded for earlier ones is left out.
    UserError when it is closed already, when an earlier period is open, or when something in quarantine
    may belong to it and `accept` gives no reason to leave that out. BooksError when a theorem does not
    hold of the statement.
    """
    closes = standing(ledger.records())
    periods = ledger.periods()
    refuse_out_of_order(period, periods, None if begin else source.earliest_ns(period.start_ns))
    conflicts = _conflicts(source, period, closes)
    if conflicts and not accept:
        raise UserError(_conflicts_text(period, conflicts))
    papers = source.papers(period.span)
    own = drawn(papers)
    restated = list(_restated(ledger, source, closes, period.end_ns))
    statement = with_corrections(own, [correction for _, _, correction in restated])
    bodies = [*sealed_bodies("", papers, own), *_statement_bodies(statement)]
    for original, booked, _ in restated:
        bodies += sealed_bodies(prefix_of(original), booked.papers, booked.statement)
    number, previous = ledger.head()
    record = Close(
        number=number,
        previous=previous,
        period=period,
        at_ns=at_ns,
        by=by,
        currency=papers.currency,
        policy=papers.policy.name,
        code=code_version(),
        begin=begin,
        reason=accept if conflicts else "",
        accepted=tuple(sorted(conflicts)),
        corrects=tuple(original for original, _, _ in restated),
        parts=tuple(body.part for body in bodies),
    )
    return Closed(record, ledger.append(record, bodies), statement)


def reopen_period(
    ledger: Ledger, period: Period, *, reason: str, by: str, at_ns: int
) -> tuple[Reopening, str]:
    """Let `period` be open again; the record of it and its hash.

    Its close stays in the chain, superseded. UserError when it is not closed, when a later period is, or
    without a reason.
    """
    if not reason.strip():
        raise UserError(f"period {period.name}: say why it is reopened, with --reason")
    closes = {close.period: close for close in standing(ledger.records())}
    if period not in closes:
        raise UserError(f"period {period.name} is not closed; there is nothing to reopen")
    last = max(closes)
    if last != period:
        raise UserError(
            f"period {last.name} was closed after {period.name} and rests on it; reopen it first, or "
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


def statement_of(ledger: Ledger, source: Source, period: Period) -> Statement:
    """The statement of `period`: as it was sealed when it is closed, else as it stands now.

    The first open period also carries the corrections of the closed ones. BooksError when a theorem does
    not hold, or what was sealed is damaged.
    """
    closes = standing(ledger.records())
    for close in closes:
        if close.period == period:
            return ledger.body(close, STATEMENT).rows(Statement)[0]
    own = drawn(source.papers(period.span))
    if closes and period.start_ns == max(close.period.end_ns for close in closes):
        restated = _restated(ledger, source, closes, period.end_ns)
        return with_corrections(own, [correction for _, _, correction in restated])
    return own


def sealed_paper(ledger: Ledger, period: Period) -> bytes | None:
    """The statement of a closed period as JSON, byte for byte as it was sealed; None while it is open."""
    for close in standing(ledger.records()):
        if close.period == period:
            return ledger.body(close, PAPER).raw.rstrip(b"\n")
    return None


def sealed_papers(ledger: Ledger, period: Period) -> Papers | None:
    """What a closed period was drawn from, to draw it up under another policy; None while it is open."""
    for close in standing(ledger.records()):
        if close.period == period:
            return papers_of(ledger, close)
    return None


def drawn(papers: Papers) -> Statement:
    """The statement of `papers`, every theorem checked. BooksError when one does not hold."""
    return close_span(
        papers.charges,
        papers.facts,
        papers.plans,
        papers.policy,
        papers.currency,
        *papers.span,
        rules=papers.rules,
        prepaid=papers.prepaid,
    )


def with_corrections(own: Statement, corrections: Iterable[Correction]) -> Statement:
    """`own` with the rows of `corrections` among its own, and the corrections listed beside them."""
    kept = tuple(correction for correction in corrections if not correction.empty)
    if not kept:
        return own
    lines = sorted((*own.lines, *(n for c in kept for n in c.lines)), key=line_order)
    statement = msgspec.structs.replace(
        own,
        billed_pico=own.billed_pico + sum(correction.billed_pico for correction in kept),
        lines=tuple(lines),
        revenue_rows=(*own.revenue_rows, *(row for c in kept for row in c.revenue_rows)),
        entries=(*own.entries, *(entry for c in kept for entry in c.entries)),
        questions=answer(lines, load_policy(MARGINAL)),
        notes=(*own.notes, *map(_note, kept)),
        corrections=kept,
        placed=placed_sum((*own.placed, *(place for c in kept for place in c.placed))),
    )
    if statement.billed_pico != statement.allocated_pico:
        raise BooksError(
            "theorem 12 (closed is closed): the corrections do not sum to what was billed late"
        )
    return statement


def refuse_out_of_order(period: Period, periods: Periods, earliest_ns: int | None) -> None:
    """UserError unless `period` is the next to be closed."""
    if periods.status(period) is Status.CLOSED:
        raise UserError(
            f"period {period.name} is closed; what is late shows in the open period by itself, and "
            "inferworks books reopen makes it open again"
        )
    refuse_overlap(period, (*periods.closed, *(p for p in periods.declared if p != period)))
    first_ns = _open_before(period, periods, earliest_ns)
    if first_ns is not None:
        earlier = periods.holding(first_ns)
        begin = "" if periods.closed else f"; or begin the books with {period.name}, with --begin"
        raise UserError(
            f"period {period.name} cannot be closed yet: {earlier.name} is still open; periods are "
            f"closed in order, so first: inferworks books close {earlier.name}{begin}"
        )


def _open_before(period: Period, periods: Periods, earliest_ns: int | None) -> int | None:
    """Where the open time before `period` begins; None when there is none, or nothing in it yet."""
    until_ns = periods.closed_until_ns
    if until_ns is None:
        nothing_before = earliest_ns is None or earliest_ns >= period.start_ns
        return None if nothing_before else earliest_ns
    return None if until_ns == period.start_ns else until_ns


def papers_of(ledger: Ledger, close: Close, prefix: str = "") -> Papers:
    """The papers that `close` keeps under `prefix`. BooksError when they are damaged."""
    inputs = {i.part: ledger.body(close, prefix + i.part).rows(i.kind) for i in INPUTS}
    period = close.period if not prefix else _corrected_period(close, prefix)
    return Papers(
        span=period.span,
        currency=close.currency,
        charges=inputs["inputs/charges"],
        facts=Facts(
            usages=inputs["inputs/usages"],
            steps=inputs["inputs/steps"],
            capacity=inputs["inputs/capacity"],
            activities=inputs["inputs/activities"],
        ),
        plans=inputs["inputs/plans"],
        policy=_policy_in(ledger.body(close, prefix + POLICY)),
        rules=ledger.body(close, prefix + RULES).rows(Rules)[0],
        prepaid=ledger.body(close, prefix + PREPAID).rows(Prepaid)[0],
    )


@lru_cache(maxsize=8)
def _policy_in(body: Body) -> Policy:
    """The policy in a part; nearly always that of the close before, so it is read once."""
    return body.rows(Policy)[0]


def booked(ledger: Ledger, closes: Iterable[Close], period: Period) -> Booked:
    """How the closed `period` stands after all of `closes`."""
    close, prefix = next(iter(close for close in closes if close.period == period)), ""
    for later in closes:
        if period in later.corrects:
            close, prefix = later, prefix_of(period)
    statement = ledger.body(close, prefix + OWN).rows(Statement)[0]
    return Booked(papers_of(ledger, close, prefix), statement)


def prefix_of(period: Period) -> str:
    """Where a later close keeps `period` as it restated it."""
    return f"corrects/{period.name}/"


def sealed_bodies(prefix: str, papers: Papers, own: Statement) -> list[Body]:
    """Inputs, rules and the statement of a period, as they are sealed."""
    bodies = [body_of_set(prefix + i.part, inputs_of(papers, i.part)) for i in INPUTS]
    bodies += [body_of(prefix + POLICY, papers.policy), body_of(prefix + RULES, papers.rules)]
    bodies.append(body_of(prefix + PREPAID, papers.prepaid))
    return [*bodies, body_of(prefix + OWN, own)]


def inputs_of(papers: Papers, part: str) -> tuple[Any, ...]:
    """The inputs in `papers` that are sealed as `part`."""
    name = part.removeprefix("inputs/")
    inputs: tuple[Any, ...] = getattr(
        papers if name in ("charges", "plans") else papers.facts, name
    )
    return inputs


def with_late(sealed: Papers, recorded: Papers) -> tuple[Papers, tuple[str, ...]]:
    """`sealed` with what is recorded and was not known then, and the names of that, sorted.

    Prices and rules stay those that were sealed.
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


def _restated(
    ledger: Ledger, source: Source, closes: list[Close], booked_ns: int
) -> Iterator[tuple[Period, Booked, Correction]]:
    """The closed periods for which something came late: restated, and what that corrects."""
    for period in sorted(close.period for close in closes):
        before = booked(ledger, closes, period)
        papers, causes = with_late(before.papers, source.papers(period.span))
        if causes:
            now = drawn(papers)
            correction = corrected(period, before.statement, now, causes, booked_ns)
            yield period, Booked(papers, now), correction


def _statement_bodies(statement: Statement) -> list[Body]:
    return [body_of(STATEMENT, statement), body_of_json(PAPER, statement.to_json())]


def _corrected_period(close: Close, prefix: str) -> Period:
    return next(period for period in close.corrects if prefix_of(period) == prefix)


def _conflicts(source: Source, period: Period, closes: Iterable[Close]) -> dict[str, str]:
    """What is in quarantine for `period` and was not accepted by an earlier close."""
    accepted = {name for close in closes for name in close.accepted}
    found = source.conflicts(period.span)
    return {name: text for name, text in found.items() if name not in accepted}


def _conflicts_text(period: Period, conflicts: Mapping[str, str]) -> str:
    listed = "\n".join(f"  {name}: {text}" for name, text in sorted(conflicts.items()))
    return (
        f"period {period.name} cannot be closed: {len(conflicts)} in quarantine may belong to it\n"
        f"{listed}\nsettle them with whoever sent them, then: inferworks books close {period.name} "
        '--accept "REASON"'
    )


def _note(correction: Correction) -> str:
    count = len(correction.causes)
    listed = ", ".join(correction.causes[:3]) + (", ..." if count > 3 else "")
    records = "1 record" if count == 1 else f"{count} records"
    return (
        f"Late for the closed period {correction.period.name}, corrected here: {records}: {listed}."
    )
