"""Amounts that customers owe in a currency of their own, and their conversion to the books' currency.

Problem. A customer signs prices in euros, and the books are in dollars. Tiers, minimums and discounts are
rules about euros; a statement adds up dollars; and a rate that is looked up again later may be another one.

Decision. All rules of a plan are computed in its own currency first. Each amount of it then stands on a
day, and is converted by the rate of that day as a bill is (`currency.py`: the newest of at most seven
days, rounded once, half to even). The amount in the customer's currency stays beside it with the rate,
its day and its source (`Owed`), so that every conversion can be recomputed; the earlier total of a month
is carried forward in the customer's currency. The rates of a span's days are sealed with it. No rate, no
statement: one line that names the currency and the day.

Rejected. Tiers in the books' currency (the customer agreed on none); one rate for a month (of which day?
and a month that has begun has none yet).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from inferworks.books.calendar.months import DAY_NS, date_of, day_of
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.currency import NoRateError, RateRow, Rates, converted_pico
from inferworks.ids import CustomerId
from inferworks.money import format_pico


class Owed(msgspec.Struct, frozen=True, gc=False):
    """An amount in the currency of its plan, and the dated rate by which the books took it in."""

    currency: str
    amount_pico: int
    rate: str
    """Units of the books' currency for one of `currency`, as it was quoted; `1/1.10` the other way."""
    rate_day: str
    rate_source: str


class Amount(Protocol):
    """An amount of revenue; `rate.Rated` is one."""

    @property
    def customer(self) -> CustomerId:
        """Customer that owes it."""
        ...

    @property
    def amount_pico(self) -> int:
        """The amount as booked, in picounits of the books' currency."""
        ...

    @property
    def owed(self) -> Owed | None:
        """The amount as owed, in another currency."""
        ...


class DayRate(msgspec.Struct, frozen=True):
    """The rate by which amounts of a day (ISO 8601, UTC) are converted."""

    day: str
    row: RateRow


class Conversion:
    """Conversion of amounts in other currencies into that of the books."""

    def __init__(self, currency: str, rates: Iterable[DayRate] = ()) -> None:
        """Convert into `currency`, by `rates`."""
        self.currency = currency
        self._rates = {(one.day, one.row.from_currency): one.row for one in rates}

    def converted(
        self, customer: CustomerId, day_ns: int, amount_pico: int, currency: str
    ) -> tuple[int, Owed]:
        """Return the amount `customer` owes for a day, converted to the books' currency, and as it is owed.

        NoRateError without a rate for the day.
        """
        day = utc_day(day_ns)
        rate = self._rates.get((day, currency))
        if rate is None:
            raise NoRateError(
                f"customer {customer} pays in {currency}, the books are kept in {self.currency}, and "
                f"there is no rate from {currency} for {day}; import one (columns date, from, to, rate, "
                "source): inferworks books import rates.csv"
            )
        owed = Owed(currency, amount_pico, rate.rate, rate.day, rate.source)
        return converted_pico(amount_pico, rate), owed


def day_rates(
    rates: Rates, currencies: Iterable[str], into: str, span: Span
) -> tuple[DayRate, ...]:
    """The rates of each day of `span` for those of `currencies` that have one; in order."""
    return tuple(
        DayRate(date.isoformat(), row)
        for currency in sorted({*currencies} - {into})
        for date in map(date_of, range(day_of(span.start_ns), span.end_ns, DAY_NS))
        if (row := rates.on(date, currency, into)) is not None
    )


def completed(known: Iterable[DayRate], more: Iterable[DayRate]) -> tuple[DayRate, ...]:
    """Return `known`, with those of `more` that are for other days and currencies."""
    rates = {(rate.row.from_currency, rate.day): rate for rate in (*more, *known)}
    return tuple(rates[key] for key in sorted(rates))


def until(known: Iterable[DayRate], span: Span) -> tuple[DayRate, ...]:
    """Return `known`, extended to the later days of `span` by the last rate of each currency."""
    last = {one.row.from_currency: one.row for one in sorted(known, key=lambda one: one.day)}
    days = map(utc_day, range(day_of(span.start_ns), span.end_ns, DAY_NS))
    return completed(known, [DayRate(day, row) for day in days for row in last.values()])


def owed_notes(rated: Iterable[Amount], currency: str) -> Iterator[str]:
    """Yield a note for each customer that pays in another currency: amount owed and amount booked."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rated:
        if row.owed is not None:
            key = row.customer, row.owed.currency
            own_pico, booked_pico = sums.get(key, (0, 0))
            sums[key] = own_pico + row.owed.amount_pico, booked_pico + row.amount_pico
    for (customer, own), (own_pico, booked_pico) in sorted(sums.items()):
        yield (
            f"{customer} owes {format_pico(own_pico)} {own}, booked as {format_pico(booked_pico)} "
            f"{currency} by the rates of its days."
        )
