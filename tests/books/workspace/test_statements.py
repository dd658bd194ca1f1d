"""Statements of a folder: as they were sealed, or of all that is recorded now, by any engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.book_settings import (
    DECEMBER_NS,
    JANUARY_NS,
    NOVEMBER_NS,
    a_folder,
    enter,
    record,
    settings_of,
)

from inferworks.books.calendar.span import Span
from inferworks.books.closing.close import CloseRequest, close_period
from inferworks.books.closing.ledger import Ledger
from inferworks.books.period import Periods
from inferworks.books.statement.statement import Dimension, Statement, build_statement
from inferworks.books.workspace import engine_choice
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.statements import NOW, Statements, with_provisional_note
from inferworks.errors import DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.testing.books import a_charge, a_usage

DOLLAR = 10**12
NOVEMBER, DECEMBER = Query(period="2026-11"), Query(period="2026-12")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """A folder with a bill of 3 for November, one of 5 for December, and a call in each."""
    folder = a_folder(tmp_path)
    enter(
        folder,
        "bills",
        a_charge("a", "3", (NOVEMBER_NS, DECEMBER_NS), category="Web"),
        a_charge("b", "5", (DECEMBER_NS, JANUARY_NS), category="Web"),
    )
    for at_ns in (NOVEMBER_NS, DECEMBER_NS):
        record(folder, a_usage(f"call-{at_ns}", opened_ns=at_ns, sent_bytes=5))
    return folder


def statements(folder: DataFolder, notes: list[str] | None = None) -> Statements:
    """The statements of `folder`."""
    return Statements(settings_of(folder), (notes if notes is not None else []).append)


def close(folder: DataFolder, name: str = "2026-11") -> None:
    """Close a month."""
    with Ledger(folder.ledger) as ledger:
        source = RecordedSource(settings_of(folder))
        close_period(ledger, source, CloseRequest(Periods().named(name), "ann", 1_000))


def test_a_statement_is_of_a_period_of_dates_or_of_everything(folder: DataFolder) -> None:
    """Dates cut what is billed for longer."""
    drawn = statements(folder)
    assert drawn.statement().billed_pico == 8 * DOLLAR
    assert drawn.statement(NOVEMBER).billed_pico == 3 * DOLLAR
    half = Query(start_ns=(NOVEMBER_NS + DECEMBER_NS) // 2, end_ns=DECEMBER_NS)
    assert drawn.statement(half).billed_pico == 3 * DOLLAR // 2
    assert drawn.statement(Query(start_ns=DECEMBER_NS)).billed_pico == 5 * DOLLAR
    assert Query() == NOW


def test_a_policy_of_the_query_goes_before_that_of_the_settings(folder: DataFolder) -> None:
    """All that was billed is in both."""
    drawn = statements(folder)
    assert drawn.statement(NOVEMBER).policy == "gaap"
    full = drawn.statement(NOVEMBER._replace(policy="full"))
    assert (full.policy, full.billed_pico) == ("full", 3 * DOLLAR)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    """Before anything else is looked at."""
    drawn = Statements(settings_of(DataFolder(tmp_path / "nowhere")))
    for ask in (drawn.statement, drawn.by_customer, drawn.inputs, drawn.computation):
        with pytest.raises(DataFolderError, match="no data folder"):
            ask()
    with pytest.raises(DataFolderError, match="no data folder"):
        drawn.statement(NOVEMBER)


@pytest.mark.parametrize(
    ("engine", "by", "text"),
    [("slow", None, "engine"), (None, "colour", "by")],
    ids=["engine", "dimension"],
)
def test_engines_and_dimensions_that_there_are_not_are_refused(
    folder: DataFolder, engine: str | None, by: str | None, text: str
) -> None:
    """With the names that there are."""
    with pytest.raises(UserError, match=text):
        statements(folder).statement(NOVEMBER, engine, by)


def test_few_records_need_no_engine(folder: DataFolder) -> None:
    """And no note says so; the statement by customer is then the whole one."""
    notes: list[str] = []
    drawn = statements(folder, notes)
    assert drawn.statement(NOVEMBER) == drawn.statement(NOVEMBER, "reference")
    found = drawn.by_customer(NOVEMBER)
    assert isinstance(found, Statement)
    assert found == drawn.statement(NOVEMBER)
    assert notes == []


def test_a_cut_that_no_engine_computes_is_noted(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference computes it then."""
    notes: list[str] = []
    drawn = statements(folder, notes)
    wanted = drawn.statement(NOVEMBER)
    assert drawn.statement(NOVEMBER, "duckdb", Dimension.PROVIDER) == wanted
    monkeypatch.setattr(engine_choice, "MANY_FACTS", 0)
    assert drawn.statement(NOVEMBER, by="region") == wanted
    assert notes == [
        f"computed by the reference in Python, not by duckdb: a cut by {by} gives revenue back to single "
        "calls."
        for by in ("provider", "region")
    ]


def test_a_closed_period_is_read_from_its_seal_and_noted_where_an_engine_was_wanted(
    folder: DataFolder,
) -> None:
    """Byte for byte; what came since is no part of it."""
    notes: list[str] = []
    drawn = statements(folder, notes)
    before = drawn.statement(NOVEMBER)
    assert drawn.sealed_json(NOVEMBER) is None
    assert (drawn.close_of(NOVEMBER), drawn.later(NOVEMBER)) == (None, ())
    close(folder)
    enter(folder, "late", a_charge("late", "7", (NOVEMBER_NS, DECEMBER_NS), category="Web"))
    assert drawn.statement(NOVEMBER, "duckdb") == before
    assert notes == [
        (
            "computed by the reference in Python, not by duckdb: closed periods are read from their seals, "
            "and what is late is set against those."
        )
    ]
    sealed = drawn.sealed_json(NOVEMBER)
    assert sealed is not None
    assert json.loads(sealed)["billed"] == "3.00"
    assert drawn.sealed_json(NOVEMBER._replace(policy="gaap")) == sealed
    assert drawn.sealed_json(NOVEMBER._replace(policy="full")) is None
    assert drawn.sealed_json(Query(start_ns=NOVEMBER_NS, end_ns=DECEMBER_NS)) is None
    assert drawn.sealed_json(DECEMBER) is None


def test_the_close_of_a_period_is_told_with_its_hash(folder: DataFolder) -> None:
    """None of dates, and none of an open period."""
    close(folder)
    drawn = statements(folder)
    found = drawn.close_of(NOVEMBER)
    assert found is not None
    with Ledger(folder.ledger, read_only=True) as ledger:
        [(sha256, _)] = ledger.chain()
    assert (found[0].period.name, found[0].by, found[1]) == ("2026-11", "ann", sha256)
    assert drawn.close_of(DECEMBER) is drawn.close_of(NOW) is None


def test_what_is_late_for_a_closed_period_is_booked_in_the_open_one(folder: DataFolder) -> None:
    """As a correction, told from both sides."""
    close(folder)
    enter(folder, "late", a_charge("late", "7", (NOVEMBER_NS, DECEMBER_NS), category="Web"))
    drawn = statements(folder)
    [later] = drawn.later(NOVEMBER)
    assert later.correction.billed_pico == 7 * DOLLAR
    assert drawn.later(DECEMBER) == drawn.later(NOW) == ()
    december = drawn.statement(DECEMBER)
    assert [one.period.name for one in december.corrections] == ["2026-11"]
    assert december.billed_pico == 12 * DOLLAR


def test_inputs_of_a_closed_period_are_those_that_were_sealed(folder: DataFolder) -> None:
    """Under another policy, the same; of an open one all that is recorded, all facts at hand."""
    close(folder)
    enter(folder, "late", a_charge("late", "7", (NOVEMBER_NS, DECEMBER_NS), category="Web"))
    drawn = statements(folder)
    sealed = drawn.inputs(NOVEMBER)
    assert [charge.line for charge in sealed.charges] == ["a"]
    assert (sealed.policy.name, sealed.segments) == ("gaap", ())
    assert [usage.opened_ns for usage in sealed.facts.usages] == [NOVEMBER_NS]
    full = drawn.inputs(NOVEMBER._replace(policy="full"))
    assert (full.policy.name, full.charges) == ("full", sealed.charges)
    assert [charge.line for charge in drawn.inputs(DECEMBER).charges] == ["b"]
    assert sorted(charge.line for charge in drawn.inputs().charges) == ["a", "b", "late"]


def test_the_computation_of_a_query_is_that_of_its_statement(folder: DataFolder) -> None:
    """Without corrections of earlier periods."""
    drawn = statements(folder)
    computation = drawn.computation(NOVEMBER)
    assert computation.span == Span(NOVEMBER_NS, DECEMBER_NS)
    assert build_statement(computation) == drawn.statement(NOVEMBER)
    close(folder)
    enter(folder, "late", a_charge("late", "7", (NOVEMBER_NS, DECEMBER_NS), category="Web"))
    assert sum(line.amount_pico for line in drawn.computation(DECEMBER).lines) == 5 * DOLLAR


def test_a_provisional_statement_says_so_first(folder: DataFolder) -> None:
    """A final one is the same object."""
    found = statements(folder).statement(NOVEMBER)
    assert with_provisional_note(found, NOVEMBER) is found
    noted = with_provisional_note(found, NOVEMBER._replace(provisional="Not over."))
    assert noted == replace(found, notes=("Not over.", *found.notes))
    query = NOVEMBER._replace(provisional="Not over.")
    assert statements(folder).statement(query).notes[0] == "Not over."
    assert statements(folder).by_customer(query).notes[0] == "Not over."
