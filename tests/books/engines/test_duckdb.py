"""DuckDB against the definition: the same lines, entries and revenue on random worlds."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.accounts.credit import Credit
from inferworks.accounts.plan import PerUnit, Price, PricePlan, Terms
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.allocation.pools import Idle, Method
from inferworks.books.calendar.span import Span
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.customer_statement import (
    CustomerStatement,
    canonical,
    close_by_customer,
)
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import lake_of
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.statement import Dimension, build_statement, whole_span
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, batch_of
from inferworks.meter.capacity import State
from inferworks.meter.events import ActivityData, CallData, activity_of, call_of
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.money import PICO
from inferworks.purpose import Purpose
from inferworks.testing.books import (
    World,
    a_charge,
    a_leg,
    a_step,
    a_usage,
    an_interval,
    spans,
    worlds,
)
from inferworks.units import Unit

pytestmark = pytest.mark.slow

GAAP, RULES = load_policy("gaap"), shipped_rules()


def defined(world: World, span: Span, rules: Rules = RULES) -> Computation:
    """The workings by definition."""
    return compute(Inputs(world.charges, world.facts, world.plans, GAAP, "USD", span, rules))


def related(world: World, span: Span, rules: Rules = RULES) -> Computation:
    """The workings by relations."""
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, world.facts)
        return compute_on(
            engine, lake, Inputs(world.charges, NO_FACTS, world.plans, GAAP, "USD", span, rules)
        )


def by_customer(world: World, span: Span) -> CustomerStatement:
    """The statement by customer, by relations."""
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, world.facts)
        return close_by_customer(
            engine, lake, Inputs(world.charges, NO_FACTS, world.plans, GAAP, "USD", span, RULES)
        )


def must_agree(world: World, span: Span, rules: Rules = RULES) -> None:
    """Every row of every allocation, every line, entry and amount of revenue is the same."""
    one, other = defined(world, span, rules), related(world, span, rules)
    assert [item.rows for item in one.allocated] == [item.rows for item in other.allocated]
    assert one.lines == other.lines
    assert one.entries == other.entries
    assert one.revenue == other.revenue
    assert one.drivers.unprovisioned_ns() == other.drivers.unprovisioned_ns()


@settings(max_examples=12)
@given(
    worlds(),
    st.none() | spans(),
    st.sampled_from([Method.STEP_SHARE, Method.FLAT, Method.WEIGHTED]),
    st.sampled_from(Idle),
    st.lists(st.sampled_from(["Small", "large", "unheard-of", ""])),
)
def test_relations_agree_with_the_definition(
    world: World, span: tuple[int, int] | None, method: Method, idle: Idle, models: list[str]
) -> None:
    """Over a whole random world, or where a span cuts it; by any method, whoever bears idle time.

    Some lines of a provider are for one model, which was or was not called.
    """
    pools = tuple(replace(pool, method=method, idle=idle) for pool in RULES.pools)
    names = iter(models)
    charges = tuple(
        replace(charge, resource_id=next(names, None), resource_type="Model")
        if models and charge.service_category == "AI and Machine Learning"
        else charge
        for charge in world.charges
    )
    whole = whole_span(world.charges, world.facts)
    must_agree(world._replace(charges=charges), Span(*(span or whole)), Rules(pools, RULES.catalog))


@settings(max_examples=4)
@given(worlds(), st.integers(0, 99))
def test_a_statement_by_customer_is_the_cut_of_the_whole(world: World, seed: int) -> None:
    """Stopping at customers gives the figures of going down to targets (theorem 8).

    Theorem 13, too: shuffled inputs give the same bytes.
    """
    span, dice = Span(*whole_span(world.charges, world.facts)), random.Random(seed)
    facts = Facts(*(tuple(dice.sample(rows, len(rows))) for rows in list_of(world.facts)))
    shuffled = World(tuple(dice.sample(world.charges, len(world.charges))), facts, world.plans)
    whole, cut = build_statement(defined(world, span)), by_customer(world, span)
    assert canonical(by_customer(shuffled, span)) == canonical(cut)
    assert cut.rows == whole.by(Dimension.CUSTOMER)
    assert cut.notes == whole.notes
    assert (cut.billed_pico, cut.revenue_pico) == (whole.billed_pico, whole.revenue_pico)
    assert cut.cost_of_revenue_pico == whole.cost_of_revenue_pico
    lines: dict[tuple[str, ...], int] = {}
    for line in whole.lines:
        key = (line.function, line.pool, line.natural_class, line.target.label, line.method)
        lines[key] = lines.get(key, 0) + line.amount_pico
    assert {
        (n.function, n.pool, n.natural_class, n.target.label, n.method): n.amount_pico
        for n in cut.lines
    } == lines


def test_credit_expires_by_customer_too() -> None:
    """Expired prepaid credit is revenue on the day it expires, after the calls before it."""
    tokens = Tokens(input=1_000_000)
    usages = tuple(
        a_usage(f"call-{n}", customer=name, tokens=tokens, opened_ns=n * DAY_NS)
        for n, name in enumerate(["acme", "burns", "acme", "acme"])
    )
    plans = tuple(
        PricePlan.per_million(CustomerId(name), 0, "USD", "2.00", "6.00")
        for name in ("acme", "burns")
    )
    credit = Credit("credit-1", CustomerId("acme"), 0, 7 * PICO, "USD", 3 * DAY_NS)
    world, span = World((), Facts(usages, (), (), ()), plans), Span(0, 5 * DAY_NS)
    prepaid = Prepaid((credit,))
    whole = build_statement(
        compute(Inputs((), world.facts, plans, GAAP, "USD", span, RULES, prepaid))
    )
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, world.facts)
        cut = close_by_customer(
            engine, lake, Inputs((), NO_FACTS, plans, GAAP, "USD", span, RULES, prepaid)
        )
    assert cut.rows == whole.by(Dimension.CUSTOMER)
    assert {row.name: row.revenue_pico for row in cut.rows} == {
        "acme": (2 + 2 + 2 + 3) * PICO,
        "burns": 2 * PICO,
    }


def list_of(facts: Facts) -> list[tuple[object, ...]]:
    """The four kinds of facts."""
    return [facts.usages, facts.steps, facts.capacity, facts.activities]


def test_a_replica_that_was_away_for_a_while_is_away_in_relations_too() -> None:
    """Gaps between intervals survive their being joined, at the edges of charges and within."""
    facts = Facts(
        (a_usage("call-0"), a_usage("call-1", customer="burns", opened_ns=70)),
        (a_step(0, 10, 20, [("call-0", 5, 0, 0)]), a_step(1, 75, 10, [("call-1", 0, 1, 9)])),
        (
            *an_interval((0, 40), {State.ACTIVE: 20, State.IDLE: 20}),
            *an_interval((50, 60), {State.DOWN: 10}),
            *an_interval((70, 90), {State.ACTIVE: 10, State.LOADING: 10}),
            *an_interval((100, 130), {State.IDLE: 30}),
        ),
        (),
    )
    charges = (
        a_charge("one", "1.000000000007", (0, 100)),
        a_charge("two", "3.000000000001", (50, 120)),
        a_charge("three", "-2.000000000003", (0, 50)),
    )
    must_agree(World(charges, facts, ()), Span(0, 120))


def test_states_that_do_not_fill_their_interval_are_refused() -> None:
    """Theorem 5 is checked by relations, with the figures."""
    facts = Facts((), (), an_interval((0, 100), {State.ACTIVE: 40, State.IDLE: 59}), ())
    with pytest.raises(BooksError, match="99 ns"):
        related(World((a_charge("one", "1", (0, 100)),), facts, ()), Span(0, 100))


def test_intervals_that_overlap_are_refused() -> None:
    """A replica is not provisioned twice at once."""
    rows = (*an_interval((0, 100), {State.IDLE: 100}), *an_interval((99, 120), {State.IDLE: 21}))
    with pytest.raises(BooksError, match="the interval before ends at 100"):
        related(World((a_charge("one", "1", (0, 100)),), Facts((), (), rows, ()), ()), Span(0, 100))


def test_a_replica_that_moves_is_one_replica_on_two_nodes() -> None:
    """Each node's charge goes to what the replica did there; calls that an edge cuts count one by one."""
    alike = a_leg("replica-1", (40, 80), Tokens(input=30, cache_read=7, output=11))
    usages = (
        a_usage("call-0", opened_ns=40, legs=(alike,)),
        a_usage("call-1", opened_ns=40, legs=(alike, alike)),
        a_usage("call-2", customer="burns", model="unheard-of", opened_ns=41, legs=(alike,)),
        a_usage("call-3", opened_ns=5, legs=(a_leg(None, (5, 65), Tokens(output=3)),)),
    )
    rows = (
        *an_interval((0, 60), {State.ACTIVE: 40, State.IDLE: 20}, node="node-1"),
        *an_interval((60, 100), {State.ACTIVE: 40}, node="node-2"),
    )
    charges = (
        a_charge("one", "1.000000000007", (0, 60)),
        a_charge("two", "3.000000000001", (50, 100), resource="node-2"),
        a_charge("api", "2", (0, 60), category="AI and Machine Learning", provider="own"),
    )
    world, span = World(charges, Facts(usages, (), rows, ()), ()), Span(0, 100)
    must_agree(world, span)
    whole = build_statement(defined(world, span))
    assert by_customer(world, span).rows == whole.by(Dimension.CUSTOMER)


def test_a_replica_on_two_nodes_at_once_is_refused_by_name() -> None:
    """Machines are numbered to be sorted; the error has their names."""
    rows = (
        *an_interval((0, 100), {State.IDLE: 100}, node="node-1"),
        *an_interval((0, 50), {State.IDLE: 50}, replica="replica-2", node="node-1"),
        *an_interval((40, 120), {State.IDLE: 80}, replica="replica-2", node="node-2"),
    )
    with pytest.raises(BooksError, match="replica replica-2 from 40 to 120"):
        related(World((a_charge("one", "1", (0, 100)),), Facts((), (), rows, ()), ()), Span(0, 100))


def test_an_empty_interval_does_not_overlap_what_starts_with_it() -> None:
    """The quick look at the order of intervals may doubt it; the close one does not refuse it."""
    rows = (*an_interval((50, 50), {State.ACTIVE: 0}), *an_interval((50, 100), {State.ACTIVE: 50}))
    rows = (*an_interval((0, 50), {State.IDLE: 50}), *rows)
    world = World((a_charge("one", "1", (0, 100)),), Facts((), (), rows, ()), ())
    must_agree(world, Span(0, 100))


def test_negative_counts_are_refused() -> None:
    """Theorem 4: a part above its whole is an error, not a negative bucket."""
    usage = a_usage("call-0", tokens=Tokens(input=5, cache_read=6))
    with pytest.raises(BooksError, match="theorem 4"):
        related(World((), Facts((usage,), (), (), ()), ()), Span(0, 100))
    with pytest.raises(BooksError, match="theorem 4"):
        by_customer(World((), Facts((usage,), (), (), ()), ()), Span(0, 100))


def test_the_audit_method_is_left_to_the_definition() -> None:
    """M3 samples orders of calls; the engine says so instead of guessing."""
    facts = Facts((), (), an_interval((0, 100), {State.ACTIVE: 100}), ())
    rules = Rules(
        tuple(replace(pool, method=Method.SHAPLEY) for pool in RULES.pools), RULES.catalog
    )
    with pytest.raises(BooksError, match="--engine reference"):
        related(World((a_charge("one", "1", (0, 100)),), facts, ()), Span(0, 100), rules)


def test_files_and_recent_facts_are_one_lake(tmp_path: Path) -> None:
    """Sealed and recent facts make the figures of both together."""
    legs = [a_leg("replica-1", (0, 9), Tokens(input=60, output=20))]
    usages = tuple(
        a_usage(f"call-{n}", customer=name, tokens=Tokens(input=60, output=20), legs=legs)
        for n, name in enumerate(["acme", "burns", "acme"])
    )
    capacity = an_interval((0, 100), {State.ACTIVE: 60, State.IDLE: 40})
    world = World((a_charge("one", "1.00", (0, 100)),), Facts(usages, (), capacity, ()), ())
    path = tmp_path / "usage.parquet"
    pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES["usage"], usages[:2])]), path)
    with DuckEngine(folder=tmp_path) as engine:
        lake = lake_of(engine, {"usage": [str(path)]}, Facts(usages[2:], (), capacity, ()))
        found = compute_on(
            engine, lake, Inputs(world.charges, NO_FACTS, (), GAAP, "USD", Span(0, 100), RULES)
        )
    assert found.lines == defined(world, Span(0, 100)).lines


@pytest.mark.parametrize("sealed", [1, 2])
def test_files_of_a_former_version_are_read_beside_newer_ones(tmp_path: Path, sealed: int) -> None:
    """Columns that former files lack are zero, also within attempts, beside newer files and memory."""
    table = LAKE_TABLES["usage"]
    legs = [a_leg("replica-1", (0, 9), Tokens(input=60, output=20)), a_leg(None, (9, 10), Tokens())]
    usages = tuple(
        a_usage(f"call-{n}", customer=name, tokens=Tokens(input=60, output=20), legs=legs)
        for n, name in enumerate(["acme", "burns", "acme"])
    )
    batches = [pa.Table.from_batches([batch_of(table, [usage])]) for usage in usages]
    batches[0] = as_of_before(batches[0], len(table.added))
    files = [str(tmp_path / f"{number}.parquet") for number in range(sealed)]
    for batch, path in zip(batches, files, strict=False):
        pq.write_table(batch, path)
    capacity = an_interval((0, 100), {State.ACTIVE: 60, State.IDLE: 40})
    world = World((a_charge("one", "1.00", (0, 100)),), Facts(usages, (), capacity, ()), ())
    with DuckEngine(folder=tmp_path) as engine:
        lake = lake_of(engine, {"usage": files}, Facts(usages[sealed:], (), capacity, ()))
        found = compute_on(
            engine, lake, Inputs(world.charges, NO_FACTS, (), GAAP, "USD", Span(0, 100), RULES)
        )
        bought = lake.bought()
    assert found.lines == defined(world, Span(0, 100)).lines
    assert bought == usages


def test_a_price_of_more_than_64_bits_is_exact_alike() -> None:
    """Ten million of a small currency for one token, a hundred for each call: tokens times price."""
    prices = Price(Unit.REQUESTS, PerUnit(10**20)), Price(Unit.INPUT_TOKENS, PerUnit(2**63 + 1))
    plan = PricePlan(CustomerId("acme"), 0, Terms("USD", prices))
    usages = tuple(
        a_usage(f"call-{n}", customer="acme", tokens=Tokens(input=1_000 + n)) for n in range(3)
    )
    world = World((a_charge("gpu", "1.00", (0, 100)),), Facts(usages, (), (), ()), (plan,))
    must_agree(world, Span(0, 100))
    by_hand_pico = 3 * 10**20 + 3_003 * (2**63 + 1)
    assert by_customer(world, Span(0, 100)).revenue_pico == by_hand_pico


def test_the_largest_reports_are_divided_alike() -> None:
    """As much as one event may say, many times, at a price that nobody asks: exact by either."""
    start_ns, month_ns = 1_793_491_200 * 10**9, 32 * DAY_NS
    call = CallData(
        provider="p",
        model="m",
        start_ns=start_ns,
        end_ns=start_ns + DAY_NS,
        customer="acme",
        purpose=Purpose.SERVE_PAID,
        request_bytes=10**12,
        response_bytes=10**12,
        told_cost_pico=10**15,
        **{f"{name}_tokens": 10**9 for name in ("input", "output", "cache_read", "reasoning")},
        **dict.fromkeys(("images", "audio_ms", "characters", "searches"), 10**9),
    )
    span = (start_ns, start_ns + month_ns)
    exabyte = 10**18 * month_ns // 10**9
    held = ActivityData("bucket", Purpose.DATA_PREP, *span, exabyte, Unit.BYTE_SECONDS)
    used = ActivityData(
        "node-1", Purpose.TRAIN_GRADIENT, *span, month_ns + 10**9, Unit.NODE_NS, CustomerId("lab")
    )
    facts = Facts(
        tuple(call_of("b", f"{n:04}", call) for n in range(200)),
        (),
        (),
        tuple(
            activity_of("b", f"{n:04}", data)
            for n in range(50)
            for data in (held, used)[n % 2 :][:1]
        ),
    )
    charges = (
        a_charge("api", "9000000000.01", span, category="AI and Machine Learning", provider="p"),
        a_charge("machine", "9000000000.02", span),
        a_charge("disk", "9000000000.03", span, category="Storage", resource="bucket"),
    )
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "100000.00", "100000.01")
    world = World(charges, facts, (plan,))
    must_agree(world, Span(*span))
    assert (
        by_customer(world, Span(*span)).revenue_pico
        == build_statement(defined(world, Span(*span))).revenue_pico
    )


def as_of_before(rows: pa.Table, added: int) -> pa.Table:
    """`rows` without the last `added` columns, and attempts without those that were added to them."""
    legs = rows["legs"].combine_chunks()
    first = [legs.values.field(n) for n in range(15)]
    fields = [legs.type.value_type.field(n) for n in range(15)]
    former = pa.ListArray.from_arrays(
        legs.offsets, pa.StructArray.from_arrays(first, fields=fields)
    )
    place = rows.schema.get_field_index("legs")
    return rows.select(rows.schema.names[:-added]).set_column(place, "legs", former)


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    """A truncated Parquet names itself; nothing is drawn up."""
    path = tmp_path / "usage.parquet"
    pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES["usage"], [])]), path)
    path.write_bytes(path.read_bytes()[:-10])
    with DuckEngine() as engine, pytest.raises(BooksError, match=r"usage\.parquet"):
        _ = lake_of(engine, {"usage": [str(path)]}).usage
