"""The theorems of docs/books.md, on random worlds; and that their run-time checks see a violation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.entries import Entry, Posting, balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Function, NaturalClass
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    accrue,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import (
    balance,
    conservation,
    divided,
    exact,
    hierarchy,
    once,
    step,
    time,
    two_labels,
    validate,
    views_agree,
)
from inferworks.books.statement.statement import (
    Dimension,
    Statement,
    build_statement,
    close_span,
    whole_span,
)
from inferworks.catalog.load import model_catalog
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import (
    World,
    a_charge,
    a_step,
    a_usage,
    an_interval,
    spans,
    worlds,
)

GAAP = load_policy("gaap")
RULES = shipped_rules()
thorough = settings(max_examples=60)


def closed(world: World, span: tuple[int, int] | None = None) -> Statement:
    """The statement of `world` over `span`, else over all of it."""
    start_ns, end_ns = span or whole_span(world.charges, world.facts)
    return close_span(
        Inputs(world.charges, world.facts, world.plans, GAAP, "USD", Span(start_ns, end_ns), RULES)
    )


def worked_out(world: World) -> Computation:
    """The computation of `world` over all of its time."""
    span = whole_span(world.charges, world.facts)
    return compute(Inputs(world.charges, world.facts, world.plans, GAAP, "USD", span, RULES))


def shuffled(world: World, seed: int) -> World:
    """`world` with each of its inputs in another order."""
    order = random.Random(seed)

    def mixed(things: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(order.sample(things, len(things)))

    facts = world.facts
    return World(
        mixed(world.charges),
        Facts(
            mixed(facts.usages), mixed(facts.steps), mixed(facts.capacity), mixed(facts.activities)
        ),
        mixed(world.plans),
    )


@pytest.mark.slow
@thorough
@given(worlds())
def test_everything_billed_is_allocated_to_the_last_picounit(world: World) -> None:
    """Theorem 7: billed = allocated = the sum over functions, whatever the drivers say."""
    statement = closed(world)
    billed = sum(charge.amount_pico for charge in world.charges)
    assert statement.billed_pico == statement.allocated_pico == billed
    assert sum(map(statement.function_pico, Function)) == billed


@pytest.mark.slow
@thorough
@given(worlds(), spans(), st.integers(1, 1_000))
def test_adjoining_spans_sum_to_one(world: World, span: tuple[int, int], cut: int) -> None:
    """A charge that straddles two closes is billed in full between them, and so is revenue."""
    middle = span[0] + cut % (span[1] - span[0])
    whole = closed(world, span)
    parts = [closed(world, (span[0], middle)), closed(world, (middle, span[1]))]
    assert sum(part.billed_pico for part in parts) == whole.billed_pico
    assert sum(part.revenue_pico for part in parts) == whole.revenue_pico


@pytest.mark.slow
@thorough
@given(worlds())
def test_every_cut_of_a_statement_sums_to_its_totals(world: World) -> None:
    """Theorem 8: by customer, by model and by purpose are the same money."""
    statement = closed(world)
    for dimension in Dimension:
        rows = statement.by(dimension)
        assert sum(row.revenue_pico for row in rows) == statement.revenue_pico
        assert sum(row.cost_of_revenue_pico for row in rows) == statement.cost_of_revenue_pico
        assert sum(row.gross_margin_pico for row in rows) == statement.gross_margin_pico
        costs = (
            r.cost_of_revenue_pico + r.research_and_development_pico + r.other_pico for r in rows
        )
        assert sum(costs) == statement.allocated_pico


@pytest.mark.slow
@thorough
@given(worlds(), st.integers(0, 99))
def test_the_same_inputs_in_any_order_give_the_same_bytes(world: World, seed: int) -> None:
    """Theorem 13: order of arrival leaves no trace in a statement or its entries."""
    one, other = closed(world), closed(shuffled(world, seed))
    assert msgspec.json.encode(one.to_json()) == msgspec.json.encode(other.to_json())
    assert msgspec.json.encode(one.entries) == msgspec.json.encode(other.entries)


@pytest.mark.slow
@thorough
@given(worlds())
def test_a_credit_mirrors_its_charge(world: World) -> None:
    """Theorem 2: negating every bill line negates every line of the statement."""
    negated = tuple(replace(c, amount_pico=-c.amount_pico) for c in world.charges)
    lines = closed(world).lines
    mirrored = closed(world._replace(charges=negated)).lines
    assert [replace(line, amount_pico=-line.amount_pico) for line in lines] == list(mirrored)


@pytest.mark.slow
@thorough
@given(worlds())
def test_the_steps_of_a_replica_are_divided_once_among_calls(world: World) -> None:
    """Theorem 6: each step's shares sum to its duration, and a replica's to its active time."""
    drivers = Drivers(world.facts, model_catalog())
    for engine_step in world.facts.steps:
        shares = drivers.step_shares(engine_step, engine_step.duration_ns)
        assert sum(shares.values()) == engine_step.duration_ns
    everything = whole_span(world.charges, world.facts)
    for row in world.facts.capacity:
        for method in Method:
            active = drivers.active(row.replica, row.node, everything, method)
            rows = [r for r in world.facts.capacity if r.replica == row.replica]
            active_ns = sum(r.duration_ns for r in rows if r.state is State.ACTIVE)
            assert sum(active.shares.values()) == active_ns


@pytest.mark.slow
@thorough
@given(worlds(), spans(), st.integers(1, 1_000))
def test_the_states_of_a_replica_are_cut_exactly(
    world: World, span: tuple[int, int], cut: int
) -> None:
    """Theorem 5: the nanoseconds by state in adjoining spans sum to those of the whole."""
    drivers = Drivers(world.facts, model_catalog())
    middle = span[0] + cut % (span[1] - span[0])
    pieces = [Span(*span), Span(span[0], middle), Span(middle, span[1])]
    for row in world.facts.capacity:
        whole, *halves = [drivers.states(row.replica, row.node, piece) for piece in pieces]
        for state in State:
            assert whole.get(state, 0) == sum(half.get(state, 0) for half in halves)


@pytest.mark.slow
@thorough
@given(worlds())
def test_the_books_balance_after_every_entry(world: World) -> None:
    """Theorem 10: the trial balance is zero all along, pools are emptied, income equals revenue."""
    statement = closed(world)
    for number in range(len(statement.entries)):
        assert sum(balances(statement.entries[: number + 1]).values()) == 0
    accounts = balances(statement.entries)
    assert not any(amount for name, amount in accounts.items() if name.startswith("Costs:"))
    income = sum(amount for name, amount in accounts.items() if name.startswith("Income:"))
    assert -income == statement.revenue_pico


@pytest.mark.slow
@thorough
@given(worlds())
def test_what_was_bought_never_changes_in_allocation(world: World) -> None:
    """Theorem 9: the amounts by natural class are those of the bills."""
    statement = closed(world)
    for natural_class in NaturalClass:
        bought = sum(c.amount_pico for c in world.charges if c.natural_class is natural_class)
        spent = sum(n.amount_pico for n in statement.lines if n.natural_class is natural_class)
        assert bought == spent


@pytest.mark.slow
@thorough
@given(worlds())
def test_no_picounit_is_for_two_things(world: World) -> None:
    """Every line is for a purpose, a department, or unused, or unallocated; exactly one of them."""
    for line in closed(world).lines:
        target = line.target
        labels = (target.purpose, target.department, target.unused, target.unallocated)
        assert sum(label is not None for label in labels) == 1


@given(st.integers(1, 10**15), st.integers(2, 30), st.integers(1, 500), st.integers(0, 500))
@settings(max_examples=40)
def test_identical_calls_cost_the_same_and_more_work_costs_no_less(
    pico: int, calls: int, prefill: int, context: int
) -> None:
    """Theorem 15, to the picounit a remainder must go somewhere; no work, no active cost."""
    names = [f"call-{number:02d}" for number in range(calls)]
    worked = [(name, prefill, 0, context) for name in names]
    facts = Facts(
        tuple(a_usage(name, customer=name) for name in [*names, "busy", "lazy"]),
        (a_step(0, 0, 100, [*worked, ("busy", prefill + 1, 0, context), ("lazy", 0, 0, context)]),),
        an_interval((0, 100), {State.ACTIVE: 100}),
        (),
    )
    charge = replace(a_charge("gpu", "0", (0, 100)), amount_pico=pico)
    rows = close_span(Inputs([charge], facts, (), GAAP, "USD", Span(0, 100), RULES)).by("customer")
    cost = {row.name: row.cost_of_revenue_pico for row in rows}
    # A nanosecond of a step and a picounit of the charge are indivisible; both go by largest remainder.
    indivisible = pico // 100 + 1
    same = [cost.get(name, 0) for name in names]
    assert max(same) - min(same) <= indivisible
    assert cost.get("busy", 0) + indivisible >= max(same)
    assert "lazy" not in cost


@pytest.mark.slow
@thorough
@given(worlds(), st.sampled_from(list(Method)))
def test_every_method_conserves(world: World, method: Method) -> None:
    """M0, M1 and M2 differ in who pays and never in what is paid."""
    pools = tuple(replace(pool, method=method) for pool in RULES.pools)
    span = whole_span(world.charges, world.facts)
    rules = Rules(pools, RULES.catalog)
    statement = close_span(
        Inputs(world.charges, world.facts, world.plans, GAAP, "USD", Span(*span), rules)
    )
    assert statement.allocated_pico == statement.billed_pico


def a_world() -> World:
    """One machine, half busy with two calls of one customer who pays."""
    usages = tuple(a_usage(f"call-{n}", tokens=Tokens(input=7)) for n in range(2))
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")
    steps = (a_step(0, 0, 50, [("call-0", 5, 0, 0), ("call-1", 0, 1, 9)]),)
    capacity = an_interval((0, 100), {State.ACTIVE: 50, State.IDLE: 50})
    return World((a_charge("gpu", "1", (0, 100)),), Facts(usages, steps, capacity, ()), (plan,))


def tampered_facts(computation: Computation, **changes: Any) -> Computation:
    """`computation` with some of its facts exchanged."""
    return replace(computation, facts=replace(computation.facts, **changes))


def tampered_item(computation: Computation, **changes: Any) -> Computation:
    """`computation` with the only allocated charge changed."""
    return replace(computation, allocated=(replace(computation.allocated[0], **changes),))


def an_amount_off(computation: Computation) -> Computation:
    """The first part of the charge is a picounit short."""
    first, *rest = computation.allocated[0].rows
    return tampered_item(
        computation, rows=(replace(first, amount_pico=first.amount_pico - 1), *rest)
    )


def a_class_changed(computation: Computation) -> Computation:
    """The first part of the charge was bought as something else."""
    first, *rest = computation.allocated[0].rows
    return tampered_item(
        computation, rows=(replace(first, natural_class=NaturalClass.POWER), *rest)
    )


def a_split_off(computation: Computation) -> Computation:
    """A split gave a picounit from one leaf to another twice over."""
    node, states, *rest = computation.allocated[0].apportionments
    (one, other), (a, b) = states.parts, states.parts.values()
    wrong = replace(states, parts={one: a - 2, other: b + 2})
    return tampered_item(computation, apportionments=(node, wrong, *rest))


def a_stage_off(computation: Computation) -> Computation:
    """A stage divided another amount than it was given."""
    node, states, *rest = computation.allocated[0].apportionments
    wrong = replace(states, amount_pico=states.amount_pico + 1)
    return tampered_item(computation, apportionments=(node, wrong, *rest))


def a_function_changed(computation: Computation) -> Computation:
    """A line stands under a function that the policy does not give it."""
    first, *rest = computation.lines
    return replace(
        computation, lines=(replace(first, function=Function.SALES_AND_MARKETING), *rest)
    )


def a_use_undecided(computation: Computation) -> Computation:
    """The policy gives no function to something that may come about."""
    policy = computation.policy
    functions = dict(list(policy.functions.items())[1:])
    return replace(computation, policy=replace(policy, functions=functions))


def a_share_lost(computation: Computation) -> Computation:
    """A nanosecond of active time belongs to no call."""
    [(_, active)] = computation.drivers.answered()
    active.shares.popitem()
    return computation


def an_entry_lost(computation: Computation) -> Computation:
    """The entry that allocates the charge is missing."""
    return replace(computation, entries=computation.entries[:1])


def another_currency(computation: Computation) -> Computation:
    """An entry balances, in a currency the books are not kept in."""
    postings = (Posting("Costs:x", 5, "EUR"), Posting("Liabilities:x", -5, "EUR"))
    return replace(computation, entries=(*computation.entries, Entry(0, "foreign", postings)))


def revenue_off(computation: Computation) -> Computation:
    """A call earned a picounit more than its tokens times their price."""
    first, *rest = computation.revenue.rated
    rated = (replace(first, amount_pico=first.amount_pico + 1), *rest)
    return replace(computation, revenue=replace(computation.revenue, rated=rated))


def a_call_twice(computation: Computation) -> Computation:
    """A usage stands twice."""
    usages = computation.facts.usages
    return tampered_facts(computation, usages=(*usages, usages[0]))


def steps_longer_than_active(computation: Computation) -> Computation:
    """The engine worked more than the replica was active."""
    (first,) = computation.facts.steps
    return tampered_facts(computation, steps=(replace(first, duration_ns=51),))


def a_gap_in_the_states(computation: Computation) -> Computation:
    """The states of an interval do not fill it."""
    active, idle = computation.facts.capacity
    return tampered_facts(computation, capacity=(active, replace(idle, duration_ns=49)))


def intervals_that_overlap(computation: Computation) -> Computation:
    """A replica is provisioned twice over the same time."""
    more = an_interval((99, 120), {State.IDLE: 21})
    return tampered_facts(computation, capacity=(*computation.facts.capacity, *more))


def a_negative_step(computation: Computation) -> Computation:
    """Time runs backwards."""
    return tampered_facts(computation, steps=(a_step(0, 0, -5, []),))


@pytest.mark.parametrize(
    ("violation", "check"),
    [
        (revenue_off, exact),
        (a_split_off, divided),
        (a_call_twice, once),
        (steps_longer_than_active, time),
        (a_gap_in_the_states, time),
        (intervals_that_overlap, time),
        (a_negative_step, time),
        (a_share_lost, step),
        (an_amount_off, conservation),
        (a_stage_off, hierarchy),
        (a_class_changed, two_labels),
        (a_function_changed, two_labels),
        (a_use_undecided, two_labels),
        (an_entry_lost, balance),
        (another_currency, balance),
        (an_entry_lost, views_agree),
    ],
)
def test_a_violation_is_seen_at_run_time(
    violation: Callable[[Computation], Computation], check: Callable[[Computation], None]
) -> None:
    """Each check passes on sound computation, and raises with the figures on damaged ones."""
    check(worked_out(a_world()))
    with pytest.raises(BooksError, match=r"\d"):
        check(violation(worked_out(a_world())))


def test_sound_workings_pass_and_draw_up() -> None:
    """The small world is sound: half its machine is used, half is idle."""
    computation = worked_out(a_world())
    validate(computation)
    statement = build_statement(computation)
    assert statement.unused_capacity_pico == 5 * 10**11
    assert statement.cost_of_revenue_pico == 10**12


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    """Theorem 10: balance is a matter of construction."""
    with pytest.raises(BooksError, match="does not balance"):
        Entry(0, "lopsided", (Posting("Costs:x", 5, "USD"), Posting("Liabilities:x", -4, "USD")))
    with pytest.raises(BooksError, match="does not balance"):
        Entry(0, "mixed", (Posting("Costs:x", 5, "USD"), Posting("Liabilities:x", -5, "EUR")))


@given(spans(), spans(), st.integers(-(10**14), 10**14))
def test_a_charge_inside_a_span_is_never_cut(
    inner: tuple[int, int], outer: tuple[int, int], pico: int
) -> None:
    """Accrual touches only what reaches beyond the span."""
    charge = replace(a_charge("gpu", "0", inner), amount_pico=pico)
    around = Span(min(inner[0], outer[0]), max(inner[1], outer[1]))
    assert accrue(charge, around) == charge
