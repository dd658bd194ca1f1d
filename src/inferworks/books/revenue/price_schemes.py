"""From price terms to amounts: rating a customer's sums of a period.

Problem. A tier, a package or a minimum is a rule about a period's *sum*; a statement wants revenue by
call, model and day. Rating each call on its own gets the first wrong, and rounding on the way down gets
the second wrong.

Decision. Rate the sum, then give the amount back to what it came from with `money.split`, so that every
cut of revenue adds up to it (theorem 8). Prices per unit are whole picounits and never round (theorem
1). There are three divisions, each done once per customer, plan and period: a fee, a minimum or included
units for part of a month (by time, so that adjoining parts add up), a percentage off, and the way back
down.

In order: usage by price row, the subscription, the discounts on both, and the minimum on what is left.

The amount of a span that begins amid a month (a half, a week, a period of a 4-4-5 calendar) is the
month's total at its end, less the total *before* the span: so tiers, packages and minimums count for the
calendar month however it is divided, and the parts sum to what the customer owes. The earlier total is
taken as it was rated then, and not rated again, for prices may have been corrected since. A part can come
out negative: a volume price that falls for all units, or a minimum that later use makes up for.

Rejected. A running tier per call: it makes the price of a call depend on the order of arrival, and two
machines rating the same month disagree. Tiers that begin anew in each span: then two halves come to more
than the month.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from inferworks.accounts.plan import (
    AmountOff,
    Discount,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Price,
    Scheme,
    Volume,
)
from inferworks.books.calendar.span import Span
from inferworks.money import split


class Times(NamedTuple):
    """The stretches of time by which a plan counts in one calendar month."""

    month: Span
    in_force: Span
    """Time in force: included units are prorated to it."""
    fees: Span
    """Days whose fees belong to the plan."""
    rated: Span
    """Time being rated, of the time in force and of the days of fees."""

    @property
    def is_rated(self) -> bool:
        """True if any part of it is being rated."""
        return bool(self.in_force.meet(*self.rated).length_ns or self.fees_rated.length_ns)

    @property
    def fees_rated(self) -> Span:
        """The part of the days of fees that is being rated."""
        return self.fees.meet(*self.rated)

    @property
    def fees_so_far(self) -> Span:
        """The days of fees up to the end of what is being rated."""
        return self.fees.meet(self.month.start_ns, self.rated.end_ns)


class SoFar(NamedTuple):
    """Quantity and amount charged at one price in a month so far."""

    since_ns: int
    """Moment since which that price holds without a break, within the month."""
    quantity: int = 0
    amount_pico: int = 0


def usage_pico(price: Price, quantity: int, before: SoFar, times: Times) -> int:
    """Return the picounits that `quantity` units cost at `price`, after the use `before` in the month."""
    held = Span(before.since_ns, times.in_force.end_ns)
    included = period_part(price.included, times.month, held)
    counted = max(0, before.quantity + quantity - included)
    return scheme_pico(price.scheme, counted) - before.amount_pico


def scheme_pico(scheme: Scheme, quantity: int) -> int:
    """Return the picounits that `quantity` units of one period cost under `scheme`. Exact: no division."""
    match scheme:
        case PerUnit(pico_per_unit=pico):
            return quantity * pico
        case Package(size=size, pico=pico):
            return -(-quantity // size) * pico
        case Volume(tiers=tiers):
            tier = next(tier for tier in tiers if tier.up_to is None or quantity <= tier.up_to)
            return quantity * tier.pico_per_unit
        case Graduated(tiers=tiers):
            amount_pico = below = 0
            for tier in tiers:
                top = quantity if tier.up_to is None else min(quantity, tier.up_to)
                amount_pico += max(0, top - below) * tier.pico_per_unit
                below = top if tier.up_to is None else tier.up_to
            return amount_pico


def period_part(quantity: int, period: Span, span: Span) -> int:
    """The part of a `period`'s fee, minimum or included units that falls into `span`, by time."""
    return span.part_of(quantity, *period)


def discount_pico(discounts: Iterable[Discount], amount_pico: int, period: Span, span: Span) -> int:
    """Return the picounits that `discounts` take off `amount_pico`, in turn; never more than there is.

    A percentage is split off by largest remainder, so the discount is within a picounit of its exact
    value. An amount off is cut to the part of the `period` that is in `span`.
    """
    left_pico = amount_pico
    for discount in discounts:
        match discount:
            case PercentOff(numerator=numerator, denominator=denominator):
                weights = {"off": numerator, "paid": denominator - numerator}
                left_pico = split(left_pico, weights)["paid"]
            case AmountOff(pico=pico):
                left_pico -= min(left_pico, period_part(pico, period, span))
    return amount_pico - left_pico
