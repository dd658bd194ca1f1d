"""Entries by the first version of the rules, for periods closed under it.

Every charge was credited to a payable, staff and depreciation too, and all sales and allocations of a
span stood in entries at its end, however many months it had. No new period is closed with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from inferworks.books.accounting.entries import Entry, Posting, expenses_of, prepayment, sale
from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.allocate import Allocated
from inferworks.books.revenue.rating import Item, Prepayment, Revenue
from inferworks.ids import CustomerId


def first_journal(
    allocated: Sequence[Allocated], revenue: Revenue, policy: Policy, currency: str, at_ns: int
) -> tuple[Entry, ...]:
    """The entries of a span that ends at `at_ns`."""
    bills, allocations, sales = list[Entry](), list[Entry](), list[Entry]()
    for item in allocated:
        charge, pool = item.charge, f"Costs:{item.pool}:{item.charge.natural_class}"
        cost = Posting(pool, charge.amount_pico, currency)
        owed = Posting(f"Liabilities:Payable:{charge.issuer}", -charge.amount_pico, currency)
        bills.append(Entry(charge.period_end_ns, f"bill {charge.id}", (cost, owed)))
        expenses = expenses_of(item, policy)
        debits = (Posting(account, expenses[account], currency) for account in sorted(expenses))
        credit = Posting(pool, -sum(expenses.values()), currency)
        allocations.append(Entry(at_ns, f"allocate {charge.id}", (*debits, credit)))
    earned: dict[tuple[Item, str], int] = defaultdict(int)
    for row in revenue.rated:
        earned[row.item, row.customer] += row.amount_pico
    for (kind, customer), amount_pico in sorted(earned.items()):
        sales.append(sale(at_ns, kind, customer, amount_pico, currency))
    used: dict[tuple[CustomerId, str], int] = defaultdict(int)
    for movement in revenue.prepayments:
        if movement.amount_pico > 0:
            sales.append(prepayment(movement, currency))
        else:
            used[movement.customer, movement.text] += movement.amount_pico
    for (customer, text), amount_pico in used.items():
        sales.append(prepayment(Prepayment(at_ns, customer, text, amount_pico), currency))
    return (*bills, *allocations, *sales)
