"""Closing, correcting, reopening and auditing, on small books whose figures one can work out by hand."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.entries import FIRST_JOURNAL, balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.closing.audit import audit, audit_chain, contains
from inferworks.books.closing.close import (
    CloseRequest,
    close_period,
    reopen_period,
    sealed_paper,
    sealed_papers,
    statement_of,
)
from inferworks.books.closing.inputs import Arrived, drawn, papers_of, without_a_lake
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import (
    FIRST,
    Body,
    Close,
    body_of,
    body_of_json,
    body_of_set,
    difference,
    line_of,
)
from inferworks.books.period import Period, Status
from inferworks.books.statement.computation import Inputs, Rules, shipped_rules
from inferworks.books.statement.corrections import corrected, replacement, reversal
from inferworks.books.statement.statement import Dimension, Statement
from inferworks.errors import BooksError, DataFolderError, UserError
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import World, a_charge, a_leg, a_step, a_usage, an_interval, worlds

FIRST_PERIOD, SECOND, THIRD = (Period(n * 100, n * 100 + 100, f"p{n}") for n in range(3))
DOLLAR = 10**12


class Recorded:
    """Books in memory; tests change them as they please."""

    def __init__(self) -> None:
        self.charges = [a_charge("gpu", "1", (0, 100))]
        usages = (a_usage("call-0", tokens=Tokens(input=7)), a_usage("call-1", opened_ns=1))
        steps = (a_step(0, 0, 50, [("call-0", 5, 0, 0), ("call-1", 0, 1, 9)]),)
        capacity = an_interval((0, 100), {State.ACTIVE: 50, State.IDLE: 50})
        self.facts = Facts(usages, steps, capacity, ())
        self.plans = [PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")]
        self.policy = load_policy("gaap")
        self.rules = shipped_rules()
        self.quarantine: dict[str, str] = {}
        self.earliest: int | None = None
        self.withdrawn: list[PricePlan] = []

    def papers(self, span: Span) -> Inputs:
        """Everything that is in `span`."""
        charges = tuple(
            c for c in self.charges if span.meet(c.period_start_ns, c.period_end_ns).length_ns
        )
        usages = tuple(u for u in self.facts.usages if u.opened_ns < span.end_ns)
        facts = replace(self.facts, usages=usages)
        return Inputs(charges, facts, self.plans, self.policy, "USD", span, self.rules)

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """The same without rules."""
        papers = self.papers(span)
        return Arrived(papers.charges, papers.facts)

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """None: there is no lake."""
        return without_a_lake(segments, span)

    def drawn(self, papers: Inputs) -> Statement:
        """Statement drawn up by the definition."""
        return drawn(papers)

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """Rows that the test put into quarantine."""
        return self.quarantine

    def withdrawn_plans(self) -> Sequence[PricePlan]:
        """Plans that the test declared mistakes."""
        return self.withdrawn

    def earliest_ns(self, before_ns: int) -> int | None:
        """Earliest fact, as the test has it."""
        return self.earliest

    def change_usage(self, at: int, **changes: Any) -> None:
        """Tamper with a call that is on record."""
        usages = list(self.facts.usages)
        usages[at] = replace(usages[at], **changes)
        self.facts = replace(self.facts, usages=tuple(usages))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def closed(ledger: Ledger, source: Any, period: Period, **options: Any) -> Any:
    """Close `period` at a fixed moment."""
    return close_period(ledger, source, CloseRequest(period, "ann", 1_000, **options))


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
    assert closed(ledger, source, SECOND).statement.billed_pico == 0
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


def test_a_late_bill_is_a_correction_in_the_open_period(ledger: Ledger) -> None:
    """Reversed as booked and booked anew; the sealed statement and the correction sum to the truth."""
    source = Recorded()
    before = closed(ledger, source, FIRST_PERIOD).statement
    source.charges.append(a_charge("late", "0.50", (0, 100)))
    after = statement_of(ledger, source, SECOND)
    [correction] = after.corrections
    assert correction.period == FIRST_PERIOD
    assert correction.causes == (f"charge {source.charges[1].id}",)
    assert after.billed_pico == after.allocated_pico == DOLLAR // 2
    truth = drawn(replace(source.papers(FIRST_PERIOD.span)))
    for function in {line.function for line in truth.lines}:
        summed = before.function_pico(function) + after.function_pico(function)
        assert summed == truth.function_pico(function)
    assert after.notes[-1].startswith("Late for the closed period p0, corrected here: 1 record: ")
    assert after.to_json()["corrections"][0]["billed"] == "0.50"  # type: ignore[index]


def test_a_late_bill_that_reaches_into_the_open_period_is_split(ledger: Ledger) -> None:
    """The part in the closed period is a correction, the rest an ordinary charge."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("both", "4", (75, 175)))
    statement = statement_of(ledger, source, SECOND)
    assert statement.billed_pico == 4 * DOLLAR
    assert statement.corrections[0].billed_pico == DOLLAR


def test_a_late_call_earns_at_the_sealed_price(ledger: Ledger) -> None:
    """Revenue of a late call is a correction, by the plan that was sealed and not a newer one."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.plans.append(PricePlan.per_million(CustomerId("acme"), 1, "USD", "9", "9"))
    late = a_usage("call-9", tokens=Tokens(input=100), opened_ns=20)
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    statement = statement_of(ledger, source, SECOND)
    assert statement.revenue_pico == 100 * 10**6
    assert statement.corrections[0].causes == ("call call-9",)
    again = closed(ledger, source, SECOND)
    assert again.record.corrects == (FIRST_PERIOD,)
    assert audit(ledger, source) == ()


def test_a_late_call_is_shown_where_it_was_served(ledger: Ledger) -> None:
    """Revenue of a late call is in the open period under its region, chip and provider; cuts still sum."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    tokens = Tokens(input=100)
    leg = replace(a_leg("replica-1", (20, 21), tokens), region="eu-west", chip="H100")
    late = a_usage("call-9", tokens=tokens, opened_ns=20, legs=[leg])
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    statement = statement_of(ledger, source, SECOND)
    for dimension, name in (
        (Dimension.PROVIDER, leg.provider),
        (Dimension.REGION, leg.region),
        (Dimension.CHIP, leg.chip),
    ):
        rows = {row.name: row.revenue_pico for row in statement.by(dimension)}
        assert rows[name] == 100 * 10**6
        assert sum(rows.values()) == statement.revenue_pico
    assert closed(ledger, source, SECOND).statement == statement
    assert audit(ledger, source) == ()


def test_what_was_corrected_once_is_not_corrected_again(ledger: Ledger) -> None:
    """The close that took it in restated the period; a later one corrects from there."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("late", "0.50", (0, 100)))
    closed(ledger, source, SECOND)
    assert statement_of(ledger, source, THIRD).corrections == ()
    source.charges.append(a_charge("later", "0.25", (0, 100)))
    last = closed(ledger, source, THIRD).statement
    assert [c.billed_pico for c in last.corrections] == [DOLLAR // 4]
    assert last.corrections[0].causes == (f"charge {source.charges[2].id}",)
    assert audit(ledger, source) == ()


def test_corrections_balance_and_name_what_they_reverse(ledger: Ledger) -> None:
    """Every entry of a correction sums to zero, and says of which entry of which period it is."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    late = a_usage("call-2", tokens=Tokens(input=5), opened_ns=20)
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    [correction] = statement_of(ledger, source, SECOND).corrections
    assert sum(balances(correction.entries).values()) == 0
    texts = [entry.text for entry in correction.entries]
    assert texts == ["reversal of usage acme (p0)", "correction of usage acme (p0)"]


def test_a_charge_is_corrected_by_reversal_and_replacement() -> None:
    """Both are lines of their own, marked as corrections of the same period, and sum to the new amount."""
    charge = a_charge("gpu", "1", (0, 100))
    pair = reversal(charge), replacement(charge, 3)
    assert sum(c.amount_pico for c in (charge, *pair)) == 3
    assert len({c.id for c in (charge, *pair)}) == 3
    for one in pair:
        assert one.charge_class == "Correction"
        assert (one.period_start_ns, one.period_end_ns) == (0, 100)
        assert charge.id in one.description


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
    closed(ledger, source, SECOND)
    assert [period.name for period in ledger.periods().closed] == ["p0", "p1"]


def test_what_is_in_quarantine_must_be_accepted(ledger: Ledger) -> None:
    """The refusal lists it; the record keeps the reason, and the next close does not ask again."""
    source = Recorded()
    source.quarantine = {"charge chg_7": "two amounts"}
    with pytest.raises(UserError, match=r"chg_7: two amounts\n.*--accept"):
        closed(ledger, source, FIRST_PERIOD)
    record = closed(ledger, source, FIRST_PERIOD, accept="disputed").record
    assert (record.reason, record.accepted) == ("disputed", ("charge chg_7",))
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
    closed(ledger, source, SECOND)
    with pytest.raises(UserError, match="depends on it"):
        reopen_period(ledger, FIRST_PERIOD, reason="x", by="bob", at_ns=7)
    with pytest.raises(UserError, match="--reason"):
        reopen_period(ledger, SECOND, reason=" ", by="bob", at_ns=7)


def test_a_closed_period_can_be_seen_under_another_policy(ledger: Ledger) -> None:
    """From what was sealed with it, not from what is recorded today."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    source.charges.clear()
    papers = sealed_papers(ledger, FIRST_PERIOD)
    assert papers is not None
    assert drawn(papers) == done.statement
    assert drawn(replace(papers, policy=load_policy("full"))).billed_pico == DOLLAR
    assert sealed_papers(ledger, SECOND) is None


def change_a_charge(source: Recorded) -> None:
    """An amount, by one picounit."""
    source.charges[0] = replace(source.charges[0], amount_pico=DOLLAR + 1)


def drop_a_charge(source: Recorded) -> None:
    """Remove the charge."""
    source.charges.clear()


def change_a_usage(source: Recorded) -> None:
    """One token more."""
    source.change_usage(0, tokens=Tokens(input=8))


def change_a_step(source: Recorded) -> None:
    """One nanosecond less."""
    source.facts = replace(source.facts, steps=(replace(source.facts.steps[0], duration_ns=49),))


def change_a_plan(source: Recorded) -> None:
    """Another price under the same date."""
    source.plans[0] = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1.000001", "1")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (
            change_a_charge,
            r"charge chg_\w+ was changed: amount_pico is 1000000000001, sealed as 10+",
        ),
        (drop_a_charge, r"charge chg_\w+ was sealed and is not recorded any more"),
        (change_a_usage, r"call call-0 was changed: tokens.input is 8, sealed as 7"),
        (change_a_step, r"step replica-1/0/0 was changed: duration_ns is 49, sealed as 50"),
        (change_a_plan, r"price plan acme/0 was changed"),
    ],
)
def test_a_changed_input_is_found(
    ledger: Ledger, tamper: Callable[[Recorded], None], words: str
) -> None:
    """The audit names any changed input and its change; nothing of it shows in the open period."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    tamper(source)
    [finding] = audit(ledger, source, FIRST_PERIOD)
    assert finding.period == "p0"
    assert re.search(words, finding.text)
    assert statement_of(ledger, source, SECOND).corrections == ()


def unguarded(path: Path) -> sqlite3.Connection:
    """The ledger's file without the triggers that keep honest people out."""
    database = sqlite3.connect(path, isolation_level=None)
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        database.execute(f"DROP TRIGGER {name}")
    return database


def flipped(raw: bytes, at: int) -> bytes:
    """`raw` with one bit of one byte changed."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_every_part_is_guarded_to_the_byte(tmp_path: Path) -> None:
    """One changed byte in any kept part, input, rule or output, is found and its part named."""
    source, path, dice = Recorded(), tmp_path / "ledger.db", Random(5)
    with Ledger(path) as ledger:
        record = closed(ledger, source, FIRST_PERIOD).record
    for part in record.parts:
        database = unguarded(path)
        [packed] = database.execute(
            "SELECT body FROM kept WHERE sha256 = ?", (part.sha256,)
        ).fetchone()
        raw = zlib.decompress(packed) or b"\n"
        changed = zlib.compress(flipped(raw, dice.randrange(len(raw))))
        update = "UPDATE kept SET body = ? WHERE sha256 = ?"
        database.execute(update, (changed, part.sha256))
        with Ledger(path, read_only=True) as ledger:
            texts = [str(finding) for finding in audit(ledger, source)]
        kind = {"inputs": "input", "rules": "rule", "outputs": "output"}[part.name.split("/")[0]]
        assert f"p0: {kind} {part.name.split('/')[1]}: its bytes were changed" in "\n".join(texts)
        database.execute(update, (packed, part.sha256))
        database.close()
    with Ledger(path, read_only=True) as ledger:
        assert audit(ledger, source) == ()


def forge_a_hash(database: sqlite3.Connection) -> None:
    """Another hash beside a record."""
    database.execute("UPDATE record SET sha256 = ? WHERE number = 0", ("f" * 64,))


def forge_a_record(database: sqlite3.Connection) -> None:
    """Another name in a record, and its hash worked out anew."""
    [raw] = database.execute("SELECT body FROM record WHERE number = 0").fetchone()
    forged = raw.replace(b'"by":"ann"', b'"by":"eve"')
    sha256 = hashlib.sha256(forged).hexdigest()
    database.execute("UPDATE record SET body = ?, sha256 = ? WHERE number = 0", (forged, sha256))


def drop_a_record(database: sqlite3.Connection) -> None:
    """A reopening that somebody would rather forget."""
    database.execute("DELETE FROM record WHERE number = 1")


def garble_a_record(database: sqlite3.Connection) -> None:
    """No JSON any more."""
    database.execute("UPDATE record SET body = x'00' WHERE number = 1")


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forge_a_hash, "record 0: its hash and its content do not belong together"),
        (forge_a_record, "record 1 (p0) does not follow record 0"),
        (drop_a_record, "record 1 is missing"),
        (garble_a_record, "record 1: its hash and its content"),
    ],
)
def test_a_forged_chain_is_found(
    tmp_path: Path, forge: Callable[[sqlite3.Connection], None], words: str
) -> None:
    """A hash, a record rewritten with its hash, one taken out, one destroyed."""
    source, path = Recorded(), tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        closed(ledger, source, FIRST_PERIOD)
        reopen_period(ledger, FIRST_PERIOD, reason="x", by="bob", at_ns=7)
        closed(ledger, source, FIRST_PERIOD)
    database = unguarded(path)
    forge(database)
    database.close()
    with Ledger(path, read_only=True) as ledger:
        assert words in "\n".join(map(str, audit_chain(ledger)))
        assert audit(ledger, source) != ()


def test_an_output_forged_with_all_its_hashes_is_found(tmp_path: Path) -> None:
    """Figures that do not follow from the inputs are found by drawing the statement up again."""
    source = Recorded()
    with Ledger(tmp_path / "one.db") as ledger:
        done = closed(ledger, source, FIRST_PERIOD)
        bodies = [ledger.body(done.record, part.name) for part in done.record.parts]
    better = replace(done.statement, billed_pico=DOLLAR - 1)
    forged = [
        body_of(body.part.name, better) if body.part.name == "outputs/own" else body
        for body in bodies
    ]
    record = replace(done.record, parts=tuple(body.part for body in forged))
    with Ledger(tmp_path / "two.db") as ledger:
        ledger.append(record, forged)
        texts = [finding.text for finding in audit(ledger, source)]
    assert texts[0] == f"output own: billed_pico is {DOLLAR}, sealed as {DOLLAR - 1}"


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


def test_what_was_sealed_under_another_code_is_said(ledger: Ledger) -> None:
    """A finding names both versions of the program, so that one knows where to look."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    older = replace(done.record, number=0, code="0.0.1+abc")
    papers = papers_of(ledger, done.record)
    bodies = [ledger.body(done.record, part.name) for part in older.parts]
    forged = body_of("outputs/own", replace(done.statement, policy="then"))
    bodies = [forged if body.part.name == "outputs/own" else body for body in bodies]
    with Ledger(None) as other:
        other.append(replace(older, parts=tuple(body.part for body in bodies)), bodies)
        texts = "\n".join(finding.text for finding in audit(other, source))
    assert "sealed by version 0.0.1+abc, this is " in texts
    assert papers.charges == tuple(source.charges)


@pytest.mark.slow
@given(worlds(), st.integers(0, 99))
@settings(max_examples=25)
def test_the_order_of_arrival_leaves_no_trace_in_a_seal(world: World, seed: int) -> None:
    """Theorem 13: the hash of a close does not depend on the order of its inputs."""
    dice, hashes = Random(seed), []
    for _ in range(2):
        source = Recorded()
        source.charges = dice.sample(world.charges, len(world.charges))
        source.facts = Facts(*(tuple(dice.sample(x, len(x))) for x in facts_of(world)))
        source.plans = dice.sample(world.plans, len(world.plans))
        with Ledger(None) as ledger:
            hashes.append(closed(ledger, source, Period(0, 5_000, "all")).sha256)
    assert hashes[0] == hashes[1]


def facts_of(world: World) -> tuple[tuple[Any, ...], ...]:
    """The four kinds of facts of a world."""
    facts = world.facts
    return facts.usages, facts.steps, facts.capacity, facts.activities


@pytest.mark.slow
@given(worlds(), st.sets(st.integers(0, 40)))
@settings(max_examples=25)
def test_late_or_in_time_is_the_same_in_the_end(world: World, late: set[int]) -> None:
    """Theorem 12: whatever came late, the seal and its correction sum to a close that knew it all."""
    charges = [c for n, c in enumerate(world.charges) if n not in late]
    usages = [u for n, u in enumerate(world.facts.usages) if n not in late]
    source, period = Recorded(), Period(0, 1_000, "all")
    source.plans = list(world.plans)
    source.charges, source.facts = charges, replace(world.facts, usages=tuple(usages))
    with Ledger(None) as ledger:
        before = closed(ledger, source, period).statement
        source.charges, source.facts = list(world.charges), world.facts
        after = statement_of(ledger, source, Period(1_000, 1_001, "next"))
    truth = drawn(source.papers(period.span))
    corrections = [c for c in after.corrections if c.period == period]
    billed = before.billed_pico + sum(c.billed_pico for c in corrections)
    revenue = before.revenue_pico + sum(c.revenue_pico for c in corrections)
    assert (billed, revenue) == (truth.billed_pico, truth.revenue_pico)
    summed: dict[Any, int] = {}
    for line in (*before.lines, *(n for c in corrections for n in c.lines)):
        key = replace(line, amount_pico=0)
        summed[key] = summed.get(key, 0) + line.amount_pico
    told = {replace(line, amount_pico=0): line.amount_pico for line in truth.lines}
    assert {k: v for k, v in summed.items() if v} == {k: v for k, v in told.items() if v}


def test_no_difference_is_no_correction() -> None:
    """A statement corrected to itself has no rows and no entries."""
    statement = drawn(Recorded().papers(FIRST_PERIOD.span))
    assert corrected(FIRST_PERIOD, statement, statement, (), 0).empty


def test_a_difference_is_said_in_words() -> None:
    """The path to the first place where two values differ, and both values."""
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 3, sealed as 2"
    assert difference({"a": [1]}, {"a": [1, 2]}) == "a has 2 entries, sealed with 1"
    assert difference({"a": 1}, {"a": 1}) is None


def test_a_part_is_a_set_of_lines() -> None:
    """The hash of a part does not depend on the order, and the part reads back as it was."""
    usages = [a_usage("b"), a_usage("a")]
    one, other = body_of_set("inputs/usages", usages), body_of_set("inputs/usages", usages[::-1])
    assert one == other
    assert sorted(one.rows(Usage), key=lambda u: u.call_id) == usages[::-1]
    with pytest.raises(BooksError, match="cannot read what was sealed"):
        one.rows(Charge)


CLOSER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_close import FIRST_PERIOD, Recorded
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
"""


@pytest.mark.slow
def test_a_close_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A real process closes and reopens without end, and is killed at any moment, again and again."""
    path, dice, before = tmp_path / "ledger.db", Random(11), 0
    for _ in range(5):
        command = [sys.executable, "-c", CLOSER, str(path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(dice.uniform(0.02, 0.15))  # the moment of the kill; any will do
            process.kill()
        with Ledger(path) as ledger:
            source, records = Recorded(), ledger.records()
            assert len(records) >= before, "what was closed is gone"
            before = len(records)
            assert tuple(audit_chain(ledger)) == ()
            for record in records[-3:]:
                if isinstance(record, Close):
                    again = drawn(papers_of(ledger, record))
                    assert again == drawn(source.papers(FIRST_PERIOD.span))
    assert before > 5, "hardly anything was closed"
