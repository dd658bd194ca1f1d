"""Comparison of two policies: the same amounts under other functions.

The charges, their uses and every ratio are the same under both. The functions of lines differ, and the
functions that the view sets against revenue; both are listed line by line, and the differences sum to
zero (functions) or to the difference of the margins (views).

Corrections that a period books for earlier ones, or that later ones book for it, are compared in the same
way, each by itself: the period's own figures stay those of its own inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from inferworks.books.accounting.policy import Policy
from inferworks.books.charge import Function
from inferworks.books.closing.prior_period import Adjustment
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.errors import BooksError
from inferworks.money import format_pico


class Compared(msgspec.Struct, frozen=True):
    """One figure under both policies, in picounits."""

    name: str
    one_pico: int
    other_pico: int

    @property
    def difference_pico(self) -> int:
        """The second less the first."""
        return self.other_pico - self.one_pico


class Moved(msgspec.Struct, frozen=True):
    """Money that the two policies give different functions."""

    use: str
    pool: str
    one: Function
    other: Function
    amount_pico: int


class Adjusted(msgspec.Struct, frozen=True):
    """A correction under both policies."""

    name: str
    """`for 2026-11`, or `booked in 2026-12`."""
    functions: tuple[Compared, ...]
    view: tuple[Compared, ...]

    def to_json(self) -> dict[str, object]:
        """Return the JSON values; every amount an exact decimal string."""
        return {
            "name": self.name,
            "functions": [_compared_json(row) for row in self.functions],
            "view": [_compared_json(row) for row in self.view],
        }


class Comparison(msgspec.Struct, frozen=True):
    """Two statements of one span. Amounts in picounits of `currency`."""

    one: Statement
    other: Statement
    functions: tuple[Compared, ...]
    view: tuple[Compared, ...]
    """Revenue, what each view includes, and the margin that it leads to."""
    moved: tuple[Moved, ...]
    corrections: tuple[Adjusted, ...] = ()
    """Late records, not part of the figures above."""

    @property
    def together(self) -> tuple[Compared, ...]:
        """The view, the corrections included."""
        return tuple(
            Compared(rows[0].name, sum(r.one_pico for r in rows), sum(r.other_pico for r in rows))
            for rows in zip(self.view, *(one.view for one in self.corrections), strict=True)
        )

    def to_json(self) -> dict[str, object]:
        """Return the JSON values; every amount an exact decimal string."""
        return {
            "currency": self.one.currency,
            "policies": [self.one.policy, self.other.policy],
            "margin_names": [self.one.margin, self.other.margin],
            "functions": [_compared_json(row) for row in self.functions],
            "view": [_compared_json(row) for row in self.view],
            "moved": [
                {
                    "use": row.use,
                    "pool": row.pool,
                    "from": row.one.value,
                    "to": row.other.value,
                    "amount": format_pico(row.amount_pico),
                }
                for row in self.moved
            ],
            "corrections": [one.to_json() for one in self.corrections],
            "together": [_compared_json(row) for row in self.together],
        }


def compare(
    computation: Computation, one: Policy, other: Policy, adjustments: Iterable[Adjustment] = ()
) -> Comparison:
    """Compare `computation` and `adjustments` under both policies. BooksError when money is lost."""
    first, second = (build_statement(computation.under(policy)) for policy in (one, other))
    functions = tuple(
        Compared(f.value, first.function_pico(f), second.function_pico(f)) for f in Function
    )
    if sum(row.difference_pico for row in functions):
        raise BooksError(
            f"theorem 11 (views agree): {one.name} allocates {format_pico(first.allocated_pico)}, "
            f"{other.name} {format_pico(second.allocated_pico)}"
        )
    view = (
        Compared("revenue", first.revenue_pico, second.revenue_pico),
        Compared("included cost", first.included_pico, second.included_pico),
        Compared("margin", first.margin_pico, second.margin_pico),
    )
    sums: dict[tuple[str, str, Function, Function], int] = defaultdict(int)
    for line in computation.lines:
        from_, to = line.function_under(one), line.function_under(other)
        if from_ is not to:
            sums[line.target.label, line.pool, from_, to] += line.amount_pico
    largest_first = sorted(sums, key=lambda key: (-abs(sums[key]), key))
    moved = tuple(Moved(*key, sums[key]) for key in largest_first)
    corrections = tuple(_adjusted(adjustment, one, other) for adjustment in adjustments)
    return Comparison(first, second, functions, view, moved, corrections)


def _adjusted(adjustment: Adjustment, one: Policy, other: Policy) -> Adjusted:
    """A correction's cost by function, and its part in both views."""
    sums: list[dict[Function, int]] = [defaultdict(int), defaultdict(int)]
    for line in adjustment.correction.lines:
        for functions, policy in zip(sums, (one, other), strict=True):
            functions[line.function_under(policy)] += line.amount_pico
    included = [
        sum(functions[f] for f in policy.included)
        for functions, policy in zip(sums, (one, other), strict=True)
    ]
    revenue_pico = adjustment.correction.revenue_pico
    return Adjusted(
        adjustment.name,
        tuple(Compared(f.value, *(functions[f] for functions in sums)) for f in Function),
        (
            Compared("revenue", revenue_pico, revenue_pico),
            Compared("included cost", *included),
            Compared("margin", *(revenue_pico - pico for pico in included)),
        ),
    )


def _compared_json(row: Compared) -> dict[str, object]:
    return {
        "name": row.name,
        "amounts": [format_pico(row.one_pico), format_pico(row.other_pico)],
        "difference": format_pico(row.difference_pico),
    }
