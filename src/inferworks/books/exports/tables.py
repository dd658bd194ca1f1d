"""The books as flat tables: every charge, every part of it, every amount earned, every posting.

Six tables, one grain each, so that a reviewer can check them against each other with sums alone (the
queries are in `docs/exports.md`). Amounts are picounits here and exact decimals in the files. A closed
period that was corrected since has a seventh: the corrections that later periods post for it. The six
stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from inferworks.books.accounting.entries import booked_within
from inferworks.books.allocation.allocate import Allocated
from inferworks.books.charge import Function
from inferworks.books.closing.prior_period import as_corrected
from inferworks.books.exports.base import Books
from inferworks.books.statement.statement import Statement


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
    return (
        Table("charges", _CHARGES, Rows(lambda: map(_charge_row, books.each))),
        Table("parts", _PARTS, Rows(lambda: _part_rows(books))),
        Table("revenue", _REVENUE, Rows(lambda: _revenue_rows(books.statement))),
        Table("postings", _POSTINGS, Rows(lambda: _posting_rows(books.statement))),
        Table("corrections", _CORRECTIONS, tuple(_correction_rows(books.statement))),
        Table("totals", _TOTALS, tuple(_total_rows(books.statement))),
        *_corrected_since(books),
    )


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


def _charge_row(item: Allocated) -> Row:
    charge = item.charge
    return (
        charge.id,
        charge.issuer,
        charge.invoice,
        charge.line,
        charge.file,
        charge.row,
        charge.provider,
        charge.service_category,
        charge.service_name,
        charge.resource_id,
        charge.description,
        charge.charge_category,
        charge.charge_class,
        charge.natural_class.value,
        item.pool,
        charge.period_start_ns,
        charge.period_end_ns,
        charge.currency,
        charge.amount_pico,
    )


_PARTS = (
    Column("charge_id"),
    Column("part", Kind.WHOLE),
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
    Column("method"),
    Column("driver_unit"),
    Column("driver_quantity", Kind.WHOLE),
    *_AMOUNT,
)


def _part_rows(books: Books) -> Iterable[Row]:
    for item in books.each:
        for number, part in enumerate(item.rows, start=1):
            target = part.target
            yield (
                part.charge_id,
                number,
                part.pool,
                part.natural_class.value,
                part.behaviour.value,
                books.function_of(part).value,
                target.label,
                target.customer,
                target.project,
                target.key_id,
                target.model,
                target.direction,
                part.method,
                part.driver_unit,
                part.driver_quantity,
                item.charge.currency,
                part.amount_pico,
            )


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


def _revenue_rows(statement: Statement) -> Iterable[Row]:
    for rated in statement.revenue_rows:
        yield (
            rated.customer,
            rated.project,
            rated.key_id,
            rated.model,
            rated.purpose.value,
            rated.day_ns,
            rated.item.value,
            None if rated.unit is None else rated.unit.value,
            rated.plan_sha256,
            rated.pico_per_unit if rated.owed is None else None,
            rated.quantity,
            statement.currency,
            rated.amount_pico,
        )


_POSTINGS = (
    Column("entry", Kind.WHOLE),
    Column("at", Kind.MOMENT),
    Column("text"),
    Column("account"),
    *_AMOUNT,
)


def _posting_rows(statement: Statement) -> Iterable[Row]:
    ends = statement.start_ns, statement.end_ns
    for number, entry in enumerate(statement.entries, start=1):
        at_ns = booked_within(entry, *ends)
        for posting in entry.postings:
            yield (
                number,
                at_ns,
                entry.text,
                posting.account,
                posting.currency,
                posting.amount_pico,
            )


_CORRECTIONS = (
    Column("period"),
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
    *_AMOUNT,
)


def _correction_rows(statement: Statement) -> Iterable[Row]:
    """The cost that is booked here for closed periods; it has been allocated there."""
    for correction in statement.corrections:
        for line in correction.lines:
            target = line.target
            yield (
                correction.period.name,
                line.pool,
                line.natural_class.value,
                line.behaviour.value,
                line.function.value,
                target.label,
                target.customer,
                target.project,
                target.key_id,
                target.model,
                target.direction,
                statement.currency,
                line.amount_pico,
            )


def _corrected_since(books: Books) -> Iterable[Table]:
    """The figures of a closed period as sealed, each later correction, and all together; they add up."""
    if books.later:
        rows = [
            (row.name, figure, books.statement.currency, pico)
            for row in as_corrected(books.statement, books.later)
            for figure, pico in (
                ("revenue", row.revenue_pico),
                (Function.COST_OF_REVENUE.value, row.cost_of_revenue_pico),
                ("gross-margin", row.gross_margin_pico),
                (Function.RESEARCH_AND_DEVELOPMENT.value, row.research_and_development_pico),
                ("other", row.other_pico),
            )
        ]
        yield Table("corrected_since", _CORRECTED_SINCE, tuple(rows))


_CORRECTED_SINCE = (Column("line"), Column("figure"), *_AMOUNT)


_TOTALS = (Column("total"), *_AMOUNT)


def _total_rows(statement: Statement) -> Iterable[Row]:
    totals = {
        "billed": statement.billed_pico,
        "allocated": statement.allocated_pico,
        "unallocated": statement.unallocated_pico,
        "revenue": statement.revenue_pico,
        "gross-margin": statement.gross_margin_pico,
        **{function.value: statement.function_pico(function) for function in Function},
    }
    return ((name, statement.currency, pico) for name, pico in totals.items())
