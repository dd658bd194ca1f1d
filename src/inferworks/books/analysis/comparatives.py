"""Comparatives: a statement beside that of another time, and what changed.

A controller compares a figure with the month before, the year before or the year so far. The other span
follows from the given one: a month is compared with the month before it, whatever its length, and the
first days of a month with the first days of that; any other span with the one of equal length that ends
where it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from inferworks.books.analysis.causes import explain_change
from inferworks.books.analysis.change_effects import Explained
from inferworks.books.calendar.months import month_name, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.period import Period, span_name
from inferworks.books.statement.statement import Statement
from inferworks.errors import UserError
from inferworks.money import format_pico

PREVIOUS, YEAR_BEFORE, YEAR_TO_DATE = "previous", "year-before", "year-to-date"
WORDS: Final = (PREVIOUS, YEAR_BEFORE, YEAR_TO_DATE)
"""Words that name a comparison, beside the name of a period."""

CAPTIONS: Final = {
    "revenue": "Revenue",
    "cost_of_revenue": "Cost of revenue",
    "unused_capacity": "  of which unused capacity",
    "gross_margin": "Gross margin",
    "research_and_development": "Research and development",
    "sales_and_marketing": "Sales and marketing",
    "general_and_administrative": "General and administrative",
    "operating_result": "Operating result",
}
"""The figures that are compared, and what they are called."""
EARNED: Final = frozenset({"revenue", "gross_margin", "operating_result"})
"""Names in `CAPTIONS` of which more is better; the others are costs."""


class Compared(NamedTuple):
    """One figure now and then, in picounits."""

    name: str
    """Name of the figure, as in `CAPTIONS`."""
    now_pico: int
    then_pico: int

    @property
    def change_pico(self) -> int:
        """Now less then."""
        return self.now_pico - self.then_pico

    @property
    def percent(self) -> Decimal | None:
        """The change as a percentage of then, to one decimal; None where there was nothing then."""
        return percent_of(self.change_pico, abs(self.then_pico))

    @property
    def favourable(self) -> bool | None:
        """Return True if the change raises the result, False if it lowers it; None without a change."""
        return None if not self.change_pico else (self.change_pico > 0) is (self.name in EARNED)


class Comparison(NamedTuple):
    """A statement beside that of another time."""

    name: str
    """Name of the other span."""
    then: Statement
    rows: tuple[Compared, ...]
    why: Explained
    """Causes of the change of the gross margin."""

    def to_json(self) -> dict[str, object]:
        """Return the JSON values."""
        return comparatives_json(self.name, self.rows) | {"explained": self.why.to_json()}


def comparison(now: Statement, then: Statement, name: str) -> Comparison:
    """`now` beside `then`, the statement of what is called `name`. UserError as of `compared`."""
    return Comparison(name, then, compared(now, then), explain_change(now, then))


def compared(now: Statement, then: Statement) -> tuple[Compared, ...]:
    """The figures of `now` beside those of `then`, in the order of `CAPTIONS`.

    UserError when they are in two currencies: a difference would say nothing.
    """
    if now.currency != then.currency:
        raise UserError(f"one statement is in {now.currency}, the other in {then.currency}")
    mine, others = figures(now), figures(then)
    return tuple(Compared(name, mine[name], others[name]) for name in CAPTIONS)


def figures(statement: Statement) -> Mapping[str, int]:
    """The figures of `statement` that are compared, in picounits by name."""
    costs = {function: statement.function_pico(function) for function in Function}
    return {
        "revenue": statement.revenue_pico,
        "cost_of_revenue": sum(costs[function] for function in COST_OF_REVENUE),
        "unused_capacity": costs[Function.UNUSED_CAPACITY],
        "gross_margin": statement.gross_margin_pico,
        "research_and_development": costs[Function.RESEARCH_AND_DEVELOPMENT],
        "sales_and_marketing": costs[Function.SALES_AND_MARKETING],
        "general_and_administrative": costs[Function.GENERAL_AND_ADMINISTRATIVE],
        "operating_result": statement.revenue_pico - sum(costs.values()),
    }


def comparatives_json(name: str, rows: tuple[Compared, ...]) -> dict[str, object]:
    """`rows` as JSON values, amounts as exact decimal strings; `name` says beside what."""
    return {
        "with": name,
        "figures": {
            row.name: {
                "now": format_pico(row.now_pico),
                "then": format_pico(row.then_pico),
                "change": format_pico(row.change_pico),
                "change_percent": None if row.percent is None else str(row.percent),
            }
            for row in rows
        },
    }


def percent_of(part_pico: int, whole_pico: int) -> Decimal | None:
    """`part_pico` in per cent of `whole_pico`, half to even to one decimal; None of nothing."""
    if not whole_pico:
        return None
    share = Decimal(part_pico) * 100 / Decimal(whole_pico)
    return share.quantize(Decimal("0.1"), ROUND_HALF_EVEN) + 0  # so that none is -0.0


def beside(span: Span, word: str) -> Period:
    """The period that `word`, one of `WORDS`, asks for beside `span`."""
    if word == YEAR_TO_DATE:
        month = month_of(span.end_ns - 1)
        while not month_name(month).endswith("-01"):
            month = month_of(month.start_ns - 1)
        return named(Span(month.start_ns, span.end_ns))
    if word == YEAR_BEFORE:
        start_ns, end_ns = map(_a_year_before, span)
        begun_ns = start_ns if start_ns < end_ns else end_ns - span.length_ns  # a 29th of February
        return named(Span(begun_ns, end_ns))
    month, before = month_of(span.start_ns), month_of(span.start_ns - 1)
    if span == month:
        return named(before)
    if span.start_ns == month.start_ns and span.end_ns < month.end_ns:
        return named(before.meet(before.start_ns, before.start_ns + span.length_ns))
    return named(Span(span.start_ns - span.length_ns, span.start_ns))


def named(span: Span) -> Period:
    """`span` as a period: a month by its name, any other by its ends."""
    whole_month = span == month_of(span.start_ns)
    return Period(*span, month_name(span) if whole_month else span_name(*span))


def _a_year_before(at_ns: int) -> int:
    """The same moment of the year before; of a 29th of February, the end of that month."""
    month = month_of(at_ns)
    within_ns = at_ns - month.start_ns
    start_ns = month.start_ns
    for _ in range(12):
        start_ns = month_of(start_ns - 1).start_ns
    before = month_of(start_ns)
    return min(before.start_ns + within_ns, before.end_ns)
