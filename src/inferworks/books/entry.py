"""Double entry: every movement of money has two sides, and an entry that does not balance cannot be made.

Debits are positive, credits negative. Accounts are named by what they are:

    Liabilities:Payable:<issuer>                          what we owe suppliers and staff
    Costs:<pool>:<natural class>                          a pool; empty once it is allocated
    Expenses:<function>:<natural class>:<pool>            what it was for
    Assets:Receivable:<customer>                          what customers owe us
    Income:<item>:<customer>                              what they paid for: usage, subscription, ...
    Liabilities:Credits:<customer>                        what they paid ahead and have not used
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from inferworks.books.allocate import Allocated
from inferworks.books.policy import Policy
from inferworks.books.rate import Item, Prepayment, Revenue
from inferworks.errors import BooksError
from inferworks.money import format_pico


class Posting(msgspec.Struct, frozen=True):
    """One side of an entry: `amount_pico` picounits of `currency` to `account`; debits positive."""

    account: str
    amount_pico: int
    currency: str


class Entry(msgspec.Struct, frozen=True):
    """One balanced movement, booked at `at_ns`. BooksError when it does not sum to zero per currency."""

    at_ns: int
    text: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        for currency, amount_pico in trial_balance([self]).items():
            if amount_pico:
                off = format_pico(amount_pico)
                raise BooksError(f"entry {self.text!r} does not balance: off by {off} {currency}")


def trial_balance(entries: Iterable[Entry]) -> dict[str, int]:
    """The sum of all postings by currency; zero each when the books balance (theorem 10)."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            sums[posting.currency] += posting.amount_pico
    return dict(sums)


def balances(entries: Iterable[Entry]) -> dict[str, int]:
    """The balance of every account in picounits, by name, those at zero included."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            sums[posting.account] += posting.amount_pico
    return dict(sorted(sums.items()))


def journal(
    allocated: Sequence[Allocated], revenue: Revenue, policy: Policy, currency: str, at_ns: int
) -> tuple[Entry, ...]:
    """The entries of a span: each charge billed, each charge allocated, each customer's usage."""
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
    expenses: dict[str, int] = defaultdict(int)
    for row in item.rows:
        function = policy.function(row.target.use, row.natural_class, row.behaviour)
        expenses[f"Expenses:{function}:{row.natural_class}:{row.pool}"] += row.amount_pico
    debits = (Posting(account, expenses[account], currency) for account in sorted(expenses))
    credit = Posting(_cost_account(item), -sum(expenses.values()), currency)
    return Entry(at_ns, f"allocate {item.charge.id}", (*debits, credit))


def _sales(revenue: Revenue, currency: str, at_ns: int) -> list[Entry]:
    earned: dict[tuple[Item, str], int] = defaultdict(int)
    for row in revenue.rated:
        earned[row.item, row.customer] += row.amount_pico
    return [
        Entry(
            at_ns,
            f"{item} {customer}",
            (
                Posting(f"{_DEBITED.get(item, _RECEIVABLE)}:{customer}", amount_pico, currency),
                Posting(f"Income:{item.title()}:{customer}", -amount_pico, currency),
            ),
        )
        for (item, customer), amount_pico in sorted(earned.items())
    ] + [_prepayment(one, currency) for one in revenue.prepayments]


def _prepayment(one: Prepayment, currency: str) -> Entry:
    return Entry(
        one.at_ns,
        one.text,
        (
            Posting(f"{_RECEIVABLE}:{one.customer}", one.amount_pico, currency),
            Posting(f"{_CREDITS}:{one.customer}", -one.amount_pico, currency),
        ),
    )


_RECEIVABLE = "Assets:Receivable"
_CREDITS = "Liabilities:Credits"
_DEBITED = {Item.BREAKAGE: _CREDITS}
"""What an item of revenue is drawn from; the rest is owed by its customer."""


def _cost_account(item: Allocated) -> str:
    return f"Costs:{item.pool}:{item.charge.natural_class}"
