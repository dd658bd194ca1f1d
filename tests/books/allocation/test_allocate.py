"""Ways of active and idle time to customers: M0 to M3, the idle methods, and the invariants of all."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.accounts.directory import ALONE, Directory, Merge
from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.allocate import allocate
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.pools import (
    CostPool,
    DriverKind,
    Idle,
    Method,
    Reservation,
    read_pools,
)
from inferworks.books.allocation.shapley import ORDERS, Work, shapley_weights
from inferworks.books.calendar.span import NS_PER_HOUR, Span
from inferworks.books.charge import Charge
from inferworks.books.statement.computation import (
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import whole_span
from inferworks.catalog.load import model_catalog
from inferworks.errors import ConfigError
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import (
    World,
    a_charge,
    a_leg,
    a_step,
    a_usage,
    an_interval,
    worlds,
)

GAAP = load_policy("gaap")
RULES = shipped_rules()
CATALOG = model_catalog()
MACHINES = CostPool("machines", DriverKind.NODE_TIME)
RESERVED = (Reservation("node-1", "acme"),)
thorough = settings(max_examples=40)


def by_customer(
    charge: Charge, pool: CostPool, facts: Facts, customers: Directory = ALONE
) -> dict[str, int]:
    """Share of `charge` for each customer, or other target."""
    costs: dict[str, int] = {}
    for row in allocate(charge, pool, Drivers(facts, CATALOG, customers=customers)).rows:
        name = row.target.customer or row.target.label
        costs[name] = costs.get(name, 0) + row.amount_pico
    return costs


def two_hours() -> Facts:
    """Acme works half an hour in the first hour, burns a quarter in the second; the rest is idle."""
    hour, quarter = NS_PER_HOUR, NS_PER_HOUR // 4
    steps = (
        a_step(0, 0, 2 * quarter, [("call-a", 1, 0, 0)]),
        a_step(1, hour, quarter, [("call-b", 1, 0, 0)]),
    )
    capacity = (
        *an_interval((0, hour), {State.ACTIVE: 2 * quarter, State.IDLE: 2 * quarter}),
        *an_interval((hour, 2 * hour), {State.ACTIVE: quarter, State.IDLE: 3 * quarter}),
    )
    usages = (a_usage("call-a"), a_usage("call-b", customer="burns", opened_ns=hour))
    return Facts(usages, steps, capacity, ())


@pytest.mark.parametrize(
    ("idle", "expected"),
    [
        (Idle.SEPARATE, {"acme": 200, "burns": 100, "unused:idle": 500}),
        (Idle.PROPORTIONAL, {"acme": 533, "burns": 267}),
        (Idle.DEDICATED, {"acme": 700, "burns": 100}),
        (Idle.PEAK, {"acme": 700, "burns": 100}),
    ],
)
def test_idle_methods_by_hand(idle: Idle, expected: dict[str, int]) -> None:
    """8.00 for two hours: 2 and 1 of work, 5 idle. The busiest hour is acme's alone."""
    reserved = RESERVED if idle is Idle.DEDICATED else ()
    pool = replace(MACHINES, idle=idle, reserved=reserved)
    charge = replace(a_charge("gpu", "0", (0, 2 * NS_PER_HOUR)), amount_pico=800)
    assert by_customer(charge, pool, two_hours()) == expected


@pytest.mark.parametrize(
    ("from_ns", "expected"),
    [
        (0, {"acme": 200, "burns": 600}),
        (NS_PER_HOUR, {"acme": 400, "burns": 400}),  # 2 of the 5 idle quarters before, 3 after
        (2 * NS_PER_HOUR, {"acme": 700, "burns": 100}),
    ],
)
def test_a_reservation_follows_its_customer(from_ns: int, expected: dict[str, int]) -> None:
    """The holder of a reservation bears idle time until its merge with another, which bears it after."""
    merged = Directory((Merge(CustomerId("acme"), from_ns, CustomerId("burns")),))
    pool = replace(MACHINES, idle=Idle.DEDICATED, reserved=RESERVED)
    charge = replace(a_charge("gpu", "0", (0, 2 * NS_PER_HOUR)), amount_pico=800)
    assert by_customer(charge, pool, two_hours(), merged) == expected


def test_a_reservation_of_another_node_bears_nothing() -> None:
    """Idle time of a node that nobody reserved stays a line of its own."""
    reserved = (Reservation("node-9", "acme"),)
    pool = replace(MACHINES, idle=Idle.DEDICATED, reserved=reserved)
    charge = replace(a_charge("gpu", "0", (0, 2 * NS_PER_HOUR)), amount_pico=800)
    assert by_customer(charge, pool, two_hours())["unused:idle"] == 500


def test_idle_without_any_work_stays_unused() -> None:
    """Idle time without any work has nobody to bear it: every idle method leaves it in sight."""
    facts = Facts((), (), an_interval((0, 100), {State.IDLE: 100}), ())
    for idle in (Idle.SEPARATE, Idle.PROPORTIONAL, Idle.PEAK):
        charge = replace(a_charge("gpu", "0", (0, 100)), amount_pico=10)
        assert by_customer(charge, replace(MACHINES, idle=idle), facts) == {"unused:idle": 10}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ('idle = "dedicated"', '`reserved` and idle = "dedicated" go together'),
        ('reserved = [{ node = "a", customer = "b" }]', '`reserved` and idle = "dedicated"'),
        (
            'idle = "dedicated"\nreserved = [{node="a",customer="b"},{node="a",customer="c"}]',
            "a node is reserved twice",
        ),
        ('idle = "shared"', "shared"),
    ],
)
def test_idle_rules_that_cannot_be_meant_are_refused(change: str, reason: str) -> None:
    """A reservation without the method, the method without one, or twice."""
    with pytest.raises(ConfigError, match=reason):
        read_pools(f'[[pool]]\nname = "a"\ndriver = "node-time"\n{change}', "pools.toml")


@pytest.mark.slow
@thorough
@given(worlds(), st.sampled_from(list(Method)), st.sampled_from(list(Idle)))
def test_every_method_keeps_every_theorem(world: World, method: Method, idle: Idle) -> None:
    """Conservation and the rest hold whatever divides active time and whoever bears idle time."""
    reserved = RESERVED if idle is Idle.DEDICATED else ()
    pools = tuple(
        replace(pool, method=method, idle=idle, reserved=reserved) for pool in RULES.pools
    )
    computation = compute(Inputs(*world, GAAP, "USD", _span(world), Rules(pools, RULES.catalog)))
    validate(computation)


@pytest.mark.slow
@thorough
@given(worlds(), st.sampled_from(list(Idle)))
def test_idle_methods_move_only_idle_time(world: World, idle: Idle) -> None:
    """A customer pays the same for work under each method; only the bearer of the idle time differs."""
    reserved = RESERVED if idle is Idle.DEDICATED else ()
    pool = replace(MACHINES, idle=idle, reserved=reserved)
    drivers = Drivers(world.facts, CATALOG)
    charge = world.charges[0]
    ways = [allocate(charge, one, drivers).rows for one in (MACHINES, pool)]
    worked = [
        [row for row in rows if "idle-" not in row.method and row.target.unused is None]
        for rows in ways
    ]
    assert worked[0] == worked[1]


@pytest.mark.slow
@thorough
@given(worlds(), st.integers(2, 5))
def test_a_statement_does_not_see_how_many_calls_stand_behind_a_target(
    world: World, copies: int
) -> None:
    """Theorem 8: calls of one target in equal numbers more leave every picounit where it was."""
    web, many = CostPool("web", DriverKind.CALL_BYTES), _copied(world, copies)
    for charge in world.charges:
        one = allocate(charge, web, Drivers(world.facts, CATALOG)).rows
        other = allocate(charge, web, Drivers(many.facts, CATALOG)).rows
        assert _amounts(one) == _amounts(other)


def _amounts(rows: tuple) -> list[tuple[object, int]]:
    return [(row.target, row.amount_pico) for row in rows]


def _copied(world: World, copies: int) -> World:
    """`world` with each call made `copies` times; the copies are in no step."""
    usages = tuple(
        replace(usage, call_id=f"{usage.call_id}-{number}" if number else usage.call_id)
        for usage in world.facts.usages
        for number in range(copies)
    )
    return world._replace(facts=replace(world.facts, usages=usages))


@given(
    st.integers(1, 10**15), st.integers(2, 12), st.integers(1, 300), st.sampled_from(list(Method))
)
@settings(max_examples=40)
def test_identical_calls_cost_the_same_under_every_method(
    pico: int, calls: int, prefill: int, method: Method
) -> None:
    """Theorem 15 to the nanosecond of a step and the picounit of a charge that cannot be halved."""
    names = [f"call-{number:02d}" for number in range(calls)]
    usages = tuple(
        a_usage(n, customer=n, legs=[a_leg("replica-1", (0, 100), Tokens(prefill, 1))])
        for n in names
    )
    steps = (
        a_step(0, 0, 60, [(name, prefill, 0, 0) for name in names]),
        a_step(1, 60, 40, [(name, 0, 1, prefill) for name in names]),
    )
    facts = Facts(usages, steps, an_interval((0, 100), {State.ACTIVE: 100}), ())
    charge = replace(a_charge("gpu", "0", (0, 100)), amount_pico=pico)
    costs = by_customer(charge, replace(MACHINES, method=method), facts)
    assert set(costs) <= set(names)
    spread = 2 * (pico // 100 + 1)  # two steps, or two sides of a call, each with its remainder
    assert max(costs.values()) - min(costs.get(name, 0) for name in names) <= spread


works = st.dictionaries(
    st.tuples(st.sampled_from("abcdefgh")),
    st.builds(Work, st.integers(0, 1_000), st.integers(0, 1_000)),
    max_size=6,
)


@given(works, st.integers(0, 2_000), st.integers())
def test_shapley_weights_sum_to_the_step_and_say_the_same_again(
    works: dict[tuple[str, ...], Work], fixed: int, seed: int
) -> None:
    """Efficiency, and theorem 13: every order's marginals sum to the whole step, seed by seed."""
    weights = shapley_weights(works, fixed, str(seed))
    assert weights == shapley_weights(works, fixed, str(seed))
    players = [work for work in works.values() if work != Work()]
    assert set(weights) == {key for key, work in works.items() if work != Work()}
    orders = math.factorial(len(players)) if len(players) <= 4 else 2 * ORDERS
    scale = math.lcm(*(players.count(player) for player in players))
    step = max(fixed, sum(work.linear for work in players)) if players else 0
    whole = step + sum(work.context for work in players)
    assert sum(weights.values()) == orders * scale * whole
    assert len({(works[key], weight) for key, weight in weights.items()}) == len(set(players))
    assert all(weight >= 0 for weight in weights.values())


def test_shapley_by_hand() -> None:
    """Reading the model takes 10; a adds 4 and b 12: alone 10 and 12, together 16. So 7 and 9.

    With c, which only attends (5), in the orders abc, acb, bac, bca, cab, cba.
    """
    weights = shapley_weights({("a",): Work(4), ("b",): Work(12)}, 10, "seed")
    assert weights == {("a",): 2 * 7, ("b",): 2 * 9}
    three = shapley_weights({("a",): Work(4), ("b",): Work(12), ("c",): Work(0, 5)}, 10, "seed")
    assert {key: Fraction(weight, 6) for key, weight in three.items()} == {
        ("a",): Fraction(10 + 10 + 4 + 4 + 0 + 4, 6),
        ("b",): Fraction(6 + 6 + 12 + 12 + 6 + 2, 6),
        ("c",): 5 + Fraction(0 + 0 + 0 + 0 + 10 + 10, 6),
    }


def test_who_adds_nothing_gets_nothing() -> None:
    """The null player of the theory."""
    assert shapley_weights({("a",): Work(4), ("b",): Work()}, 10, "seed") == {("a",): 10}


def test_a_batch_shares_the_reading_of_the_model_equally() -> None:
    """Thirty-two equal decodes whose work hides behind the reading have one value."""
    works = {(f"{number:02d}",): Work(1) for number in range(32)}
    weights = shapley_weights(works, 3_200, "seed")
    assert set(weights.values()) == {2 * ORDERS * 3_200}


def _span(world: World) -> Span:
    return whole_span(world.charges, world.facts)
