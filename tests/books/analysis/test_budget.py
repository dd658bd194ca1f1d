"""Budgets: what may stand in one, and a statement beside it, to the picounit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.departments import Departments
from inferworks.books.analysis.budget import (
    COLUMNS,
    Against,
    Budget,
    Key,
    Planned,
    Variance,
    against,
    read_budget,
)
from inferworks.books.bills.detect import open_ours
from inferworks.books.calendar.span import Span
from inferworks.books.period import Period, Periods
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, close_span
from inferworks.errors import BillError, UserError
from inferworks.testing.books import a_company

USD = 10**12
SPAN = (0, 1_000)


def company() -> Statement:
    """Acme pays 14.00 and burns 3.00; cost of revenue is 14.80, research 7.20."""
    world = a_company()
    return close_span(
        Inputs(world.charges, world.facts, world.plans, load_policy("gaap"), "USD", Span(*SPAN))
    )


def read(tmp_path: Path, text: str) -> Budget:
    """The budget that says `text`."""
    path = tmp_path / "budget.csv"
    path.write_text(text)
    return read_budget(open_ours(path, COLUMNS), Periods().named, Departments(), "USD")


def planned(amount: int, *key: str, period: tuple[int, int] = SPAN) -> Planned:
    """A row of a budget."""
    return Planned(Period(*period, "p"), Key(*key), amount * USD)


def rows(found: Against) -> dict[str, tuple[int | None, int, bool | None]]:
    """Budget and variance in picounits and whether it is favourable, by name."""
    return {
        one.name: (one.budget_pico, one.variance_pico or 0, one.favourable) for one in found.shown
    }


def test_a_statement_beside_its_budget() -> None:
    """Figures by hand: more revenue is favourable, less cost too; margins follow; the rest adds up."""
    budget = Budget("b.csv", (
        planned(10, "revenue", "acme"),
        planned(20, "cost_of_revenue"),
        planned(1, "cost_of_revenue", "acme"),
        planned(4, "unused_capacity"),
        planned(7, "research_and_development"),
    ))  # fmt: skip
    found = against(company(), budget)
    told = rows(found)
    assert told["Revenue"] == (10 * USD, 7 * USD, True)
    assert told["Cost of revenue"] == (20 * USD, -52 * USD // 10, True)
    assert told["  of which unused capacity"] == (4 * USD, USD, False)
    assert told["Gross margin"] == (-10 * USD, 122 * USD // 10, True)
    assert told["Research and development"] == (7 * USD, USD // 5, False)
    assert told["Operating result"] == (-17 * USD, 12 * USD, True)
    assert "Sales and marketing" not in told
    for line in ("revenue", "cost_of_revenue"):
        whole, *parts = [one for one in found.lines if one.key.line == line]
        assert sum(one.budget_pico or 0 for one in parts) == whole.budget_pico
        assert sum(one.actual_pico for one in parts) == whole.actual_pico
    acme = next(one for one in found.lines if one.key == Key("revenue", "acme"))
    assert (acme.name, acme.actual_pico, str(acme.percent)) == ("  acme", 14 * USD, "40.0")
    assert found.to_json()["cut_by_time"] == []
    assert acme.to_json() == {
        "line": "revenue", "customer": "acme", "model": "", "department": "", "rest": False,
        "budget": "10.00", "actual": "14.00", "variance": "4.00", "variance_percent": "40.0",
        "favourable": True,
    }  # fmt: skip


def test_what_is_not_planned_has_no_variance() -> None:
    """Nor has a margin of which a line is not planned; of nothing there is no percentage."""
    told = rows(against(company(), Budget("b.csv", (planned(17, "revenue"),))))
    assert told["Revenue"] == (17 * USD, 0, None)
    assert told["Cost of revenue"] == told["Gross margin"] == (None, 0, None)
    assert Variance(Key("revenue"), False, 0, 5).percent is None


def test_a_part_of_a_period_has_a_part_of_its_budget() -> None:
    """The budget is cut by time, and named; periods within the span are summed."""
    wide = planned(30, "revenue", period=(0, 3_000))
    assert against(company(), Budget("b.csv", (wide,))).cut == ("p",)
    assert rows(against(company(), Budget("b.csv", (wide,))))["Revenue"][0] == 10 * USD
    halves = [planned(n, "revenue", period=(n * 500, n * 500 + 500)) for n in (0, 1)]
    assert rows(against(company(), Budget("b.csv", tuple(halves))))["Revenue"][0] == USD
    with pytest.raises(
        UserError, match=r"b\.csv has nothing for this span; its periods are p to p"
    ):
        against(company(), Budget("b.csv", (planned(1, "revenue", period=(1_000, 2_000)),)))


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """Decimal commas, and a line above the header, as with any file of the books."""
    path = tmp_path / "budget.csv"
    path.write_text("Plan\n\nperiod;line;amount\n2026-11;Revenue;1.250,50\n", encoding="utf-16")
    [row] = read_budget(open_ours(path, COLUMNS), Periods().named, Departments(), "USD").rows
    assert row.amount_pico == 1250_500_000_000_000


def test_a_file_is_read(tmp_path: Path) -> None:
    """Lines by caption or in one word, departments by any of their names, amounts exactly."""
    budget = read(tmp_path, (
        "period,line,amount,customer,model,department\n"
        "2026-11,Revenue,1000.50,acme,small,\n"
        "2026-11,Cost of revenue,500,,,\n"
        "2026-11..2026-12,research-and-development,7,,,R&D\n".replace("2026-11..2026-12", "2026-12")
        + "2026-11-01..2026-11-16,SALES_AND_MARKETING,1e2,,,\n"
    ))  # fmt: skip
    assert budget.file == "budget.csv"
    assert [(row.period.name, *row.key, row.amount_pico) for row in budget.rows] == [
        ("2026-11", "revenue", "acme", "small", "", 1_000_500_000_000_000),
        ("2026-11", "cost_of_revenue", "", "", "", 500 * USD),
        ("2026-12", "research_and_development", "", "", "research", 7 * USD),
        ("2026-11-01..2026-11-16", "sales_and_marketing", "", "", "", 100 * USD),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2026-11,Revenu,1,,,", "is no line of the statement; the nearest is 'revenue'"),
        ("2026-11,idle capacity,1,,,", "the nearest is 'unused capacity'"),
        ("2026-11,gross margin,1,,,", "follows from its lines; leave it out"),
        ("2026-13,revenue,1,,,", "there is no month 2026-13"),
        (",revenue,1,,,", "must not be empty"),
        ("2026-11,revenue,lots,,,", "not a plain decimal number"),
        ("2026-11,revenue,1,,,sales", "has no revenue"),
        ("2026-11,cost of revenue,1,,,barracks", "is not known"),
        ("2026-11,revenue,1,,,,EUR", "the books are kept in USD"),
        ("2026-11,cost of revenue,1,,,", "is budgeted twice for 2026-11"),
        ("2026-11-15..2026-12-01,cost of revenue,1,,,", "is budgeted twice for 2026-11-15"),
        (
            "2026-11,revenue,1,,small,",
            "budgeted by customer and by model, which overlap: choose one",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, row: str, reason: str) -> None:
    """Each by its line and column."""
    text = (
        "period,line,amount,customer,model,department,currency\n"
        "2026-11,Cost of revenue,500,,,,\n2026-11,revenue,500,acme,,,\n"
    )
    with pytest.raises(BillError, match=reason) as refused:
        read(tmp_path, text + row + "," * (6 - row.count(",")) + "\n")
    assert "budget.csv, line 4, column" in str(refused.value)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    """A file without rows is refused, and one without the columns."""
    with pytest.raises(BillError, match="has no rows"):
        read(tmp_path, "period,line,amount\n")
    with pytest.raises(BillError, match="column line is missing"):
        read(tmp_path, "period,amount\n2026-11,1\n")


@given(st.lists(st.tuples(st.sampled_from(["acme", "burns", "freda", "nobody"]), st.integers(-5, 50)),
                max_size=4, unique_by=lambda row: row[0]), st.integers(0, 90) | st.none())  # fmt: skip
@settings(max_examples=10)
def test_parts_and_the_rest_are_the_line(parts: list[tuple[str, int]], total: int | None) -> None:
    """Budget and actual of a line are the sums of their parts, whatever is planned by customer."""
    plan = [planned(amount, "cost_of_revenue", name) for name, amount in parts]
    plan += [planned(total, "cost_of_revenue")] if total is not None else []
    if not plan:
        return
    found = against(company(), Budget("b.csv", tuple(plan)))
    whole, *told = [one for one in found.lines if one.key.line == "cost_of_revenue"]
    if told:
        assert sum(one.budget_pico or 0 for one in told) == whole.budget_pico
        assert sum(one.actual_pico for one in told) == whole.actual_pico
