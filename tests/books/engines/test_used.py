"""Use of calls summed as relations: what rating makes of the sums is what it makes of the calls."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings

from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.granularity import CUSTOMERS, TARGETS, Grain
from inferworks.books.engines.lake import ByDay, lake_of
from inferworks.books.engines.used import UNITS, call_sums, sums_of_calls
from inferworks.books.revenue.rating import rate, rate_calls
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Items, Outcome, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.books import World, a_usage, worlds
from inferworks.units import Unit

pytestmark = pytest.mark.slow

SPAN = Span(0, 10_000)
ACME = CustomerId("acme")


def sums(
    duck: DuckEngine, *usages: Usage, grain: Grain = CUSTOMERS, plans: tuple[PricePlan, ...] = (),
    span: Span = SPAN,
) -> pa.Table:  # fmt: skip
    """The sums of calls, all of them as rows."""
    lake = lake_of(duck, {}, Facts(usages, (), (), ()))
    return duck.fetch(sums_of_calls(duck, ByDay(None, lake.usage), plans, span, grain))


def test_every_unit_for_sale_has_a_column() -> None:
    """Requests are the number of calls."""
    assert UNITS["calls"] is Unit.REQUESTS
    assert UNITS["input_tokens"] is Unit.INPUT_TOKENS
    assert len(set(UNITS.values())) == len(UNITS)


def test_no_calls_have_no_sums(duck: DuckEngine) -> None:
    """The table has its columns."""
    found = sums(duck)
    assert found.num_rows == 0
    assert set(UNITS) <= set(found.schema.names)


def test_calls_alike_are_one_sum(duck: DuckEngine) -> None:
    """By customer, model and purpose; each token in one bucket, and the first moment of them."""
    tokens = Tokens(100, 20, cache_read=30, reasoning=5)
    found = sums(
        duck,
        a_usage("a", opened_ns=9, tokens=tokens),
        a_usage("b", opened_ns=5, tokens=tokens, items=Items(images=2)),
        a_usage("c", opened_ns=7, model="large"),
        a_usage("d", opened_ns=7, customer="burns"),
    ).to_pylist()
    rows = {(row["customer"], row["model"]): row for row in found}
    assert set(rows) == {("acme", "small"), ("acme", "large"), ("burns", "small")}
    row = rows["acme", "small"]
    assert (row["opened_ns"], row["least"], int(row["calls"])) == (5, 0, 2)
    assert {name: int(row[name]) for name in UNITS if row[name]} == {
        "calls": 2,
        "input_tokens": 140,
        "cache_read_tokens": 60,
        "output_tokens": 30,
        "reasoning_tokens": 10,
        "images": 2,
    }


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, 1),
        ({"opened_ns": SPAN.end_ns - 1}, 1),
        ({"opened_ns": SPAN.end_ns}, 0),
        ({"outcome": Outcome.FAILED}, 0),
        ({"outcome": Outcome.REFUSED}, 0),
        ({"purpose": Purpose.SERVE_FREE}, 0),
        ({"purpose": Purpose.TRAIN_INFERENCE}, 0),
    ],
)
def test_only_calls_that_earn_are_summed(
    duck: DuckEngine, changes: dict[str, object], calls: int
) -> None:
    """Opened in the span, for a purpose that is paid for, with an outcome that is."""
    assert sums(duck, a_usage("a", **changes)).num_rows == calls


def test_targets_are_told_apart_by_project_key_and_day(duck: DuckEngine) -> None:
    """At the grain of customers they are one."""
    day_ns = 86_400 * 10**9
    usages = [
        a_usage("a"), a_usage("b", key_id="other"), a_usage("c", project="other"),
        a_usage("d", opened_ns=day_ns),
    ]  # fmt: skip
    span = Span(0, 2 * day_ns)
    assert sums(duck, *usages, span=span).num_rows == 1
    found = sums(duck, *usages, span=span, grain=TARGETS).to_pylist()
    assert sorted((row["project"], row["key_id"], row["day_ns"]) for row in found) == [
        ("default", "key-acme", 0),
        ("default", "key-acme", day_ns),
        ("default", "other", 0),
        ("other", "key-acme", 0),
    ]


def test_calls_under_two_plans_are_two_sums(duck: DuckEngine) -> None:
    """And in two months, for a month is billed by itself."""
    plans = tuple(PricePlan.per_million(ACME, at_ns, "USD", "1", "1") for at_ns in (0, 50))
    usages = [a_usage(f"{at_ns}", opened_ns=at_ns) for at_ns in (0, 49, 50)]
    assert sorted(row["opened_ns"] for row in sums(duck, *usages, plans=plans).to_pylist()) == [
        0,
        50,
    ]
    february_ns = parse_moment_ns("1970-02-01")
    months = [a_usage("a"), a_usage("b", opened_ns=february_ns)]
    assert sums(duck, *months, span=Span(0, 2 * february_ns)).num_rows == 2


def test_many_plans_are_looked_up_by_customer(duck: DuckEngine) -> None:
    """Dates too many to compare with each of them; the sums are rated alike."""
    plans = tuple(
        PricePlan.per_million(ACME, at_ns, "USD", f"{at_ns}", "1") for at_ns in range(1, 150)
    )
    usages = [a_usage(f"{n}", opened_ns=n, tokens=Tokens(10**6)) for n in (0, 1, 77, 149, 500)]
    found = rate_calls(call_sums(sums(duck, *usages, plans=plans)), plans, SPAN, "USD")
    wanted = rate(usages, plans, SPAN, "USD")
    assert found.amount_pico == wanted.amount_pico == (1 + 77 + 149 + 149) * 10**12
    assert found.unpriced == wanted.unpriced == ((ACME, 1),)


def test_counts_that_contradict_themselves_are_refused(duck: DuckEngine) -> None:
    """Theorem 4, with the customer and by how much."""
    rows = sums(duck, a_usage("a", tokens=Tokens(10, cache_read=12)))
    with pytest.raises(BooksError) as refused:
        list(call_sums(rows))
    assert str(refused.value) == (
        "theorem 4 (bucket): customer acme has a negative token count, or a part above its whole: -2"
    )


@settings(max_examples=5)
@given(worlds())
def test_sums_are_rated_as_their_calls_are(duck: DuckEngine, world: World) -> None:
    """Of any world, at both grains: the same revenue, and the same use without a price."""
    span = Span(200, 1_800)
    wanted = rate(world.facts.usages, world.plans, span, "USD")
    for grain in (CUSTOMERS, TARGETS):
        rows = sums(duck, *world.facts.usages, grain=grain, plans=world.plans, span=span)
        found = rate_calls(call_sums(rows), world.plans, span, "USD")
        assert found.amount_pico == wanted.amount_pico
        assert (found.unpriced, found.unpriced_units) == (wanted.unpriced, wanted.unpriced_units)
    assert found.rated == wanted.rated
