"""The computation of a span: charges cut to it by time, money placed once, entries by their version."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.small_company import RULES, SPAN, USD, worked_out

from inferworks.accounts.directory import ALONE, Directory, Merge
from inferworks.books.accounting.basis import Basis
from inferworks.books.accounting.entries import FIRST_JOURNAL, JOURNAL, trial_balance
from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.allocate import Target
from inferworks.books.allocation.departments import Departments
from inferworks.books.calendar.span import Span
from inferworks.books.charge import ACCRUED, Charge, Function, NaturalClass
from inferworks.books.statement.computation import (
    Inputs,
    accrue,
    accrued_charges,
    compute,
    line_of,
    line_order,
    lines_of,
)
from inferworks.catalog.billing import first_table
from inferworks.errors import BooksError, MoneyError
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge, a_company

GAAP = load_policy("gaap")


def inputs(*charges: Charge, span: Span = SPAN, **changes: Any) -> Inputs:
    """Inputs of these charges alone."""
    return replace(Inputs(charges, NO_FACTS, (), GAAP, "USD", span, RULES), **changes)


def accrued(*charges: Charge, basis: Basis = Basis.ACCRUAL, taxes: tuple[str, ...] = ()) -> Any:
    """The charges of `SPAN`."""
    rules = replace(RULES, recoverable_taxes=taxes)
    return accrued_charges(charges, SPAN, "USD", rules, basis)


def test_a_span_without_anything_has_an_empty_computation() -> None:
    """Of no length as well."""
    for span in (SPAN, Span(5, 5)):
        found = compute(inputs(span=span))
        assert (found.charges, found.allocated, found.lines, found.entries) == ((), (), (), ())
        assert found.revenue.amount_pico == 0


@pytest.mark.parametrize(
    ("period", "amount", "cut"),
    [
        ((0, 1_000), 1_000, (0, 1_000)),
        ((200, 300), 1_000, (200, 300)),
        ((-1_000, 1_000), 500, (0, 1_000)),
        ((500, 1_500), 500, (500, 1_000)),
        ((-1_000, 2_000), 667 - 333, (0, 1_000)),
        ((999, 1_999), 1, (999, 1_000)),
    ],
)
def test_a_charge_bears_the_part_of_its_time_in_the_span(
    period: tuple[int, int], amount: int, cut: tuple[int, int]
) -> None:
    """Of a thousand picounits; a third is what two have come to less what one has."""
    charge = replace(a_charge("a", "1", period), amount_pico=1_000)
    found = accrue(charge, SPAN)
    assert (found.amount_pico, (found.period_start_ns, found.period_end_ns)) == (amount, cut)
    assert replace(
        found, amount_pico=1_000, period_start_ns=period[0], period_end_ns=period[1]
    ) == (charge)


@settings(max_examples=30)
@given(
    st.integers(-(10**13), 10**13),
    st.tuples(st.integers(0, 90), st.integers(1, 90)),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_parts_of_adjoining_spans_sum_to_the_charge(
    amount_pico: int, period: tuple[int, int], cuts: list[int]
) -> None:
    """To the picounit, a credit too, wherever it is cut."""
    start_ns, length_ns = period
    charge = replace(a_charge("a", "1", (start_ns, start_ns + length_ns)), amount_pico=amount_pico)
    edges = sorted({0, 300, *cuts})
    parts = [accrue(charge, Span(*ends)) for ends in pairwise(edges)]
    assert sum(part.amount_pico for part in parts if part.period_end_ns > part.period_start_ns) == (
        amount_pico
    )


def test_charges_that_only_touch_the_span_are_no_part_of_it() -> None:
    """Of those that meet it, both whole and cut, by id, whatever their order."""
    before, after = a_charge("a", "1", (-10, 0)), a_charge("b", "1", (1_000, 1_010))
    inside, across = a_charge("c", "1", (0, 10)), a_charge("d", "2", (990, 1_010))
    wanted = tuple(sorted((inside, across), key=lambda charge: charge.id))
    for order in ((before, after, inside, across), (across, inside, after, before)):
        found = accrued(*order)
        assert found.given == wanted
        assert sorted(charge.amount_pico for charge in found.charges) == [USD, USD]
        assert (found.taxes, found.committed) == ((), ())


def test_a_foreign_currency_is_refused_with_its_line() -> None:
    """Unless the charge is no part of the span."""
    foreign = replace(a_charge("a", "1", SPAN), currency="EUR")
    with pytest.raises(MoneyError) as refused:
        compute(inputs(foreign))
    assert str(refused.value) == (
        f"charge {foreign.id} (bill.csv, line 2) is in EUR, the books are kept in USD"
    )
    assert compute(inputs(replace(foreign, period_start_ns=-10, period_end_ns=0))).charges == ()


def test_accruals_are_a_cost_on_the_accrual_basis_alone() -> None:
    """On the cash basis a bill that has not come costs nothing."""
    bill, accrual = a_charge("a", "1", SPAN), replace(a_charge("b", "2", SPAN), file=ACCRUED)
    assert len(accrued(bill, accrual).given) == 2
    assert accrued(bill, accrual, basis=Basis.CASH).given == (bill,)


def test_recoverable_taxes_are_no_cost() -> None:
    """Only taxes that are named; any other tax is one."""
    tax = replace(a_charge("VAT 19 %", "1", SPAN), charge_category="Tax")
    found = accrued(tax, taxes=("VAT",))
    assert (found.given, found.charges) == ((), ())
    assert [(one.name, one.charge) for one in found.taxes] == [("VAT", tax)]
    assert accrued(tax).given == (tax,)


def test_a_line_of_a_commitment_costs_what_is_used_of_it() -> None:
    """On the accrual basis, beside the line as it is billed."""
    line = replace(
        a_charge("a", "120", SPAN), effective_pico=10 * USD, other=(("CommitmentDiscountId", "c"),)
    )
    found = accrued(line)
    assert [charge.amount_pico for charge in found.charges] == [10 * USD]
    assert found.committed == (line,)
    cash = accrued(line, basis=Basis.CASH)
    assert ([charge.amount_pico for charge in cash.charges], cash.committed) == ([120 * USD], ())


def test_departments_are_those_of_the_company() -> None:
    """A name that is not known is refused rather than put anywhere."""
    rules = replace(RULES, departments=Departments())
    with pytest.raises(BooksError, match="nowhere"):
        accrued_charges(
            [replace(a_charge("a", "1", SPAN), department="nowhere")],
            SPAN,
            "USD",
            rules,
            Basis.ACCRUAL,
        )


def test_every_stage_is_kept() -> None:
    """From the charges to balanced entries; lines sum to the bill, to the picounit."""
    computation = worked_out(a_company())
    assert len(computation.given) == len(computation.charges) == len(computation.allocated) == 5
    assert sum(line.amount_pico for line in computation.lines) == 22 * USD
    assert computation.revenue.amount_pico == 17 * USD
    assert set(trial_balance(computation.entries).values()) == {0}
    assert (computation.pools, computation.journal) == (RULES.pools, JOURNAL)
    assert (computation.to_date, computation.rates, computation.customers) == (None, (), ALONE)
    assert computation.rating.to_date is None


def test_another_policy_moves_functions_and_no_money() -> None:
    """The parts are the same; under the same policy again everything is."""
    computation = worked_out(a_company())
    other = computation.under(load_policy("full"))
    assert other.allocated is computation.allocated
    assert sum(line.amount_pico for line in other.lines) == 22 * USD
    assert other.policy.name == "full"
    assert other.under(GAAP) == computation


def test_a_policy_on_another_basis_is_refused() -> None:
    """Its costs are of other periods."""
    computation = worked_out(a_company())
    cash = replace(GAAP, name="cash", basis=Basis.CASH)
    with pytest.raises(BooksError) as refused:
        computation.under(cash)
    assert str(refused.value) == (
        "policy cash is on the cash basis, gaap on the accrual basis: their costs are of other periods; "
        "build a statement of each"
    )


def test_entries_keep_the_version_that_they_were_closed_under() -> None:
    """The first version has one bill an entry at the span's end; one that is yet to come is refused."""
    charge = a_charge("a", "1", SPAN)
    first = compute(inputs(charge, rules=replace(RULES, journal=FIRST_JOURNAL)))
    assert [entry.text for entry in first.entries] == [
        f"bill {charge.id}",
        f"allocate {charge.id}",
    ]
    with pytest.raises(BooksError) as refused:
        compute(inputs(charge, rules=replace(RULES, journal=JOURNAL + 1)))
    assert str(refused.value) == (
        f"its entries are of version {JOURNAL + 1}; this program supports versions up to {JOURNAL}"
    )


def test_rules_of_before_have_what_was_usual_then() -> None:
    """Sealed without a version of entries, a table of names or mergers of those who reserved."""
    old = type(RULES)(RULES.pools, RULES.catalog)
    assert (old.journal, old.bundles, old.follows_merges) == (FIRST_JOURNAL, 0, False)
    assert old.billing == first_table()
    merged = Directory((Merge(CustomerId("a"), 0, CustomerId("b")),))
    assert replace(old, customers=merged).reservers is ALONE
    assert replace(RULES, customers=merged).reservers is merged


def test_lines_are_rows_alike_in_all_that_a_statement_is_cut_by() -> None:
    """Two charges of one pool for one target are one line; another natural class is another."""
    charges = [
        a_charge("a", "1", SPAN, category="Databases"),
        a_charge("b", "2", SPAN, category="Databases"),
        replace(
            a_charge("c", "4", SPAN, category="Databases"), natural_class=NaturalClass.LICENCES
        ),
    ]
    computation = compute(inputs(*charges))
    assert sorted(line.amount_pico // USD for line in computation.lines) == [3, 4]
    assert lines_of(computation.allocated[::-1], GAAP) == computation.lines
    assert list(computation.lines) == sorted(computation.lines, key=line_order)
    rows = [row for item in computation.allocated for row in item.rows]
    assert sum(line_of(row, GAAP).amount_pico for row in rows) == 7 * USD
    assert lines_of((), GAAP) == ()


def test_a_line_has_the_function_that_a_policy_gives_it() -> None:
    """The one that it was made with is that of its own policy."""
    for line in worked_out(a_company()).lines:
        assert line.function_under(GAAP) is line.function
    training = next(
        line
        for line in worked_out(a_company()).lines
        if line.target.purpose is Purpose.TRAIN_GRADIENT
    )
    assert training.function is Function.RESEARCH_AND_DEVELOPMENT


def test_the_order_of_lines_is_total() -> None:
    """No two lines that differ in what they are cut by share a place."""
    lines = worked_out(a_company()).lines
    assert len({line_order(line) for line in lines}) == len(lines)
    line = lines[0]
    assert line_order(line) == line_order(replace(line, amount_pico=7))
    assert line_order(line) != line_order(replace(line, target=Target(customer=CustomerId("x"))))
