"""Several currencies, one set of books: dated rates, and the one conversion a charge undergoes.

Problem. A bill in euros must stand in dollar books beside a bill in dollars. A sum over both means
nothing without a rate, and a rate that is looked up again later may be another one: the books of last
month would then change by themselves.

Decision. Rates are facts: rows of (day, from, to, rate, source) that are imported like bills and never
changed. A charge is converted **once**, when it is imported, by the rate of the day on which its period
begins (the newest row of at most seven days before, since nobody quotes rates on Sundays). The result is
rounded half to even to a picounit and kept on the charge *beside* what the bill says (`Charge.foreign`:
amount, currency, rate, its day and its source), so every converted amount can be worked out again. No
rate, no import: one refusal that names the currency and the day (theorem 10).

A central bank quotes one way only: so many dollars for a euro. A quotation is also a rate the other way,
its exact reciprocal: the amount is divided by it, and the quotient is rounded once, as a product is. No
decimal is that rate, so none is written: it stands as `1/1.10` wherever a rate stands, and is worked out
from there. Of two quotations of a day, one for each way, the direct one counts.

The paid amount often differs from the posted one: the rate changes between the charge and the payment.
That exchange difference is no cost of compute, and it arises where payments are posted: not in these
books but in the general ledger, which has the payable as posted and the bill's own amount beside it.

Rejected. Converting when a statement is built (not reproducible once another rate is known); a reciprocal
that is rounded to some decimals first (two roundings, and a thousand dollars off in a large amount); a
direct rate of an older day before a reciprocal of this one (two rules for which day counts);
triangulation through a third currency (two quotations of two markets are no quotation).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from inferworks.books.charge import Charge, Foreign
from inferworks.errors import BillError, MoneyError
from inferworks.money import PICO, parse_pico
from inferworks.units import NS_PER_SECOND

OLDEST_DAYS = 7
"""Largest age of a rate, in days before the charge's day."""

_EPOCH = dt.date(1970, 1, 1)
_DAY_NS = 86_400 * NS_PER_SECOND
_LIMIT = 10**38


class NoRateError(BillError):
    """There is no dated rate for a currency on a day."""


_INVERSE = "1/"
"""Prefix of a rate that was quoted the other way."""


class RateRow(msgspec.Struct, frozen=True):
    """On `day` (ISO 8601), one unit of `from_currency` was worth `rate` units of `to_currency`."""

    day: str
    from_currency: str
    to_currency: str
    rate: str
    """A decimal of at most twelve places, as it was quoted; `1/1.10` where that was the other way."""
    source: str

    @property
    def inverse(self) -> RateRow:
        """Return the same quotation, which is a decimal, for the other direction."""
        return RateRow(
            self.day, self.to_currency, self.from_currency, f"{_INVERSE}{self.rate}", self.source
        )


class Rates:
    """Rates by currency and day, each for both ways. Frozen once made."""

    def __init__(self, rows: Iterable[RateRow]) -> None:
        self._by_pair: dict[tuple[str, str], list[RateRow]] = defaultdict(list)
        quoted = list(rows)
        both = [*(row.inverse for row in quoted), *quoted]
        for row in sorted(both, key=lambda row: row.day):  # of a day, the direct one is the last
            self._by_pair[row.from_currency, row.to_currency].append(row)

    def on(self, day: dt.date, from_currency: str, to_currency: str) -> RateRow | None:
        """The newest rate of at most seven days up to `day`; None when there is none."""
        rows = self._by_pair.get((from_currency, to_currency), [])
        place = bisect_right(rows, day.isoformat(), key=lambda row: row.day)
        oldest = (day - dt.timedelta(days=OLDEST_DAYS)).isoformat()
        if place == 0 or rows[place - 1].day < oldest:
            return None
        return rows[place - 1]


NO_RATES = Rates(())


def converted(charge: Charge, currency: str, rates: Rates) -> Charge:
    """`charge`, as it was billed, in `currency`; the bill's own amount stays on it as `foreign`.

    NoRateError, naming currency and day, when there is no rate; MoneyError when it is too large.
    """
    if charge.currency == currency:
        return charge
    day = charge_day(charge)
    row = rates.on(day, charge.currency, currency)
    if row is None:
        raise NoRateError(
            f"the books are kept in {currency} and there is no rate from {charge.currency} for {day}; "
            "import one first (columns date, from, to, rate, source)"
        )
    effective_pico = charge.effective_pico
    return msgspec.structs.replace(
        charge,
        amount_pico=converted_pico(charge.amount_pico, row),
        effective_pico=None if effective_pico is None else converted_pico(effective_pico, row),
        currency=currency,
        foreign=Foreign(
            currency=charge.currency,
            amount_pico=charge.amount_pico,
            effective_pico=effective_pico,
            rate=row.rate,
            rate_day=row.day,
            rate_source=row.source,
        ),
    )


def as_billed(charge: Charge) -> Charge:
    """`charge` in the currency of its bill: what `converted` was given."""
    if charge.foreign is None:
        return charge
    return msgspec.structs.replace(
        charge,
        amount_pico=charge.foreign.amount_pico,
        effective_pico=charge.foreign.effective_pico,
        currency=charge.foreign.currency,
        foreign=None,
    )


def converted_pico(amount_pico: int, row: RateRow) -> int:
    """`amount_pico` of one currency in picounits of the other, rounded half to even, once."""
    quoted_pico = parse_pico(row.rate.removeprefix(_INVERSE))
    by, to = (PICO, quoted_pico) if row.rate.startswith(_INVERSE) else (quoted_pico, PICO)
    whole, rest = divmod(amount_pico * by, to)
    up = rest * 2 > to or (rest * 2 == to and whole % 2 == 1)
    if abs(whole) >= _LIMIT:
        raise MoneyError(f"an amount is too large in {row.to_currency}")
    return whole + up


def charge_day(charge: Charge) -> dt.date:
    """The day (UTC) whose rate converts `charge`: the one on which its period begins."""
    return _EPOCH + dt.timedelta(days=charge.period_start_ns // _DAY_NS)
