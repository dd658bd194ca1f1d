"""Seeded world: the events of a year of books in a few milliseconds, checked after each of them.

    python -m tests.support.worlds --seed 123 [--steps N]
    python -m tests.support.worlds --seeds 1000

Problem. Each part of the books is tested on its own, but books break where events meet: a bill that
comes after the close, in a file that was cut off half way, about a period that is open again.

Decision. One random generator, seeded, picks one event after the other: calls (answered, cancelled, cut
off by crashes), machine time, activities that arrive late, twice or contradicting themselves, bills with
credits, bills sent twice, restated, late, corrections, new prices, other rules, closes, reopenings, a disk
that fails, and kills in the middle of an import, a close or a reopening. After every event all theorems of
`docs/books.md` that can be observed are checked (`CHECKS`). All tested parts are real: the stores write
SQLite files, and a kill abandons them at a statement picked by the seed and goes on with a copy of the
files, as they lay on the disk at that moment. The journal is the fake that ships.

The world records, independently of the books, which lines of which file were imported, and which calls and
activities were accepted. The expected figures are computed from that record alone.

A world that fails names its seed, its events and the command that replays it, exactly.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace
from tests.support.world_bills import (
    BILL_EVENTS,
    ROUNDING,
    Suppliers,
    account_of,
    accrued,
    period_at,
    sealed_charges,
)
from tests.support.world_calls import ApiCalls, an_api_call, estimated
from tests.support.world_disk import Disk, killed

from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.pools import Method
from inferworks.books.analysis.causes import explain_change
from inferworks.books.bills.base import bill_file
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, NaturalClass, is_provisional
from inferworks.books.closing.audit import audit, audit_chain
from inferworks.books.closing.close import (
    CloseRequest,
    close_period,
    reopen_period,
    sealed_paper,
    statement_of,
)
from inferworks.books.closing.inputs import Arrived, reference_statement, without_a_lake
from inferworks.books.closing.ledger import standing
from inferworks.books.closing.prior_period import posted_period, with_late
from inferworks.books.closing.seal import FIRST
from inferworks.books.deliveries.canonical import numbered
from inferworks.books.period import Period, Periods, corrects, posting_period
from inferworks.books.revenue.rating import EARNING, PAYING, Rated, to_date_of
from inferworks.books.statement.computation import Inputs, Rules, shipped_rules
from inferworks.books.statement.corrections import replacement, reversal
from inferworks.books.statement.statement import Statement
from inferworks.errors import BillError, InferworksError, JournalError, RecordError, UserError
from inferworks.ids import CustomerId
from inferworks.meter.activity import sort_out
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.capacity import Activity, State
from inferworks.meter.events import name_of
from inferworks.meter.facts import Facts
from inferworks.meter.record import Record
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge, a_leg, a_step, a_usage, an_activity, an_interval
from inferworks.units import Unit

STEPS: Final = 14
"""Events in one world, unless told otherwise."""

_KIND: Final = "voucher"
"""Kind of the bills: one whose lines have names."""
_LEAD_NS: Final = 500
"""Lead before a span in which its calls may have been opened; the command line reads a day."""
_SHUFFLED: Final = 0.4
"""Probability of computing a statement again from its inputs in another order."""
_CUSTOMERS: Final = ("acme", "burns", "cyberdyne")
_RESOURCES: Final = (
    ("Compute", "node-0"),
    ("Compute", "node-1"),
    ("Storage", "corpus"),
    ("Networking", None),
    ("Databases", "db-1"),
)


class WorldFailedError(InferworksError):
    """A world in which a theorem does not hold; the text says which world, and how to see it again."""


class World:
    """Everything there is, and everything that was told; it is also the `Source` of its closes."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.disk = Disk(folder)
        self.journal = MemoryStore()
        self.plans: list[PricePlan] = []
        self.rules: Rules = _rules(Method.STEP_SHARE)
        self.policy: Policy = load_policy("gaap")
        self.told_charges: dict[str, Charge] = {}
        self.told_usages: dict[str, Usage] = {}
        self.told_activities: dict[tuple[str, str], Activity] = {}
        self.received: Counter[str] = Counter()
        self.files: list[tuple[str, tuple[Charge, ...]]] = []
        self.held_back: list[tuple[Record, ...]] = []
        self.papers_kept: dict[Period, bytes] = {}
        """The statement of every closed period as it read when it was closed."""
        self.last_drawn: dict[Span, tuple[Inputs, Statement]] = {}
        self.last_shuffled: Inputs | None = None
        self.last_posted: tuple[Periods, Sequence[Charge]] | None = None
        self.last_weighed: tuple[Facts, Rules] | None = None
        self.cursors = {"replica-0": 0, "replica-1": 0}
        self.numbers = itertools.count()
        self.suppliers, self.api_calls = Suppliers(self.random), ApiCalls()
        self.sealed: tuple[object, Sequence[Charge]] | None = None
        self.read: dict[Span, Inputs] = {}
        """Inputs read since the last event."""

    def inputs(self, span: Span) -> Inputs:
        """Everything recorded for `span`, and the rules in force; read once after each event."""
        if span not in self.read:
            with self.journal.reads() as reads:
                facts = reads.facts(max(0, span.start_ns - _LEAD_NS), span.end_ns)
            bills = self.disk.books.validated(*span)
            closed = [period.span for period in self.disk.ledger.periods().closed]
            sealed = list(filter(is_provisional, sealed_charges(self)))
            calls = estimated(facts.usages, bills, sealed, closed, span)
            charges = (*bills, *accrued(self, span), *calls)
            self.read[span] = Inputs(
                charges, facts, tuple(self.plans), self.policy, "USD", span, self.rules
            )
        return self.read[span]

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """The same without rules and estimates; a world has no lake."""
        inputs = self.inputs(span)
        bills = tuple(c for c in inputs.charges if not is_provisional(c))
        return Arrived(bills, inputs.facts)

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """None: a world has no lake."""
        return without_a_lake(segments, span)

    def statement_of(self, inputs: Inputs) -> Statement:
        """Return the statement by the definition; computed once while nothing under it changes."""
        known, statement = self.last_drawn.get(inputs.span, (None, None))
        if statement is None or known != inputs:
            statement = reference_statement(inputs)
            self.last_drawn[inputs.span] = inputs, statement
        return statement

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """The files with a question that may belong to `span`."""
        return {
            f"import of {asked.file}, question {asked.number}": "says otherwise"
            for asked in self.disk.books.questions()
            if span.meet(asked.start_ns, asked.end_ns).length_ns
        }

    def withdrawn_plans(self) -> Sequence[PricePlan]:
        """None: a world's plans are no mistakes."""
        return ()

    def earliest_ns(self, before_ns: int) -> int | None:
        """Return None: the first period begins at zero, before everything."""
        return None if before_ns == 0 else 0

    @property
    def now_ns(self) -> int:
        """Time that the machines have reached."""
        return max(self.cursors.values())

    @property
    def open_period(self) -> Period:
        """The first open period."""
        return period_at(self.disk.ledger.periods().closed_until_ns or 0)

    def write(self, records: Sequence[Record]) -> None:
        """Journal `records`, and note them as recorded."""
        self.journal.write(records)
        for record in records:
            if isinstance(record, Usage):
                self.told_usages[record.call_id] = record

    def name(self, kind: str) -> str:
        """A name that nothing else has."""
        return f"{kind}-{next(self.numbers):03d}"


Event: TypeAlias = Callable[[World], str | None]
"""Event that returns a description of its effect; None when it could not happen now."""


def serve(world: World) -> str:
    """A replica serves calls for a while; the facts may be held back and arrive later."""
    dice = world.random
    replica = dice.choice(sorted(world.cursors))
    start_ns = world.cursors[replica]
    calls = [_a_call(world, replica, start_ns) for _ in range(dice.randint(0, 3))]
    at_ns, active_ns, records = start_ns, 0, list[Record](calls)
    for seq in range(dice.randint(0, 2)):
        at_ns += dice.randint(0, 40)
        duration_ns = dice.randint(0, 120)
        parts = [(u.call_id, dice.randint(0, 30), dice.randint(0, 1), 5) for u in calls]
        number = start_ns * 10 + seq
        records.append(a_step(number, at_ns, duration_ns, parts, replica=replica))
        at_ns, active_ns = at_ns + duration_ns, active_ns + duration_ns
    end_ns = at_ns + dice.randint(1, 200)
    rest = dice.choice([State.IDLE, State.LOADING, State.DRAINING, State.DOWN])
    states = {State.ACTIVE: active_ns, rest: end_ns - start_ns - active_ns}
    if dice.random() < 0.9:  # else we crashed: the interval was never written, its steps were
        node = replica.replace("replica", "node")
        records += an_interval((start_ns, end_ns), states, replica=replica, node=node)
    world.cursors[replica] = end_ns
    if dice.random() < 0.3:
        world.held_back.append(tuple(records))
        return f"{len(calls)} calls on {replica} at {start_ns}, held back"
    world.write(records)
    return f"{len(calls)} calls on {replica} at {start_ns}"


def call_api(world: World) -> str:
    """Serve calls by an external API; the facts may be held back and arrive later."""
    dice = world.random
    calls = [
        an_api_call(world, world.name("call"), dice.choice(_CUSTOMERS))
        for _ in range(dice.randint(1, 2))
    ]
    if dice.random() < 0.3:
        world.held_back.append(tuple(calls))
        return f"{len(calls)} calls at an API, held back"
    world.write(calls)
    return f"{len(calls)} calls at an API"


def arrive_late(world: World) -> str | None:
    """Facts that were held back arrive."""
    if not world.held_back:
        return None
    at = world.random.randrange(len(world.held_back))
    world.write(world.held_back.pop(at))
    return "facts arrive late"


def send_twice(world: World) -> str | None:
    """A usage is written a second time: refused, and nothing beside it lands."""
    if not world.told_usages:
        return None
    again = world.told_usages[world.random.choice(sorted(world.told_usages))]
    try:
        world.journal.write([a_usage(world.name("beside")), again])
    except RecordError:
        return f"{again.call_id} sent twice"
    raise AssertionError("a second usage of a call was taken")


def report_activity(world: World) -> str:
    """Report activities: new ones, the same again, or the same name for something else."""
    dice = world.random
    sent = tuple(_an_activity(world) for _ in range(dice.randint(1, 2)))
    if world.told_activities and dice.random() < 0.4:
        sent += (world.told_activities[dice.choice(sorted(world.told_activities))],)
    with world.journal.reads() as reads:
        found = sort_out(reads.known_activities(map(name_of, sent)), sent)
    world.write((*found.accepted, *found.conflicts))
    accepted = [one for one in found.accepted if isinstance(one, Activity)]
    world.told_activities.update({(a.source, a.id): a for a in accepted})
    world.received.update(
        received=len(sent),
        accepted=len(found.accepted),
        duplicate=len(found.duplicates),
        conflict=len(found.conflicts),
    )
    return f"activities: {len(found.accepted)} new, {len(found.conflicts)} conflicts"


def break_disk(world: World) -> str:
    """The journal's disk fails during a write: nothing of it lands."""
    world.journal.broken = True
    try:
        world.journal.write([a_usage(world.name("unheard"))])
    except JournalError:
        return "the journal's disk failed"
    finally:
        world.journal.broken = False
    raise AssertionError("a broken journal took a record")


def bill(world: World) -> str:
    """A bill arrives, of any time so far, credits among its lines."""
    lines = tuple(_a_line(world) for _ in range(world.random.randint(1, 3)))
    return _deliver(world, world.name("bill"), lines)


def bill_again(world: World) -> str | None:
    """A bill that is here already arrives again, whole or with one more line."""
    if not world.files:
        return None
    name, lines = world.random.choice(world.files)
    if world.random.random() < 0.5:
        return _deliver(world, name, lines)
    return _deliver(world, world.name("bill"), (*lines, _a_line(world)))


def bill_restated(world: World) -> str | None:
    """A line that is here arrives with another amount: refused whole, and quarantined."""
    if not world.told_charges:
        return None
    known = world.told_charges[world.random.choice(sorted(world.told_charges))]
    other = replace(known, amount_pico=known.amount_pico + world.random.choice([-1, 1, 10**12]))
    name = world.name("restated")
    lines = (_a_line(world), replace(other, file=name))
    try:
        world.disk.books.add(bill_file(name, name.encode()), _KIND, lines, 1)
    except BillError:
        return f"{known.id} restated"
    raise AssertionError("a line was taken with two amounts")


def correct(world: World) -> str | None:
    """The supplier reverses a line and sends it anew."""
    if not world.told_charges:
        return None
    known = world.told_charges[world.random.choice(sorted(world.told_charges))]
    pair = numbered(_KIND, (reversal(known), replacement(known, world.random.randint(0, 10**13))))
    if pair[0].id in world.told_charges:
        return None
    return _deliver(world, world.name("correction"), pair)


def price(world: World) -> str:
    """A customer gets a price, from now on or from earlier."""
    dice = world.random
    customer = CustomerId(dice.choice(_CUSTOMERS))
    since_ns = dice.choice([0, world.now_ns, world.now_ns // 2])
    taken = {(plan.customer, plan.effective_ns) for plan in world.plans}
    while (customer, since_ns) in taken:
        since_ns += 1
    prices = (f"{dice.randint(1, 99)}.{dice.randint(0, 999_999):06d}" for _ in range(2))
    world.plans.append(PricePlan.per_million(customer, since_ns, "USD", *prices))
    return f"a price for {customer} from {since_ns}"


def other_rules(world: World) -> str:
    """Divide replicas by another method, under another policy, from now on."""
    method = world.random.choice([Method.FLAT, Method.WEIGHTED, Method.STEP_SHARE])
    world.rules = _rules(method)
    world.policy = load_policy(world.random.choice(["gaap", "marginal", "full"]))
    return f"method {method}, policy {world.policy.name}"


def close(world: World) -> str:
    """The first open period is closed, perhaps before its time is over."""
    return _close(world)


def reopen(world: World) -> str | None:
    """The last closed period is reopened."""
    closed = world.disk.ledger.periods().closed
    if not closed or world.random.random() < 0.5:
        return None
    reopen_period(world.disk.ledger, closed[-1], reason="found wrong", by="ann", at_ns=2)
    world.suppliers.sealed.pop(closed[-1].name, None)
    world.papers_kept.pop(closed[-1])
    return f"{closed[-1].name} reopened"


def kill_import(world: World) -> str:
    """We are killed while a bill is imported; its sender sends it again."""
    name, lines = world.name("bill"), tuple(_a_line(world) for _ in range(2))
    survived = killed(world.disk, world.random, lambda: _deliver(world, name, lines))
    known = {charge.id for charge in world.disk.books.charges()}
    landed = [line for line in lines if line.id in known]
    if len(landed) not in (0, len(lines)):
        raise AssertionError(f"half a bill landed: {len(landed)} lines of {len(lines)}")
    if survived is None:
        _deliver(world, name, lines)
    return f"{name} imported, killed {'after' if landed else 'before'} it landed"


def kill_close(world: World) -> str:
    """We are killed while a period is closed."""
    period, before = world.open_period, world.disk.ledger.head()
    killed(world.disk, world.random, lambda: _close(world))
    after = world.disk.ledger.head()
    if after == before:
        return f"{period.name} not closed, killed before"
    world.papers_kept[period] = sealed_paper(world.disk.ledger, period) or b""
    _note_sealed(world, period)
    return f"{period.name} closed, killed after"


EVENTS: Final[tuple[tuple[int, Event], ...]] = (
    (8, serve),
    (4, call_api),
    (3, arrive_late),
    (1, send_twice),
    (3, report_activity),
    (1, break_disk),
    (5, bill),
    (2, bill_again),
    (1, bill_restated),
    (2, correct),
    (3, price),
    (1, other_rules),
    (5, close),
    (2, reopen),
    (2, kill_import),
    (2, kill_close),
    *BILL_EVENTS,
)
"""Events of a world, with their weights."""


class View(NamedTuple):
    """A world with its present books: the closed periods, the first open one, and the rest."""

    world: World
    closed: tuple[tuple[Period, Statement], ...]
    open: Statement
    rest: Statement
    charges: Sequence[Charge]
    """Every line in the books."""


Check: TypeAlias = Callable[[View], None]


def nothing_lost_or_doubled(view: View) -> None:
    """Theorem 3: accepted records are on record, once; received = the sum of its fates."""
    vouchers = {charge.id: charge for charge in view.charges if not account_of(charge)}
    _same("charges", vouchers, view.world.told_charges)
    with view.world.journal.reads() as reads:
        facts = reads.facts(0, _horizon_ns(view.world))
    _same("usages", {u.call_id: u for u in facts.usages}, view.world.told_usages)
    _same("activities", {(a.source, a.id): a for a in facts.activities}, view.world.told_activities)
    fates = view.world.received
    _same("received", fates["received"], fates["accepted"] + fates["duplicate"] + fates["conflict"])


def deliveries_stand_as_they_came(view: View) -> None:
    """Theorems 16 and 17: each account has the last delivered lines, and its exact total."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for charge in view.charges:
        found[account_of(charge)][charge.resource_id or ROUNDING] += charge.amount_pico
    found.pop("", None)
    for account, export in view.world.suppliers.exports.items():
        said = found.pop(account, Counter())
        _same(f"lines of {account}", {k: v for k, v in said.items() if v}, export.by_resource())
    _same("accounts of nobody", dict(found), {})


def billed_becomes_cost(view: View) -> None:
    """Theorem 18: over all periods cost is the billed amount less prepaid, plus accrued."""
    statements = [statement for _, statement in view.closed] + [view.open, view.rest]
    suppliers = view.world.suppliers
    standing_pico = suppliers.standing_pico(view.world.now_ns)
    _same("accrued", sum(s.accrued_pico or 0 for s in statements), standing_pico)
    ahead_pico = suppliers.billed_pico - suppliers.cost_pico
    _same("prepaid", sum(s.prepaid_pico or 0 for s in statements), ahead_pico)


def every_charge_is_billed_once(view: View) -> None:
    """Theorems 7 and 12: over all periods, closed and open, billed = allocated = all charges."""
    statements = [statement for _, statement in view.closed] + [view.open, view.rest]
    charged_pico = sum(charge.amount_pico for charge in view.world.told_charges.values())
    charged_pico += view.world.suppliers.cost_pico
    charged_pico += view.world.suppliers.standing_pico(view.world.now_ns)
    charged_pico += view.world.api_calls.standing_pico(
        view.world,
        list(view.world.told_usages.values()),
        [period for period, _ in view.closed],
        [Span(s.start_ns, s.end_ns) for s in (view.open, view.rest)],
    )
    _same("billed", sum(s.billed_pico for s in statements), charged_pico)
    _same("allocated", sum(s.allocated_pico for s in statements), charged_pico)


def every_call_earns_once(view: View) -> None:
    """Theorems 1 and 14: each call's revenue is its tokens' price under the plans of its own period."""
    ledger = view.world.disk.ledger
    sealed = {
        close.period: ledger.body(close, "inputs/plans").rows(PricePlan)
        for close in standing(ledger.records())
    }
    earned_pico = 0
    for usage in view.world.told_usages.values():
        plans = next(
            (p for q, p in sealed.items() if q.span.holds(usage.opened_ns)), view.world.plans
        )
        earned_pico += _earned_pico(usage, plans)
    statements = [statement for _, statement in view.closed] + [view.open, view.rest]
    _same("revenue", sum(s.revenue_pico for s in statements), earned_pico)


def closed_stays_closed(view: View) -> None:
    """Theorem 12: closed statements read as they did; the chain holds."""
    findings = tuple(audit_chain(view.world.disk.ledger))
    _same("findings in the chain", findings, ())
    for period, paper in view.world.papers_kept.items():
        _same(
            f"the statement of {period.name}", sealed_paper(view.world.disk.ledger, period), paper
        )
    closed = view.world.disk.ledger.periods().closed
    _same("closed periods", set(closed), set(view.world.papers_kept))


def corrections_make_it_right(view: View) -> None:
    """Theorem 12: closed figures plus their corrections equal the figures of a close today."""
    closes = standing(view.world.disk.ledger.records())
    rows: list[Rated] = []
    for period, _ in view.closed:
        before = posted_period(
            view.world.disk.ledger, [c for c in closes if c.period == period], period
        )
        prepaid = before.inputs.prepaid
        if prepaid.to_date is not None:
            to_date = to_date_of(rows, before.inputs.plans, period.start_ns)
            prepaid = msgspec.structs.replace(prepaid, to_date=to_date)
        inputs, _ = with_late(before.inputs, view.world.inputs(period.span), prepaid)
        now = reference_statement(inputs)
        rows += now.revenue_rows
        corrections = [
            correction
            for statement in (*(s for _, s in view.closed), view.open)
            for correction in statement.corrections
            if correction.period == period
        ]
        lines = [before.statement.lines, *(c.lines for c in corrections)]
        _same(f"lines of {period.name}", _summed(lines), _summed([now.lines]))
        entries = [before.statement.entries, *(c.entries for c in corrections)]
        _same(f"accounts of {period.name}", _accounts(entries), _accounts([now.entries]))


def a_change_has_its_causes(view: View) -> None:
    """Theorem 20: the causes explain the whole change of margin from the last closed period."""
    for _, then in view.closed[-1:]:
        found = explain_change(view.open, then)
        change_pico = view.open.gross_margin_pico - then.gross_margin_pico
        _same("the causes of a change", sum(found.by_cause().values()), change_pico)


def late_is_posted_in_the_open(view: View) -> None:
    """Theorem 12: no entry is posted in a closed period; corrections name their period."""
    periods = view.world.disk.ledger.periods()
    if (periods, view.charges) == view.world.last_posted:
        return
    view.world.last_posted = periods, view.charges
    for charge in view.charges:
        posted = posting_period(charge, periods)
        assert posted not in periods.closed, f"{charge.id} would be posted in {posted.name}"
        touched = {p for p in periods.closed if p.end_ns > charge.period_start_ns} & {
            p for p in periods.closed if p.start_ns < charge.period_end_ns
        }
        _same("corrected periods", set(corrects(charge, periods)), touched)


def in_any_order(view: View) -> None:
    """Theorem 13: the same inputs in another order give the same bytes."""
    inputs = view.world.inputs(Span(view.rest.start_ns, view.rest.end_ns))
    order = view.world.random.random()
    if order > _SHUFFLED or inputs == view.world.last_shuffled:
        return
    view.world.last_shuffled = inputs
    again = reference_statement(_shuffled(inputs, order))
    _same("the bytes of a statement", msgspec.json.encode(again), msgspec.json.encode(view.rest))


def alike_costs_alike(view: View) -> None:
    """Theorem 15: equal work in a step weighs the same to the nanosecond; no work, nothing."""
    with view.world.journal.reads() as reads:
        facts = reads.facts(0, _horizon_ns(view.world))
    if (facts, view.world.rules) == view.world.last_weighed:
        return
    view.world.last_weighed = facts, view.world.rules
    drivers = Drivers(facts, view.world.rules.catalog)
    for step in facts.steps[-3:]:
        shares = drivers.step_shares(step, step.duration_ns)
        work = {
            c.call_id: (c.prefill_tokens, c.decode_tokens, c.context_tokens) for c in step.calls
        }
        for one, other in itertools.combinations(work, 2):
            if work[one] == work[other]:
                ours, theirs = (_of_call(shares, call) for call in (one, other))
                assert abs(ours - theirs) <= 2, f"{one} weighs {ours}, {other} {theirs}"
        for call, (prefill, decode, _) in work.items():
            if not prefill and not decode:
                _same(f"the share of {call}", _of_call(shares, call), 0)


CHECKS: Final[tuple[tuple[tuple[int, ...], Check], ...]] = (
    ((3,), nothing_lost_or_doubled),
    ((16, 17), deliveries_stand_as_they_came),
    ((18,), billed_becomes_cost),
    ((7, 12), every_charge_is_billed_once),
    ((1, 14), every_call_earns_once),
    ((12,), closed_stays_closed),
    ((12,), late_is_posted_in_the_open),
    ((13,), in_any_order),
    ((15,), alike_costs_alike),
)
"""Checks after every event, by theorem. Computing the statements of a `View` checks `VALIDATIONS` too,
those of deliveries included: theorems 1 to 11, 14, and 16 to 19.
"""

SEAL_CHECKS: Final[tuple[tuple[tuple[int, ...], Check], ...]] = (
    ((12,), corrections_make_it_right),
    ((20,), a_change_has_its_causes),
)
"""Checked after every event of `SEALING`. At the end of a world everything is audited."""

SEALING: Final[tuple[Event, ...]] = (close, kill_close, reopen)


def run_world(seed: int, steps: int = STEPS) -> list[str]:
    """Run the world of `seed` for `steps` events; return their descriptions.

    WorldFailedError when a theorem does not hold.
    """
    happened: list[str] = []
    with _folder() as folder:
        world = World(seed, folder)
        try:
            for _ in range(steps):
                event, text = _next(world)
                world.read.clear()
                happened.append(text)
                _check(world, sealed=event in SEALING)
            world.disk.ledger.forget()
            _same("findings", audit(world.disk.ledger, world), ())
        except (AssertionError, InferworksError) as error:
            listed = "\n".join(f"  {number:3}  {text}" for number, text in enumerate(happened))
            raise WorldFailedError(
                f"seed {seed}, after event {len(happened) - 1}: {error}\n{listed}\nreplay: python -m "
                f"tests.support.worlds --seed {seed} --steps {steps}"
            ) from error
        finally:
            world.disk.close()
    return happened


def _next(world: World) -> tuple[Event, str]:
    """Draw events until one can happen; return it with its description."""
    weights, events = zip(*EVENTS, strict=True)
    while True:
        [event] = world.random.choices(events, weights)
        world.read.clear()
        done = event(world)
        if done is not None:
            return event, f"{event.__name__}: {done}"


def _check(world: World, *, sealed: bool) -> None:
    view = _view(world)
    for _, check in (*CHECKS, *SEAL_CHECKS) if sealed else CHECKS:
        check(view)


def _view(world: World) -> View:
    ledger, period = world.disk.ledger, world.open_period
    closed = tuple((p, statement_of(ledger, world, p)) for p in ledger.periods().closed)
    rest = Span(period.end_ns, max(period_at(_horizon_ns(world)).end_ns, period.end_ns + 1))
    now, then = statement_of(ledger, world, period), world.statement_of(world.inputs(rest))
    return View(world, closed, now, then, world.disk.books.charges())


def _a_call(world: World, replica: str, start_ns: int) -> Usage:
    dice = world.random
    tokens = Tokens(input=dice.randint(0, 500), output=dice.randint(0, 200))
    opened_ns = max(0, start_ns - dice.randint(0, 20))
    return a_usage(
        world.name("call"),
        customer=dice.choice(_CUSTOMERS),
        purpose=dice.choice([Purpose.SERVE_PAID, Purpose.SERVE_PAID, *Purpose]),
        opened_ns=opened_ns,
        tokens=tokens,
        outcome=dice.choice([Outcome.ANSWERED, Outcome.ANSWERED, *Outcome]),
        sent_bytes=dice.randint(0, 1_000),
        legs=[a_leg(replica, (opened_ns, start_ns + 30), tokens)],
    )


def _an_activity(world: World) -> Activity:
    dice = world.random
    start_ns = dice.randint(0, world.now_ns)
    length_ns = dice.randint(1, 400)
    return an_activity(
        f"run-{dice.randint(0, 30)}",
        dice.choice(["node-0", "node-1"]),
        (start_ns, start_ns + length_ns),
        dice.randint(0, length_ns),
        purpose=dice.choice(list(Purpose)),
    )


def _a_line(world: World) -> Charge:
    dice = world.random
    start_ns = dice.randint(0, world.now_ns + 300)
    category, resource = dice.choice(_RESOURCES)
    amount_pico = dice.randint(-(10**12), 10**13)
    line = a_charge(
        world.name("line"),
        "0",
        (start_ns, start_ns + dice.randint(1, 1_500)),
        category=category,
        resource=resource,
        natural_class=dice.choice(list(NaturalClass)),
    )
    [line] = numbered(_KIND, [replace(line, amount_pico=amount_pico)])
    return line


def _deliver(world: World, name: str, lines: tuple[Charge, ...]) -> str:
    """Import a file, and note its lines as imported."""
    file = bill_file(name, name.encode())
    lines = tuple(replace(line, file=name, file_sha256=file.sha256) for line in lines)
    done = world.disk.books.add(file, _KIND, lines, 1)
    fresh: dict[str, Charge] = {
        line.id: line for line in lines if line.id not in world.told_charges
    }
    if done.accepted + done.duplicate != len(lines):
        raise AssertionError(f"{name}: {done} of {len(lines)} lines")
    world.told_charges.update(fresh)
    world.files.append((name, lines))
    return f"{name} with {len(lines)} lines, {done.accepted} of them new"


def _close(world: World) -> str:
    period = world.open_period
    try:
        closed = close_period(world.disk.ledger, world, CloseRequest(period, "ann", 1))
    except UserError as error:
        if not re.search("quarantine|nothing is recorded", str(error)):
            raise
        closed = close_period(world.disk.ledger, world, CloseRequest(period, "ann", 1, "disputed"))
    if closed.record.number == 0:
        _same("what the first record follows", closed.record.previous, FIRST)
    world.papers_kept[period] = sealed_paper(world.disk.ledger, period) or b""
    _note_sealed(world, period)
    return f"{period.name} closed, correcting {[p.name for p in closed.record.corrects]}"


def _note_sealed(world: World, period: Period) -> None:
    """Note the accruals of a closed period for missing bills."""
    world.suppliers.seal(period, world.now_ns)
    world.api_calls.seal(world, world.told_usages.values(), period)


def _earned_pico(usage: Usage, plans: Sequence[PricePlan]) -> int:
    """Compute the revenue of a call independently, from its tokens and the price in force."""
    plan = plan_at(plans, usage.customer, usage.opened_ns)
    if plan is None or usage.purpose not in EARNING or usage.outcome not in PAYING:
        return 0
    terms = plan.terms
    input_pico = terms.rate_of(Unit.INPUT_TOKENS, usage.model) or 0
    output_pico = terms.rate_of(Unit.OUTPUT_TOKENS, usage.model) or 0
    return usage.tokens.input * input_pico + usage.tokens.output * output_pico


def _horizon_ns(world: World) -> int:
    """Return a moment after everything in the world."""
    ends = [charge.period_end_ns for charge in world.told_charges.values()]
    ends += world.suppliers.ends_ns()
    ends += [activity.end_ns for activity in world.told_activities.values()]
    return max(world.now_ns, *ends, 0) + 1 if ends else world.now_ns + 1


def _summed(rows: Sequence[Sequence[Any]]) -> dict[Any, int]:
    """Sum amounts by all other columns, without zero sums."""
    sums: Counter[Any] = Counter()
    for row in itertools.chain(*rows):
        sums[replace(row, amount_pico=0)] += row.amount_pico
    return {key: amount_pico for key, amount_pico in sums.items() if amount_pico}


def _accounts(entries: Sequence[Sequence[Any]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for entry in itertools.chain(*entries):
        for posting in entry.postings:
            sums[posting.account] += posting.amount_pico
    return {account: amount_pico for account, amount_pico in sums.items() if amount_pico}


def _of_call(shares: Mapping[tuple[str, ...], int], call: str) -> int:
    return sum(share for leaf, share in shares.items() if call in leaf)


def _shuffled(inputs: Inputs, seed: float) -> Inputs:
    order = random.Random(seed)

    def mixed(things: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(order.sample(things, len(things)))

    facts = inputs.facts
    return replace(
        inputs,
        charges=mixed(tuple(inputs.charges)),
        plans=mixed(inputs.plans),
        facts=Facts(
            usages=mixed(facts.usages),
            steps=mixed(facts.steps),
            capacity=mixed(facts.capacity),
            activities=mixed(facts.activities),
        ),
    )


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: {_short(found)}, must be {_short(expected)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


@functools.cache
def _rules(method: Method) -> Rules:
    shipped = shipped_rules()
    return replace(shipped, pools=tuple(replace(pool, method=method) for pool in shipped.pools))


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder in memory where the system has one, so that a world costs no disk."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="inferworks-world-", dir=where) as name:
        yield Path(name)


def main(arguments: Sequence[str]) -> int:
    """Run one world and print its events, or many; return 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.worlds")
    parser.add_argument("--seed", type=int, default=1, help="the world, or the first of them")
    parser.add_argument("--seeds", type=int, default=1, help="how many worlds")
    parser.add_argument("--steps", type=int, default=STEPS, help="events in each")
    wanted = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        for seed in range(wanted.seed, wanted.seed + wanted.seeds):
            happened = run_world(seed, wanted.steps)
    except WorldFailedError as failure:
        print(failure)  # noqa: T201 this is a command
        return 1
    if wanted.seeds == 1:
        print("\n".join(happened))  # noqa: T201
    took = time.perf_counter() - started
    print(f"{wanted.seeds} worlds hold, {wanted.seeds / took:.1f} a second")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
