"""Records that closing reads: what came, what is in doubt, and where the first of it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.book_settings import (
    DECEMBER_NS,
    NOVEMBER_NS,
    a_folder,
    enter,
    record,
    settings_of,
)

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.span import Span
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.errors import BooksError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.record import Quarantined, Retracted
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_leg, a_usage, an_activity

NOVEMBER = Span(NOVEMBER_NS, DECEMBER_NS)
LATER = Span(DECEMBER_NS, 2 * DECEMBER_NS)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """An empty data folder."""
    return a_folder(tmp_path)


def source_of(folder: DataFolder, *, validated: bool = True) -> RecordedSource:
    """The records of `folder`."""
    return RecordedSource(settings_of(folder), validated=validated)


def test_an_empty_folder_has_no_records(folder: DataFolder) -> None:
    """Nothing arrived, nothing is in doubt, and there is no first moment."""
    source = source_of(folder)
    arrived = source.arrived(NOVEMBER, ())
    assert (arrived.charges, arrived.facts.usages) == ((), ())
    assert source.conflicts(NOVEMBER) == {}
    assert source.withdrawn_plans() == []
    assert source.earliest_ns(DECEMBER_NS) is None
    assert source.misread() == []
    inputs = source.inputs(NOVEMBER)
    assert (inputs.charges, inputs.segments, inputs.currency) == ((), (), "USD")
    assert source.statement_of(inputs).billed_pico == 0


def test_inputs_hold_bills_and_facts_of_the_span(folder: DataFolder) -> None:
    """Bills, calls and the policy; the whole of them is the same where nothing is sealed."""
    enter(folder, "bills", a_charge("a", "3", NOVEMBER), a_charge("b", "5", LATER))
    record(folder, a_usage("call-1", opened_ns=NOVEMBER_NS))
    source = source_of(folder)
    inputs = source.inputs(NOVEMBER)
    assert [charge.line for charge in inputs.charges] == ["a"]
    assert [usage.call_id for usage in inputs.facts.usages] == ["call-1"]
    assert inputs.policy.name == "gaap"
    assert source.whole(inputs) == inputs
    assert source.statement_of(inputs).billed_pico == 3 * 10**12
    other = RecordedSource(settings_of(folder), "full").inputs(NOVEMBER)
    assert other.policy.name == "full"


def test_arrived_records_are_those_of_the_span(folder: DataFolder) -> None:
    """Bill lines and facts, whole where they reach beyond."""
    enter(folder, "bills", a_charge("a", "3", NOVEMBER), a_charge("b", "5", LATER))
    use = an_activity("use", "node-1", (DECEMBER_NS - 5, DECEMBER_NS + 5), 10)
    record(folder, use, a_usage("call-1", opened_ns=DECEMBER_NS))
    arrived = source_of(folder).arrived(NOVEMBER, ())
    assert [charge.line for charge in arrived.charges] == ["a"]
    assert (arrived.facts.activities, arrived.facts.usages) == ((use,), ())


def test_calls_bought_from_others_are_found(folder: DataFolder) -> None:
    """With at least those of the span; the cost of these may have to be estimated."""
    legs = [a_leg(None, (NOVEMBER_NS, NOVEMBER_NS + 1), Tokens(1, 1), provider="openai")]
    record(folder, a_usage("call-1", opened_ns=NOVEMBER_NS, legs=legs))
    assert [usage.call_id for usage in source_of(folder).bought(NOVEMBER)] == ["call-1"]
    assert list(source_of(folder).bought(Span(0, 5))) == []


def test_retracted_reports_are_not_bought(folder: DataFolder) -> None:
    """A call that was reported and taken back has no cost."""
    call = a_usage("partner/one", opened_ns=NOVEMBER_NS)
    gone = Retracted("partner", "one", NOVEMBER_NS, NOVEMBER_NS + 1, 7, "ann", "twice")
    record(folder, call)
    assert [usage.call_id for usage in source_of(folder).bought(NOVEMBER)] == ["partner/one"]
    record(folder, gone)
    assert list(source_of(folder).bought(NOVEMBER)) == []
    assert source_of(folder).arrived(NOVEMBER, ()).facts.retracted == (gone,)


def test_a_question_about_a_file_may_belong_to_the_span(folder: DataFolder) -> None:
    """Named by the file's hash and the delivery, with how to settle it."""
    enter(folder, "a", a_charge("x", "3", NOVEMBER))
    with BookStore(folder.books) as store:
        line = a_charge("x", "5", NOVEMBER, file="b.csv", file_sha256="b" * 64)
        store.stage("voucher", [line])
        store.land()
    [(name, text)] = source_of(folder).conflicts(NOVEMBER).items()
    assert name == f"file {'b' * 12} of voucher invoice-1, x"
    assert text.startswith("b.csv: its 1 line (5.00 USD)")
    assert text.endswith("; or: inferworks books quarantine settle 1")
    assert source_of(folder).conflicts(LATER) == {}


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        (b'{"start_ns": 1793491200000000000, "end_ns": 1793491200000000005}', (NOVEMBER,)),
        (b'{"start_ns": 1793491200000000000, "end_ns": 1793491200000000000}', (NOVEMBER,)),
        (b'{"start_ns": 1796083199999999999, "end_ns": 1796083200000000001}', (NOVEMBER, LATER)),
        (b'{"start_ns": 1796083200000000000, "end_ns": 1796083200000000001}', (LATER,)),
        (b"no JSON", (NOVEMBER, LATER)),
        (b'{"call_id": "x"}', (NOVEMBER, LATER)),
    ],
    ids=["in it", "without length", "across the edge", "after it", "unreadable", "without a time"],
)
def test_a_fact_in_quarantine_belongs_to_its_time_or_to_any(
    folder: DataFolder, body: bytes, spans: tuple[Span, ...]
) -> None:
    """One that does not say when it was may belong to any period."""
    record(folder, Quarantined("spool-1", "17", "was cut off", body.decode(), None))
    for span in (NOVEMBER, LATER):
        found = source_of(folder).conflicts(span)
        assert found == ({"spool-1 17": "was cut off"} if span in spans else {})


def test_the_earliest_moment_is_that_of_a_bill_or_of_a_fact(folder: DataFolder) -> None:
    """Before the moment that is asked for; what begins later is not looked at."""
    enter(folder, "bills", a_charge("a", "3", (50, 60)))
    assert source_of(folder).earliest_ns(100) == 50
    assert source_of(folder).earliest_ns(50) is None
    record(folder, an_activity("use", "node-1", (30, 40), 10))
    assert source_of(folder).earliest_ns(100) == 30
    record(folder, a_usage("call-1", opened_ns=20))
    assert source_of(folder).earliest_ns(100) == 20
    assert source_of(folder).earliest_ns(20) is None


def test_withdrawn_plans_are_told(folder: DataFolder) -> None:
    """A closed statement may rest on one; those in force are no part of it."""
    settings, acme = settings_of(folder), CustomerId("acme")
    plan = PricePlan.per_million(acme, 5, "USD", "8.00", "12.00")
    later = PricePlan.per_million(acme, 9, "USD", "9.00", "12.00")
    with settings.change_accounts() as accounts:
        accounts.add_customer(Customer(acme, 5), plan)
        accounts.add_plan(later)
        assert source_of(folder).withdrawn_plans() == []
        accounts.withdraw_plan(acme, 9, 10)
    assert source_of(folder).withdrawn_plans() == [later]


def test_lines_that_are_not_what_was_imported_are_told_and_refused(folder: DataFolder) -> None:
    """Theorem 16; whoever looks only at the facts may go on without it."""
    enter(folder, "bills", a_charge("a", "3", NOVEMBER), a_charge("b", "5", NOVEMBER))
    with closing(sqlite3.connect(folder.books, isolation_level=None)) as db:
        db.execute("DELETE FROM lines WHERE id IN (SELECT MIN(id) FROM lines)")
    [fault] = source_of(folder).misread()
    assert "theorem 16" in fault
    with pytest.raises(BooksError, match="theorem 16"):
        source_of(folder).inputs(NOVEMBER)
    assert len(list(source_of(folder, validated=False).inputs(NOVEMBER).charges)) == 2
