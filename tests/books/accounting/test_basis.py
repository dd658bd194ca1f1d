"""The accrual basis: what is paid ahead costs when it is used, and nothing is lost on the way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.accounting.basis import Basis, change_pico
from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import Policy, load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, Function, charge_id
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.errors import BooksError
from inferworks.meter.facts import Facts
from inferworks.money import PICO
from inferworks.testing.books import a_charge

NOTHING = Facts((), (), (), ())
YEAR = Span(0, 120)
ACCRUAL, CASH = load_policy("gaap"), replace(load_policy("gaap"), basis=Basis.CASH)
PREPAID = "Assets:Prepaid:a-cloud:plan-1"


def a_line(
    name: str, billed: int, effective: int | None, span: tuple[int, int], **columns: str
) -> Charge:
    """A line of the commitment `plan-1`, amounts in whole units; `columns` by their FOCUS names."""
    other = {"CommitmentDiscountId": "plan-1", **columns}
    category = "Purchase" if name.startswith("buy") else "Usage"
    return replace(
        a_charge(name, str(billed), span),
        effective_pico=None if effective is None else effective * PICO,
        charge_category=category,
        other=tuple(sorted(other.items())),
    )


def worked(charges: list[Charge], span: Span, policy: Policy = ACCRUAL) -> Computation:
    """The validated workings of `charges` alone."""
    done = compute(Inputs(charges, NOTHING, (), policy, "USD", span, shipped_rules()))
    validate(done)
    return done


def drawn(charges: list[Charge], span: Span, policy: Policy = ACCRUAL) -> Statement:
    """The statement of `charges` alone."""
    return build_statement(worked(charges, span, policy))


def test_a_year_paid_upfront_costs_a_twelfth_each_month() -> None:
    """12,000 bought and 1,000 used: 1,000 is the cost and 11,000 stands as prepaid (theorem 18)."""
    charges = [a_line("buy", 12_000, 0, (0, 10)), a_line("use", 0, 1_000, (0, 10))]
    statement = drawn(charges, Span(0, 10))
    stated = statement.to_json()
    assert (stated["basis"], stated["billed"]) == ("accrual", "1000.00")
    assert (stated["invoiced"], stated["prepaid"]) == ("12000.00", "11000.00")
    accounts = balances(statement.entries)
    assert accounts[PREPAID] == 11_000 * PICO
    assert accounts["Liabilities:Payable:a-cloud"] == -12_000 * PICO
    [note] = [note for note in statement.notes if "plan-1" in note]
    assert "12000.00 was billed and 1000.00 is the cost of the period; 11000.00" in note
    later = drawn([a_line("use2", 0, 1_000, (10, 20))], Span(10, 20))
    assert later.prepaid_pico == -1_000 * PICO


def test_on_the_cash_basis_a_line_costs_what_is_billed() -> None:
    """The word is in the policy; nothing is prepaid, and what is closed so reads as it did."""
    charges = [a_line("buy", 12_000, 0, (0, 10)), a_line("use", 0, 1_000, (0, 10))]
    stated = drawn(charges, Span(0, 10), CASH).to_json()
    assert stated["billed"] == "12000.00"
    assert {"basis", "prepaid", "invoiced"}.isdisjoint(stated)
    with pytest.raises(BooksError, match="is on the cash basis"):
        worked(charges, Span(0, 10)).under(CASH)


@pytest.mark.parametrize("columns", [{}, {"CommitmentDiscountId": ""}])
def test_only_what_a_commitment_pays_for_costs_what_is_effective(columns: dict[str, str]) -> None:
    """Issuers bill what they write as effective at zero; without a commitment it is a cost as billed."""
    plain = replace(a_line("use", 5, 0, (0, 10)), other=tuple(columns.items()))
    silent = a_line("buy", 7, None, (0, 20))
    statement = drawn([plain, silent], Span(0, 10))
    assert statement.billed_pico == 5 * PICO + 7 * PICO // 2
    assert statement.prepaid_pico == 0


def test_what_nobody_drew_on_is_unused_capacity() -> None:
    """An unused part of a commitment is a line of its own and nobody's."""
    unused = a_line("rest", 0, 300, (0, 10), CommitmentDiscountStatus="Unused")
    statement = drawn([unused], Span(0, 10))
    assert statement.function_pico(Function.UNUSED_CAPACITY) == 300 * PICO
    [line] = statement.lines
    assert (line.pool, line.target.use) == ("commitments", "unused:commitment")


_lines = st.lists(
    st.tuples(
        st.sampled_from(["buy", "use"]),
        st.integers(-50, 500),
        st.integers(0, 200),
        st.integers(0, 119),
        st.integers(1, 60),
        st.sampled_from(["Used", "Unused"]),
    ),
    max_size=8,
)


@pytest.mark.slow
@given(lines=_lines, cuts=st.lists(st.integers(1, 179), max_size=3, unique=True))
def test_billed_is_cost_and_what_is_prepaid(lines, cuts) -> None:
    """Theorem 18: at any moment, over any spans; and over the whole life cost = billed - what is left."""
    charges = [
        replace(
            a_line(
                f"{kind}-{n}", billed, effective, (at, at + length), CommitmentDiscountStatus=used
            ),
            id=charge_id("a-cloud", "invoice-1", str(n)),
        )
        for n, (kind, billed, effective, at, length, used) in enumerate(lines)
    ]
    edges = [0, *sorted(cuts), 180]
    parts = [drawn(charges, Span(*pair)) for pair in pairwise(edges)]
    for part in parts:
        assert balances(part.entries).get(PREPAID, 0) == part.prepaid_pico
    billed_pico = sum(charge.amount_pico for charge in charges)
    cost_pico = sum(part.billed_pico for part in parts)
    assert cost_pico == sum(charge.effective_pico or 0 for charge in charges)
    assert sum(part.prepaid_pico or 0 for part in parts) == billed_pico - cost_pico
    assert change_pico(charges, Span(0, 180)) == billed_pico - cost_pico
