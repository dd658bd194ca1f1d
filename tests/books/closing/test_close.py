"""Closing, correcting, reopening and auditing, on small books whose figures one can work out by hand."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.closed_books import DOLLAR, FIRST_PERIOD, SECOND, THIRD, Recorded, closed

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.entries import FIRST_JOURNAL
from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.pools import Method
from inferworks.books.charge import ChargeId, NaturalClass
from inferworks.books.closing.audit import audit, audit_chain, contains
from inferworks.books.closing.close import (
    reopen_period,
    sealed_inputs,
    sealed_paper,
    statement_of,
)
from inferworks.books.closing.inputs import reference_statement, sealed_inputs_of
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import (
    FIRST,
    Body,
    Close,
    body_of_json,
    line_of,
)
from inferworks.books.period import Period, Status
from inferworks.books.statement.computation import Rules, shipped_rules
from inferworks.errors import BooksError, DataFolderError, UserError
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import NO_FACTS
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_leg, a_usage, an_interval


def test_a_close_seals_the_statement(ledger: Ledger) -> None:
    """The record says who, when, by which rules and from how many of each input; the period is closed."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    record = done.record
    assert (record.by, record.at_ns, record.policy, record.previous) == (
        "ann",
        1_000,
        "gaap",
        FIRST,
    )
    rows = {part.name: part.rows for part in record.parts}
    assert (rows["inputs/charges"], rows["inputs/usages"], rows["inputs/plans"]) == (1, 2, 1)
    assert ledger.periods().status(FIRST_PERIOD) is Status.CLOSED
    assert statement_of(ledger, source, FIRST_PERIOD) == done.statement
    assert contains(ledger, done.sha256)
    assert audit(ledger, source) == ()


def test_what_an_earlier_version_closed_comes_out_as_it_was(ledger: Ledger) -> None:
    """Theorem 12: it keeps its way of making entries, as do its corrections; later periods have ours."""
    source = Recorded()
    source.charges.append(replace(source.charges[0], id=ChargeId("wear"), invoice="Rack", **_WORN))
    source.rules = replace(source.rules, journal=FIRST_JOURNAL)
    closed(ledger, source, FIRST_PERIOD)
    source.rules = shipped_rules()
    late = replace(source.charges[1], id=ChargeId("late wear"))
    source.charges += [
        late,
        replace(late, id=ChargeId("next"), period_start_ns=100, period_end_ns=200),
    ]
    second = closed(ledger, source, SECOND).statement
    assert audit(ledger, source) == ()
    credited = {
        p.account: p.amount_pico for e in second.entries for p in e.postings if p.amount_pico < 0
    }
    assert credited["Liabilities:Payable:a-cloud"] == -DOLLAR
    assert credited["Assets:AccumulatedDepreciation:Rack"] == -DOLLAR


def test_what_was_sealed_without_a_field_comes_out_as_it_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules and statements say more than they did: a close that lacks it verifies, read as it was then.

    Names on bills had no table: they are compared as they are, and no text tells a model or tokens.
    """
    for module in ("close", "inputs"):
        monkeypatch.setattr(f"inferworks.books.closing.{module}.body_of", body_of_before)
    source, shipped = Recorded(), shipped_rules()
    source.rules = Rules(shipped.pools, shipped.catalog)
    api = {"service_category": "AI and Machine Learning", "description": "big output tokens"}
    line = replace(source.charges[0], id=ChargeId("known"), provider="Elsewhere Ltd", **api)
    unknown = replace(line, id=ChargeId("unknown"), provider="Elsewhere, Inc.")
    source.charges += [line, unknown]
    calls = ("acme", "big", Tokens(input=30, output=10)), ("burns", "small", Tokens(input=40))
    usages = [
        a_usage(name, customer=name, model=model, tokens=tokens, opened_ns=5,
                legs=[a_leg(None, (5, 9), tokens, provider="elsewhere")])
        for name, model, tokens in calls
    ]  # fmt: skip
    source.facts = replace(source.facts, usages=(*source.facts.usages, *usages))
    own = closed(ledger, source, FIRST_PERIOD).statement
    costs = Counter[str | None]()
    for one in own.lines:
        costs[one.target.customer] += one.amount_pico if one.pool == "providers" else 0
    assert +costs == {"acme": DOLLAR // 2, "burns": DOLLAR // 2, None: DOLLAR}
    source.rules = shipped
    assert closed(ledger, source, SECOND, accept="none").statement.billed_pico == 0
    assert audit(ledger, source) == ()


def body_of_before(name: str, value: Any) -> Body:
    """The part of `value` without the fields that are as they are where nothing is said of them."""
    told = msgspec.json.decode(line_of(value))
    for field in msgspec.structs.fields(value):
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
            continue
        made = field.default_factory
        unsaid = field.default if made is msgspec.NODEFAULT else made()
        if getattr(value, field.name) == unsaid:
            told.pop(field.encode_name, None)
    return body_of_json(name, told)


_WORN = {"natural_class": NaturalClass.DEPRECIATION, "resource_id": None}


def test_closed_is_closed_whatever_changes_later(ledger: Ledger) -> None:
    """Theorem 12: new prices, another policy and other rules do not move it by a byte."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    paper = sealed_paper(ledger, FIRST_PERIOD)
    source.plans.append(PricePlan.per_million(CustomerId("acme"), 1, "USD", "9", "9"))
    source.policy = load_policy("full")
    pools = tuple(replace(pool, method=Method.FLAT) for pool in source.rules.pools)
    source.rules = Rules(pools, source.rules.catalog)
    assert (
        sealed_paper(ledger, FIRST_PERIOD) == paper == msgspec.json.encode(done.statement.to_json())
    )
    assert statement_of(ledger, source, FIRST_PERIOD) == done.statement
    assert statement_of(ledger, source, SECOND).corrections == ()
    assert audit(ledger, source) == ()


def test_periods_are_closed_in_order(ledger: Ledger) -> None:
    """No period is closed twice, over a gap, before earlier records, or overlapping another."""
    source = Recorded()
    source.earliest = 5
    with pytest.raises(UserError, match="is still open"):
        closed(ledger, source, SECOND)
    closed(ledger, source, FIRST_PERIOD, begin=True)
    for period, reason in (
        (FIRST_PERIOD, "is closed"),
        (THIRD, "closed in order"),
        (Period(50, 150, "half"), "overlaps period p0"),
    ):
        with pytest.raises(UserError, match=reason):
            closed(ledger, source, period)
    closed(ledger, source, SECOND, accept="nothing happened")
    assert [period.name for period in ledger.periods().closed] == ["p0", "p1"]


def test_a_period_without_records_is_closed_for_a_reason_only(ledger: Ledger) -> None:
    """A data folder named by mistake is not sealed as zeros; a month without business can be."""
    source = Recorded()
    source.charges.clear()
    source.facts = NO_FACTS
    with pytest.raises(UserError, match=r'p0 cannot be closed: nothing .*--accept "REASON"'):
        closed(ledger, source, FIRST_PERIOD)
    assert ledger.records() == []
    record = closed(ledger, source, FIRST_PERIOD, accept="founded in p1").record
    assert (record.reason, record.accepted) == ("founded in p1", ("nothing recorded in p0",))
    source.charges.append(a_charge("free", "0", (120, 130)))
    assert closed(ledger, source, SECOND).record.accepted == ()
    assert audit(ledger, source) == ()


def test_a_period_before_the_first_closed_one_is_not_closed(ledger: Ledger) -> None:
    """The refusal names the closed periods in its way, and no open one whose close would not help."""
    source = Recorded()
    closed(ledger, source, SECOND, begin=True, accept="none")
    with pytest.raises(
        UserError, match="p0 cannot be closed: it lies before p1, the first"
    ) as told:
        closed(ledger, source, FIRST_PERIOD)
    assert "books reopen p1" in str(told.value)


def test_what_is_in_quarantine_must_be_accepted(ledger: Ledger) -> None:
    """The refusal lists it; the record keeps the reason, and the next close does not ask again."""
    source = Recorded()
    source.quarantine = {"charge chg_7": "two amounts"}
    with pytest.raises(UserError, match=r"chg_7: two amounts\n.*--accept"):
        closed(ledger, source, FIRST_PERIOD)
    record = closed(ledger, source, FIRST_PERIOD, accept="disputed").record
    assert (record.reason, record.accepted) == ("disputed", ("charge chg_7",))
    source.charges.append(a_charge("next", "1", (100, 200)))
    assert closed(ledger, source, SECOND, accept="unasked").record.reason == ""


def test_a_statement_that_breaks_a_theorem_is_not_sealed(ledger: Ledger) -> None:
    """Overlapping intervals: the period stays open and the ledger empty."""
    source = Recorded()
    more = an_interval((50, 120), {State.IDLE: 70})
    source.facts = replace(source.facts, capacity=(*source.facts.capacity, *more))
    with pytest.raises(BooksError, match="overlap"):
        closed(ledger, source, FIRST_PERIOD)
    assert ledger.chain() == []


def test_reopening_leaves_a_record(ledger: Ledger) -> None:
    """With who, when and why; the old close stays verifiable, the new one follows in the chain."""
    source = Recorded()
    first = closed(ledger, source, FIRST_PERIOD)
    record, sha256 = reopen_period(ledger, FIRST_PERIOD, reason="wrong price", by="bob", at_ns=7)
    assert (record.by, record.at_ns, record.reason, record.supersedes) == (
        "bob",
        7,
        "wrong price",
        0,
    )
    assert ledger.periods().status(FIRST_PERIOD) is Status.OPEN
    assert sealed_paper(ledger, FIRST_PERIOD) is None
    source.plans[0] = PricePlan.per_million(CustomerId("acme"), 0, "USD", "2", "2")
    again = closed(ledger, source, FIRST_PERIOD)
    assert again.record.previous == sha256
    assert again.statement.revenue_pico == 2 * first.statement.revenue_pico
    assert audit(ledger, source) == ()
    assert contains(ledger, first.sha256)


def test_what_may_not_be_reopened(ledger: Ledger) -> None:
    """An open period, one that others rest on, and any without a reason."""
    source = Recorded()
    with pytest.raises(UserError, match="not closed"):
        reopen_period(ledger, FIRST_PERIOD, reason="x", by="bob", at_ns=7)
    closed(ledger, source, FIRST_PERIOD)
    closed(ledger, source, SECOND, accept="nothing happened")
    with pytest.raises(UserError, match="depends on it"):
        reopen_period(ledger, FIRST_PERIOD, reason="x", by="bob", at_ns=7)
    with pytest.raises(UserError, match="--reason"):
        reopen_period(ledger, SECOND, reason=" ", by="bob", at_ns=7)


def test_a_closed_period_can_be_seen_under_another_policy(ledger: Ledger) -> None:
    """From what was sealed with it, not from what is recorded today."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    source.charges.clear()
    inputs = sealed_inputs(ledger, FIRST_PERIOD)
    assert inputs is not None
    assert reference_statement(inputs) == done.statement
    assert reference_statement(replace(inputs, policy=load_policy("full"))).billed_pico == DOLLAR
    assert sealed_inputs(ledger, SECOND) is None


def test_the_ledger_refuses_to_be_changed(ledger: Ledger, tmp_path: Path) -> None:
    """The database itself refuses a change by another tool."""
    closed(ledger, Recorded(), FIRST_PERIOD)
    database = sqlite3.connect(tmp_path / "ledger.db")
    for statement in ("DELETE FROM record", "UPDATE kept SET body = x'00'"):
        with pytest.raises(sqlite3.IntegrityError, match="what is sealed never changes"):
            database.execute(statement)
    database.close()


def test_of_two_closers_one_is_refused(tmp_path: Path) -> None:
    """A record must follow the one that is last now; the loser is told and leaves nothing."""
    source = Recorded()
    with Ledger(tmp_path / "one.db") as other:
        record = closed(other, source, FIRST_PERIOD).record
    with Ledger(tmp_path / "two.db") as ledger:
        closed(ledger, source, FIRST_PERIOD)
        with pytest.raises(UserError, match="meanwhile"):
            ledger.append(record)
        assert len(ledger.chain()) == 1


def test_a_full_disk_leaves_the_period_open(ledger: Ledger) -> None:
    """One clear line, nothing half kept; with room again the same close works."""
    source = Recorded()
    used = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {used + 1}")
    with pytest.raises(DataFolderError, match="full"):
        closed(ledger, source, FIRST_PERIOD)
    assert ledger.chain() == []
    assert ledger._db.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    closed(ledger, source, FIRST_PERIOD)
    assert audit(ledger, source) == ()


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    """With both versions; and one that is no ledger."""
    database = sqlite3.connect(tmp_path / "newer.db")
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(DataFolderError, match="layout version 9"):
        Ledger(tmp_path / "newer.db")
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 40)
    with pytest.raises(DataFolderError, match="not a database"):
        Ledger(tmp_path / "text.db")


CLOSER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.support.closed_books import FIRST_PERIOD, Recorded
from inferworks.books.closing.close import CloseRequest, close_period, reopen_period
from inferworks.books.closing.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    source = Recorded()
    if FIRST_PERIOD in ledger.periods().closed:
        reopen_period(ledger, FIRST_PERIOD, reason="again", by="bob", at_ns=2)
    print("ready", flush=True)
    while True:
        close_period(ledger, source, CloseRequest(FIRST_PERIOD, "ann", 1))
        reopen_period(ledger, FIRST_PERIOD, reason="again", by="bob", at_ns=2)
        print("again", flush=True)
"""


@pytest.mark.slow
def test_a_close_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A real process closes and reopens without end, and is killed at any moment, again and again."""
    path, dice, before = tmp_path / "ledger.db", Random(11), 0
    for _ in range(5):
        command = [sys.executable, "-c", CLOSER, str(path), str(Path(__file__).parents[3])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for _ in range(dice.randrange(1, 4)):
                assert process.stdout.readline() == "again\n"
            time.sleep(dice.uniform(0, 0.05))  # the moment of the kill; any will do
            process.kill()
        with Ledger(path) as ledger:
            source, records = Recorded(), ledger.records()
            assert len(records) >= before, "what was closed is gone"
            before = len(records)
            assert tuple(audit_chain(ledger)) == ()
            for record in records[-3:]:
                if isinstance(record, Close):
                    again = reference_statement(sealed_inputs_of(ledger, record))
                    assert again == reference_statement(source.inputs(FIRST_PERIOD.span))
    assert before > 5, "hardly anything was closed"
