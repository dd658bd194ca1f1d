"""The statement of a span by customer, for very many calls.

Everything is the same as in `compute.py` but the grain: charges are divided among customers and no
further, which is final (`hierarchical_split.py`), and revenue is rated on each customer's sums. The
result is one row for each customer, and the lines without customers, small for any number of calls.
Conservation, balance and the counts are checked on the way (`_verify`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import ibis
import msgspec
import pyarrow as pa

from inferworks.books.accounting.basis import basis_notes
from inferworks.books.accounting.policy import Policy
from inferworks.books.accounting.tax import tax_notes
from inferworks.books.allocation.allocate import Portion, Target, allocated_of
from inferworks.books.allocation.pools import CostPool, DriverKind, behaviour_of, pool_of
from inferworks.books.charge import COST_OF_REVENUE, Charge, ChargeId, Function
from inferworks.books.engines.base import Engine, integers, total
from inferworks.books.engines.bundled import as_divided_on
from inferworks.books.engines.divide import Divided, divide, label_target, machine_drivers
from inferworks.books.engines.granularity import CUSTOMERS, PARTY, unallocated
from inferworks.books.engines.lake import Lake
from inferworks.books.engines.revenue import Earned, earned
from inferworks.books.revenue.customer_currency import owed_notes
from inferworks.books.statement.computation import (
    Inputs,
    Line,
    accrued_charges,
    line_order,
    lines_of,
)
from inferworks.books.statement.statement import (
    NO_CUSTOMER,
    UNALLOCATED,
    Dimension,
    Figures,
    Row,
    column_of,
    line_json,
    notes_of,
    row_json,
    row_name,
    row_of,
    summed_rows,
)
from inferworks.books.statement.unexplained_lines import is_unexplained, open_questions
from inferworks.errors import BooksError
from inferworks.garbage import uncollected
from inferworks.money import format_pico


class CustomerStatement(Figures, frozen=True):
    """A span's figures by customer, its lines those of all customers and of none together."""

    rows: tuple[Row, ...]
    """Rows by customer, real names first; they sum to the totals (theorem 8)."""
    calls: int
    """The calls that were opened in the span."""
    notes: tuple[str, ...]
    included: tuple[Function, ...] = COST_OF_REVENUE
    """The functions that the policy's view sets against revenue."""
    margin: str = "Gross margin"
    """Caption of revenue less the included functions."""
    names: tuple[tuple[str, str], ...] = ()
    """Names of customers by id; those without a name are left out."""

    @property
    def revenue_pico(self) -> int:
        """Return the revenue of the span, in picounits."""
        return sum(row.revenue_pico for row in self.rows)

    def by(self, dimension: Dimension) -> tuple[Row, ...]:
        """Return the rows by customer; ValueError for any other cut, which was not computed."""
        if dimension is not Dimension.CUSTOMER:
            raise ValueError(f"a statement by customer alone is not cut by {dimension}")
        return self.rows

    def to_json(self) -> dict[str, object]:
        """The statement as JSON values; every amount an exact decimal string."""
        names = dict(self.names)
        return {
            "policy": self.policy,
            "currency": self.currency,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "calls": self.calls,
            "billed": format_pico(self.billed_pico),
            "revenue": format_pico(self.revenue_pico),
            "cost_of_revenue": format_pico(self.cost_of_revenue_pico),
            "lines": [
                {name: value for name, value in line_json(line).items() if name in _OF_A_LINE}
                for line in self.lines
            ],
            "customers": [row_json(Dimension.CUSTOMER, row, names) for row in self.rows],
            "notes": list(self.notes),
        }


_OF_A_LINE = {"function", "pool", "natural_class", "use", "behaviour", "method", "amount"}
"""Fields of a line that has no target."""


@uncollected()
def canonical(statement: CustomerStatement) -> bytes:
    """The bytes of `statement`: the same on every engine, in any order of the inputs (theorem 13)."""
    return msgspec.json.encode(statement.to_json(), order="sorted")


@uncollected()
def close_by_customer(engine: Engine, lake: Lake, inputs: Inputs) -> CustomerStatement:
    """Return the statement of `inputs` by customer, verified; the facts are those of `lake`.

    MoneyError on a foreign currency; BooksError when a theorem does not hold, or when the rules have
    support pools, whose step-down needs every target: build a whole statement then.
    """
    policy, currency, span = inputs.policy, inputs.currency, inputs.span
    rules, lake = inputs.rules, lake.counted(inputs.rules.customers)
    charges = as_divided_on(engine, lake, inputs.charges, rules, span)
    given, accrued, taxes, committed = accrued_charges(charges, span, currency, rules, policy.basis)
    drivers = machine_drivers(engine, lake, accrued, rules, CUSTOMERS)
    placed = [
        (charge, pool_of(charge, rules.pools, drivers.nodes, drivers.billing)) for charge in accrued
    ]
    _refuse_support(placed)
    done = divide(engine, lake, placed, rules.catalog, CUSTOMERS, drivers)
    uses = _sums_by_label(engine, done)
    lines = _lines(done, uses, placed, policy)
    income = earned(engine, lake, inputs)
    rows = summed_rows(_amounts(engine, done, uses, policy, income))
    statement = CustomerStatement(
        policy=policy.name,
        currency=currency,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        calls=income.opened,
        billed_pico=sum(charge.amount_pico for charge in accrued),
        lines=lines,
        rows=rows,
        notes=(
            *notes_of(given, accrued, income.unrated, drivers.unprovisioned_ns()),
            *open_questions(accrued, _unexplained(done), drivers.billing),
            *tax_notes(taxes, span),
            *basis_notes(committed, span),
            *rules.customers.notes(*span),
            *owed_notes(income.foreign, currency),
        ),
        names=rules.customers.shown(span.end_ns - 1, (row.name for row in rows)),
        included=policy.included,
        margin=policy.margin,
    )
    _verify(statement, income.total_pico)
    return statement


def _unexplained(done: Divided) -> set[ChargeId]:
    return {
        division.charge.id
        for division in done.divisions
        if not division.asks and is_unexplained(division.portions)
    }


def _refuse_support(placed: Iterable[tuple[Charge, CostPool]]) -> None:
    for _, pool in placed:
        if pool.driver is DriverKind.POOLS:
            raise BooksError(
                f"pool {pool.name} supports other pools; a statement by customer alone cannot step it "
                "down: compute the whole statement"
            )


def _lines(
    done: Divided,
    uses: Iterable[_Use],
    placed: Sequence[tuple[Charge, CostPool]],
    policy: Policy,
) -> tuple[Line, ...]:
    """The lines without customers; every charge is checked to be its parts (theorem 7)."""
    portions: dict[str, list[Portion]] = {division.charge.id: [] for division in done.divisions}
    for division in done.divisions:
        for portion in division.portions:
            own = portion.target
            use_alone = Target(
                purpose=own.purpose,
                department=own.department,
                unused=own.unused,
                unallocated=own.unallocated,
            )
            portions[division.charge.id].append(msgspec.structs.replace(portion, target=use_alone))
    for use in uses:
        ask = done.asks[use.ask]
        target = label_target(use.label)
        portions[ask.charge.id].append(
            Portion(ask.stage, target, ask.method, ask.unit, use.weight, use.part_pico, {})
        )
    allocated = [
        allocated_of(charge, pool, portions[charge.id], division.apportionments)
        for (charge, pool), division in zip(placed, done.divisions, strict=True)
    ]
    for item in allocated:
        parts_pico = sum(row.amount_pico for row in item.rows)
        _must_equal(f"charge {item.charge.id}", item.charge.amount_pico, "its parts", parts_pico)
    return tuple(sorted(lines_of(allocated, policy), key=line_order))


class _Use(NamedTuple):
    """Weight and amount of all customers in an ask, by label."""

    ask: int
    label: str
    weight: int
    part_pico: int


def _sums_by_label(engine: Engine, done: Divided) -> list[_Use]:
    if done.shares is None:
        return []
    parts = done.shares.parties.named(done.shares.parts)
    sums = parts.group_by(["ask", "label"]).agg(weight=total(parts.weight), part=total(parts.part))
    rows = engine.fetch(sums.order_by(["ask", "label"])).to_pylist()
    return [_Use(row["ask"], row["label"], int(row["weight"]), int(row["part"])) for row in rows]


def _amounts(
    engine: Engine, done: Divided, uses: Sequence[_Use], policy: Policy, income: Earned
) -> Iterable[tuple[str, int, int]]:
    """Yield revenue and cost by customer and column of a row; a customer may come more than once."""
    for customer, amount_pico in income.by_customer.items():
        yield row_name(customer, Dimension.CUSTOMER), column_of(None), amount_pico
    for division in done.divisions:
        for portion in division.portions:
            name = row_of(division.pool.name, portion.target, Dimension.CUSTOMER)
            column = _column_of(portion.target, division.charge, division.pool, policy)
            yield name, column, portion.amount_pico
    if done.shares is None:
        return
    parts, parties = done.shares
    asked = [(use, done.asks[use.ask], label_target(use.label)) for use in uses]
    columns_of_use = {
        "ask": pa.array([use.ask for use in uses], pa.int64()),
        "label": pa.array([use.label for use in uses], pa.string()),
        "column": pa.array(
            [_column_of(target, ask.charge, ask.pool, policy) for _, ask, target in asked],
            pa.int64(),
        ),
    }
    column_of_use = engine.table(pa.table(columns_of_use))
    rows = parties.named(parts).join(column_of_use, ["ask", "label"])
    sums = parties.named(rows.group_by([PARTY, "column"]).agg(part=total(rows.part)))
    own, customer = f"{Dimension.CUSTOMER.value}:", sums.customer  # as `row_name` has it
    marked = customer.startswith("(") | customer.startswith(own)
    known = ibis.ifelse(marked, ibis.literal(own) + customer, customer)
    known = ibis.ifelse(customer == "", NO_CUSTOMER, known)
    nowhere = sums.label.startswith(unallocated(""))
    sums = sums.mutate(name=ibis.ifelse(nowhere, UNALLOCATED, known))
    found = engine.fetch(sums.select("name", "column", "part"))
    names, columns = (found[name].to_pylist() for name in ("name", "column"))
    yield from zip(names, columns, integers(found["part"]), strict=True)


def _column_of(target: Target, charge: Charge, pool: CostPool, policy: Policy) -> int:
    return column_of(policy.function(target.use, charge.natural_class, behaviour_of(charge, pool)))


def _verify(statement: CustomerStatement, revenue_pico: int) -> None:
    """Theorems 7 and 8: lines sum to what was billed, and customers to the lines and to revenue."""
    lines_pico = statement.allocated_pico
    _must_equal("billed", statement.billed_pico, "lines", lines_pico)
    _must_equal("revenue", revenue_pico, "by customer", statement.revenue_pico)
    cost_pico = sum(row.cost_of_revenue_pico for row in statement.rows)
    _must_equal("cost of revenue", statement.cost_of_revenue_pico, "by customer", cost_pico)
    rest_pico = sum(row.research_and_development_pico + row.other_pico for row in statement.rows)
    _must_equal("all other cost", lines_pico - cost_pico, "by customer", rest_pico)


def _must_equal(name: str, one: int, other_name: str, other: int) -> None:
    if one != other:
        raise BooksError(
            f"{name} {format_pico(one)} is not {other_name} {format_pico(other)}: "
            f"difference {format_pico(one - other)}"
        )
