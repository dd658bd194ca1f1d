"""The books as flat tables: every charge, every part of it, every amount earned, every posting.

Six tables, one grain each, so that a reviewer can check them against each other with sums alone (the
queries are in `docs/exports.md`). Amounts are picounits here and exact decimals in the files. A closed
period that was corrected since has a seventh: the corrections that later periods post for it. The six
stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from inferworks.books.accounting.entries import booked_within
from inferworks.books.charge import Function
from inferworks.books.closing.prior_period import as_corrected
from inferworks.books.exports.base import Books


class Kind(StrEnum):
    """Type of a column."""

    TEXT = "text"
    WHOLE = "whole"
    """A whole number of any size up to 38 digits."""
    DECIMAL = "decimal"
    """A number with twelve decimals, held as an integer of 10^-12: an amount, a price, a quantity."""
    MOMENT = "moment"
    """Nanoseconds since 1970-01-01 UTC."""
    SECOND = "second"
    """Moment in a file without fractions of a second."""


class Column(NamedTuple):
    """A column's name and type; any value may be missing (None)."""

    name: str
    kind: Kind = Kind.TEXT


Value: TypeAlias = str | int | None
Row: TypeAlias = tuple[Value, ...]


class Rows:
    """Rows that are computed on each iteration, and never all held in memory."""

    def __init__(self, make: Callable[[], Iterable[Row]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Row]:
        return iter(self._make())


class Table(NamedTuple):
    """A named table; each of the rows has a value for every column."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] | Rows


def books_tables(books: Books) -> tuple[Table, ...]:
    """The tables of `books`, their rows in a fixed order."""
    statement = books.statement
    ends = statement.start_ns, statement.end_ns
    parts = Rows(
        lambda: (
            (
                *(part.charge_id, number, *_COST(part), books.function_of(part).value),
                *(*_USE(part.target), *_DIVISION(part), item.charge.currency, part.amount_pico),
            )
            for item in books.each
            for number, part in enumerate(item.rows, start=1)
        )
    )
    revenue = Rows(
        lambda: (
            (
                *_EARNED(rated),
                None if rated.unit is None else rated.unit.value,
                rated.plan_sha256,
                rated.pico_per_unit if rated.owed is None else None,
                *(rated.quantity, statement.currency, rated.amount_pico),
            )
            for rated in statement.revenue_rows
        )
    )
    postings = Rows(
        lambda: (
            (number, booked_within(entry, *ends), entry.text, *_POSTED(posting))
            for number, entry in enumerate(statement.entries, start=1)
            for posting in entry.postings
        )
    )
    return (
        Table("charges", _CHARGES, Rows(lambda: map(_CHARGED, books.each))),
        Table("parts", _PARTS, parts),
        Table("revenue", _REVENUE, revenue),
        Table("postings", _POSTINGS, postings),
        *_small_tables(books),
    )


def _small_tables(books: Books) -> Iterable[Table]:
    """Yield corrections and totals; of a closed period also what later ones correct of it."""
    statement, currency = books.statement, books.statement.currency
    corrections = tuple(  # cost that is booked here for closed periods; it has been allocated there
        (
            *(correction.period.name, *_COST(line), line.function.value, *_USE(line.target)),
            *(currency, line.amount_pico),
        )
        for correction in statement.corrections
        for line in correction.lines
    )
    yield Table("corrections", _CORRECTIONS, corrections)
    totals = {
        "billed": statement.billed_pico,
        "allocated": statement.allocated_pico,
        "unallocated": statement.unallocated_pico,
        "revenue": statement.revenue_pico,
        "gross-margin": statement.gross_margin_pico,
        **{function.value: statement.function_pico(function) for function in Function},
    }
    yield Table("totals", _TOTALS, tuple((name, currency, pico) for name, pico in totals.items()))
    if books.later:  # the figures as sealed, each later correction, and all together; they add up
        rows = tuple(
            (row.name, figure, currency, pico)
            for row in as_corrected(statement, books.later)
            for figure, pico in (
                ("revenue", row.revenue_pico),
                (Function.COST_OF_REVENUE.value, row.cost_of_revenue_pico),
                ("gross-margin", row.gross_margin_pico),
                (Function.RESEARCH_AND_DEVELOPMENT.value, row.research_and_development_pico),
                ("other", row.other_pico),
            )
        )
        yield Table("corrected_since", _CORRECTED_SINCE, rows)


_AMOUNT = (Column("currency"), Column("amount", Kind.DECIMAL))

_CHARGES = (
    Column("charge_id"),
    Column("issuer"),
    Column("invoice"),
    Column("line"),
    Column("file"),
    Column("row", Kind.WHOLE),
    Column("provider"),
    Column("service_category"),
    Column("service_name"),
    Column("resource_id"),
    Column("description"),
    Column("charge_category"),
    Column("charge_class"),
    Column("natural_class"),
    Column("pool"),
    Column("period_start", Kind.MOMENT),
    Column("period_end", Kind.MOMENT),
    *_AMOUNT,
)
_CHARGED = attrgetter(
    *("charge.id", "charge.issuer", "charge.invoice", "charge.line", "charge.file", "charge.row"),
    *("charge.provider", "charge.service_category", "charge.service_name", "charge.resource_id"),
    *("charge.description", "charge.charge_category", "charge.charge_class"),
    *("charge.natural_class.value", "pool", "charge.period_start_ns", "charge.period_end_ns"),
    *("charge.currency", "charge.amount_pico"),
)

_COST_COLUMNS = (
    Column("pool"),
    Column("natural_class"),
    Column("behaviour"),
    Column("function"),
    Column("use"),
    Column("customer"),
    Column("project"),
    Column("key"),
    Column("model"),
    Column("direction"),
)
_COST = attrgetter("pool", "natural_class.value", "behaviour.value")
_USE = attrgetter("label", "customer", "project", "key_id", "model", "direction")

_PARTS = (
    Column("charge_id"),
    Column("part", Kind.WHOLE),
    *_COST_COLUMNS,
    Column("method"),
    Column("driver_unit"),
    Column("driver_quantity", Kind.WHOLE),
    *_AMOUNT,
)
_DIVISION = attrgetter("method", "driver_unit", "driver_quantity")

_REVENUE = (
    Column("customer"),
    Column("project"),
    Column("key"),
    Column("model"),
    Column("purpose"),
    Column("day", Kind.MOMENT),
    Column("item"),
    Column("unit"),
    Column("plan_sha256"),
    Column("price", Kind.DECIMAL),
    Column("quantity", Kind.WHOLE),
    *_AMOUNT,
)
_EARNED = attrgetter(
    *("customer", "project", "key_id", "model", "purpose.value", "day_ns", "item.value")
)

_POSTINGS = (
    Column("entry", Kind.WHOLE),
    Column("at", Kind.MOMENT),
    Column("text"),
    Column("account"),
    *_AMOUNT,
)
_POSTED = attrgetter("account", "currency", "amount_pico")

_CORRECTIONS = (Column("period"), *_COST_COLUMNS, *_AMOUNT)
_CORRECTED_SINCE = (Column("line"), Column("figure"), *_AMOUNT)
_TOTALS = (Column("total"), *_AMOUNT)
