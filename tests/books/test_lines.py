"""Bill lines too many to hold: every view of them is what it is of lines that are held."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.command_line import document, run

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.pools import Idle
from inferworks.books.analysis.breakdown import Bounds
from inferworks.books.analysis.bridge import bridge
from inferworks.books.analysis.explain import explain
from inferworks.books.analysis.explain_cost import Subject
from inferworks.books.analysis.forecast import forecast
from inferworks.books.analysis.policy_comparison import compare
from inferworks.books.analysis.single_lines import Singles
from inferworks.books.analysis.unit_economics import economics
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import FIRST, Close, Spooled, body_of_set
from inferworks.books.exports.base import ExportFile, books_of, content
from inferworks.books.exports.chart_of_accounts import load_chart
from inferworks.books.exports.focus import FocusExporter
from inferworks.books.exports.journal import JournalForm, rounded_journal
from inferworks.books.exports.json_export import JsonExporter
from inferworks.books.exports.ledger_csv import PROGRAMS, LedgerCsvExporter
from inferworks.books.exports.tabular import CsvExporter
from inferworks.books.lines import Charges, Lines, beside, unknown, with_more
from inferworks.books.period import Period
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.books.statement.computation import BUNDLES, Computation, Inputs, shipped_rules
from inferworks.books.statement.statement import Dimension, build_statement, checked
from inferworks.clock import SimClock
from inferworks.errors import BooksError
from inferworks.meter.facts import NO_FACTS
from inferworks.testing.books import World, a_charge, a_company, worlds

from .statement.test_bundles import HALL, Held, many

GAAP = load_policy("gaap")
DAY = Span(0, DAY_NS)
"""A journal has days, so spans begin and end with one."""
SUBJECTS = (
    "customer:acme", "pool:machines", "pool:web", "pool:other", "purpose:serve-paid", "day:1970-01-01",
)  # fmt: skip


def sealed_inputs_of(charges: Charges, world: World) -> Inputs:
    """Inputs of a statement of `charges`, with a pool that supports others."""
    rules = shipped_rules()
    rules = replace(rules, pools=(HALL, *rules.pools), bundles=BUNDLES)
    return Inputs(charges, world.facts, world.plans, GAAP, "USD", DAY, rules)


def views(inputs: Inputs) -> dict[str, Any]:
    """Statement and exports of `inputs`, by name."""
    given = (
        inputs.charges,
        inputs.facts,
        inputs.plans,
        inputs.policy,
        "USD",
        inputs.span,
        inputs.rules,
    )
    computation = checked(Inputs(*given))
    singles = Singles(computation, inputs) if isinstance(inputs.charges, Lines) else None
    statement = build_statement(computation)
    books = books_of(computation, "us", singles or ())
    found = {
        "statement": _without_parts(statement.to_json()),
        "bridge": bridge(statement).to_json(),
        "economics": economics(statement).to_json(),
        "forecast": forecast(statement, computation, (), 3 * DAY_NS).to_json(),
        "policies": compare(computation, GAAP, load_policy("marginal")).to_json(),
    }
    for text in (*SUBJECTS, *_a_charge(inputs)):
        found[text] = _explained(computation, Subject(*text.split(":", 1)), singles)
    for name, program in PROGRAMS.items():
        journal = rounded_journal(
            [statement], 2, JournalForm(load_chart(), parties=program.parties)
        )
        found |= _contents(name, LedgerCsvExporter(program, load_chart()).files(journal))
    for exporter in (FocusExporter(), CsvExporter()):
        found |= _contents(exporter.name, exporter.files(books))
    document = json.loads(content(JsonExporter().files(books)[0]))
    found["json"] = {name: document[name] for name in ("charges", "parts", "revenue", "totals")}
    del found["csv/postings.csv"]  # an entry for each bundle; what they book is in `test_bundles`
    return found


def _without_parts(document: dict[str, Any]) -> dict[str, Any]:
    lines = [{**line, "parts": []} for line in document["lines"]]
    return {**document, "lines": lines}


def _explained(computation: Computation, subject: Subject, singles: Singles | None) -> object:
    try:
        return explain(computation, subject, Bounds(6, 3), (), singles).to_json()
    except Exception as error:  # noqa: BLE001 the refusal is compared
        return type(error)


def _a_charge(inputs: Inputs) -> Sequence[str]:
    return [f"charge:{charge.id}" for charge in sorted(inputs.charges, key=lambda c: c.id)[3:4]]


def _contents(name: str, files: Sequence[ExportFile]) -> dict[str, bytes]:
    return {f"{name}/{file.name}": content(file) for file in files}


def must_agree(charges: Sequence[Charge], world: World) -> None:
    """Every view of lines that are read is, to the byte, what it is of lines that are held."""
    ordered = tuple(sorted(charges, key=lambda charge: charge.id))
    held, read = (views(sealed_inputs_of(one, world)) for one in (ordered, Held(ordered)))
    assert held.keys() == read.keys()
    for name, view in held.items():
        assert read[name] == view, name


@pytest.mark.slow
def test_every_view_is_what_it_is_of_lines_that_are_held() -> None:
    """More lines than are shown, of every pool, with credits, and one that an edge cuts."""
    world = a_company()
    charges = [line for seed in range(6) for line in _named(many(world.charges, seed), seed)]
    charges.append(a_charge("over the edge", "1.00", (900, DAY_NS + 100)))
    must_agree(charges, world)


@pytest.mark.slow
@given(worlds(), st.integers(0, 9_999))
@settings(max_examples=8)
def test_random_views_are_what_they_are_of_lines_that_are_held(world: World, seed: int) -> None:
    """Of any mixture of lines."""
    must_agree(many(world.charges, seed), world)


def _named(charges: Iterable[Charge], seed: int) -> Iterator[Charge]:
    return (replace(charge, id=f"chg_{seed}{n:x}") for n, charge in enumerate(charges))


names = st.lists(st.integers(0, 30), unique=True)


@given(names, names, names)
def test_what_is_new_and_what_was_changed_is_found_in_order(
    known: list[int], recorded: list[int], changed: list[int]
) -> None:
    """New and changed lines are found in order, held or read, whatever stands among them."""
    sealed = [a_charge(f"c{n:02}", "1", (0, 9)) for n in known]
    now = [
        replace(a_charge(f"c{n:02}", "1", (0, 9)), row=99 if n in changed else 2) for n in recorded
    ]
    sealed.sort(key=lambda charge: charge.id)
    now.sort(key=lambda charge: charge.id)
    fresh = unknown(tuple(now), tuple(sealed))
    differ = list(beside(tuple(sealed), tuple(now)))
    for one, other in (
        (Held(sealed), tuple(now)),
        (tuple(sealed), Held(now)),
        (Held(sealed), Held(now)),
    ):
        assert unknown(other, one) == fresh
        assert list(beside(one, other)) == differ
    gone, altered = len(set(known) - set(recorded)), len(set(known) & set(recorded) & set(changed))
    assert (len(fresh), len(differ)) == (len(set(recorded) - set(known)), gone + altered)
    both = with_more(Held(sealed), fresh)
    assert [charge.id for charge in both] == sorted(c.id for c in (*sealed, *fresh))
    assert len(both) == len(sealed) + len(fresh)


def test_a_part_that_is_packed_on_its_way_has_the_hash_of_one_that_is_held(tmp_path: Path) -> None:
    """A packed part comes back row by row; rows out of order are refused, for the hash would be another."""
    charges = sorted(
        (a_charge(f"c{n}", "1", (0, 9)) for n in range(50)), key=lambda charge: charge.id
    )
    body = body_of_set("inputs/charges", charges)
    bodies = [msgspec.json.encode(charge) for charge in charges]
    with pytest.MonkeyPatch.context() as patch, Ledger(tmp_path / "ledger.db") as ledger:
        patch.setattr("inferworks.books.closing.seal.CHUNK_BYTES", 1_000)
        spooled = Spooled("inputs/charges")
        for one in bodies:
            spooled.add(one)
        assert spooled.part == body.part
        assert list(spooled.packed()) == list(body.packed())
        period = Period(0, 9, "days")
        record = Close(
            number=0,
            previous=FIRST,
            period=period,
            at_ns=1,
            by="ann",
            currency="USD",
            policy="gaap",
            code="",
            parts=(spooled.part,),
        )
        ledger.append(record, [spooled])
        assert (list(ledger.rows(body.part)), ledger.raw(body.part)) == (bodies, body.raw)
        with pytest.raises(BooksError, match="comes after"):
            spooled.add(bodies[0])


# --- as somebody types it

JANUARY_NS = 1_798_761_600 * 10**9  # 2027-01-01
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceCategory,"
    "ServiceName,InvoiceIssuerName,ChargeDescription,ResourceId,InvoiceId,x_LineId\n"
)


class Kill(BaseException):
    """The end of a process."""


def a_bill(name: str, days: Iterable[int]) -> None:
    """Import a bill of November: a machine, a bucket and two databases each day, of other amounts."""
    rows = [
        f"{day}.{number:02}{day:010},USD,2026-11-{day:02}T00:00:00Z,2026-11-{day:02}T12:00:00Z,Usage,"
        f"{service},{service},Example Cloud,{name},thing-{number},{name},{name}-{day}-{number}\n"
        for day in days
        for number, service in enumerate(("Compute", "Storage", "Databases", "Databases"))
    ]
    Path(f"{name}.csv").write_text(HEADER + "".join(rows))
    run("books", "import", f"{name}.csv")


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which five lines are many, on a day when December is over."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(JANUARY_NS))
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 5)
    monkeypatch.setattr("inferworks.books.closing.ledger.MANY_LINES", 5)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_a_month_of_many_lines_is_closed_corrected_verified_and_reopened(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are those of a month that was closed line by line; so are those of its correction."""
    a_bill("november", range(1, 9))
    period = ("--period", "2026-11")
    printed = run("books", "statement", *period).stdout
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 10**9)
    assert run("books", "statement", *period).stdout == printed
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 5)
    run("books", "close", "2026-11")
    sealed = document("books", "statement", *period)
    assert any("lines" in part for line in sealed["lines"] for part in line["parts"])
    assert "Sound" in run("books", "verify").stdout
    a_bill("late", (3, 20))
    assert document("books", "statement", *period) == sealed
    december = document("books", "statement", "--period", "2026-12")
    [correction] = december["corrections"]
    assert (correction["billed"], len(correction["causes"])) == (december["billed"], 8)
    assert "Sound" in run("books", "verify").stdout
    run("books", "close", "2026-12")
    assert "Sound" in run("books", "verify").stdout
    run("books", "reopen", "2026-12", "--reason", "again")
    run("books", "reopen", "2026-11", "--reason", "again")
    assert "Sound" in run("books", "verify").stdout
    reopened = document("books", "statement", *period)
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 10**9)
    by_line = document("books", "statement", *period)
    assert _without_parts(reopened) == _without_parts(by_line)


@pytest.mark.slow
def test_what_was_closed_line_by_line_is_verified_line_by_line(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries come out as they were sealed, whatever the number of lines."""
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 10**9)
    a_bill("november", range(1, 9))
    run("books", "close", "2026-11")
    monkeypatch.setattr("inferworks.books.workspace.bill_lines.MANY_LINES", 5)
    assert "Sound" in run("books", "verify").stdout


def test_a_close_that_is_killed_leaves_nothing(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed among the lines of the bill, which are packed by then: no record, and no part."""
    a_bill("november", range(1, 9))
    append, kept = Ledger.append, []

    def killed(self: Ledger, record: Any, bodies: Iterable[Any] = ()) -> str:
        def some() -> Iterator[Any]:
            for body in bodies:
                if len(kept) == 3:
                    raise Kill
                kept.append(body.part.name)
                yield body

        return append(self, record, some())

    monkeypatch.setattr(Ledger, "append", killed)
    with pytest.raises(Kill):
        run("books", "close", "2026-11")
    [path] = Path().glob("**/ledger.db")
    with Ledger(path, read_only=True) as ledger:
        assert (kept[0], ledger.records()) == ("inputs/charges", [])
        assert ledger._db.execute("SELECT count(*) FROM kept").fetchall() == [(0,)]


def test_bills_that_change_between_two_readings_are_refused(few: None) -> None:
    """The bills sealed are those that the statement was computed from."""
    a_bill("november", range(1, 9))
    [path] = Path().glob("**/books.db")
    lines = StoredLines(path, Span(-(2**63), 2**63 - 1))
    assert len(list(lines.bodies())) == len(lines)
    a_bill("late", (3,))
    with pytest.raises(BooksError, match="imported meanwhile"):
        list(lines.glances())


@pytest.mark.slow
@given(worlds(), st.integers(0, 9_999), st.sampled_from([Idle.SEPARATE, Idle.PROPORTIONAL]))
@settings(max_examples=3)
def test_an_engine_divides_bundles_as_the_definition_does(
    world: World, seed: int, idle: Idle
) -> None:
    """Each amount on its own, by the calls that it asks for: rows, entries, and customers."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import close_by_customer
    from inferworks.books.engines.duckdb import DuckEngine  # which takes a second to import
    from inferworks.books.engines.lake import lake_of

    rules = shipped_rules()
    rules = replace(rules, pools=tuple(replace(pool, idle=idle) for pool in rules.pools))
    charges = many(world.charges, seed)
    given = charges_read, plans, policy, currency, span, _ = (
        *(Held(charges), world.plans, GAAP, "USD", DAY, rules),
    )
    one = checked(Inputs(charges_read, world.facts, plans, policy, currency, span, rules))
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, world.facts)
        other = compute_on(engine, lake, Inputs(given[0], NO_FACTS, *given[1:]))
        cut = close_by_customer(engine, lake, Inputs(given[0], NO_FACTS, *given[1:]))
    assert [item.rows for item in one.allocated] == [item.rows for item in other.allocated]
    assert (one.lines, one.entries) == (other.lines, other.entries)
    assert cut.rows == build_statement(one).by(Dimension.CUSTOMER)
