"""Spark against DuckDB: the same bytes, from the same expressions."""

from __future__ import annotations

import gc
import importlib.util
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import Phase, given, seed, settings
from tests.support.sealed_days import SealedDays, stretched

from inferworks.accounts.directory import Directory, Zoned
from inferworks.accounts.plan import Graduated, Price, PricePlan, Terms, Tier
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.calendar.months import DAY_NS, date_of, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.currency import RateRow, Rates
from inferworks.books.engines.base import Engine, integers, total, whole
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.customer_statement import canonical, close_by_customer
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import lake_of
from inferworks.books.engines.spark import SparkEngine
from inferworks.books.revenue.customer_currency import day_rates
from inferworks.books.statement.computation import Inputs, shipped_rules
from inferworks.books.statement.statement import build_statement, whole_span
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import World, a_usage, worlds
from inferworks.units import Unit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Py4J leaves it to the garbage collector to close its sockets."""

FOR_TINY_DATA = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.constraintPropagation.enabled": "false",  # it takes longer than the data does
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
        "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    ),
}
"""Nearly all the time goes into plans, and into verifying and compiling Java that runs once."""
GAAP, RULES = load_policy("gaap"), shipped_rules()
NOVEMBER = month_of(20_410 * DAY_NS)
ACME, BURNS = CustomerId("acme"), CustomerId("burns")
ZONES = (
    Zoned(ACME, 0, "Asia/Kolkata"),
    Zoned(BURNS, 0, "America/New_York"),
    Zoned(BURNS, NOVEMBER.start_ns + 9 * DAY_NS, "Pacific/Apia"),
)


def reason_to_skip() -> str | None:
    """Reason why Spark cannot run here, or None."""
    if importlib.util.find_spec("pyspark") is None:
        return "PySpark is not installed (.venv/bin/pip install -e '.[spark]')"
    if shutil.which("java") is None:
        return "Spark needs Java 17, and there is no java here"
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    if told.returncode:
        return f"java does not run: {told.stderr.strip()[:80]}"
    return None


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """One session for the tests of this module."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("spark")
    with SparkEngine(folder=folder, partitions=1, settings=FOR_TINY_DATA) as engine:
        yield engine
    gc.collect()  # here, where the warnings of Py4J's sockets are not errors


def some_worlds(number: int) -> list[World]:
    """The last and so largest of a seeded row of random worlds, however long a busy machine takes."""
    drawn: list[World] = []

    @seed(20)
    @settings(max_examples=12, database=None, phases=[Phase.generate])
    @given(worlds())
    def draw(world: World) -> None:
        drawn.append(world)

    draw()
    return sorted(drawn, key=lambda world: len(world.facts.steps) * len(world.charges))[-number:]


def statement_bytes(engine: Engine, world: World) -> bytes:
    """The whole statement and its entries, as bytes; two customers have clocks of their own."""
    span = Span(*whole_span(world.charges, world.facts))
    rules = msgspec.structs.replace(RULES, customers=Directory(zones=ZONES))
    lake = lake_of(engine, {}, world.facts)
    drawn = build_statement(
        compute_on(
            engine, lake, Inputs(world.charges, NO_FACTS, world.plans, GAAP, "USD", span, rules)
        )
    )
    return msgspec.json.encode([drawn.to_json(), msgspec.to_builtins(drawn.entries)])


def test_sums_of_64_bits_are_exact(spark: SparkEngine) -> None:
    """The nanoseconds of a fleet, in all and by window, are more than 64 bits hold, on either engine."""
    values = [2**63 - 1, 5, 2**63 - 1, 2**62]
    rows = pa.table({"of": ["a", "a", "b", "b"], "ns": pa.array(values, pa.int64())})
    with DuckEngine() as duck:
        for engine in (duck, spark):
            given = engine.table(rows)
            whole_ns = engine.fetch(given.agg(ns=total(given.ns)))["ns"]
            assert integers(whole_ns) == [sum(values)]
            each = given.mutate(all_=whole(given.ns.sum().over(group_by="of")))
            assert sorted(integers(engine.fetch(each)["all_"])) == sorted(
                2 * [2**63 + 4, 2**63 - 1 + 2**62]
            )


def test_statements_are_the_same_bytes(spark: SparkEngine) -> None:
    """A random world's statement and entries, by target, on both engines."""
    for world in some_worlds(1):
        with DuckEngine() as duck:
            expected = statement_bytes(duck, world)
        assert statement_bytes(spark, world) == expected


def test_statements_by_customer_are_the_same_bytes(spark: SparkEngine, tmp_path: Path) -> None:
    """A random world of some days: by its sums on Spark, bills in another order, what DuckDB makes of rows.

    Days that something cuts are read from rows there, too.
    """
    [world] = some_worlds(1)
    world = stretched(world)
    sealed = SealedDays(tmp_path, world.facts, random.Random(1))
    assert {kind for _, kind, _, _ in sealed.sums} == {"calls", "attempts", "intervals"}
    end_ns = whole_span(world.charges, world.facts)[1]
    given = (world.charges, world.plans, GAAP, "USD", Span(0, end_ns - end_ns % DAY_NS), RULES)
    with DuckEngine() as duck:
        expected = canonical(
            close_by_customer(
                duck, sealed.lake(duck, summed=False), Inputs(given[0], NO_FACTS, *given[1:])
            )
        )
    lake = sealed.lake(spark, summed=True)
    turned = (world.charges[::-1], *given[1:])
    assert (
        canonical(close_by_customer(spark, lake, Inputs(turned[0], NO_FACTS, *turned[1:])))
        == expected
    )


def test_clocks_and_currencies_are_the_same_on_both(spark: SparkEngine) -> None:
    """Months and days by two clocks, one of which moves, tiers and fees, and prices in euros."""
    terms = Terms("EUR", (Price(Unit.OUTPUT_TOKENS, Graduated((Tier(60, 10), Tier(None, 4)))),))
    fees = msgspec.structs.replace(terms, currency="USD", minimum_pico=10**9)
    plans = [PricePlan(ACME, 0, terms), PricePlan(BURNS, 0, fees)]
    calls = tuple(
        a_usage(f"{who}-{n}", customer=who, opened_ns=at_ns, tokens=Tokens(output=n % 9))
        for who in (ACME, BURNS)
        for n, at_ns in enumerate(range(*NOVEMBER, 5 * DAY_NS // 24))
    )
    rates = Rates(
        RateRow(date_of(day_ns).isoformat(), "EUR", "USD", f"1.{n:02}", "a bank")
        for n, day_ns in enumerate(range(*NOVEMBER, 6 * DAY_NS))
    )
    prepaid = Prepaid(to_date=(), rates=day_rates(rates, ["EUR"], "USD", NOVEMBER))
    rules = msgspec.structs.replace(RULES, customers=Directory(zones=ZONES))
    last = (plans, GAAP, "USD", NOVEMBER, rules, prepaid)

    def drawn(engine: Engine) -> bytes:
        lake = lake_of(engine, {}, Facts(calls, (), (), ()))
        return canonical(close_by_customer(engine, lake, Inputs((), NO_FACTS, *last)))

    with DuckEngine() as duck:
        expected = drawn(duck)
    assert drawn(spark) == expected
