"""Sums by day beside sealed files: the same bytes as from the rows, whatever an edge cuts."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.sealed_days import SealedDays, stretched

from inferworks.accounts.credit import Credit
from inferworks.accounts.directory import Directory, Merge, Zoned
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import NOTHING_PREPAID, Prepaid
from inferworks.books.calendar.span import Span
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.customer_statement import canonical, close_by_customer
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import Lake
from inferworks.books.statement.computation import Inputs, Rules, shipped_rules
from inferworks.books.statement.statement import build_statement
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, batch_of
from inferworks.meter.archive.sums import KINDS, TooLargeError
from inferworks.meter.capacity import State
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Tokens
from inferworks.money import PICO
from inferworks.testing.books import World, a_charge, a_leg, a_usage, an_interval, worlds

pytestmark = pytest.mark.slow

GAAP, RULES = load_policy("gaap"), shipped_rules()


def aligned(world: World, dice: random.Random) -> World:
    """`world` with some edges of charges and plans moved to the beginning of their day."""

    def day(at_ns: int) -> int:
        return at_ns - at_ns % DAY_NS if dice.random() < 0.9 else at_ns

    charges = []
    for charge in world.charges:
        start_ns, end_ns = day(charge.period_start_ns), day(charge.period_end_ns)
        end_ns = end_ns if end_ns > start_ns else start_ns + DAY_NS
        charges.append(replace(charge, period_start_ns=start_ns, period_end_ns=end_ns))
    plans = [replace(plan, effective_ns=day(plan.effective_ns)) for plan in world.plans]
    return World(tuple(charges), world.facts, tuple(plans))


def reported(facts: Facts, dice: random.Random) -> Facts:
    """`facts` with some calls reported by others, and some of those taken back."""
    ours = {part.call_id for step in facts.steps for part in step.calls}
    usages, retracted = [], []
    for usage in facts.usages:
        if usage.call_id not in ours and dice.random() < 0.5:
            if dice.random() < 0.3:
                at_ns = usage.opened_ns
                retracted.append(Retracted("x", usage.call_id, at_ns, at_ns + 1, 1, "k", "test"))
            usage = replace(usage, call_id=reported_call_id("x", usage.call_id))
        usages.append(usage)
    return replace(facts, usages=tuple(usages), retracted=tuple(retracted))


@settings(max_examples=4)
@given(worlds(), st.integers(0, 20), st.integers(1, 12), st.randoms(use_true_random=False))
def test_sums_and_rows_give_the_same_bytes(
    world: World, first: int, days: int, dice: random.Random
) -> None:
    """Of spans of whole days and others, late pieces, prices amid a day, merges, credit, all at once."""
    world = aligned(stretched(world), dice)
    facts = reported(world.facts, dice)
    offset_ns = dice.choice([0, 0, 0, DAY_NS // 3])
    span = Span((first // 4) * DAY_NS + offset_ns, (first // 4 + days) * DAY_NS)
    rules, prepaid = RULES, NOTHING_PREPAID
    if dice.random() < 0.3:
        at_ns = dice.choice([2 * DAY_NS, 3 * DAY_NS + 7])
        merge = Merge(CustomerId("burns"), at_ns, CustomerId("acme"))
        fields = {name: getattr(RULES, name) for name in RULES.__struct_fields__}
        zone = Zoned(CustomerId("acme"), dice.choice([0, DAY_NS * 2 + 5]), "Asia/Kolkata")
        rules = Rules(**{**fields, "customers": Directory((merge,), zones=(zone,))})
    if dice.random() < 0.3:
        credit = Credit("credit-1", CustomerId("acme"), 0, 7 * PICO, "USD", 3 * DAY_NS)
        prepaid = Prepaid((credit,))
    around = (max(0, span.start_ns - DAY_NS), span.end_ns)
    with tempfile.TemporaryDirectory() as folder, DuckEngine() as engine:
        sealed = SealedDays(Path(folder), facts, dice)
        given_ = (world.charges, world.plans, GAAP, "USD", span, rules, prepaid)
        plain, summed = (
            canonical(
                close_by_customer(
                    engine,
                    sealed.lake(engine, summed=with_sums).within(*around),
                    Inputs(given_[0], NO_FACTS, *given_[1:]),
                )
            )
            for with_sums in (False, True)
        )
        assert summed == plain
        bought = [sealed.lake(engine, summed=of).within(*around).bought() for of in (False, True)]
        assert bought[0] == bought[1]
        if dice.random() < 0.2:  # by target, only intervals of machines come from sums
            whole, other = (
                build_statement(
                    compute_on(
                        engine,
                        sealed.lake(engine, summed=of).within(*around),
                        Inputs(given_[0], NO_FACTS, *given_[1:]),
                    )
                )
                for of in (False, True)
            )
            assert whole == other


@pytest.fixture
def whole_days(tmp_path: Path) -> Iterator[tuple[DuckEngine, Lake, tuple[object, ...]]]:
    """A day of calls and of a replica, sealed with sums, whose files of rows are then made useless."""
    leg = a_leg("replica-1", (DAY_NS + 5, DAY_NS + 9), Tokens(input=60, output=20))
    over = a_leg("replica-1", (2 * DAY_NS - 5, 2 * DAY_NS + 5), Tokens(input=10, output=10))
    usages = tuple(
        a_usage(f"call-{n}", customer=name, opened_ns=DAY_NS + n, tokens=leg.tokens, legs=legs)
        for n, (name, legs) in enumerate(
            [("acme", [leg]), ("burns", [leg, over]), ("acme", [leg, leg])]
        )
    )
    rows = (
        *an_interval((DAY_NS, DAY_NS + 100), {State.ACTIVE: 60, State.IDLE: 40}),
        *an_interval((DAY_NS + 100, 2 * DAY_NS), {State.ACTIVE: DAY_NS - 100}),
    )
    sealed = SealedDays(tmp_path, Facts(usages, (), rows, ()), random.Random(1))
    files = {"usage": usages, "capacity": rows}
    sealed.files.clear()
    sealed.sums.clear()
    for name, of in files.items():
        sealed.seal(tmp_path / f"{name}.parquet", name, 1, of, _Always())
    sealed.rest = Facts((), (), (), ())
    for paths in sealed.files.values():
        for path in paths:
            Path(path).write_bytes(b"never read")
    charges = (a_charge("one", "1.000000000007", (DAY_NS, 2 * DAY_NS)),)
    plans = (PricePlan.per_million(CustomerId("acme"), 0, "USD", "2.00", "6.00"),)
    with DuckEngine() as engine:
        yield engine, sealed.lake(engine, summed=True), (charges, plans, GAAP, "USD")


class _Always(random.Random):
    """Dice that always fall low."""

    def random(self) -> float:
        """The least there is."""
        return 0.0


def test_whole_days_are_drawn_from_sums_alone(
    whole_days: tuple[DuckEngine, Lake, tuple[Any, ...]],
) -> None:
    """No file of rows is opened where no edge lies amid a day; where one does, the rows are asked."""
    engine, lake, given_ = whole_days
    statement = close_by_customer(
        engine, lake, Inputs(given_[0], NO_FACTS, *given_[1:], Span(DAY_NS, 2 * DAY_NS), RULES)
    )
    assert statement.calls == 3
    assert lake.bought() == ()
    assert {row.name: row.revenue_pico for row in statement.rows}["acme"] == 2 * (
        60 * 2_000_000 + 20 * 6_000_000
    )
    with pytest.raises(BooksError, match=r"\.parquet"):
        close_by_customer(
            engine,
            lake,
            Inputs(given_[0], NO_FACTS, *given_[1:], Span(DAY_NS, 2 * DAY_NS - 1), RULES),
        )


def test_there_are_no_sums_that_might_leave_64_bits(tmp_path: Path) -> None:
    """Rows are asked where sums might leave 64 bits; they are summed in 128."""
    usages = [a_usage(f"call-{n}", tokens=Tokens(input=2**62), opened_ns=n) for n in range(2)]
    path = tmp_path / "usage.parquet"
    pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES["usage"], usages)]), path)
    with pytest.raises(TooLargeError):
        KINDS["calls"].sums_of(pq.ParquetFile(path), 0)
