"""The amounts of many lines in one array, each divided on its own, all of them at once.

Problem. A bill of a million lines has many that are divided by the same weights: a day's traffic of
forty accounts goes to the same customers by the same bytes. Each line must still be split by itself, for
the remainder of a sum is not the sum of remainders; and a split in Python costs a microsecond a part.

Decision. Amounts are 64-bit integers in an array, and `split` is `money.split` for each of them. The
floor of amount x weight / whole is estimated in floating point; the remainder is computed modulo 2^64,
which is exact because it is known to fit, and corrects the estimate. Where it might not fit (amounts and
a whole above 2^55, say), `money.split` does it one by one: same parts, slower.

Rejected. Splitting the sum of the amounts (another result, by picounits); floats without the correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from inferworks.errors import MoneyError
from inferworks.money import split as split_one
from inferworks.on_demand import OnDemand

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = OnDemand("numpy")

Key = TypeVar("Key")
LARGEST = 2**62
"""Exclusive bound of the absolute value of every amount."""
_GUESS_BITS = 49
"""A guess is off by less than a unit for each so many bits of the amount, and by four more."""
_HALF = 32
_LOW = 2**32 - 1


class Amounts:
    """Amounts in picounits, in a fixed order of lines. Frozen."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[int] | NDArray[np.int64]) -> None:
        self._values: NDArray[np.int64] = np.asarray(values, np.int64)

    def __len__(self) -> int:
        return len(self._values)

    def __int__(self) -> int:
        """The exact sum."""
        high, low = self._values >> _HALF, self._values & _LOW
        return (int(high.sum()) << 32) + int(low.sum())

    def __add__(self, other: Amounts | int) -> Amounts:
        return self if isinstance(other, int) else Amounts(self._values + other._values)

    __radd__ = __add__
    """With nothing, which is what a sum begins with; a line's parts never come to more than the line."""

    def largest(self, count: int) -> list[int]:
        """The places of so many of them, the largest first, whatever the sign; of equals the first."""
        places: list[int] = np.argsort(-np.abs(self._values), kind="stable")[:count].tolist()
        return places

    def at(self, places: Iterable[int]) -> list[int]:
        """Return the amounts at `places`."""
        values: list[int] = self._values[list(places)].tolist()
        return values

    def each(self) -> list[int]:
        """Each of them."""
        values: list[int] = self._values.tolist()
        return values

    def split(self, weights: Mapping[Key, int]) -> dict[Key, Amounts]:
        """`money.split` of each amount by `weights`. MoneyError when one is negative or all are zero."""
        whole = sum(weights.values())
        if whole <= 0 or min(weights.values()) < 0:
            raise MoneyError("cannot split by weights that are negative or sum to zero")
        if len(weights) == 1:
            return dict.fromkeys(weights, self)
        magnitudes = np.abs(self._values)
        largest = int(magnitudes.max(initial=0))
        if ((largest >> _GUESS_BITS) + 4) * whole >= LARGEST:
            rows = [split_one(amount, weights) for amount in self._values.tolist()]
            return {key: Amounts([row[key] for row in rows]) for key in weights}
        keys = sorted(weights)  # type: ignore[type-var] # keys of one call are comparable, as of `money.split`
        parts = _parts(magnitudes, np.array([weights[key] for key in keys], np.int64), whole)
        parts *= np.sign(self._values)
        return dict(zip(keys, map(Amounts, parts), strict=True))


def _parts(amounts: NDArray[np.int64], weights: NDArray[np.int64], whole: int) -> NDArray[np.int64]:
    """Each of `amounts`, from zero up, by `weights`, which come to `whole`: a row for each weight.

    Rows are in the order of their keys, so that a stable sort settles ties as keys do.
    """
    shares = weights.astype(np.float64) / float(whole)
    parts = np.multiply.outer(shares, amounts.astype(np.float64)).astype(np.int64)
    left = np.multiply.outer(weights, amounts) - parts * np.int64(whole)
    off = left // np.int64(whole)
    parts += off
    left -= off * np.int64(whole)
    missing = amounts - parts.sum(axis=0)
    if missing.any():
        order = np.argsort(-left, axis=0, kind="stable")
        gets = (np.arange(len(weights))[:, None] < missing).astype(np.int64)
        more = np.zeros_like(parts)
        np.put_along_axis(more, order, gets, axis=0)
        parts += more
    return parts
