"""Entries by the first version of the rules, for periods closed under it.

Every charge was credited to a payable, staff and depreciation too, and all sales and allocations of a
span stood in entries at its end, however many months it had. No new period is closed with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from inferworks.books.accounting.entries import Entry, Posting, expenses_of, prepayment, sale
from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.allocate import Allocated
from inferworks.books.revenue.rating import Item, Prepayment, Revenue
from inferworks.ids import CustomerId


def first_journal(
    allocated: Sequence[Allocated], revenue: Revenue, policy: Policy, currency: str, at_ns: int
) -> tuple[Entry, ...]:
    """The entries of a span that ends at `at_ns`."""
    bills = [_bill(item, currency) for item in allocated]
    allocations = [_allocation(item, policy, currency, at_ns) for item in allocated]
    return (*bills, *allocations, *_sales(revenue, currency, at_ns))


def _bill(item: Allocated, currency: str) -> Entry:
    charge = item.charge
    return Entry(
        charge.period_end_ns,
        f"bill {charge.id}",
        (
            Posting(_cost_account(item), charge.amount_pico, currency),
            Posting(f"Liabilities:Payable:{charge.issuer}", -charge.amount_pico, currency),
        ),
    )


def _allocation(item: Allocated, policy: Policy, currency: str, at_ns: int) -> Entry:
    expenses = expenses_of(item, policy)
    debits = (Posting(account, expenses[account], currency) for account in sorted(expenses))
    credit = Posting(_cost_account(item), -sum(expenses.values()), currency)
    return Entry(at_ns, f"allocate {item.charge.id}", (*debits, credit))


def _sales(revenue: Revenue, currency: str, at_ns: int) -> Iterator[Entry]:
    earned: dict[tuple[Item, str], int] = defaultdict(int)
    for row in revenue.rated:
        earned[row.item, row.customer] += row.amount_pico
    for (item, customer), amount_pico in sorted(earned.items()):
        yield sale(at_ns, item, customer, amount_pico, currency)
    used: dict[tuple[CustomerId, str], int] = defaultdict(int)
    for one in revenue.prepayments:
        if one.amount_pico > 0:
            yield prepayment(one, currency)
        else:
            used[one.customer, one.text] += one.amount_pico
    for (customer, text), amount_pico in used.items():
        yield prepayment(Prepayment(at_ns, customer, text, amount_pico), currency)


def _cost_account(item: Allocated) -> str:
    return f"Costs:{item.pool}:{item.charge.natural_class}"
