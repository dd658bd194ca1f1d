"""Money as whole numbers, and the one way to divide it.

Problem. A gateway that keeps money in binary floats, or rounds each call to a cent or a micro-dollar,
loses or invents a little at every call; after a million calls nobody can say where it went.

Decision. An amount is an integer number of *picounits*: 10^-12 of its currency. A price with at most
six decimals per million units, times a whole number of units, is then a whole number of picounits, so
rating a call never rounds (theorem 1 of `docs/books.md`). The only operation that could leave a
remainder is division, and `split` is the only division there is: it hands the remainder out one
picounit at a time, so that the parts always sum to the whole (theorem 2).

Rejected. `Decimal` per amount (slow, and a context somewhere may round); floats with a tolerance (a
tolerance is where errors live); integer cents (one token costs a ten-thousandth of a cent).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, Overflow
from typing import TypeVar

from inferworks.errors import MoneyError
from inferworks.visible import quoted

PICO = 10**12
"""Picounits in one unit of any currency."""

EXACT = Context(
    prec=4096, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999, traps=[Inexact, Overflow]
)
"""Arithmetic that adds and scales amounts of any precision, and never rounds but when told to."""

_NOTHING = Decimal(0)
_MILLION = 10**6
_LIMIT = 10**38  # what DECIMAL(38, 12) holds, in picounits
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_LONGEST = 64
"""Most characters of a number."""
_MOST_ENTERED = 10**18
"""Most units of a currency that anybody enters at once."""
_CURRENCY = re.compile("[A-Z]{3}")

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount: `pico` picounits (10^-12) of `currency` (an ISO 4217 code, such as USD).

    MoneyError for an amount that is no integer, for a currency that is not three capital letters, and for
    the sum, the difference or the order of amounts in two currencies. Such amounts are never equal.

    >>> price = Money.parse("12.50", "USD")
    >>> str(price + Money.parse("0.000000000001", "USD"))
    '12.500000000001 USD'
    >>> price + Money.parse("1", "EUR")
    Traceback (most recent call last):
    inferworks.errors.MoneyError: cannot add EUR to USD without a dated exchange rate
    """

    pico: int
    currency: str

    def __post_init__(self) -> None:
        _check_whole("an amount in picounits", self.pico)
        _check_currency(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """The amount written in `text`, e.g. `"12.50"`; refused when finer than 10^-12."""
        return cls(parse_pico(text), currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.pico + self._same(other, "add {other} to {own}").pico, self.currency)

    def __sub__(self, other: Money) -> Money:
        wanted = "subtract {other} from {own}"
        return Money(self.pico - self._same(other, wanted).pico, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.pico < self._same(other, "compare {other} with {own}").pico

    def __le__(self, other: Money) -> bool:
        return self.pico <= self._same(other, "compare {other} with {own}").pico

    def __gt__(self, other: Money) -> bool:
        return self.pico > self._same(other, "compare {other} with {own}").pico

    def __ge__(self, other: Money) -> bool:
        return self.pico >= self._same(other, "compare {other} with {own}").pico

    def __neg__(self) -> Money:
        return Money(-self.pico, self.currency)

    def __str__(self) -> str:
        return f"{format_pico(self.pico)} {self.currency}"

    def _same(self, other: object, wanted: str) -> Money:
        """Return `other`; MoneyError, in the words of `wanted`, when it is none, or of another currency."""
        if not isinstance(other, Money):
            words = wanted.format(other=quoted(other), own=self.currency)
            raise MoneyError(f"cannot {words}: it is no Money")
        if other.currency != self.currency:
            words = wanted.format(other=other.currency, own=self.currency)
            raise MoneyError(f"cannot {words} without a dated exchange rate")
        return other


@dataclass(frozen=True, slots=True)
class Rate:
    """A price: `pico_per_unit` picounits of `currency` for one unit (one token, one request).

    >>> str(Rate.per_million("0.50", "USD").times(3))
    '0.0000015 USD'
    """

    pico_per_unit: int
    currency: str

    def __post_init__(self) -> None:
        _check_whole("a rate in picounits", self.pico_per_unit)
        _check_currency(self.currency)

    @classmethod
    def per_million(cls, text: str, currency: str) -> Rate:
        """The rate of a price per million units, e.g. `"0.50"`; at most six decimals."""
        whole, rest = divmod(parse_pico(text), _MILLION)
        if rest:
            raise MoneyError(f"price {text!r} per million has more than six decimals")
        return cls(whole, currency)

    def per_million_text(self) -> str:
        """The price per million units as an exact decimal string."""
        return format_pico(self.pico_per_unit * _MILLION)

    def times(self, units: int) -> Money:
        """Return the cost of `units` units. Exact: MoneyError for what is no integer."""
        _check_whole("the units", units)
        return Money(self.pico_per_unit * units, self.currency)


def _check_whole(name: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise MoneyError(f"{name}: {quoted(number)} is no integer")


def _check_currency(currency: str) -> None:
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise MoneyError(
            f"currency {quoted(currency)}: three capital letters were expected, such as USD"
        )


def parse_pico(text: str) -> int:
    """Picounits of the decimal number in `text`, such as `12.50` or, as bills have it, `1.25E-7`.

    MoneyError when it is none, is too fine or too large, or has more than 64 characters.

    >>> parse_pico("0.000000000001")
    1
    """
    stripped = _number(text)
    sign, digits, exponent = Decimal(stripped).as_tuple()
    if not isinstance(exponent, int):
        raise MoneyError(f"not a finite number: {text!r}")
    number = int("".join(map(str, digits)) or "0")
    scale = exponent + 12
    scaled, rest = divmod(number * ten_to(max(scale, 0)), ten_to(max(-scale, 0)))
    if rest:
        raise MoneyError(f"amount {text!r} is finer than 10^-12 of its currency")
    if scaled >= _LIMIT:
        raise MoneyError(f"amount {text!r} is too large")
    return -scaled if sign else scaled


def entered_pico(text: str) -> int:
    """Picounits of an amount that somebody enters, such as `12.50` or `-3`: digits and a point alone.

    Bills come as programs write them; of people and their scripts, `1e3` is more probably a slip than a
    thousand. MoneyError when it is none, is finer than 10^-12 of its currency, or beyond 10^18.

    >>> entered_pico("12.50")
    12500000000000
    """
    if len(text) > _LONGEST or not _PLAIN.fullmatch(text):
        raise MoneyError(f"not a plain decimal number: {quoted(text)}; write 12.50")
    pico = parse_pico(text)
    if abs(pico) > _MOST_ENTERED * PICO:
        raise MoneyError(f"amount {quoted(text)} is too large; the most is 10^18 of its currency")
    return pico


def _number(text: str) -> str:
    """`text` without spaces around it; MoneyError when it is no decimal number."""
    if not isinstance(text, str):
        raise MoneyError(f"not a decimal number as text: {quoted(text)}")
    stripped = text.strip()
    if len(stripped) > _LONGEST:
        raise MoneyError(f"a number of {len(stripped)} characters; at most {_LONGEST} are read")
    if not _DECIMAL.fullmatch(stripped):
        raise MoneyError(f"not a plain decimal number: {quoted(text)}")
    return stripped


def rounded_pico(text: str) -> tuple[int, Decimal]:
    """Return the picounits nearest to the decimal number in `text`, half to even, and the remainder.

    The remainder is in units of the currency, exact; their sum is the number. MoneyError when `text`
    is no plain decimal number, or too large.
    """
    stripped = _number(text)
    whole, _, fraction = stripped.partition(".")
    is_plain = "e" not in stripped and "E" not in stripped
    if is_plain and len(fraction) <= 12:  # as nearly all are: nothing is left over
        pico = int(whole + fraction.ljust(12, "0"))
        if abs(pico) >= _LIMIT:
            raise MoneyError(f"amount {text!r} is too large")
        return pico, _NOTHING
    number = Decimal(stripped)
    scaled = EXACT.scaleb(number, 12)
    nearest = EXACT.to_integral_value(scaled)
    if abs(nearest) >= _LIMIT:
        raise MoneyError(f"amount {text!r} is too large")
    return int(nearest), EXACT.subtract(number, EXACT.scaleb(nearest, -12))


def ten_to(power: int) -> int:
    """10 to a power of zero or more, as an integer."""
    return int(10**power)


def format_pico(pico: int, *, places: int = 2) -> str:
    """The exact decimal text of `pico` picounits, with at least `places` decimals, never rounded.

    MoneyError when `pico` is no integer, or `places` none from 0 to 12.

    >>> format_pico(1_500_000_000_000)
    '1.50'
    """
    _check_whole("an amount in picounits", pico)
    if not isinstance(places, int) or not 0 <= places <= 12:
        raise MoneyError(f"places: {quoted(places)} is no integer from 0 to 12")
    whole, fraction = divmod(abs(pico), PICO)
    decimals = f"{fraction:012d}".rstrip("0").ljust(places, "0")
    sign = "-" if pico < 0 else ""
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def round_pico(pico: int, *, places: int) -> str:
    """`pico` picounits for people: rounded half to even at `places` decimals. Never for sums."""
    return format_pico(rounded(pico, places) * ten_to(12 - places), places=places)


def rounded(pico: int, places: int) -> int:
    """`pico` picounits in whole units of 10^-`places`, rounded half to even."""
    step = ten_to(12 - places)
    low, rest = divmod(abs(pico), step)
    up = rest * 2 > step or (rest * 2 == step and low % 2 == 1)
    return (low + up) * (-1 if pico < 0 else 1)


def split(total: int, weights: Mapping[Key, int]) -> dict[Key, int]:
    """Divide `total` by `weights` into whole parts that sum to `total` exactly.

    Largest remainder: every part is the floor of its exact share, and the units left over go one each
    to the largest fractions, ties by key. So a part is within one unit of its exact share, the result
    does not depend on the order of the input, and a negative total splits by the same ratios. Raises
    MoneyError when a weight is negative or all are zero (the caller must say where such money goes), and
    when the total or a weight is not an integer.
    Keys of one call must be mutually comparable. (Theorem 2; Hamilton's method of apportionment.)

    >>> split(100, {"acme": 1, "burns": 1, "corvid": 1})
    {'acme': 34, 'burns': 33, 'corvid': 33}
    """
    if not isinstance(weights, Mapping):
        raise MoneyError(f"cannot split by {quoted(weights)}: the weights must be a mapping")
    try:
        whole = sum(weights.values())
    except TypeError:  # a text among them
        whole = None
    if not isinstance(whole, int) or not isinstance(
        total, int
    ):  # a float anywhere makes the sum one
        raise MoneyError("cannot split: the total and the weights must be integers")
    if whole <= 0 or min(weights.values()) < 0:
        raise MoneyError("cannot split by weights that are negative or sum to zero")
    magnitude, sign = (total, 1) if total >= 0 else (-total, -1)
    parts: dict[Key, int] = {}
    fractions: list[tuple[int, Key]] = []
    for key, weight in weights.items():
        part, fraction = divmod(magnitude * weight, whole)
        parts[key] = sign * part
        if fraction:
            fractions.append((-fraction, key))
    left = magnitude - sign * sum(parts.values())
    if left:
        for _, key in sorted(fractions)[:left]:
            parts[key] += sign
    return parts


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of `amounts`, all of which must be in `currency`."""
    result = Money(0, currency)
    for amount in amounts:
        result += amount
    return result
