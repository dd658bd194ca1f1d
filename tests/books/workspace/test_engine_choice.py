"""Choice of the engine of a statement: the same bytes from each, a quick start for few records."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.command_line import invoke, run

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Rules, shipped_rules
from inferworks.books.statement.statement import Dimension
from inferworks.books.workspace.engine_choice import (
    MANY_FACTS,
    chosen,
    facts_recorded,
    why_unable,
)
from inferworks.books.workspace.settings import EngineName
from inferworks.config import Config, Data
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_leg, a_step, a_usage, an_interval
from inferworks.wiring.books import book_settings

DAY_NS = 1_795_219_200 * 10**9  # 2026-11-21
SECOND_NS = 10**9
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Compute,node-1
1.00,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,A Cloud,Networking,
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A month with bills in which two customers were served, one of whom has no price plan."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, DAY_NS, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, DAY_NS), plan)
        accounts.add_customer(Customer(CustomerId("burns"), DAY_NS), None)
    _serve(folder)
    Path("bill.csv").write_text(BILL)
    run("books", "import", "bill.csv")
    return folder


def _serve(folder: DataFolder) -> None:
    tokens = Tokens(input=1_000_000, output=500_000)
    legs = [a_leg("replica-1", (DAY_NS, DAY_NS + 4 * SECOND_NS), tokens)]
    states = {State.ACTIVE: 4 * SECOND_NS, State.IDLE: 6 * SECOND_NS}
    calls = [
        a_usage(f"call-{n}", customer=who, opened_ns=DAY_NS + n, tokens=tokens, legs=legs)
        for n, who in enumerate(("acme", "burns", "acme"))
    ]
    step = a_step(0, DAY_NS, 4 * SECOND_NS, [("call-0", 10, 0, 0), ("call-1", 7, 0, 0)])
    store = SqliteStore(folder.journal)
    store.open()
    try:
        store.write([*calls, step, *an_interval((DAY_NS, DAY_NS + 10 * SECOND_NS), states)])
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        ("--json",),
        ("--json", "--period", "2026-11"),
        ("--by", "customer"),
        ("--by", "customer", "--period", "2026-11", "--policy", "full"),
        ("--by", "model", "--from", "2026-11-01", "--to", "2026-12-01"),
    ],
)
def test_every_engine_prints_the_same_bytes(served: DataFolder, asked: tuple[str, ...]) -> None:
    """The definition, DuckDB and what chooses between them, for dates and for an open period."""
    printed = {
        engine: invoke("books", "statement", *asked, "--engine", engine)
        for engine in ("reference", "duckdb", "auto")
    }
    assert not any(result.exit_code for result in printed.values()), printed
    assert len({result.output for result in printed.values()}) == 1


def _never() -> int:
    raise AssertionError("the facts need not be counted")


@pytest.mark.parametrize(
    ("wanted", "count", "engine"),
    [
        (EngineName.AUTO, lambda: MANY_FACTS - 1, EngineName.REFERENCE),
        (EngineName.AUTO, lambda: MANY_FACTS, EngineName.DUCKDB),
        (EngineName.REFERENCE, _never, EngineName.REFERENCE),
        (EngineName.DUCKDB, _never, EngineName.DUCKDB),
        (EngineName.SPARK, _never, EngineName.SPARK),
    ],
)
def test_few_facts_go_to_the_definition(
    wanted: EngineName, count: Callable[[], int], engine: EngineName
) -> None:
    """The number of facts decides unless somebody names an engine, and is counted only then."""
    assert chosen(wanted, count, "") == (engine, "")


def test_what_relations_cannot_do_the_definition_does() -> None:
    """M3 and cuts by place name their reason; small books, where the definition runs anyway, do not."""
    sampled = tuple(replace(pool, method=Method.SHAPLEY) for pool in shipped_rules().pools)
    assert "M3" in why_unable(Rules(sampled, shipped_rules().catalog), None)
    assert "by region" in why_unable(shipped_rules(), Dimension.REGION)
    assert not why_unable(shipped_rules(), Dimension.CUSTOMER)
    large = chosen(EngineName.AUTO, lambda: MANY_FACTS, "it cannot")
    assert large.engine is EngineName.REFERENCE
    assert "not by duckdb: it cannot" in large.note
    assert chosen(EngineName.AUTO, lambda: 0, "it cannot") == (EngineName.REFERENCE, "")


def test_a_note_says_who_drew_it_up_instead(served: DataFolder) -> None:
    """Revenue by region is the definition's; the figures are on the output, the note beside it."""
    asked = ("books", "statement", "--by", "region", "--period", "2026-11", "--engine")
    defined, instead = (invoke(*asked, engine) for engine in ("reference", "duckdb"))
    assert instead.stdout == defined.stdout
    assert instead.stderr.count("\n") == 1
    assert "not by duckdb: a cut by region" in instead.stderr


def test_a_closed_period_is_read_from_its_seal(served: DataFolder) -> None:
    """An engine has nothing to draw up there, and says so."""
    run("books", "close", "2026-11", "--begin")
    sealed = invoke("books", "statement", "--period", "2026-11")
    asked = invoke("books", "statement", "--period", "2026-11", "--engine", "duckdb")
    assert asked.stdout == sealed.stdout
    assert "read from their seals" in asked.stderr
    assert not sealed.stderr


def test_facts_are_counted_without_being_read(served: DataFolder) -> None:
    """Three calls, a step and two states; whole files and journals count, whatever the span."""
    config = Config(data=Data(folder=str(served.path)))
    assert facts_recorded(book_settings(config), Span(DAY_NS, DAY_NS + 1)) == 6
    assert facts_recorded(book_settings(Config(data=Data(folder="nowhere"))), Span(0, 1)) == 0


@pytest.mark.slow
def test_small_books_do_not_wait_for_an_engine(served: DataFolder) -> None:
    """Neither Ibis nor DuckDB is imported where the definition draws the statement up."""
    code = (
        "import sys; from inferworks.cli.main import cli\n"
        "try: cli(['books', 'statement', '--by', 'customer'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'ibis', 'duckdb'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"
