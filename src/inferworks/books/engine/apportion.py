"""`money.split` and `tree.split_down`, for all charges at once, as relations.

A part is `floor(|amount| * weight / whole)`; the units left over go one each to the largest fractions,
ties by key. The floors and fractions are a projection, the units left over a window, and the ranks
another: no loop, no float, and the same integers as `money.split`, whatever the order of the rows.

The product of an amount and a weight must stay below 10^38. Where it might not (`is_wide`), the amount is
taken in two halves of eighteen digits, as in long division on paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from inferworks.books.engine.base import LIMIT, floor_divide, total, whole
from inferworks.errors import BooksError

_HALF = 10**18
_WIDEST_AMOUNT, _WIDEST_WEIGHT = 10**36, 10**19
_WIDEST_QUOTIENT = 10**30


def is_wide(largest_amount: int, largest_whole: int) -> bool:
    """Whether a split of at most `largest_amount` by weights summing to `largest_whole` needs halves.

    BooksError when even halves would not hold it.
    """
    if largest_amount * largest_whole < LIMIT and largest_amount < _WIDEST_QUOTIENT:
        return False
    if largest_amount >= _WIDEST_QUOTIENT or largest_whole >= _WIDEST_WEIGHT:
        raise BooksError(
            f"an amount of {largest_amount} picounits cannot be divided by {largest_whole} exactly "
            f"in 128 bits; cut the charge into several"
        )
    return True


def split(
    rows: ir.Table, group: Sequence[str], keys: Sequence[str], *, by: str, wide: bool = False
) -> ir.Table:
    """`rows` with a column `part`: the `amount` of each `group` divided by the column `by`.

    `amount` is the same on every row of a group and may be negative; `by` is not negative and not zero
    throughout a group; `keys` name a row within its group and settle ties.
    """
    rows = rows.mutate(
        size_=whole(rows.amount.abs()), whole_=whole(rows[by].sum().over(group_by=group))
    )
    rows = _divided(rows, by, wide=wide)
    rows = rows.mutate(
        left_=rows.size_ - whole(rows.floor_.sum().over(group_by=group)),
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
    wide: bool = False,
) -> ir.Table:
    """`split` in two steps: among the values of `first`, and each part among those of `then`."""
    above = rows.group_by([*group, *first]).agg(amount=rows.amount.max(), weight_=total(rows[by]))
    above = split(above, group, first, by="weight_", wide=wide)
    above = above.filter(above.weight_ > 0).select(*group, *first, amount="part")
    below = rows.filter(rows[by] > 0).drop("amount").join(above, [*group, *first])
    return split(below, [*group, *first], then, by=by, wide=wide)


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
