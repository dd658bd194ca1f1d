"""Prepaid credit: a liability when it is bought, used up by what the customer's calls earn, or expired.

    bought    Assets:Receivable:<customer>     to  Liabilities:Credits:<customer>
    used      Liabilities:Credits:<customer>   to  Assets:Receivable:<customer>
    expired   Liabilities:Credits:<customer>   to  Income:Breakage:<customer>

Revenue does not depend on credit: a call earns the same whether it was paid ahead or is owed (ASC 606;
IFRS 15). Credit settles what a day's revenue left receivable, the credit that expires soonest first.
What expires unused is revenue of its own kind, breakage, at the moment it expires.

A day may use what was bought by its end and expires after its beginning; so the balance is never
negative at the end of any day, and at any moment

    bought = used + expired + what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.books.months import DAY_NS, day_of
from inferworks.books.rate import (
    NO_KEY,
    NO_MODEL,
    NO_PROJECT,
    Item,
    Prepayment,
    Rated,
    Revenue,
)
from inferworks.books.span import Span
from inferworks.errors import BooksError, MoneyError
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose

Days: TypeAlias = Mapping[int, int]
"""What a customer's calls earned, in picounits, by day (its midnight)."""

_NEVER = 2**63


class Prepaid(msgspec.Struct, frozen=True):
    """What a span must know of credit: all that was ever bought, and what was earned before the span."""

    credits: tuple[Credit, ...] = ()
    earned_before: tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...] = ()
    """Picounits by day, by customer, for those who bought credit before the span."""


NOTHING_PREPAID = Prepaid()


class Use(NamedTuple):
    """So much of one credit went to one day's revenue."""

    credit: str
    day_ns: int
    amount_pico: int


class Expiry(NamedTuple):
    """So much of one credit expired unused."""

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

    @property
    def used_pico(self) -> int:
        """What the span's calls used."""
        return sum(use.amount_pico for use in self.uses)

    @property
    def expired_pico(self) -> int:
        """What expired in the span."""
        return sum(expiry.amount_pico for expiry in self.expiries)

    @property
    def closing_pico(self) -> int:
        """What is owed to the customer at the end."""
        return self.opening_pico + self.bought_pico - self.used_pico - self.expired_pico


def days_of(rated: Iterable[Rated], customer: CustomerId) -> dict[int, int]:
    """What `customer` earned us, by day; breakage left out."""
    days: dict[int, int] = defaultdict(int)
    for row in rated:
        if row.customer == customer and row.item is not Item.BREAKAGE:
            days[row.day_ns] += row.amount_pico
    return dict(days)


def wallet(
    customer: CustomerId, bought: Iterable[Credit], before: Days, now: Days, span: Span
) -> Wallet:
    """What became of the credits `bought` by `customer` in `span`.

    `before` is what it earned us from its first credit up to the span, `now` within the span. The order
    of `bought` leaves no trace. BooksError when a day earned less than nothing.
    """
    own = sorted((c for c in bought if c.customer == customer), key=_soonest_to_expire)
    left = {credit.id: credit.amount_pico for credit in own}
    past, present = Span(0, span.start_ns), span
    used_before = [use for day in sorted(before) for use in _use(own, left, day, before[day], past)]
    expired_before = list(_expire(own, left, past))
    uses = [use for day in sorted(now) for use in _use(own, left, day, now[day], present)]
    expiries = list(_expire(own, left, present))
    gone = sum(use.amount_pico for use in used_before)
    gone += sum(expiry.amount_pico for expiry in expired_before)
    return Wallet(
        customer=customer,
        opening_pico=sum(c.amount_pico for c in own if c.bought_ns < span.start_ns) - gone,
        bought_pico=sum(c.amount_pico for c in own if span.holds(c.bought_ns)),
        uses=tuple(uses),
        expiries=tuple(expiries),
    )


def breakage(wallets: Iterable[Wallet]) -> tuple[Rated, ...]:
    """What expired, as rows of revenue."""
    return tuple(_expired(one.customer, expiry) for one in wallets for expiry in one.expiries)


def _expired(customer: CustomerId, expiry: Expiry) -> Rated:
    return Rated(
        customer=customer,
        project=NO_PROJECT,
        key_id=NO_KEY,
        model=NO_MODEL,
        purpose=Purpose.SERVE_PAID,
        day_ns=day_of(expiry.at_ns),
        item=Item.BREAKAGE,
        unit=None,
        effective_ns=expiry.at_ns,
        plan_sha256="",
        pico_per_unit=None,
        quantity=0,
        amount_pico=expiry.amount_pico,
    )


def settled(revenue: Revenue, prepaid: Prepaid, span: Span, currency: str) -> Revenue:
    """`revenue` of `span` with what expired as breakage, and with how credit moved.

    MoneyError when a credit is in another currency.
    """
    for credit in prepaid.credits:
        if credit.currency != currency:
            raise MoneyError(
                f"credit {credit.id} of customer {credit.customer} is in {credit.currency}, the books "
                f"are kept in {currency}"
            )
    found = wallets(revenue, prepaid, span)
    return msgspec.structs.replace(
        revenue,
        rated=(*revenue.rated, *breakage(found)),
        prepayments=(*_purchases(prepaid.credits, span), *_uses(found, span)),
    )


def wallets(revenue: Revenue, prepaid: Prepaid, span: Span) -> tuple[Wallet, ...]:
    """The wallets of all who ever bought credit before the end of `span`, by customer."""
    before = {customer: dict(days) for customer, days in prepaid.earned_before}
    known = {credit.customer for credit in prepaid.credits if credit.bought_ns < span.end_ns}
    return tuple(
        wallet(
            customer,
            prepaid.credits,
            before.get(customer, {}),
            days_of(revenue.rated, customer),
            span,
        )
        for customer in sorted(known)
    )


def _purchases(bought: Iterable[Credit], span: Span) -> list[Prepayment]:
    inside = sorted((c for c in bought if span.holds(c.bought_ns)), key=_oldest)
    return [Prepayment(c.bought_ns, c.customer, f"credit {c.id}", c.amount_pico) for c in inside]


def _uses(found: Iterable[Wallet], span: Span) -> list[Prepayment]:
    return [
        Prepayment(span.end_ns, one.customer, f"credit used {one.customer}", -one.used_pico)
        for one in found
        if one.used_pico
    ]


def _use(
    bought: Sequence[Credit], left: dict[str, int], day_ns: int, amount_pico: int, span: Span
) -> Iterable[Use]:
    """Take `amount_pico` from the credits that `day_ns` may use, as far as they go."""
    if amount_pico < 0:
        raise BooksError(
            f"the day that began at {day_ns} earned {amount_pico} picounits, below zero"
        )
    day = Span(day_ns, day_ns + DAY_NS).meet(*span)
    for credit in bought:
        usable = credit.bought_ns < day.end_ns and _expires_ns(credit) > day.start_ns
        part_pico = min(amount_pico, left[credit.id]) if usable else 0
        if part_pico:
            left[credit.id] -= part_pico
            amount_pico -= part_pico
            yield Use(credit.id, day_ns, part_pico)


def _expire(bought: Sequence[Credit], left: dict[str, int], span: Span) -> Iterable[Expiry]:
    """Write off what is left of the credits that expire by the end of `span`."""
    for credit in bought:
        if _expires_ns(credit) <= span.end_ns and left[credit.id]:
            yield Expiry(credit.id, _expires_ns(credit), left[credit.id])
            left[credit.id] = 0


def _soonest_to_expire(credit: Credit) -> tuple[int, int, str]:
    return _expires_ns(credit), credit.bought_ns, credit.id


def _oldest(credit: Credit) -> tuple[int, str]:
    return credit.bought_ns, credit.id


def _expires_ns(credit: Credit) -> int:
    return _NEVER if credit.expires_ns is None else credit.expires_ns
