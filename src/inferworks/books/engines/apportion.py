"""`money.split` and `tree.split_down`, for all charges at once, as relations.

A part is `floor(|amount| * weight / whole)`; the units left over go one each to the largest fractions,
ties by key. The floors and fractions are a projection, the units left over a window, and the ranks
another: no loop, no float, and the same integers as `money.split`, whatever the order of the rows.

The product of an amount and a weight must stay below 10^38. Where it might not (`Width.WIDE`), the amount
is taken in two halves of eighteen digits, as in long division on paper. Where both fit into 64 bits
(`Width.NARROW`: a charge below a million dollars), what is sorted is half as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from inferworks.books.engines.base import LIMIT, floor_divide, total, whole
from inferworks.errors import BooksError

_HALF = 10**18
_WIDEST_AMOUNT, _WIDEST_WEIGHT = 10**36, 10**19
_WIDEST_QUOTIENT = 10**30
_NARROW = dt.Decimal(18, 0)
"""A whole number in 64 bits. DuckDB casts a WHOLE to it fifty times as fast as to an integer."""


class Width(StrEnum):
    """Bound of the numbers of a split: amounts, and the sums of their weights."""

    NARROW = "narrow"
    """Each of the two is below 10^18."""
    USUAL = "usual"
    """The product of the two is a WHOLE."""
    WIDE = "wide"
    """The product is not."""


def width_of(largest_amount: int, largest_whole: int) -> Width:
    """Return the width that splits up to `largest_amount` by weights summing up to `largest_whole`.

    BooksError when it cannot be done exactly in 128 bits.
    """
    if max(largest_amount, largest_whole) < 10**_NARROW.precision:
        return Width.NARROW
    if largest_amount * largest_whole < LIMIT and largest_amount < _WIDEST_QUOTIENT:
        return Width.USUAL
    if largest_amount >= _WIDEST_QUOTIENT or largest_whole >= _WIDEST_WEIGHT:
        raise BooksError(
            f"an amount of {largest_amount} picounits cannot be divided by {largest_whole} exactly "
            f"in 128 bits; cut the charge into several"
        )
    return Width.WIDE


def split(
    rows: ir.Table,
    group: Sequence[str],
    keys: Sequence[str],
    *,
    by: str,
    width: Width = Width.USUAL,
    of: str | None = None,
) -> ir.Table:
    """`rows` with a column `part`: the `amount` of each `group` divided by the column `by`.

    `amount` is the same on every row of a group and may be negative; `by` is not negative and not zero
    throughout a group; `keys` name a row within its group and settle ties. The column `of` is what `by`
    comes to in each group, where that is known already.
    """
    whole_ = rows[of] if of else rows[by].sum().over(group_by=group)
    rows = rows.mutate(size_=whole(rows.amount.abs()), whole_=whole(whole_))
    rows = _divided(rows, by, wide=width is Width.WIDE)
    if width is Width.NARROW:
        rows = rows.mutate(
            **{name: rows[name].cast(_NARROW) for name in (by, "amount", "floor_", "rest_")}
        )
    rows = rows.mutate(
        left_=whole(rows.amount.abs()) - whole(rows.floor_.sum().over(group_by=group)),
        rank_=ibis.row_number().over(
            group_by=group, order_by=[rows.rest_.desc(), *(rows[key].asc() for key in keys)]
        ),
    )
    size = rows.floor_ + ibis.ifelse(whole(rows.rank_) < rows.left_, 1, 0)
    rows = rows.mutate(part=whole(ibis.ifelse(rows.amount < 0, -size, size)))
    return rows.drop("size_", "whole_", "floor_", "rest_", "left_", "rank_")


def split_down(
    rows: ir.Table,
    group: Sequence[str],
    first: Sequence[str],
    then: Sequence[str],
    *,
    by: str,
    width: Width = Width.USUAL,
) -> ir.Table:
    """`split` in two steps: among the values of `first`, and each part among those of `then`."""
    above = rows.group_by([*group, *first]).agg(amount=rows.amount.max(), weight_=total(rows[by]))
    above = split(above, group, first, by="weight_", width=width)
    above = above.filter(above.weight_ > 0).select(*group, *first, amount="part")
    below = rows.filter(rows[by] > 0).drop("amount").join(above, [*group, *first])
    return split(below, [*group, *first], then, by=by, width=width)


def _divided(rows: ir.Table, by: str, *, wide: bool) -> ir.Table:
    """`rows` with `floor_` and `rest_` of `size_` * weight / `whole_`."""
    weight = whole(rows[by])
    if not wide:
        return _quotient(rows.mutate(product_=whole(rows.size_ * weight)), "floor_", "rest_")
    half = whole(ibis.literal(_HALF))
    rows = rows.mutate(high_=floor_divide(rows.size_, half))
    rows = rows.mutate(low_=whole(rows.size_ - rows.high_ * half))
    rows = _quotient(rows.mutate(product_=whole(rows.high_ * weight)), "upper_", "over_")
    product = whole(whole(rows.over_ * half) + whole(rows.low_ * weight))
    rows = _quotient(rows.mutate(product_=product), "lower_", "rest_")
    rows = rows.mutate(floor_=whole(whole(rows.upper_ * half) + rows.lower_))
    return rows.drop("high_", "low_", "upper_", "over_", "lower_")


def _quotient(rows: ir.Table, quotient: str, rest: str) -> ir.Table:
    """`rows` with the two columns of `product_` / `whole_`, without `product_`."""
    rows = rows.mutate(**{quotient: floor_divide(rows.product_, rows.whole_)})
    rows = rows.mutate(**{rest: whole(rows.product_ - whole(rows[quotient] * rows.whole_))})
    return rows.drop("product_")
