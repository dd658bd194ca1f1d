"""Causes of a change in gross margin: exact, the same in any order, nothing for parts without change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.allocate import Target
from inferworks.books.allocation.drivers import Unused
from inferworks.books.allocation.pools import Behaviour
from inferworks.books.analysis.causes import explain_change
from inferworks.books.analysis.change_effects import Cause, Explained
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Function, NaturalClass
from inferworks.books.period import month_of
from inferworks.books.revenue.rating import Item, Rated
from inferworks.books.statement.computation import Inputs, Line
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.invariants import cause_by_cause
from inferworks.books.statement.statement import Statement, close_span
from inferworks.errors import BooksError
from inferworks.ids import CustomerId, KeyId, ModelId, ProjectId
from inferworks.meter.facts import NO_FACTS
from inferworks.purpose import Purpose
from inferworks.testing.books import World, spans, worlds
from inferworks.units import Unit

USD = 10**12


def sale(
    quantity: int,
    amount: int,
    *,
    customer: str = "acme",
    model: str = "small",
    unit: Unit | None = Unit.OUTPUT_TOKENS,
    item: Item = Item.USAGE,
) -> Rated:
    """`amount` picounits for `quantity` units."""
    return Rated(
        *(CustomerId(customer), ProjectId("p"), KeyId("k"), ModelId(model), Purpose.SERVE_PAID),
        *(0, item, unit, 0, "", None, quantity, amount),
    )


def cost(
    amount: int,
    *,
    customer: str | None = "acme",
    model: str | None = "small",
    direction: str = "Output",
    pool: str = "machines",
    method: str = "node-time/M2",
    behaviour: Behaviour = Behaviour.COMMITTED,
) -> Line:
    """Cost of the use of machines by calls."""
    whose = CustomerId(customer) if customer else None
    of = ModelId(model) if model else None
    target = Target(purpose=Purpose.SERVE_PAID, customer=whose, model=of, direction=direction)
    return Line(
        *(Function.COST_OF_REVENUE, pool, NaturalClass.PURCHASED_COMPUTE, target, amount),
        *(behaviour, method),
    )


def idle(amount: int) -> Line:
    """Capacity of machines that nobody used."""
    return Line(
        *(Function.UNUSED_CAPACITY, "machines", NaturalClass.PURCHASED_COMPUTE),
        *(Target(unused=Unused.IDLE), amount, Behaviour.COMMITTED, "node-time/separate"),
    )


def people(amount: int) -> Line:
    """Pay that nothing divides."""
    return cost(amount, customer=None, model=None, pool="people", method="repair-time/share")


def stated(*rows: Rated | Line) -> Statement:
    """A statement of `rows`."""
    empty = close_span(Inputs((), NO_FACTS, (), load_policy("gaap"), "USD", Span(0, 1)))
    return replace(
        empty,
        revenue_rows=tuple(row for row in rows if isinstance(row, Rated)),
        lines=tuple(row for row in rows if isinstance(row, Line)),
    )


def causes(now: Statement, then: Statement) -> dict[str, int]:
    """Amount that each cause explains, without those that did nothing."""
    return {
        cause.value: pico for cause, pico in explain_change(now, then).by_cause().items() if pico
    }


CACHED = Unit.CACHE_READ_TOKENS
FRESH = Unit.INPUT_TOKENS


@pytest.mark.parametrize(
    ("then", "now", "because"),
    [
        # 100 tokens at 3, then at 4: price alone.
        ([sale(100, 300)], [sale(100, 400)], {"price": 100}),
        # Twice as much at the same price and cost: volume alone, on both sides.
        ([sale(100, 300), cost(50)], [sale(200, 600), cost(100)], {"volume": 250}),
        # (200 - 100) x (3 + 4)/2, and (4 - 3) x (100 + 200)/2.
        ([sale(100, 300)], [sale(200, 800)], {"volume": 350, "price": 150}),
        # The same 200 tokens, 50 of which move to a model that is dearer by 2.
        ([sale(100, 300), sale(100, 500, model="large")],
         [sale(50, 150), sale(150, 750, model="large")], {"mix": 100}),
        # A new customer is no price that rose from nothing. Volume, at the mean of both mixes, is
        # 100 x (3/4 x 3 + 1/4 x 5); mix, at the mean of both volumes, 150 x (-1/2 x 3 + 1/2 x 5).
        ([sale(100, 300)], [sale(100, 300), sale(100, 500, customer="burns")],
         {"volume": 350, "mix": 150}),
        # 80 of 100 input tokens are read from a cache, at 1 instead of 10, and take no machine time.
        ([sale(100, 1000, unit=FRESH), cost(500, direction="Input")],
         [sale(20, 200, unit=FRESH), sale(80, 80, unit=CACHED), cost(100, direction="Input")],
         {"cache": -720 + 400}),
        # A discount of a tenth is a lower price; a fee is a fee, a discount on nothing too.
        ([sale(100, 300)], [sale(100, 300), sale(0, -30, unit=None, item=Item.DISCOUNT)],
         {"price": -30}),
        ([], [sale(0, 90, unit=None, item=Item.SUBSCRIPTION),
              sale(0, -9, unit=None, item=Item.DISCOUNT)], {"fees": 81}),
        # The machine is half used for 100, then wholly: volume costs 50 more, idleness 50 less.
        ([sale(100, 0), cost(50), idle(50)], [sale(200, 0), cost(100)],
         {"volume": -50, "idle": 50}),
        # The same machine for twice the money: bills, for what stands idle too.
        ([sale(100, 0), cost(50), idle(50)], [sale(100, 0), cost(100), idle(100)],
         {"bills": -100}),
        # A second machine that nobody uses: idle.
        ([sale(100, 0), cost(50), idle(50)], [sale(100, 0), cost(50), idle(150)],
         {"idle": -100}),
        # Free use is not counted by a price: at constant cost it is volume, what it is dearer by is bills.
        ([sale(100, 0), cost(50), cost(10, customer="freda")],
         [sale(100, 0), cost(100), cost(60, customer="freda")],
         {"volume": -30, "bills": -70}),
        # Pay does not move with use; nor does a committed web server, whoever used it.
        ([sale(100, 300), people(40), cost(10, pool="web", method="call-bytes/share")],
         [sale(200, 600), people(50), cost(12, pool="web", method="call-bytes/share")],
         {"volume": 300, "bills": -12}),
        # What a provider charges for tokens moves with them.
        ([sale(100, 300), cost(10, pool="providers", method="provider-tokens/share",
                               behaviour=Behaviour.VARIABLE)],
         [sale(200, 600), cost(20, pool="providers", method="provider-tokens/share",
                               behaviour=Behaviour.VARIABLE)],
         {"volume": 290}),
    ],
)  # fmt: skip
def test_causes_by_hand(
    then: list[Rated | Line], now: list[Rated | Line], because: dict[str, int]
) -> None:
    """Theorem 20: each cause alone, and two that meet, worked out by hand; swapped, negated."""
    assert causes(stated(*now), stated(*then)) == because
    negated = {cause: -pico for cause, pico in because.items()}
    assert causes(stated(*then), stated(*now)) == negated


def test_what_is_late_is_a_cause_of_its_own() -> None:
    """A correction stands among the rows of the statement that books it, and is counted once."""
    late = Correction(month_of(0), (), 7, (cost(7),), (sale(10, 30),), ())
    plain = stated(sale(100, 300), cost(50))
    booking = replace(
        stated(sale(100, 300), cost(50), *late.revenue_rows, *late.lines), corrections=(late,)
    )
    assert causes(booking, plain) == {"late": 23}
    found = explain_change(booking, plain)
    assert found.mostly(Cause.LATE) == "1970-01"
    assert causes(plain, booking) == {"late": -23}


def test_it_says_whom_it_is_mostly_about() -> None:
    """Customer and model are named for sales, the pool for purchases; nobody where there is neither."""
    then = stated(sale(100, 300), sale(100, 300, customer="burns"), people(4))
    now = stated(
        sale(100, 310), sale(100, 290, customer="burns"), sale(100, 350, model="large"), people(5)
    )
    found: Explained = explain_change(now, then)
    assert found.mostly(Cause.VOLUME).startswith("acme, ")
    assert found.mostly(Cause.BILLS) == "people"
    assert found.mostly(Cause.IDLE) == ""
    told = found.to_json()
    assert told["change"] == "0.000000000349"
    assert isinstance(told["causes"], dict)
    assert set(told["causes"]) == {cause.value for cause in Cause}


def test_it_calls_customers_by_their_names() -> None:
    """Names are of now, or of then if gone; two of one name have their ids behind it; JSON has both."""
    then = stated(sale(100, 300), sale(50, 900, customer="burns"), sale(1, 2, customer="dune"))
    now = stated(sale(100, 301), sale(50, 150, customer="dune"))
    before = replace(then, names=(("acme", "Acme"), ("burns", "Burns & Co"), ("dune", "Dune")))
    after = replace(now, names=(("acme", "Acme Robotics"), ("dune", "Burns & Co")))
    found = explain_change(after, before)
    told = {text for cause in Cause for text, _ in found.ranked(cause)}
    assert told == {
        f"{name}, small" for name in ("Acme Robotics", "Burns & Co (burns)", "Burns & Co (dune)")
    }
    parts = found.to_json()["parts"]
    assert isinstance(parts, list)
    assert {(one["customer"], one["name"]) for one in parts} == {
        ("acme", "Acme Robotics"), ("burns", "Burns & Co (burns)"), ("dune", "Burns & Co (dune)"),
    }  # fmt: skip


def test_causes_that_do_not_sum_are_refused() -> None:
    """Theorem 20 at run time."""
    with pytest.raises(
        BooksError, match=r"theorem 20 \(cause\) does not hold: the change 3\.00, its"
    ):
        cause_by_cause(3 * USD, (USD, USD))


@pytest.mark.slow
@given(worlds(), worlds(), spans(), spans())
@settings(max_examples=6)
def test_causes_of_any_two_statements(
    one: World, other: World, then: tuple[int, int], now: tuple[int, int]
) -> None:
    """Theorem 20: of random worlds too they sum to the change, and are negated when swapped."""
    policy = load_policy("gaap")
    before, after = (
        close_span(Inputs(world.charges, world.facts, world.plans, policy, "USD", Span(*span)))
        for world, span in ((one, then), (other, now))
    )
    found, back = explain_change(after, before), explain_change(before, after)
    assert sum(found.by_cause().values()) == after.gross_margin_pico - before.gross_margin_pico
    assert back.by_cause() == {cause: -pico for cause, pico in found.by_cause().items()}
    assert not any(explain_change(after, after).by_cause().values())
