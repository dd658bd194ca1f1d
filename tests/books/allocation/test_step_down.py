"""Support pools step down in declared order; the exact solution stands beside it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.pools import (
    CostPool,
    DriverKind,
    When,
    read_pools,
    step_down_order,
)
from inferworks.books.allocation.step_down import received, solved
from inferworks.books.analysis.breakdown import Bounds
from inferworks.books.analysis.explain import explain, parse_subject
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import whole_span
from inferworks.errors import ConfigError
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.purpose import Purpose
from inferworks.testing.books import World, a_charge, a_step, a_usage, an_interval, worlds

GAAP = load_policy("gaap")
SHIPPED = shipped_rules()
SPAN = Span(0, 100)
ACTIVE = {State.ACTIVE: 100}


def support(name: str, to: dict[str, int] | tuple[str, ...], order: int = 0) -> CostPool:
    """A support pool that takes the charges of the service category called like it."""
    return CostPool(name, DriverKind.POOLS, When(service_category=(name,)), to=to, order=order)


def with_support(*pools: CostPool) -> Rules:
    """The shipped rules with `pools` before them."""
    return Rules((*pools, *SHIPPED.pools), SHIPPED.catalog)


def two_machines() -> Facts:
    """One node serves acme and trains, three to one; another serves burns. No storage, some traffic."""
    usages = (
        a_usage("call-a", sent_bytes=5),
        a_usage("call-b", customer="burns", sent_bytes=15),
        a_usage("call-t", customer="lab", purpose=Purpose.TRAIN_INFERENCE),
    )
    steps = (
        a_step(0, 0, 75, [("call-a", 1, 0, 0)]),
        a_step(1, 75, 25, [("call-t", 1, 0, 0)]),
        a_step(0, 0, 100, [("call-b", 1, 0, 0)], replica="replica-2"),
    )
    capacity = (
        *an_interval(SPAN, ACTIVE),
        *an_interval(SPAN, ACTIVE, replica="replica-2", node="node-2"),
    )
    return Facts(usages, steps, capacity, ())


def bills(**supports: str) -> tuple[Charge, ...]:
    """Two machines for 40 and 60, traffic for 20, and support charges by category."""
    return (
        a_charge("one", "40", SPAN),
        a_charge("two", "60", SPAN, resource="node-2"),
        a_charge("traffic", "20", SPAN, category="Web", resource=None),
        *(a_charge(name, text, SPAN, category=name) for name, text in supports.items()),
    )


def worked_out(charges: tuple[Charge, ...], rules: Rules) -> Computation:
    """Validated computation over the two machines."""
    computation = compute(Inputs(charges, two_machines(), (), GAAP, "USD", SPAN, rules))
    validate(computation)
    return computation


def costs(computation: Computation, pool: str) -> dict[str, int]:
    """The cost of a pool's charges by customer, in hundredths."""
    found: dict[str, int] = {}
    for line in computation.lines:
        if line.pool == pool:
            name = line.target.customer or line.target.label
            found[name] = found.get(name, 0) + line.amount_pico // 10**10
    return found


def test_a_support_pool_follows_what_it_supports() -> None:
    """A hall for 12, 3 : 1 to machines and web: 9 as 30 : 10 : 60, 3 as 1 : 3."""
    rules = with_support(support("hall", {"machines": 3, "web": 1}))
    computation = worked_out(bills(hall="12"), rules)
    assert costs(computation, "hall") == {"acme": 270 + 75, "lab": 90, "burns": 540 + 225}


def test_a_support_pool_without_weights_follows_cost() -> None:
    """A manager for 12 to machines (100) and web (20): 10 and 2."""
    rules = with_support(support("manager", ("machines", "web")))
    computation = worked_out(bills(manager="12"), rules)
    assert costs(computation, "manager") == {"acme": 300 + 50, "lab": 100, "burns": 600 + 150}


def test_support_pools_step_down_in_order() -> None:
    """The manager (12) gives the hall half; the hall then gives 12 + 6 on, to machines alone."""
    rules = with_support(
        support("manager", {"hall": 1, "web": 1}, order=1),
        support("hall", {"machines": 1}, order=2),
    )
    computation = worked_out(bills(manager="12", hall="12"), rules)
    assert costs(computation, "hall") == {"acme": 360, "lab": 120, "burns": 720}
    assert costs(computation, "manager") == {"acme": 180 + 150, "lab": 60, "burns": 360 + 450}
    assert [row.difference_pico for row in received(computation.allocated, computation.pools)] == [
        0,
        0,
    ]


def test_what_the_order_leaves_out_is_a_figure() -> None:
    """Two pools that serve each other: by hand, 1/3 of x back from y and 1/2 of y back from x.

    x = 12 + y / 3, y = 12 + x / 2: x = 19.2, y = 21.6. Machines get x / 2 + y / 3 = 16.8, web y / 3 = 7.2.
    Stepping down x first: y has 12 + 6 = 18, web 9, machines 6 + 9 = 15.
    """
    rules = with_support(
        support("x", {"y": 1, "machines": 1}, order=1),
        support("y", {"x": 1, "machines": 1, "web": 1}, order=2),
    )
    computation = worked_out(bills(x="12", y="12"), rules)
    found = {row.pool: row for row in received(computation.allocated, computation.pools)}
    assert found["machines"].step_down_pico == 15 * 10**12
    assert found["machines"].reciprocal_pico == Fraction(168, 10) * 10**12
    assert found["web"].reciprocal_pico == Fraction(72, 10) * 10**12
    assert found["web"].difference_pico == Fraction(18, 10) * 10**12


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ((support("x", {"y": 1, "web": 1}), support("y", {"x": 1, "web": 1})), "in a circle"),
        ((support("x", ("y",), 1), support("y", ("x",), 2)), "closed before it"),
    ],
)
def test_circles_that_no_order_opens_are_refused(pools: tuple[CostPool, ...], reason: str) -> None:
    """The name of a pool must not decide who pays."""
    with pytest.raises(ConfigError, match=reason):
        step_down_order(pools)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('driver = "pools"', "go together"),
        ('driver = "none"\nto = ["b"]', "go together"),
        ('driver = "pools"\nto = ["c"]', "supports 'c', which is not another pool"),
        ('driver = "pools"\nto = ["a"]', "supports 'a', which is not another pool"),
        ('driver = "pools"\nto = { b = 0 }', "whole numbers above zero"),
        ('driver = "pools"\nto = { b = 0.5 }', "float"),
    ],
)
def test_support_that_cannot_be_meant_is_refused(text: str, reason: str) -> None:
    """Nobody supported, nobody there, oneself, or by nothing."""
    whole = f'[[pool]]\nname = "a"\nwhen = {{ known_node = true }}\n{text}\n'
    whole += '[[pool]]\nname = "b"\ndriver = "none"\n'
    with pytest.raises(ConfigError, match=reason):
        read_pools(whole, "pools.toml")


def test_the_order_is_declared_then_who_gives_then_the_name() -> None:
    """Pools that give to others come first within an order; a tie goes by name."""
    pools = (
        support("c", ("web",)),
        support("b", ("c", "web")),
        support("a", ("web",)),
        support("z", ("a",), order=-1),
    )
    assert [pool.name for pool in step_down_order(pools)] == ["z", "a", "b", "c"]


def test_what_supports_nothing_that_cost_anything_stays_in_sight() -> None:
    """Storage cost nothing here, so the archive has nobody to follow: unallocated, whole."""
    rules = with_support(support("archive", ("storage",)))
    computation = worked_out(bills(archive="5"), rules)
    assert costs(computation, "archive") == {"Unallocated:archive": 500}
    fixed = with_support(support("archive", {"storage": 1}))
    assert costs(worked_out(bills(archive="5"), fixed), "archive") == {"Unallocated:storage": 500}


def test_a_credit_of_a_support_pool_mirrors_its_charge() -> None:
    """The same targets and the same amounts, negated; and credits elsewhere change no share."""
    rules = with_support(support("hall", {"machines": 3, "web": 1}))
    charges = (*bills(hall="-12"), a_charge("credit", "-39", SPAN))
    found = costs(worked_out(charges, rules), "hall")
    assert found == {"acme": -345, "lab": -90, "burns": -765}


def test_a_step_down_explains_itself() -> None:
    """Every level of the way down sums, and names the pools that it went through."""
    rules = with_support(
        support("manager", {"hall": 1, "web": 1}, order=1),
        support("hall", {"machines": 1}, order=2),
    )
    computation = worked_out(bills(manager="12", hall="12"), rules)
    found = explain(computation, parse_subject("pool:manager"), Bounds(9, 99))
    assert found.cost.amount_pico == 12 * 10**12
    text = str(found.to_json())
    assert "pools manager" in text
    assert "what pool machines cost: serve-paid acme" in text


amounts = st.integers(-(10**14), 10**15)


@pytest.mark.slow
@settings(max_examples=40)
@given(worlds(), amounts, amounts, st.tuples(*[st.integers(1, 9)] * 4), st.booleans())
def test_the_step_down_keeps_every_theorem(
    world: World, first: int, second: int, weights: tuple[int, ...], by_cost: bool
) -> None:
    """Every charge is allocated whole, whatever is supported, and both solutions give all of it away."""
    x = support("x", {"y": weights[0], "machines": weights[1]}, order=1)
    to = ("x", "machines", "web") if by_cost else {"x": weights[2], "web": weights[3]}
    y = support("y", to, order=2)
    span = whole_span(world.charges, world.facts)
    more = (("x", first), ("y", second))
    charges = tuple(
        replace(a_charge(name, "0", span, category=name), amount_pico=pico) for name, pico in more
    )
    rules = with_support(x, y)
    computation = compute(
        Inputs((*world.charges, *charges), world.facts, world.plans, GAAP, "USD", span, rules)
    )
    validate(computation)
    rows = received(computation.allocated, computation.pools)
    stuck = sum(
        line.amount_pico
        for line in computation.lines
        if line.target.unallocated in ("x", "y") and line.pool in ("x", "y")
    )
    assert sum(row.step_down_pico for row in rows) + stuck == first + second
    if not stuck:
        assert sum(row.reciprocal_pico for row in rows) == first + second


def test_equations_are_solved_exactly() -> None:
    """Two unknowns, x + y = 3 and y = 1, in an order of rows that needs a swap."""
    zero, one = Fraction(0), Fraction(1)
    assert solved([[zero, one], [one, one]], [one, Fraction(3)]) == [2, 1]
