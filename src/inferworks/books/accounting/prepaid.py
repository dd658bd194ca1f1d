"""Prepaid credit: a liability when it is bought, used up by what the customer's calls earn, or expired.

    bought    Assets:Receivable:<customer>     to  Liabilities:Credits:<customer>
    used      Liabilities:Credits:<customer>   to  Assets:Receivable:<customer>
    refunded  Liabilities:Credits:<customer>   to  Assets:Receivable:<customer>
    expired   Liabilities:Credits:<customer>   to  Income:Breakage:<customer>
    moved     Liabilities:Credits:<customer>   to  Liabilities:Credits:<survivor>

Revenue does not depend on credit: a call earns the same whether it was paid ahead or is owed (ASC 606;
IFRS 15). Credit settles a day's receivable, the credit that expires soonest first. Use falls due on its
day, a subscription on the first day of its time, a minimum on the last day of its month, when its amount
is known. Days and months are those of the customer's clock. Credit that expires unused is revenue of its
own kind, breakage, at the moment it expires.

A day may use credit that was bought by its end, expires after its beginning, and was not refunded before.
A refund takes no more than the balance: any excess was no credit. A negative day (a discount, a volume
price that falls) lessens the days after it. So the balance is never negative at the end of any day, and
at any moment

    bought + moved in = used + refunded + expired + moved out + balance.

A customer that is merged with another leaves it the balance at that moment, each credit with its expiry;
amounts due until then used the customer's own credit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.directory import ALONE, Directory
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.entries import FIRST_JOURNAL, JOURNAL, REFUND
from inferworks.books.calendar.calendars import UTC_CALENDAR, Calendar, calendars_of
from inferworks.books.calendar.months import day_of, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.customer_currency import DayRate
from inferworks.books.revenue.rating import (
    NO_KEY,
    NO_MODEL,
    NO_PROJECT,
    Item,
    Prepayment,
    Rated,
    RatingContext,
    Revenue,
    ToDate,
    rate,
    to_date_of,
)
from inferworks.errors import MoneyError
from inferworks.ids import CustomerId
from inferworks.meter.usage import Usage
from inferworks.purpose import Purpose

Days: TypeAlias = Mapping[int, int]
"""Amounts that fell due, in picounits, by day: the midnight before it, UTC's or the customer's own."""

_NEVER = 2**63


class Prepaid(msgspec.Struct, frozen=True):
    """Inputs of a span beside facts and plans: all credit, revenue earned before it, and rates."""

    credits: tuple[Credit, ...] = ()
    earned_before: tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...] = ()
    """Picounits by day, by customer, for those who bought credit before the span."""
    to_date: tuple[ToDate, ...] | None = None
    """Totals that the months in which the span begins had reached before (`rate`)."""
    rates: tuple[DayRate, ...] = ()
    """Exchange rates of the currencies of plans on the days of the span."""


NOTHING_PREPAID = Prepaid()


class Use(NamedTuple):
    """Use of one credit for the amounts due on one day."""

    credit: str
    day_ns: int
    amount_pico: int


class Refund(NamedTuple):
    """Amount paid back of the balance."""

    refund: str
    at_ns: int
    amount_pico: int


class Expiry(NamedTuple):
    """Amount of one credit that expired unused."""

    credit: str
    at_ns: int
    amount_pico: int


class Wallet(msgspec.Struct, frozen=True):
    """A customer's credit over a span. Amounts in picounits, none negative."""

    customer: CustomerId
    opening_pico: int
    bought_pico: int
    uses: tuple[Use, ...]
    expiries: tuple[Expiry, ...]
    refunds: tuple[Refund, ...] = ()
    moved_pico: int = 0
    """Credit received from customers merged with this one, less credit passed on when it was merged."""
    expires_ns: int | None = None
    """Earliest expiry of a credit with a balance; None if none expires."""

    @property
    def used_pico(self) -> int:
        """Return the credit that the span's calls and fees used, in picounits."""
        return sum(use.amount_pico for use in self.uses)

    @property
    def refunded_pico(self) -> int:
        """Return the credit that was paid back in the span, in picounits."""
        return sum(refund.amount_pico for refund in self.refunds)

    @property
    def expired_pico(self) -> int:
        """Return the credit that expired in the span, in picounits."""
        return sum(expiry.amount_pico for expiry in self.expiries)

    @property
    def closing_pico(self) -> int:
        """Return the credit owed to the customer at the end, in picounits."""
        gone_pico = self.used_pico + self.refunded_pico + self.expired_pico
        return self.opening_pico + self.bought_pico + self.moved_pico - gone_pico


Left: TypeAlias = Mapping[int, Sequence[Credit]]
"""Credits left when a customer was merged with another, by the moment of the merger."""


class PrepaidAccount(NamedTuple):
    """A customer's credits, and the amounts due that they settle."""

    customer: CustomerId
    bought: Sequence[Credit]
    """Its own credits, of which negative ones are refunds; their order leaves no trace."""
    due_before: Days
    """Amounts due from its first credit up to the span."""
    due: Days
    """Amounts due within the span."""
    calendar: Calendar = UTC_CALENDAR
    received: Sequence[Credit] = ()
    """Credits of customers that were merged with this one."""
    merged_ns: Sequence[int] = ()
    """Moments at which this customer was merged with another."""

    def wallet(self, span: Span) -> tuple[Wallet, Left]:
        """Return the course of the credits in `span`, and the credits that another customer received."""
        by_expiry = sorted(
            (*self.bought, *self.received),
            key=lambda credit: (_expires_ns(credit), *_oldest(credit)),
        )
        bought = [credit for credit in by_expiry if not credit.is_refund]
        purse = _Purse(bought, [c for c in by_expiry if c.is_refund], self.calendar)
        opening_pico = sum(c.amount_pico for c in bought if c.bought_ns < span.start_ns)
        before = Span(0, span.start_ns)
        past, left_before = _in_parts(purse, self.due_before, before, self.merged_ns)
        opening_pico -= past.gone_pico + _sum(left_before)
        current, left = _in_parts(purse, self.due, span, self.merged_ns)
        received_pico = sum(c.amount_pico for c in self.received if span.holds(c.bought_ns))
        new = [c for c in self.bought if span.holds(c.bought_ns) and not c.is_refund]
        wallet = Wallet(
            customer=self.customer,
            opening_pico=opening_pico,
            bought_pico=sum(c.amount_pico for c in new),
            uses=tuple(current.uses),
            expiries=tuple(current.expiries),
            refunds=tuple(current.refunds),
            moved_pico=received_pico - _sum(left),
            expires_ns=purse.expires_ns,
        )
        return wallet, {**left_before, **left}


def days_of(
    rated: Iterable[Rated], customer: CustomerId, span: Span, calendar: Calendar = UTC_CALENDAR
) -> dict[int, int]:
    """Return the amounts `customer` owes for `span`, by due day; breakage is left out."""
    days: dict[int, int] = defaultdict(int)
    for row in rated:
        if row.customer != customer or row.item is Item.BREAKAGE:
            continue
        month, due_ns = calendar.month(row.day_ns), row.day_ns
        if row.item is Item.SUBSCRIPTION:
            due_ns = calendar.booked_ns(max(month.start_ns, row.effective_ns, span.start_ns))
        elif row.item is Item.MINIMUM:
            if month.end_ns > span.end_ns:
                continue  # it falls due after the span
            due_ns = calendar.booked_ns(month.end_ns - 1)
        days[due_ns] += row.amount_pico
    return dict(days)


def _sum(left: Left) -> int:
    return sum(credit.amount_pico for own in left.values() for credit in own)


class _Course(NamedTuple):
    """Uses, refunds and expiries of credits in a stretch of time."""

    uses: list[Use]
    refunds: list[Refund]
    expiries: list[Expiry]

    @property
    def gone_pico(self) -> int:
        """Return the credit used, paid back and expired, in picounits."""
        used_pico = sum(use.amount_pico for use in self.uses)
        refunded_pico = sum(refund.amount_pico for refund in self.refunds)
        return used_pico + refunded_pico + sum(expiry.amount_pico for expiry in self.expiries)


def _in_parts(purse: _Purse, days: Days, span: Span, leaves: Iterable[int]) -> tuple[_Course, Left]:
    """Settle the credits of `purse` in `span`, and leave the rest to another at each of `leaves`."""
    edges = sorted(at_ns for at_ns in leaves if span.start_ns <= at_ns < span.end_ns)
    uses: list[Use] = []
    refunds: list[Refund] = []
    expiries: list[Expiry] = []
    left: dict[int, Sequence[Credit]] = {}
    start_ns = span.start_ns
    for end_ns in (*edges, span.end_ns):
        part = Span(start_ns, end_ns)
        own = days if not edges else {day: pico for day, pico in days.items() if part.holds(day)}
        used, refunded, expired = purse.settle(own, part)
        uses += used
        refunds += refunded
        expiries += expired
        if end_ns in edges:
            left[end_ns] = purse.leave()
        start_ns = end_ns
    return _Course(uses, refunds, expiries), left


class _Purse:
    """The credits of one customer as they go, day by day."""

    def __init__(
        self, bought: Sequence[Credit], refunds: Sequence[Credit], calendar: Calendar
    ) -> None:
        self.bought = bought
        self._calendar = calendar
        self._refunds = refunds
        self._left = {credit.id: credit.amount_pico for credit in bought}
        self._owed_pico = 0
        """Negative amount carried forward from days that came to less than nothing."""

    def settle(self, days: Days, span: Span) -> tuple[list[Use], list[Refund], list[Expiry]]:
        """Return the uses, refunds and expiries of the credits in `span`, in which `days` fell due."""
        refunds: dict[int, list[Credit]] = defaultdict(list)
        for refund in sorted(self._refunds, key=_oldest):
            if span.holds(refund.bought_ns):
                refunds[self._calendar.booked_ns(refund.bought_ns)].append(refund)
        uses: list[Use] = []
        refunded: list[Refund] = []
        for day_ns in sorted({*days, *refunds}):
            for refund in refunds.get(day_ns, ()):
                at_ns = refund.bought_ns
                parts = self._take(-refund.amount_pico, at_ns, at_ns)
                if parts:
                    refunded.append(Refund(refund.id, at_ns, sum(pico for _, pico in parts)))
            day = self._calendar.piece(day_ns).meet(*span)
            due_pico = days.get(day_ns, 0) + self._owed_pico
            self._owed_pico = min(0, due_pico)
            taken = self._take(max(0, due_pico), day.start_ns, day.end_ns - 1)
            uses += (Use(credit_id, day_ns, pico) for credit_id, pico in taken)
        expired: list[Expiry] = []
        for credit in self.bought:
            if _expires_ns(credit) <= span.end_ns and self._left[credit.id]:
                expired.append(Expiry(credit.id, _expires_ns(credit), self._left[credit.id]))
                self._left[credit.id] = 0
        return uses, refunded, expired

    @property
    def expires_ns(self) -> int | None:
        """Return the earliest expiry of a credit with a balance; None if none expires."""
        left = (credit for credit in self.bought if self._left[credit.id])
        return min((c.expires_ns for c in left if c.expires_ns is not None), default=None)

    def leave(self) -> list[Credit]:
        """Return the remaining credits and empty the purse: another customer owns them from now on."""
        left = [
            msgspec.structs.replace(credit, amount_pico=self._left[credit.id])
            for credit in self.bought
            if self._left[credit.id]
        ]
        self._left = dict.fromkeys(self._left, 0)
        return left

    def _take(self, amount_pico: int, from_ns: int, until_ns: int) -> list[tuple[str, int]]:
        """Take up to `amount_pico` of the credits bought by `until_ns` that last beyond `from_ns`."""
        taken: list[tuple[str, int]] = []
        for credit in self.bought:
            usable = credit.bought_ns <= until_ns and _expires_ns(credit) > from_ns
            part_pico = min(amount_pico, self._left[credit.id]) if usable else 0
            if part_pico:
                self._left[credit.id] -= part_pico
                amount_pico -= part_pico
                taken.append((credit.id, part_pico))
        return taken


def breakage(wallets: Iterable[Wallet], version: int = JOURNAL) -> tuple[Rated, ...]:
    """Return the expired credits as rows of revenue; `version` is that of how entries are made.

    Credit that expires at midnight belongs to the day that ends; in the first version to the next.
    """
    return tuple(
        Rated(
            customer=wallet.customer,
            project=NO_PROJECT,
            key_id=NO_KEY,
            model=NO_MODEL,
            purpose=Purpose.SERVE_PAID,
            day_ns=day_of(expiry.at_ns - (version > FIRST_JOURNAL)),
            item=Item.BREAKAGE,
            unit=None,
            effective_ns=expiry.at_ns,
            plan_sha256="",
            pico_per_unit=None,
            quantity=0,
            amount_pico=expiry.amount_pico,
        )
        for wallet in wallets
        for expiry in wallet.expiries
    )


def settled(
    revenue: Revenue,
    prepaid: Prepaid,
    span: Span,
    currency: str,
    version: int = JOURNAL,
    directory: Directory = ALONE,
) -> Revenue:
    """`revenue` of `span` with what expired as breakage, and with how credit moved.

    MoneyError when a credit is in another currency.
    """
    for credit in prepaid.credits:
        if credit.currency != currency:
            raise MoneyError(
                f"credit {credit.id} of customer {credit.customer} is in {credit.currency}, the books "
                f"are kept in {currency}"
            )
    own, moves = wallets_and_moves(revenue, prepaid, span, directory)
    purchases = [
        Prepayment(credit.bought_ns, credit.customer, f"credit {credit.id}", credit.amount_pico)
        for credit in sorted(directory.credits(prepaid.credits), key=_oldest)
        if span.holds(credit.bought_ns) and not credit.is_refund
    ]
    refunds = [
        Prepayment(refund.at_ns, wallet.customer, f"{REFUND}{refund.refund}", -refund.amount_pico)
        for wallet in own
        for refund in wallet.refunds
    ]
    used: dict[tuple[CustomerId, int], int] = defaultdict(int)
    for wallet in own:
        for use in wallet.uses:
            used[wallet.customer, month_of(use.day_ns).end_ns] += use.amount_pico
    uses = [
        Prepayment(min(at_ns, span.end_ns), customer, f"credit used {customer}", -amount_pico)
        for (customer, at_ns), amount_pico in used.items()
    ]
    return msgspec.structs.replace(
        revenue,
        rated=(*revenue.rated, *breakage(own, version)),
        prepayments=(*purchases, *moves, *refunds, *uses),
    )


def wallets(
    revenue: Revenue,
    prepaid: Prepaid,
    span: Span,
    directory: Directory = ALONE,
    days: Mapping[CustomerId, Days] | None = None,
) -> tuple[Wallet, ...]:
    """The wallets of all who ever had credit before the end of `span`, by customer.

    What they owed in it is `revenue`, or where they are given by its `days`.
    """
    return wallets_and_moves(revenue, prepaid, span, directory, days)[0]


def wallets_and_moves(
    revenue: Revenue,
    prepaid: Prepaid,
    span: Span,
    directory: Directory,
    days: Mapping[CustomerId, Days] | None = None,
) -> tuple[tuple[Wallet, ...], tuple[Prepayment, ...]]:
    """Return the wallets, and the credits of customers merged with others within `span`."""
    bought = directory.credits(prepaid.credits)
    calendars = calendars_of(directory)
    moves = sorted(directory.moves(), key=lambda move: (move.from_ns, move.customer))
    moves = [move for move in moves if move.from_ns < span.end_ns]
    before = {customer: dict(days) for customer, days in prepaid.earned_before}
    received: dict[CustomerId, list[Credit]] = defaultdict(list)
    known = {credit.customer for credit in bought if credit.bought_ns < span.end_ns}
    prepayments: list[Prepayment] = []

    def wallet_of(customer: CustomerId) -> tuple[Wallet, Left]:
        calendar = calendars.of(customer)
        account = PrepaidAccount(
            customer=customer,
            bought=[credit for credit in bought if credit.customer == customer],
            due_before=before.get(customer, {}),
            due=_days(revenue, prepaid, customer, span, calendar)
            if days is None
            else days.get(customer, {}),
            calendar=calendar,
            received=received[customer],
            merged_ns=[move.from_ns for move in moves if move.customer == customer],
        )
        return account.wallet(span)

    for move in moves:  # in order of time: what comes to a customer is there before it leaves
        if move.customer in known:
            left = wallet_of(move.customer)[1].get(move.from_ns, ())
            received[move.into] += [
                msgspec.structs.replace(credit, customer=move.into, bought_ns=move.from_ns)
                for credit in left
            ]
            known.add(move.into)
            amount_pico = sum(credit.amount_pico for credit in left)
            if amount_pico and span.holds(move.from_ns):
                text = f"credit of {move.customer} moved to {move.into}"
                prepayments.append(
                    Prepayment(move.from_ns, move.customer, text, amount_pico, move.into)
                )
    return tuple(wallet_of(customer)[0] for customer in sorted(known)), tuple(prepayments)


def _days(
    revenue: Revenue, prepaid: Prepaid, customer: CustomerId, span: Span, calendar: Calendar
) -> Days:
    """Return the amounts `customer` owes for `span` by due day.

    A minimum of which a part was earned before the span falls due as a whole. Books that were closed
    before there were such days took every row on its own.
    """
    if prepaid.to_date is None:
        days: dict[int, int] = defaultdict(int)
        for row in revenue.rated:
            if row.customer == customer:
                days[row.day_ns] += row.amount_pico
        return days
    days = days_of(revenue.rated, customer, span, calendar)
    month = calendar.month(span.start_ns)
    if month.end_ns <= span.end_ns:
        due_ns = calendar.booked_ns(month.end_ns - 1)
        for total in prepaid.to_date:
            if total.customer == customer and total.item is Item.MINIMUM:
                days[due_ns] = days.get(due_ns, 0) + total.amount_pico
    return days


def days_in_parts(
    calls: Iterable[Usage],
    plans: Sequence[PricePlan],
    customers: Iterable[CustomerId],
    edges: Sequence[int],
    currency: str,
    context: RatingContext,
) -> dict[CustomerId, dict[int, int]]:
    """Return what was owed by customer and day, rated part by part between `edges`, as periods were closed.

    On which day an amount falls due depends on the period that it was rated in; so credit was used. Each
    part is rated on top of the parts before, whatever earlier totals `context` has.
    """
    usages, rows = tuple(calls), list[Rated]()
    sums: dict[CustomerId, dict[int, int]] = {name: defaultdict(int) for name in sorted(customers)}
    for span in map(Span._make, pairwise(edges)):
        to_date = to_date_of(rows, plans, span.start_ns, context.calendars)
        revenue = rate(usages, plans, span, currency, context._replace(to_date=to_date))
        prepaid = Prepaid(to_date=to_date)
        for name, days in sums.items():
            due = _days(revenue, prepaid, name, span, context.calendars.of(name))
            for day_ns, pico in due.items():
                days[day_ns] += pico
        rows += revenue.rated
    return sums


def _oldest(credit: Credit) -> tuple[int, str]:
    return credit.bought_ns, credit.id


def _expires_ns(credit: Credit) -> int:
    return _NEVER if credit.expires_ns is None else credit.expires_ns
