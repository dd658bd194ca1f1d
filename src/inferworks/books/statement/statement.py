"""The statement of a span: revenue, costs and their reasons; any cut of it sums to the whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.basis import Basis, basis_notes, change_pico
from inferworks.books.accounting.entries import Entry
from inferworks.books.accounting.policy import MARGINAL, load_policy
from inferworks.books.accounting.tax import tax_notes
from inferworks.books.accruals.api_estimates import LIST_CURRENCY, NO_RATE, is_unpriced
from inferworks.books.accruals.expected_bills import (
    Accrued,
    TrueUp,
    accrual_notes,
    accrued_of,
    accrued_pico,
)
from inferworks.books.allocation.allocate import Target
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.span import Span, Timed, utc_day
from inferworks.books.charge import (
    COST_OF_REVENUE,
    Charge,
    ChargeId,
    Function,
    NaturalClass,
    is_provisional,
)
from inferworks.books.lines import Charges, Lines
from inferworks.books.revenue.customer_currency import owed_notes
from inferworks.books.revenue.rating import Rated, RatingKey, Revenue, by_call, rating_key
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Line,
    Rules,
    compute,
    line_of,
    line_order,
)
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.five_questions import Question, answer
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.revenue_by_location import LocationRevenue
from inferworks.books.statement.unexplained_lines import is_unexplained, open_questions
from inferworks.choices import one_of
from inferworks.ids import CallId, CustomerId
from inferworks.meter.facts import Facts, in_force
from inferworks.meter.usage import Usage
from inferworks.money import format_pico

NO_CUSTOMER, NO_MODEL = "(no customer)", "(no model)"
UNUSED, UNALLOCATED, REVENUE = "(unused capacity)", "(unallocated)", "(revenue)"
TOTAL = "Total"
"""The row of totals of a table."""


class Dimension(StrEnum):
    """Dimension that a statement can be cut by."""

    CUSTOMER = "customer"
    PROJECT = "project"
    KEY = "key"
    MODEL = "model"
    PROVIDER = "provider"
    """Provider that served: an external API, or our own replicas."""
    REGION = "region"
    POOL = "pool"
    """Pool of the cost; revenue has none."""
    CHIP = "chip"
    PURPOSE = "purpose"
    DAY = "day"
    """The UTC date on which a call was opened or an activity began."""


NO_COSTS = "No bill covers this span, so neither its costs nor its margin are known."
"""Remark on a statement without a single line of cost."""


class Row(msgspec.Struct, frozen=True):
    """One line of a cut. All amounts in picounits."""

    name: str
    revenue_pico: int
    cost_of_revenue_pico: int
    research_and_development_pico: int
    other_pico: int
    """Cost of every other function."""

    @property
    def gross_margin_pico(self) -> int:
        """Revenue less cost of revenue."""
        return self.revenue_pico - self.cost_of_revenue_pico

    @property
    def amounts_pico(self) -> dict[str, int]:
        """The amounts by their names in JSON, in the order of a table."""
        return {
            "revenue": self.revenue_pico,
            "cost_of_revenue": self.cost_of_revenue_pico,
            "gross_margin": self.gross_margin_pico,
            "research_and_development": self.research_and_development_pico,
            "other": self.other_pico,
        }


class Part(NamedTuple):
    """Part of one charge in a line."""

    charge_id: ChargeId
    amount_pico: int


class Alike(NamedTuple):
    """A charge that stands for alike bill lines: the id of the first, and how many they are."""

    charge_id: ChargeId
    lines: int


class LineSources(msgspec.Struct, frozen=True):
    """A line and what each charge gave to it; the parts sum to the line."""

    line: Line
    parts: tuple[Part, ...]


class Flow(msgspec.Struct, frozen=True):
    """Money on its way: `pool:` to `use:`, and `use:` to `customer:` or `function:`."""

    source: str
    target: str
    amount_pico: int


class Figures(msgspec.Struct, frozen=True):
    """A span's figures under one policy, at any grain. All amounts in picounits of `currency`."""

    policy: str
    currency: str
    start_ns: int
    end_ns: int
    billed_pico: int
    lines: tuple[Line, ...]
    """Lines of cost; they sum to the billed amount (theorem 7)."""

    @property
    def revenue_pico(self) -> int:
        """Return the revenue of the span, in picounits."""
        raise NotImplementedError

    @property
    def included(self) -> tuple[Function, ...]:
        """The functions that the policy's view sets against revenue."""
        raise NotImplementedError

    @property
    def allocated_pico(self) -> int:
        """The sum of all lines; equals `billed_pico` (theorem 7)."""
        return sum(line.amount_pico for line in self.lines)

    @property
    def cost_of_revenue_pico(self) -> int:
        """Cost of revenue, its unused capacity included."""
        return sum(map(self.function_pico, COST_OF_REVENUE))

    @property
    def gross_margin_pico(self) -> int:
        """Revenue less cost of revenue."""
        return self.revenue_pico - self.cost_of_revenue_pico

    @property
    def included_pico(self) -> int:
        """Return the cost that the view sets against revenue, in picounits."""
        return sum(map(self.function_pico, self.included))

    @property
    def margin_pico(self) -> int:
        """Revenue less what the view includes: the figure it is about."""
        return self.revenue_pico - self.included_pico

    @property
    def research_and_development_pico(self) -> int:
        """Return the cost of research and development, in picounits."""
        return self.function_pico(Function.RESEARCH_AND_DEVELOPMENT)

    def function_pico(self, function: Function) -> int:
        """The cost of one function."""
        return sum(line.amount_pico for line in self.lines if line.function is function)


class Statement(Figures, frozen=True):
    """A span's figures under one policy, down to targets. All amounts in picounits of `currency`."""

    revenue_rows: tuple[Rated, ...]
    questions: tuple[Question, ...]
    notes: tuple[str, ...]
    """Remarks for the reader: accruals, calls without a price, replicas with gaps."""
    entries: tuple[Entry, ...]
    corrections: tuple[Correction, ...] = ()
    """Corrections posted here for closed periods; their rows stand among the others (`corrections.py`)."""
    title: str = ""
    """Title of the policy."""
    included: tuple[Function, ...] = COST_OF_REVENUE
    """The functions that the policy's view sets against revenue."""
    margin: str = "Gross margin"
    """Caption of revenue less the included functions."""
    backed: tuple[LineSources, ...] = ()
    """The charges behind each line; a correction's lines have none here."""
    prepaid_pico: int | None = None
    """Change of the prepaid balance of commitments (billed less cost); None on the cash basis."""
    placed: tuple[LocationRevenue, ...] = ()
    """Revenue by the location of its calls; revenue missing here is a fee or of calls not served."""
    accrued_pico: int | None = None
    """Change of accruals for bills that have not come; None without any."""
    accrued: tuple[Accrued, ...] = ()
    """Accruals for bills that have not come."""
    names: tuple[tuple[str, str], ...] = ()
    """Names of customers by id; those without a name are left out."""
    alike: tuple[Alike, ...] | UnsetType = UNSET
    """Charges that stand for several bill lines (`bundles.py`); unset without any."""

    @property
    def revenue_pico(self) -> int:
        """Return the revenue of the span, in picounits."""
        return sum(row.amount_pico for row in self.revenue_rows)

    @property
    def unused_capacity_pico(self) -> int:
        """Cost of capacity paid for and not used; a line of cost of revenue."""
        return self.function_pico(Function.UNUSED_CAPACITY)

    @property
    def unallocated_pico(self) -> int:
        """Return the cost that no driver could place, whatever its function, in picounits."""
        return sum(line.amount_pico for line in self.lines if line.target.unallocated is not None)

    def by(self, dimension: Dimension | str) -> tuple[Row, ...]:
        """The statement cut by `dimension`; the rows sum to its totals. UserError when unknown."""
        dimension = one_of("dimension", dimension, Dimension)
        if dimension in _PLACES:
            earned = [
                (row_name(getattr(place, dimension.value), dimension), place.amount_pico)
                for place in self.placed
            ]
            rest_pico = self.revenue_pico - sum(pico for _, pico in earned)
            earned += [(_nobody(dimension), rest_pico)] if rest_pico else []
        else:
            earned = [(revenue_name(r, dimension), r.amount_pico) for r in self.revenue_rows]
        return summed_rows(
            [
                *((name, column_of(None), pico) for name, pico in earned),
                *(
                    (name_of(n, dimension), column_of(n.function), n.amount_pico)
                    for n in self.lines
                ),
            ]
        )

    def flows(self) -> tuple[Flow, ...]:
        """Return the flows of cost in two steps: pool to use, use to customer or function."""
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for line in self.lines:
            use = f"use:{line.target.label}"
            customer = line.target.customer
            paid_for = customer is not None and line.function in COST_OF_REVENUE
            end = f"customer:{customer}" if paid_for else f"function:{line.function}"
            sums[f"pool:{line.pool}", use] += line.amount_pico
            sums[use, end] += line.amount_pico
        return tuple(Flow(*ends, sums[ends]) for ends in sorted(sums))

    def to_json(self, by: Dimension | None = None) -> dict[str, object]:
        """The statement as JSON values; every amount an exact decimal string.

        It is cut by customer, model and purpose, and by `by`.
        """
        parts = {backed.line: backed.parts for backed in self.backed}
        names, alike = dict(self.names), dict(self.alike or ())
        cuts = dict.fromkeys((*_USUAL_CUTS, *([] if by is None else [by])))
        return {
            **self._basis_json(),
            "billed": format_pico(self.billed_pico),
            "allocated": format_pico(self.allocated_pico),
            "unallocated": format_pico(self.unallocated_pico),
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "statement": {
                "policy": self.policy,
                "currency": self.currency,
                "revenue": format_pico(self.revenue_pico),
                "cost_of_revenue": format_pico(self.cost_of_revenue_pico),
                "gross_margin": format_pico(self.gross_margin_pico),
                "unused_capacity": format_pico(self.unused_capacity_pico),
                **{
                    function.value.replace("-", "_"): format_pico(self.function_pico(function))
                    for function in _BELOW_THE_MARGIN
                },
            },
            "view": {
                "title": self.title,
                "included": [function.value for function in self.included],
                "included_cost": format_pico(self.included_pico),
                "margin_name": self.margin,
                "margin": format_pico(self.margin_pico),
            },
            "functions": {f.value: format_pico(self.function_pico(f)) for f in Function},
            **{f"{d.value}s": [row_json(d, row, names) for row in self.by(d)] for d in cuts},
            "questions": [_question_json(question) for question in self.questions],
            "flows": [
                {
                    "source": flow.source,
                    "target": flow.target,
                    "amount": format_pico(flow.amount_pico),
                }
                for flow in self.flows()
            ],
            "lines": [line_json(line, parts.get(line, ()), alike) for line in self.lines],
            "revenue_lines": [_rated_json(rated) for rated in self.revenue_rows],
            "corrections": [_correction_json(correction) for correction in self.corrections],
            "notes": list(self.notes),
        }

    def _basis_json(self) -> dict[str, object]:
        """Return the basis, and the steps from the invoiced amount to the cost of the span, as JSON."""
        if self.prepaid_pico is None:
            return {}  # reads to the byte as it did before there was a choice
        accrued: dict[str, object] = {}
        if self.accrued_pico is not None:
            bills = list(map(accrued_json, self.accrued))
            accrued = {"accrued": format_pico(self.accrued_pico), "accrued_bills": bills}
        return {
            "basis": Basis.ACCRUAL.value,
            "invoiced": format_pico(
                self.billed_pico + self.prepaid_pico - (self.accrued_pico or 0)
            ),
            "prepaid": format_pico(self.prepaid_pico),
            **accrued,
        }


_NONE_ALIKE: Final[Mapping[ChargeId, int]] = MappingProxyType({})
_USUAL_CUTS = (Dimension.CUSTOMER, Dimension.MODEL, Dimension.PURPOSE)
"""The cuts that every document has."""
_BELOW_THE_MARGIN = tuple(f for f in Function if f not in COST_OF_REVENUE)


def close_span(inputs: Inputs) -> Statement:
    """Return the statement of `inputs` that have all their facts at hand.

    Pure: the same inputs in any order give the same statement. Facts may reach beyond the span; what does
    is cut. MoneyError when a charge or a plan is in another currency; BooksError when a theorem does not
    hold.
    """
    return build_statement(checked(inputs))


def checked(inputs: Inputs) -> Computation:
    """Return the validated computation; lines that are too many to hold are in bundles."""
    divided = as_divided(inputs.charges, inputs.facts, inputs.rules, inputs.span)
    computation = compute(msgspec.structs.replace(inputs, charges=divided))
    validate(computation)
    return computation


def as_divided(charges: Charges, facts: Facts, rules: Rules, span: Span) -> Sequence[Charge]:
    """`charges` as a statement of `span` divides them: in bundles where they are too many to hold."""
    if not isinstance(charges, Lines):
        return charges
    from inferworks.books.statement.bundles import (  # numpy takes its time to load
        Things,
        in_bundles,
    )

    return in_bundles(charges, rules, span, Things.of(in_force(facts)))


def build_statement(computation: Computation) -> Statement:
    """The statement of a validated `computation`."""
    policy = computation.policy
    alike = tuple(Alike(one.id, one.lines) for one in computation.charges if one.lines > 1)
    return Statement(
        policy=policy.name,
        currency=computation.currency,
        start_ns=computation.span.start_ns,
        end_ns=computation.span.end_ns,
        billed_pico=sum(charge.amount_pico for charge in computation.charges),
        lines=computation.lines,
        revenue_rows=computation.revenue.rated,
        questions=answer(computation.lines, load_policy(MARGINAL)),
        notes=(
            *notes_of(
                computation.given,
                computation.charges,
                computation.revenue,
                computation.drivers.unprovisioned_ns(),
            ),
            *open_questions(
                computation.charges,
                {item.charge.id for item in computation.allocated if is_unexplained(item.rows)},
                computation.drivers.billing,
            ),
            *tax_notes(computation.taxes, computation.span),
            *basis_notes(computation.committed, computation.span),
            *computation.customers.notes(*computation.span),
            *owed_notes(computation.revenue.rated, computation.currency),
        ),
        entries=computation.entries,
        title=policy.title,
        included=policy.included,
        margin=policy.margin,
        prepaid_pico=(
            change_pico(computation.committed, computation.span)
            if policy.basis is Basis.ACCRUAL
            else None
        ),
        backed=_line_sources(computation),
        placed=_revenue_by_location(computation),
        accrued_pico=accrued_pico(computation.charges),
        accrued=accrued_of(computation.charges),
        names=computation.customers.shown(
            computation.span.end_ns - 1,
            {
                *(row.customer for row in computation.revenue.rated),
                *(line.target.customer for line in computation.lines if line.target.customer),
            },
        ),
        alike=alike or UNSET,
    )


def whole_span(charges: Iterable[Charge], facts: Facts) -> Span:
    """The smallest span that holds every charge, call and machine interval; empty when there is none."""
    facts = in_force(facts)
    intervals = [
        *((charge.period_start_ns, charge.period_end_ns) for charge in charges),
        *((usage.opened_ns, max(usage.closed_ns, usage.opened_ns + 1)) for usage in facts.usages),
        *((row.start_ns, row.end_ns) for row in facts.capacity),
        *((activity.start_ns, activity.end_ns) for activity in facts.activities),
    ]
    start_ns = min((start_ns for start_ns, _ in intervals), default=0)
    return Span(start_ns, max((end_ns for _, end_ns in intervals), default=start_ns))


def elapsed_span(charges: Iterable[Timed], used: Span, now_ns: int) -> Span:
    """Return the span of a statement without dates: from the first record to the last event.

    Where something was `used` (calls, machines), that is its end, or that of the last bill line over at
    `now_ns`: a line that reaches further is accrued up to there. Where nothing was, the bill lines that
    have begun are shown whole, and what a schedule holds for later is not. Moving `now_ns` on by a moment
    changes nothing, so the same books give the same figures all day.
    """
    lines = [(charge.period_start_ns, charge.period_end_ns) for charge in charges]
    over = [end_ns for _, end_ns in lines if end_ns <= now_ns]
    if used.length_ns:
        start_ns = min((start_ns for start_ns, _ in lines), default=used.start_ns)
        return Span(min(start_ns, used.start_ns), max((used.end_ns, *over)))
    begun = [line for line in lines if line[0] < now_ns] or lines
    start_ns = min((start_ns for start_ns, _ in begun), default=0)
    return Span(start_ns, max((end_ns for _, end_ns in begun), default=start_ns))


def line_json(
    line: Line, parts: Iterable[Part] = (), alike: Mapping[ChargeId, int] = _NONE_ALIKE
) -> dict[str, object]:
    """One line as JSON values, with the charges behind it; of those `alike` how many lines they are."""
    target = line.target
    return {
        "function": line.function.value,
        "pool": line.pool,
        "natural_class": line.natural_class.value,
        "use": target.label,
        "customer": target.customer,
        "project": target.project,
        "key": target.key_id,
        "model": target.model,
        "direction": target.direction,
        "provider": target.provider,
        "region": target.region,
        "chip": target.chip,
        "day": target.day,
        "behaviour": line.behaviour.value,
        "method": line.method,
        "amount": format_pico(line.amount_pico),
        "parts": [
            {
                "charge": part.charge_id,
                **({"lines": alike[part.charge_id]} if part.charge_id in alike else {}),
                "amount": format_pico(part.amount_pico),
            }
            for part in parts
        ],
    }


def column_of(function: Function | None) -> int:
    """Return the place of a cost of `function` among the amounts of a row; of revenue for None."""
    if function is None:
        return 0
    if function in COST_OF_REVENUE:
        return 1
    return 2 if function is Function.RESEARCH_AND_DEVELOPMENT else 3


def summed_rows(amounts: Iterable[tuple[str, int, int]]) -> tuple[Row, ...]:
    """Return the rows of `amounts`, each with the name of its row and its column; real names first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, column, amount_pico in amounts:
        sums[name][column] += amount_pico
    names = sorted(sums, key=lambda name: (name.startswith("("), name))
    return tuple(Row(name, *sums[name]) for name in names)


def name_of(line: Line, dimension: Dimension) -> str:
    """The row of `dimension` that `line` belongs to."""
    return row_of(line.pool, line.target, dimension)


def row_of(pool: str, target: Target, dimension: Dimension) -> str:
    """The row of `dimension` that what `pool` gave to `target` belongs to."""
    if dimension is Dimension.POOL:
        return pool
    if dimension is Dimension.PURPOSE:
        return target.label
    known: str | None = getattr(target, _FIELDS.get(dimension, dimension.value))
    if known:
        return row_name(known, dimension)
    if target.unused is not None:
        return UNUSED
    return _nobody(dimension) if target.unallocated is None else UNALLOCATED


_FIELDS = {Dimension.KEY: "key_id"}
_PLACES = (Dimension.PROVIDER, Dimension.REGION, Dimension.CHIP)
_OF_NO_FEE = (Dimension.PROJECT, Dimension.KEY, Dimension.MODEL)


def row_name(name: str, dimension: Dimension) -> str:
    """The row of what is called `name`; of what has no name, that of nobody.

    A name in brackets, as rows of nobody have, has its dimension before it: `customer:(unallocated)`.
    """
    if not name:
        return _nobody(dimension)
    own = f"{dimension.value}:"
    return own + name if name.startswith(("(", own)) else name


def shown_name(row: Row, dimension: Dimension, names: Mapping[str, str]) -> str:
    """The name of a row above a row of totals; of a customer what `names` call it."""
    if dimension is Dimension.CUSTOMER and row.name in names:
        return names[row.name]
    return f"{dimension.value}:{TOTAL}" if row.name == TOTAL else row.name


def _nobody(dimension: Dimension) -> str:
    return f"(no {dimension.value})"


def revenue_name(rated: Rated, dimension: Dimension) -> str:
    """The row of `dimension` that an amount of revenue belongs to."""
    if dimension is Dimension.POOL:
        return REVENUE
    if dimension is Dimension.DAY:
        return utc_day(rated.day_ns)
    name = str(getattr(rated, _FIELDS.get(dimension, dimension.value)))
    if dimension in _OF_NO_FEE and name == _nobody(dimension):
        return name  # of a fee, which has no project
    return row_name(name, dimension)


def _line_sources(computation: Computation) -> tuple[LineSources, ...]:
    """The charges behind each line, by id."""
    keyed = {line_order(line): line for line in computation.lines}
    sums: dict[Line, dict[ChargeId, int]] = {line: defaultdict(int) for line in computation.lines}
    for item in computation.allocated:
        for row in item.rows:
            line = keyed[line_order(line_of(row, computation.policy))]
            sums[line][row.charge_id] += row.amount_pico
    return tuple(
        LineSources(line, tuple(map(Part._make, sorted(parts.items()))))
        for line, parts in sums.items()
    )


def _revenue_by_location(computation: Computation) -> tuple[LocationRevenue, ...]:
    """Revenue by where its calls were served last."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for _, calls in revenue_by_call(computation):
        for call_id, amount_pico in calls.items():
            legs = computation.drivers.usages[call_id].legs
            place = (legs[-1].provider, legs[-1].region, legs[-1].chip) if legs else ("", "", "")
            sums[place] += amount_pico
    return tuple(LocationRevenue(*place, sums[place]) for place in sorted(sums))


def revenue_by_call(computation: Computation) -> Iterable[tuple[Rated, dict[CallId, int]]]:
    """Yield every amount of revenue with its division among calls; empty for a fee."""
    usages: dict[RatingKey, list[Usage]] = defaultdict(list)
    calendars = calendars_of(computation.customers)
    for usage in computation.facts.usages:
        usages[rating_key(usage, calendars)].append(usage)
    plans: dict[CustomerId, list[PricePlan]] = defaultdict(list)
    for plan in computation.plans:
        plans[plan.customer].append(plan)
    for row in computation.revenue.rated:
        yield row, by_call(row, usages[row.label], plans[row.customer], calendars)


def remarks(lines: Sequence[Line], notes: Sequence[str]) -> tuple[str, ...]:
    """Return the `notes` of a statement, preceded by remarks on what its lines lack.

    The remarks: no cost is in it, or pay is cost of revenue for want of a department. They are added when
    a statement is shown and are no part of it, so that a sealed statement stays as it is.
    """
    if not lines:
        return (NO_COSTS, *notes)
    unallocated_pico = sum(
        line.amount_pico
        for line in lines
        if line.natural_class is NaturalClass.EMPLOYEE_COMPENSATION
        and line.target.unallocated is not None
        and line.function in COST_OF_REVENUE
    )
    if not unallocated_pico:
        return tuple(notes)
    amount = format_pico(unallocated_pico)
    remark = f"{amount} of pay is unallocated, so cost of revenue: give it a department or a split."
    return (remark, *notes)


def notes_of(
    given: Sequence[Charge], charges: Sequence[Charge], revenue: Revenue, unprovisioned_ns: int
) -> Iterable[str]:
    """Yield remarks on `given` charges accrued to `charges`, on revenue, and on lost steps."""
    cut = sum(one != other for one, other in zip(given, charges, strict=True))
    if cut:
        yield f"{cut} bill lines reach beyond this span; they are accrued by time."
    yield from _provisional_notes(charges)
    yield from accrual_notes(charges)
    for customer, calls in revenue.unpriced:
        yield f"{calls} calls of customer {customer} had no price plan in force and earned nothing."
    for unpriced in revenue.unpriced_units:
        yield (
            f"{unpriced.quantity} {unpriced.unit} of model {unpriced.model} used by customer "
            f"{unpriced.customer} have no price in its plan and earned nothing."
        )
    if unprovisioned_ns:
        yield (
            f"{unprovisioned_ns} ns of engine steps lie outside provisioned time and carry no cost."
        )


def _provisional_notes(charges: Iterable[Charge]) -> Iterable[str]:
    """Yield remarks on estimates, and on use that could not be estimated, by provider."""
    estimated: dict[str, int] = defaultdict(int)
    unpriced: dict[str, Counter[tuple[str, bool]]] = defaultdict(Counter)
    for charge in filter(is_provisional, charges):
        estimated[charge.provider] += charge.amount_pico
        if is_unpriced(charge):
            kind = (charge.unit or "", charge.description == NO_RATE)
            unpriced[charge.provider][kind] += int(charge.quantity or 0)
    for provider in sorted(estimated):
        if estimated[provider]:
            yield (
                f"{format_pico(estimated[provider])} of {provider} is estimated, from list prices or as "
                "told with each call, until its bill is imported."
            )
        for (unit, is_listed), quantity in sorted(unpriced[provider].items()):
            if quantity:
                lack, why = "list price", " (prices of an upstream only route calls)"
                if is_listed:
                    lack, why = f"exchange rate from {LIST_CURRENCY}", ""
                yield (
                    f"{quantity} {unit.casefold()} of {provider} have no {lack} and no bill yet; "
                    f"their cost is missing here{why}."
                )


def name_json(customer: str, names: Mapping[str, str]) -> dict[str, str]:
    """The name of a customer, to stand beside its id; nothing where it has none."""
    return {"name": names[customer]} if customer in names else {}


def row_json(dimension: Dimension, row: Row, names: Mapping[str, str]) -> dict[str, str]:
    """A row of a cut as JSON values; of a customer with its name, if `names` have one."""
    return {
        dimension.value: row.name,
        **(name_json(row.name, names) if dimension is Dimension.CUSTOMER else {}),
        # long tables have many zeros
        **{name: format_pico(pico) if pico else "0.00" for name, pico in row.amounts_pico.items()},
    }


def _question_json(question: Question) -> dict[str, object]:
    return {
        "number": question.number,
        "question": question.text,
        "pool": question.pool,
        "driver": question.driver,
        "amount": format_pico(question.amount_pico),
        "cost_of_revenue": format_pico(question.cost_of_revenue_pico),
        "research_and_development": format_pico(question.research_and_development_pico),
        "marginal": format_pico(question.marginal_pico),
        "fully_loaded": format_pico(question.amount_pico),
        "lines": [line_json(line) for line in question.lines],
    }


def _rated_json(rated: Rated) -> dict[str, object]:
    owed: dict[str, object] = {}
    if rated.owed is not None:  # in another currency
        owed = {
            "amount": format_pico(rated.owed.amount_pico),
            "currency": rated.owed.currency,
            "rate": rated.owed.rate,
            "rate_day": rated.owed.rate_day,
            "rate_source": rated.owed.rate_source,
        }
    return {
        "customer": rated.customer,
        "project": rated.project,
        "key": rated.key_id,
        "model": rated.model,
        "purpose": rated.purpose.value,
        "day_ns": rated.day_ns,
        "item": rated.item.value,
        "direction": rated.direction,
        "unit": rated.unit,
        "quantity": rated.quantity,
        # None where the price depends on the sum of the period
        "price": None if rated.pico_per_unit is None else format_pico(rated.pico_per_unit),
        "plan_sha256": rated.plan_sha256,
        "amount": format_pico(rated.amount_pico),
        **({"owed": owed} if owed else {}),
    }


def _correction_json(correction: Correction) -> dict[str, object]:
    return {
        "period": correction.period.name,
        "causes": list(correction.causes),
        "billed": format_pico(correction.billed_pico),
        "revenue": format_pico(correction.revenue_pico),
        "lines": [line_json(line) for line in correction.lines],
        "revenue_lines": [_rated_json(rated) for rated in correction.revenue_rows],
        **(
            {"true_ups": list(map(true_up_json, correction.true_ups))}
            if correction.true_ups
            else {}
        ),
    }


def accrued_json(one: Accrued) -> dict[str, str]:
    """Return an accrual as JSON values."""
    return {
        "supplier": one.supplier,
        "month": one.month,
        "how": one.how,
        "amount": format_pico(one.amount_pico),
    }


def true_up_json(one: TrueUp) -> dict[str, str]:
    """An accrual beside its bill, as JSON values."""
    return {
        "supplier": one.supplier,
        "month": one.month,
        "accrued": format_pico(one.accrued_pico),
        "billed": format_pico(one.billed_pico),
    }
