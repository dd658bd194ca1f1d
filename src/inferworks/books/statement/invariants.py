"""Invariants of a statement, checked on every statement.

`VALIDATIONS` is the list: one function for each theorem of `docs/books.md` that can be checked on the
computation of a span, named for it. A function returns nothing when its theorem holds, and raises
BooksError with the figures when it does not: a bug, or damaged data. It never repairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, zip_longest

from inferworks.accounts.plan import Terms
from inferworks.books.accounting.balances import Balances, changes
from inferworks.books.accounting.balances import booked as balances_booked
from inferworks.books.accounting.entries import (
    BALANCE_SHEET,
    FIRST_JOURNAL,
    balances,
    trial_balance,
)
from inferworks.books.accounting.policy import COMBINATIONS, MARGINAL, base_of, load_policy
from inferworks.books.allocation.allocate import path_of
from inferworks.books.allocation.drivers import REPLICA
from inferworks.books.calendar.span import Span, merged
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.revenue.plan_book import PlanBook
from inferworks.books.revenue.rating import Item, earns, rate_again
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.income_statement import must_be_booked
from inferworks.books.token_buckets import buckets_of
from inferworks.catalog.units import DIRECTIONS, INPUT, OUTPUT
from inferworks.errors import BooksError
from inferworks.ids import ReplicaId
from inferworks.meter.capacity import Capacity, State, Step
from inferworks.meter.usage import Usage
from inferworks.money import format_pico

Validation = Callable[[Computation], None]


def validate(computation: Computation) -> None:
    """BooksError unless every theorem of `VALIDATIONS` holds of `computation`."""
    for validation in VALIDATIONS:
        validation(computation)


def exact(computation: Computation) -> None:
    """Theorem 1: every call at a price per unit, rated on its own, sums to that revenue: no rounding."""
    alone_pico = 0
    book = PlanBook(computation.plans, computation.span)
    for usage, terms in _earning(computation, book):
        for unit, quantity in buckets_of(usage):
            alone_pico += (terms.rate_of(unit, usage.model) or 0) * quantity
    at_a_price = (row for row in computation.revenue.rated if row.pico_per_unit is not None)
    together_pico = sum(row.owed_pico for row in at_a_price)
    _must_equal("exact", "revenue", together_pico, "calls rated alone", alone_pico)


def divided(computation: Computation) -> None:
    """Theorem 2: the parts of every split sum to its whole, each near its exact share.

    Near is one unit for each step from the top: customer, then target (`hierarchical_split.py`).
    """
    for item in computation.allocated:
        for split in item.apportionments:
            whole, parts = sum(split.weights.values()), sum(split.parts.values())
            place = f"{split.charge_id} {split.stage}"
            _must_equal("split", place, split.amount_pico, "parts", parts)
            for leaf, part in split.parts.items():
                path = path_of(leaf)
                steps = 1 + len(path) if len(leaf) > len(path[0]) else 1
                exact_part = split.amount_pico * split.weights[leaf]
                if abs(part * whole - exact_part) >= steps * split.lines * whole:
                    raise BooksError(
                        f"theorem 2 (split): {place}: {leaf} got {part} of {split.amount_pico} for "
                        f"{split.weights[leaf]} of {whole}"
                    )


def once(computation: Computation) -> None:
    """Theorem 3: no call, no activity and no charge stands twice."""
    facts = computation.facts
    _no_repeats("call", (usage.call_id for usage in facts.usages))
    _no_repeats("activity", ((activity.source, activity.id) for activity in facts.activities))
    _no_repeats("step", ((s.replica, s.start_ns, s.seq) for s in facts.steps))
    _no_repeats("charge", (charge.id for charge in computation.charges))


def bucket(computation: Computation) -> None:
    """Theorem 4: the buckets that were rated, or had no price, sum to the tokens of the calls."""
    calls: Counter[str | None] = Counter()
    for usage, _ in _earning(computation, PlanBook(computation.plans, computation.span)):
        calls.update({INPUT: usage.tokens.input, OUTPUT: usage.tokens.output})
    parts: Counter[str | None] = Counter()
    for row in computation.revenue.rated:
        parts[row.direction] += row.quantity
    for unpriced in computation.revenue.unpriced_units:
        parts[DIRECTIONS.get(unpriced.unit)] += unpriced.quantity
    for direction in (INPUT, OUTPUT):
        if parts[direction] != calls[direction]:
            raise BooksError(
                f"theorem 4 (bucket): {direction}: {parts[direction]} tokens in buckets, "
                f"{calls[direction]} in calls"
            )


def time(computation: Computation) -> None:
    """Theorem 5: states partition provisioned time; active steps do not exceed active time."""
    facts = computation.facts
    for kind, quantities in (
        ("step", (step.duration_ns for step in facts.steps)),
        ("capacity interval", (row.duration_ns for row in facts.capacity)),
        ("activity", (min(a.quantity, a.end_ns - a.start_ns) for a in facts.activities)),
        ("call", (min(u.request_bytes, u.response_bytes) for u in facts.usages)),
    ):
        least = min(quantities, default=0)
        if least < 0:
            raise BooksError(f"theorem 5 (time): a {kind} has a negative quantity: {least}")
    rows: dict[ReplicaId, list[Capacity]] = defaultdict(list)
    for row in computation.facts.capacity:
        rows[row.replica].append(row)
    steps: dict[ReplicaId, list[Step]] = defaultdict(list)
    for step in computation.facts.steps:
        steps[step.replica].append(step)
    for replica, rows_of in sorted(rows.items()):
        covered = _check_partition(replica, rows_of)
        active_ns = sum(row.duration_ns for row in rows_of if row.state is State.ACTIVE)
        steps_ns = sum(
            interval.meet(step.start_ns, step.start_ns + step.duration_ns).length_ns
            for step in steps[replica]
            for interval in covered
        )
        if steps_ns > active_ns:
            raise BooksError(
                f"theorem 5 (time): replica {replica} has {steps_ns} ns of steps "
                f"in {active_ns} ns of active time"
            )


def step(computation: Computation) -> None:
    """Theorem 6: the calls' shares of every replica sum to its active nanoseconds, once each."""
    drivers = computation.drivers
    for question, active in drivers.answered():
        shared_ns, worked_ns = sum(active.shares.values()), drivers.worked_ns(question)
        if shared_ns != worked_ns:
            raise BooksError(
                f"theorem 6 (step): calls share {shared_ns} ns of the {worked_ns} ns that replica "
                f"{question.replica} was active"
            )


def conservation(computation: Computation) -> None:
    """Theorem 7: the parts of every charge sum to it; nothing vanishes on the way to the lines."""
    for item in computation.allocated:
        parts_pico = sum(row.amount_pico for row in item.rows)
        _must_equal(
            "conservation", f"charge {item.charge.id}", item.charge.amount_pico, "parts", parts_pico
        )
    billed_pico = sum(charge.amount_pico for charge in computation.charges)
    lines_pico = sum(line.amount_pico for line in computation.lines)
    _must_equal("conservation", "billed", billed_pico, "lines", lines_pico)


def hierarchy(computation: Computation) -> None:
    """Theorem 8: a stage divides exactly the amount that the stage above gave it."""
    for item in computation.allocated:
        stages = {split.stage: split for split in item.apportionments}
        node, place = stages.get("node"), f"handed down in {item.charge.id}"
        for leaf, part in node.parts.items() if node else ():
            if leaf[0] == REPLICA:
                states, active = stages[f"replica {leaf[1]}"], (State.ACTIVE.value,)
                _must_equal("hierarchy", place, part, "divided", states.amount_pico)
                if active in states.parts:
                    below_pico = stages[f"active {leaf[1]}"].amount_pico
                    _must_equal("hierarchy", place, states.parts[active], "divided", below_pico)


def two_labels(computation: Computation) -> None:
    """Theorem 9: natural class is that of the charge; function is the policy's, which is total."""
    if not computation.policy.functions.keys() >= COMBINATIONS:
        undecided = COMBINATIONS.difference(computation.policy.functions)
        raise BooksError(
            f"theorem 9 (two labels): the policy {computation.policy.name} gives no function to "
            f"{', '.join(min(undecided))}"
        )
    for item in computation.allocated:
        for row in item.rows:
            if row.natural_class != item.charge.natural_class:
                raise BooksError(
                    f"theorem 9 (two labels): charge {item.charge.id} was bought as "
                    f"{item.charge.natural_class} and allocated as {row.natural_class}"
                )
    for line in computation.lines:
        function = computation.policy.function(line.target.use, line.natural_class, line.behaviour)
        if line.function != function:
            raise BooksError(
                f"theorem 9 (two labels): {line.target.use} is {line.function}, not {function}"
            )


def balance(computation: Computation) -> None:
    """Theorem 10: the trial balance is zero after every entry, and every pool is emptied."""
    running: Counter[str] = Counter()
    for number, entry in enumerate(computation.entries):
        running.update(trial_balance([entry]))
        off = {currency: pico for currency, pico in running.items() if pico}
        if off or set(running) - {computation.currency}:
            raise BooksError(
                f"theorem 10 (balance): after entry {number} the books are off by {off}"
            )
    for account, amount_pico in balances(computation.entries).items():
        if account.startswith("Costs:") and amount_pico:
            raise BooksError(
                f"theorem 10 (balance): {account} still holds {format_pico(amount_pico)}"
            )


def views_agree(computation: Computation) -> None:
    """Theorem 11: all functions sum to what was billed; the marginal view only takes apart."""
    expenses_pico = sum(
        amount_pico
        for account, amount_pico in balances(computation.entries).items()
        if account.startswith("Expenses:")
    )
    billed_pico = sum(charge.amount_pico for charge in computation.charges)
    _must_equal("views agree", "all functions", expenses_pico, "billed", billed_pico)
    for policy in (computation.policy, load_policy(MARGINAL)):
        if not policy.refines:
            continue
        # marginal + committed + unused is the cost of revenue of the policy that it refines
        shipped, refined, base = base_of(policy), Counter[Function](), Counter[Function]()
        for item in computation.allocated:
            for row in item.rows:
                key = row.target.use, row.natural_class, row.behaviour
                refined[policy.function(*key)] += int(row.amount_pico)
                base[shipped.function(*key)] += int(row.amount_pico)
        for captions in (COST_OF_REVENUE, *((f,) for f in Function if f not in COST_OF_REVENUE)):
            refined_pico, base_pico = (sum(s[f] for f in captions) for s in (refined, base))
            caption = f"{captions[0]} by {policy.name}"
            _must_equal("views agree", caption, refined_pico, f"by {policy.refines}", base_pico)


def provenance(computation: Computation) -> None:
    """Theorem 14: every amount, rated again by the plan whose hash it carries, is the same amount."""
    again = rate_again(
        computation.revenue,
        computation.plans,
        computation.span,
        computation.currency,
        computation.rating,
    )
    kept = tuple(row for row in computation.revenue.rated if row.item is not Item.BREAKAGE)
    for before, after in zip_longest(kept, again.rated):
        if before != after:
            raise BooksError(f"theorem 14 (provenance): {before} is rated again as {after}")


def month(computation: Computation) -> None:
    """Theorem 19: the income statement of the entries is the statement's, account by account."""
    must_be_booked(computation.lines, computation.revenue.rated, computation.entries)
    for account in balances(computation.entries):
        if not account.startswith((*BALANCE_SHEET, "Costs:", "Expenses:", "Income:")):
            raise BooksError(f"theorem 19 (month): account {account} is of no known kind")


def basis(computation: Computation) -> None:
    """Theorem 18: billed is cost and the changes of what is prepaid, accrued, capitalised, as booked."""
    if computation.journal == FIRST_JOURNAL:
        return
    charges = computation.given, computation.charges, computation.committed, computation.taxes
    due = changes(*charges, computation.span, computation.policy.basis)
    booked = balances_booked(computation.entries)
    for name in Balances._fields:
        booked_pico, due_pico = getattr(booked, name), getattr(due, name)
        _must_equal(
            "theorem 18 (basis)", f"{name} as booked", booked_pico, "by the charges", due_pico
        )
    cost_pico = sum(charge.amount_pico for charge in computation.charges)
    _must_equal("theorem 18 (basis)", "what balances leave", booked.cost, "cost", cost_pico)


def cause_by_cause(change_pico: int, effects: Iterable[int]) -> None:
    """Theorem 20: the effects of the causes of a change sum to it; of two statements, so not of a span."""
    _must_equal("theorem 20 (cause)", "the change", change_pico, "its causes", sum(effects))


VALIDATIONS: tuple[Validation, ...] = (
    exact,
    divided,
    once,
    bucket,
    time,
    step,
    conservation,
    hierarchy,
    two_labels,
    balance,
    views_agree,
    provenance,
    basis,
    month,
)
"""Theorems 1 to 11, 14, 18 and 19; theorem 20 is about two statements (`cause_by_cause`)."""


def _earning(computation: Computation, book: PlanBook) -> Iterator[tuple[Usage, Terms]]:
    """The calls that earn, and the terms they earn by."""
    for usage in computation.facts.usages:
        period = book.period(usage.customer, usage.opened_ns)
        if earns(usage, computation.span) and period is not None:
            yield usage, period.plan.terms


def _must_equal(theorem: str, name: str, one: int, other_name: str, other: int) -> None:
    if one != other:
        raise BooksError(
            f"{theorem} does not hold: {name} {format_pico(one)}, {other_name} {format_pico(other)}, "
            f"difference {format_pico(one - other)}"
        )


def _no_repeats(kind: str, keys: Iterable[object]) -> None:
    key, times = next(iter(Counter(keys).most_common(1)), (None, 0))
    if times > 1:
        raise BooksError(f"theorem 3 (once): {kind} {key} is recorded {times} times")


def _check_partition(replica: ReplicaId, rows: list[Capacity]) -> list[Span]:
    """The intervals of `replica`, in order; BooksError unless states fill each and none overlap."""
    filled: dict[Span, int] = defaultdict(int)
    for row in rows:
        filled[Span(row.start_ns, row.end_ns)] += row.duration_ns
    for interval, states_ns in filled.items():
        if states_ns != interval.end_ns - interval.start_ns:
            raise BooksError(
                f"theorem 5 (time): the states of replica {replica} from {interval.start_ns} to "
                f"{interval.end_ns} sum to {states_ns} ns, not {interval.length_ns}"
            )
    ordered = sorted(filled)
    for before, after in pairwise(ordered):
        if after.start_ns < before.end_ns:
            raise BooksError(
                f"theorem 5 (time): replica {replica} has intervals that overlap: one ends at "
                f"{before.end_ns}, the next starts at {after.start_ns}"
            )
    return merged(ordered)
