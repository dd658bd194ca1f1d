"""Double entry: every movement of money has two sides, and an entry that does not balance cannot be made.

Debits are positive, credits negative. Accounts are named by what they are:

    Costs:<pool>:<natural class>                          a pool; empty once it is allocated
    Expenses:<function>:<natural class>:<pool>            what it was for
    Income:<item>:<customer>                              what customers paid for: usage, subscription, ...
    Assets:Receivable:<customer>                          what customers owe us
    Assets:RecoverableTax:<tax>                           what an authority pays back (`tax.py`)
    Assets:Prepaid:<supplier>                             billed to us ahead of its time
    Assets:Prepaid:<supplier>:<commitment>                the same, of a commitment (`basis.py`)
    Assets:AccumulatedDepreciation:<asset>                what an asset has lost of its cost; a credit
    Liabilities:Payable:<supplier>                        what suppliers have billed
    Liabilities:Accrued:<supplier>                        what they will bill, as estimated
    Liabilities:AccruedPayroll:<source>                   what staff have earned
    Liabilities:Credits:<customer>                        paid ahead and not used: deferred revenue

An entry stands in the calendar month of its cost or revenue, also where a span has several: a bill line
that reaches over a month's end has an entry in each. An amount billed ahead of its time is prepaid first,
and used up month by month.

The rules of making entries have a version: a closed period keeps the version it was closed under, and is
recomputed with it (`first_entries.py` is the first one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from inferworks.books.accounting.basis import Basis, commitment_of, is_prepaid
from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.allocate import Allocated
from inferworks.books.calendar.months import month_of, months
from inferworks.books.calendar.span import Span
from inferworks.books.charge import VOUCHERS, Charge, NaturalClass, is_accrual, is_provisional
from inferworks.books.revenue.rating import Item, Prepayment, Revenue
from inferworks.errors import BooksError
from inferworks.money import format_pico

FIRST_JOURNAL, JOURNAL = 1, 2
"""Versions of the rules of entries: that of periods closed before there were versions, and today's."""

RECEIVABLE, CREDITS = "Assets:Receivable", "Liabilities:Credits"
"""Accounts of what customers owe us, and of what we owe them."""
REFUND = "credit refunded "
"""Prefix of the text of a refund."""
PAYABLE = "Liabilities:Payable"
ACCRUED = "Liabilities:Accrued"
"""Accrued expenses: costs that suppliers have not billed yet."""
RECOVERABLE, PREPAID = "Assets:RecoverableTax", "Assets:Prepaid"
CAPITALISED, PAYROLL = "Assets:AccumulatedDepreciation", "Liabilities:AccruedPayroll"
BALANCE_SHEET = (
    RECEIVABLE,
    RECOVERABLE,
    PREPAID,
    CAPITALISED,
    PAYABLE,
    ACCRUED,
    PAYROLL,
    CREDITS,
)
"""Prefixes of the names of all balance sheet accounts."""


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


def booked_within(entry: Entry, start_ns: int, end_ns: int) -> int:
    """The moment at which a ledger of the span from `start_ns` until `end_ns` books `entry`.

    An entry is made at the end of what it is for, which is the first moment of the next period. A ledger
    puts it into the period of its day: so it is booked at the last moment before, but credit that is bought
    or paid back at its own. A correction of an earlier period is booked within the span that shows it.
    """
    at_ns = entry.at_ns if moves_credit(entry) else entry.at_ns - 1
    return max(start_ns, min(at_ns, end_ns - 1))


def moves_credit(entry: Entry) -> bool:
    """Return True if `entry` is a purchase of credit or a refund, which stand at moments of their own."""
    if entry.text.startswith(REFUND):
        return True
    last = entry.postings[-1:]
    return any(side.account.startswith(f"{CREDITS}:") and side.amount_pico < 0 for side in last)


def post_entries(
    allocated: Sequence[Allocated],
    whole: Iterable[Charge],
    revenue: Revenue,
    policy: Policy,
    currency: str,
    span: Span,
) -> tuple[Entry, ...]:
    """The entries of `span`: each charge billed, each charge allocated, what each customer was sold.

    `whole` are the charges before they were cut to the span.
    """
    uncut = {charge.id: charge for charge in whole}
    bills, allocations = list[Entry](), list[Entry]()
    for item in allocated:
        charge = item.charge
        by_account = expenses_of(item, policy)
        begun, ahead = uncut[charge.id], prepaid(charge, policy.basis)
        owed, pool = credited(charge, policy.basis), f"Costs:{item.pool}:{charge.natural_class}"
        period = Span(charge.period_start_ns, charge.period_end_ns)
        for month in (period.meet(*month) for month in months(period)):
            # The months of an account sum to it exactly; a month of the charge is the sum of its accounts.
            expenses = {name: month.part_of(pico, *period) for name, pico in by_account.items()}
            cost_pico = sum(expenses.values())
            sides = [(pool, cost_pico)]
            if ahead is None:
                sides.append((owed, -cost_pico))
            elif month.start_ns > begun.period_start_ns:
                sides.append((ahead, -cost_pico))
            else:  # the whole charge is owed where it begins
                later_pico = begun.amount_pico - cost_pico
                sides += [(ahead, later_pico)] if later_pico else []
                sides.append((owed, -begun.amount_pico))
            bills.append(_entry(month.end_ns, f"bill {charge.named}", sides, currency))
            sides = [*sorted(expenses.items()), (pool, -cost_pico)]
            allocations.append(_entry(month.end_ns, f"allocate {charge.named}", sides, currency))
    earned: dict[tuple[int, Item, str], int] = defaultdict(int)
    for row in revenue.rated:
        last_ns = min(month_of(row.day_ns).end_ns, span.end_ns)
        earned[last_ns, row.item, row.customer] += row.amount_pico
    sales = (sale(*key, amount_pico, currency) for key, amount_pico in sorted(earned.items()))
    credit = (prepayment(movement, currency) for movement in revenue.prepayments)
    return (*bills, *allocations, *sales, *credit)


def paid_ahead(committed: Iterable[Charge], currency: str, span: Span) -> Iterator[Entry]:
    """Yield the prepayments that are billed within `span` for the commitments of `committed`."""
    for charge in committed:
        if charge.amount_pico and span.holds(charge.period_start_ns):
            owed = f"{PAYABLE}:{_supplier(charge)}"
            sides = [
                (credited(charge, Basis.ACCRUAL), charge.amount_pico),
                (owed, -charge.amount_pico),
            ]
            at_ns = min(month_of(charge.period_start_ns).end_ns, span.end_ns)
            yield _entry(at_ns, f"prepay {charge.named}", sides, currency)


def credited(charge: Charge, basis: Basis = Basis.CASH) -> str:
    """Return the account that the cost of `charge` is credited to while it is used.

    A charge without a bill is accrued. Else by natural class: depreciation lowers an asset, pay is owed
    to staff. The rest is owed to a supplier, or uses up a commitment that was paid ahead.
    """
    if is_accrual(charge):
        return f"{ACCRUED}:{charge.issuer}"
    if is_prepaid(charge, basis):
        return f"{PREPAID}:{_supplier(charge)}:{commitment_of(charge)}"
    if charge.natural_class is NaturalClass.DEPRECIATION:
        named = charge.resource_id if charge.issuer == VOUCHERS else charge.invoice
        asset = dict(charge.other).get("asset") or named or charge.provider
        return f"{CAPITALISED}:{asset}"
    if charge.natural_class is NaturalClass.EMPLOYEE_COMPENSATION:
        return f"{PAYROLL}:{_supplier(charge)}"
    if is_provisional(charge):
        return f"{ACCRUED}:{_supplier(charge)}"
    return f"{PAYABLE}:{_supplier(charge)}"


def prepaid(charge: Charge, basis: Basis) -> str | None:
    """Return the account of the part of `charge` billed ahead of its time; None where nothing is.

    Usage is billed once it has happened (FOCUS's ChargeCategory `Usage`). Any other charge that reaches
    over the end of a period, a purchase or a voucher, has been billed as a whole.
    """
    owed = credited(charge, basis).startswith(PAYABLE)
    return f"{PREPAID}:{_supplier(charge)}" if owed and charge.charge_category != "Usage" else None


_Months: TypeAlias = Sequence[tuple[Span, Mapping[str, int]]]
"""Spans within calendar months, and the expenses of each by account."""


def _supplier(charge: Charge) -> str:
    """Return the supplier of a charge; a voucher names it beside the file that holds all vouchers."""
    return charge.provider if charge.issuer == VOUCHERS else charge.issuer


def expenses_of(item: Allocated, policy: Policy) -> dict[str, int]:
    """The parts of a charge by the account of what each is for."""
    expenses: dict[str, int] = defaultdict(int)
    for row in item.rows:
        function = policy.function(row.target.use, row.natural_class, row.behaviour)
        expenses[f"Expenses:{function}:{row.natural_class}:{row.pool}"] += row.amount_pico
    return expenses


def sale(at_ns: int, item: Item, customer: str, amount_pico: int, currency: str) -> Entry:
    """Return the sale to `customer` on account; credit that expired was paid for already."""
    debited = CREDITS if item is Item.BREAKAGE else RECEIVABLE
    sides = [
        (f"{debited}:{customer}", amount_pico),
        (f"Income:{item.title()}:{customer}", -amount_pico),
    ]
    return _entry(at_ns, f"{item} {customer}", sides, currency)


def prepayment(movement: Prepayment, currency: str) -> Entry:
    """Credit that was bought, used, or became another customer's."""
    debited = f"{RECEIVABLE}:{movement.customer}"
    credited = f"{CREDITS}:{movement.customer}"
    if movement.into is not None:
        debited, credited = credited, f"{CREDITS}:{movement.into}"
    sides = [(debited, movement.amount_pico), (credited, -movement.amount_pico)]
    return _entry(movement.at_ns, movement.text, sides, currency)


def _entry(at_ns: int, text: str, sides: Iterable[tuple[str, int]], currency: str) -> Entry:
    return Entry(at_ns, text, tuple(Posting(name, pico, currency) for name, pico in sides))
