"""Shares of a replica's time for calls: the counter-example to request times, and the fallbacks."""

from __future__ import annotations

from fractions import Fraction

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import close_span
from inferworks.catalog.load import model_catalog
from inferworks.catalog.units import INPUT, OUTPUT
from inferworks.ids import ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_leg, a_step, a_usage, an_interval

HOUR_NS = 3_600 * 10**9
BATCH = 32
REPLICA = ReplicaId("replica-1")
REPLICA_1 = "replica:replica-1"
"""The same, as a leaf names an attempt."""


def an_hour_of_prefill_then_decode() -> Facts:
    """Half an hour of prefill-only steps, half an hour of decode steps of 32 calls at once."""
    calls = [f"call-{number:02d}" for number in range(BATCH)]
    half, each = HOUR_NS // 2, HOUR_NS // 2 // BATCH
    prefill = [a_step(n, n * each, each, [(call, 1000, 0, 0)]) for n, call in enumerate(calls)]
    together = [(call, 0, 1, 1000) for call in calls]
    decode = [a_step(BATCH + n, half + n * each, each, together) for n in range(BATCH)]
    usages = tuple(a_usage(call, tokens=Tokens(input=1000, output=BATCH)) for call in calls)
    capacity = an_interval((0, HOUR_NS), {State.ACTIVE: HOUR_NS})
    return Facts(usages, (*prefill, *decode), capacity, ())


def test_half_prefill_half_decode_at_batch_32_is_half_input() -> None:
    """The counter-example: by steps input is 50 % of the cost; by summed request times it is 3 %."""
    facts = an_hour_of_prefill_then_decode()
    charge = a_charge("gpu", "4.00", (0, HOUR_NS))
    statement = close_span(
        Inputs([charge], facts, (), load_policy("gaap"), "USD", Span(0, HOUR_NS))
    )
    cost = {INPUT: 0, OUTPUT: 0}
    for line in statement.lines:
        assert line.target.direction is not None
        cost[line.target.direction] += line.amount_pico
    assert cost[INPUT] == cost[OUTPUT] == 2 * 10**12

    half = Fraction(HOUR_NS, 2)
    wall_times = {INPUT: half, OUTPUT: BATCH * half}
    share = wall_times[INPUT] / sum(wall_times.values())
    assert share == Fraction(1, 33)


def test_a_step_is_weighed_by_tokens_and_context() -> None:
    """In a mixed step a long prefill outweighs a decode, and a long context a short one."""
    facts = Facts(tuple(a_usage(f"call-{n}") for n in range(3)), (), (), ())
    drivers = Drivers(facts, model_catalog())
    step = a_step(
        0, 0, 1_000_000, [("call-0", 500, 0, 500), ("call-1", 0, 1, 10), ("call-2", 0, 1, 9000)]
    )
    shares = drivers.step_shares(step, step.duration_ns)
    first, second, third = (
        shares["call", "call-0", INPUT, REPLICA_1],
        shares["call", "call-1", OUTPUT, REPLICA_1],
        shares["call", "call-2", OUTPUT, REPLICA_1],
    )
    assert first > third > second > 0
    assert first + second + third == step.duration_ns


def test_without_steps_active_time_goes_by_weighted_tokens() -> None:
    """M1: output counts twice, cached input not at all, and the method is on the answer."""
    legs = [a_leg("replica-1", (0, 100), Tokens(input=60, output=20, cache_read=20))]
    facts = Facts(
        (a_usage("call-0", legs=legs),), (), an_interval((0, 100), {State.ACTIVE: 100}), ()
    )
    active = Drivers(facts, model_catalog()).active(
        REPLICA, "node-1", Span(0, 100), Method.STEP_SHARE
    )
    assert active.method is Method.WEIGHTED
    assert active.shares == {
        ("call", "call-0", INPUT, REPLICA_1): 50,
        ("call", "call-0", OUTPUT, REPLICA_1): 50,
    }


def test_flat_counts_every_token_the_same() -> None:
    """M0 is there for comparison."""
    legs = [a_leg("replica-1", (0, 100), Tokens(input=75, output=25))]
    facts = Facts(
        (a_usage("call-0", legs=legs),), (), an_interval((0, 100), {State.ACTIVE: 100}), ()
    )
    active = Drivers(facts, model_catalog()).active(REPLICA, "node-1", Span(0, 100), Method.FLAT)
    assert active.shares == {
        ("call", "call-0", INPUT, REPLICA_1): 75,
        ("call", "call-0", OUTPUT, REPLICA_1): 25,
    }


def test_active_time_that_nothing_explains_stays_in_sight() -> None:
    """Steps that do not fill the active time, steps of nobody and calls of nobody are named."""
    steps = (
        a_step(0, 0, 10, [("call-0", 1, 0, 0)]),
        a_step(1, 10, 20, []),
        a_step(2, 30, 30, [("call-lost", 1, 0, 0)]),
    )
    facts = Facts((a_usage("call-0"),), steps, an_interval((0, 100), {State.ACTIVE: 100}), ())
    statement = close_span(
        Inputs(
            [a_charge("gpu", "1.00", (0, 100))], facts, (), load_policy("gaap"), "USD", Span(0, 100)
        )
    )
    amounts = {row.name: row.cost_of_revenue_pico for row in statement.by("purpose")}
    assert amounts == {
        "serve-paid": 10**11,
        "Unallocated:machines": 6 * 10**11,
        "Unallocated:unknown-call": 3 * 10**11,
    }
    assert statement.unallocated_pico == 9 * 10**11


def test_a_step_across_the_edge_of_a_charge_is_cut_there() -> None:
    """Two charges for the two halves of a step each pay for their half."""
    facts = Facts(
        (a_usage("call-0"),),
        (a_step(0, 40, 20, [("call-0", 1, 0, 0)]),),
        an_interval((0, 100), {State.ACTIVE: 20, State.IDLE: 80}),
        (),
    )
    drivers = Drivers(facts, model_catalog())
    for span in (Span(0, 50), Span(50, 100)):
        active = drivers.active(REPLICA, "node-1", span, Method.STEP_SHARE)
        assert active.shares == {("call", "call-0", INPUT, REPLICA_1): 10}


def test_a_cut_interval_is_active_where_its_steps_are() -> None:
    """Ten hours of which only the last worked: the first nine are idle, not a tenth active each."""
    facts = Facts(
        (a_usage("call-0"),),
        (a_step(0, 900, 90, [("call-0", 1, 0, 0)]),),
        an_interval((0, 1_000), {State.ACTIVE: 90, State.IDLE: 910}),
        (),
    )
    drivers = Drivers(facts, model_catalog())
    assert drivers.states(REPLICA, "node-1", Span(0, 900)) == {State.IDLE: 900}
    assert drivers.states(REPLICA, "node-1", Span(900, 1_000)) == {State.ACTIVE: 90, State.IDLE: 10}
    assert drivers.states(REPLICA, "node-1", Span(945, 1_000)) == {State.ACTIVE: 45, State.IDLE: 10}
