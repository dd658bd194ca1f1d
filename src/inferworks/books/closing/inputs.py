"""Inputs of a statement: charges, facts, plans and rules; sealing them, and reading them again.

Problem. A close must keep its inputs, or the statement can never be recomputed. Ten million calls are
gigabytes: copied into the ledger they would be on the disk twice, and every close, every search for late
records and every audit would read all of them.

Decision. Facts that the lake has sealed already are kept *by reference*. A segment of the lake never
changes, so its name and the SHA-256 of its bytes identify it; the seal holds those, and the bytes stay in
place. Only facts that no segment holds yet (those of the last hours) are kept inline, row by row.
Recomputing a statement first reads the segments back and compares their hashes: one that is missing or
was altered is an error that names it. Late records are searched for outside the sealed segments, so the
work is proportional to the new records.

Rejected. Sealing the range of time alone (a late row would slip into it unseen); copying the segments
into the ledger (the disk, again); a hash over the rows of a segment (it would have to be decoded to be
checked, and the manifest has a hash of the bytes already).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import Policy, completed
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import Charge
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import Body, Close, Sealable, Spooled, body_of, body_of_set
from inferworks.books.lines import NAMES, Charges, Lines, canonical, name_of
from inferworks.books.period import Period
from inferworks.books.statement.computation import Inputs, Rules
from inferworks.books.statement.statement import Statement, close_span
from inferworks.errors import BooksError
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.facts import Facts, joined
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage

Key = Callable[[Any], tuple[object, ...]]


class Arrived(NamedTuple):
    """Records that may be new: bill lines without estimates, and facts."""

    charges: Charges
    facts: Facts


class Source(Protocol):
    """Source of inputs: the present records. Implemented by the workspace and by tests."""

    def inputs(self, span: Span) -> Inputs:
        """Everything recorded for `span`, and the rules in force."""
        ...

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """Return the records of `span`, without the facts in the segments named in `known`."""
        ...

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """The facts of `span` in `segments`; LakeError when one is missing or was altered."""
        ...

    def statement_of(self, inputs: Inputs) -> Statement:
        """Return what `reference_statement` returns of `inputs`, by it or by an engine."""
        ...

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """Return the quarantined records that may belong to `span`: name to fault."""
        ...

    def withdrawn_plans(self) -> Collection[PricePlan]:
        """The price plans that were mistakes and count no more; what was sealed may rest on them."""
        ...

    def earliest_ns(self, before_ns: int) -> int | None:
        """The first moment before `before_ns` for which anything is recorded; None when nothing is."""
        ...


SealedFacts: TypeAlias = Callable[[Sequence[Segment], Span], Facts]
"""Reads segments back; `Source.sealed_facts`."""


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
    _Input("inputs/retracted", Retracted, "retraction", lambda r: (r.source, r.id)),
    _Input("inputs/plans", PricePlan, "price plan", lambda p: (p.customer, p.effective_ns)),
)
"""Inputs that are kept row by row."""
CHARGES: Final = INPUTS[0].part
SEGMENTS: Final = "inputs/segments"
"""Part of the inputs kept by reference; closes made before there were such lack it."""
POLICY, RULES = "rules/policy", "rules/rules"
PREPAID = "inputs/prepaid"
OWN, STATEMENT, PAPER = "outputs/own", "outputs/statement", "outputs/paper"
"""The statement without corrections of earlier periods; with them; and as it was printed."""


def without_a_lake(segments: Sequence[Segment], span: Span) -> Facts:
    """No facts, where there are no segments. BooksError where there are."""
    if segments:
        raise BooksError(
            f"{len(segments)} segments are needed for {utc_day(span.start_ns)} and after, from a lake "
            f"that was not given: {segments[0].name}, ..."
        )
    return Facts((), (), (), ())


def reference_statement(inputs: Inputs, read: SealedFacts = without_a_lake) -> Statement:
    """The statement of `inputs`, every theorem checked; `read` reads their segments.

    BooksError when a theorem does not hold. LakeError when a segment is missing or was altered.
    """
    return close_span(msgspec.structs.replace(inputs, facts=all_facts(inputs, read)))


def all_facts(inputs: Inputs, read: SealedFacts = without_a_lake) -> Facts:
    """The facts of `inputs`, those in segments too. LakeError when one is missing or was altered."""
    return joined(inputs.facts, read(inputs.segments, inputs.span))


def sealed_inputs_of(ledger: Ledger, close: Close, prefix: str = "") -> Inputs:
    """Return the inputs that `close` keeps under `prefix`. BooksError when they are damaged."""
    parts = {part.name for part in close.parts}
    rules = ledger.body(close, prefix + RULES).rows(Rules)[0]
    inputs: dict[str, Any] = {}
    for part, kind, *_ in INPUTS:
        if part == CHARGES and rules.bundles:  # read when they are asked for
            inputs[part] = ledger.lines(close, prefix + part)
        elif prefix + part in parts:  # a close of before anything could be taken back lacks one
            inputs[part] = ledger.body(close, prefix + part).rows(kind)
    period = close.period
    if prefix:
        period = next(period for period in close.corrects if prefix_of(period) == prefix)
    segments: tuple[Segment, ...] = ()
    if prefix + SEGMENTS in parts:
        segments = ledger.body(close, prefix + SEGMENTS).rows(Segment)
    return Inputs(
        span=period.span,
        currency=close.currency,
        charges=inputs[CHARGES],
        facts=Facts(
            usages=inputs["inputs/usages"],
            steps=inputs["inputs/steps"],
            capacity=inputs["inputs/capacity"],
            activities=inputs["inputs/activities"],
            retracted=inputs.get("inputs/retracted", ()),
        ),
        plans=inputs["inputs/plans"],
        policy=_policy_in(ledger.body(close, prefix + POLICY)),
        rules=rules,
        prepaid=ledger.body(close, prefix + PREPAID).rows(Prepaid)[0],
        segments=segments,
    )


def seen_by(sealed: Inputs, policy: Policy) -> Inputs:
    """`sealed` under another policy, on the basis that they were sealed on: its costs are of its time."""
    policy = msgspec.structs.replace(policy, basis=sealed.policy.basis)
    return msgspec.structs.replace(sealed, policy=policy)


def prefix_of(period: Period) -> str:
    """Return the prefix under which a later close keeps `period` as it restated it."""
    return f"corrects/{period.name}/"


def sealed_bodies(prefix: str, inputs: Inputs, own: Statement) -> list[Sealable]:
    """Inputs, rules and the statement of a period, as they are sealed."""
    bodies: list[Sealable] = []
    for kind in INPUTS:
        name, rows = prefix + kind.part, inputs_of(inputs, kind.part)
        if not isinstance(rows, Lines):
            bodies.append(body_of_set(name, rows))
            continue
        lines, names = Spooled(name), Spooled(name + NAMES)  # the names apart, to be looked up
        for body in rows.bodies():
            lines.add(canonical(body))
            names.add(name_of(body))
        bodies += [lines, names]
    bodies.append(body_of_set(prefix + SEGMENTS, inputs.segments))
    bodies += [body_of(prefix + POLICY, inputs.policy), body_of(prefix + RULES, inputs.rules)]
    bodies.append(body_of(prefix + PREPAID, inputs.prepaid))
    return [*bodies, body_of(prefix + OWN, own)]


def inputs_of(inputs: Inputs | Arrived, part: str) -> Iterable[Any]:
    """The rows in `inputs` that are sealed as `part`, row by row."""
    name = part.removeprefix("inputs/")
    rows: Iterable[Any] = getattr(inputs if name in ("charges", "plans") else inputs.facts, name)
    return rows


@lru_cache(maxsize=8)
def _policy_in(body: Body) -> Policy:
    """The policy in a part; nearly always that of the close before, so it is read once."""
    return completed(body.rows(Policy)[0])
