"""Budgets: planned revenue and costs, compared with the actual ones.

Problem. A budget uses its author's names of lines, plans one line in total and another by customer, and
rarely covers the days of a statement.

Decision. A budget is a file of rows: a period, a line of the statement, an amount, and, where a line is
planned finer, a customer, a model or a department. A line has either one row for a period, or rows that
all name the same of the three, or both; then the amount that no row names is *the rest*, so that the
parts always sum to the line. Margins are never budgeted: they follow from their lines. A name of a line
that is not known is refused with the nearest that is. A budget's period that a statement covers only in
part gives that part by time, exactly (`Span.part_of`), with a note to the reader.

A variance is actual less budget. It is favourable where it raises the result: more revenue, less cost.

Rejected. Rows by customer beside rows by model (they overlap, and have no rest); a budget kept in the
data folder (it is the controller's file, and changes at any time).
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from inferworks.books.allocation.departments import Departments
from inferworks.books.analysis.comparatives import CAPTIONS, EARNED, figures, percent_of
from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    no_progress,
    read_rows,
    refuse,
)
from inferworks.books.calendar.span import Span
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.period import Period
from inferworks.books.statement.statement import Statement
from inferworks.errors import BillError, UserError
from inferworks.money import format_pico

COLUMNS: Final = ("period", "line", "amount")
"""Columns that a budget file must have."""
REVENUE: Final = "revenue"
_FUNCTIONS: Final = {
    "cost_of_revenue": COST_OF_REVENUE,
    "unused_capacity": (Function.UNUSED_CAPACITY,),
    "research_and_development": (Function.RESEARCH_AND_DEVELOPMENT,),
    "sales_and_marketing": (Function.SALES_AND_MARKETING,),
    "general_and_administrative": (Function.GENERAL_AND_ADMINISTRATIVE,),
}
_MARGINS: Final = {
    "gross_margin": ("cost_of_revenue",),
    "operating_result": tuple(name for name in _FUNCTIONS if name != "unused_capacity"),
}
"""The margins, and what is taken off revenue for each."""
WHICH_IS: Final = {None: "", True: "favourable", False: "adverse"}
"""Words for a variance."""


class Key(NamedTuple):
    """Line, customer, model and department that a row is for; an unnamed one is empty."""

    line: str
    """Name of the line, as in `CAPTIONS`, and no margin."""
    customer: str = ""
    model: str = ""
    department: str = ""

    @property
    def told_by(self) -> tuple[str, ...]:
        """Columns beside the line that the key fills."""
        return tuple(name for name in self._fields[1:] if getattr(self, name))

    @property
    def name(self) -> str:
        """Return the name in a table: the caption of the line, or the finer columns within it."""
        dimensions = [text for text in self[1:] if text]
        return f"  {', '.join(dimensions)}" if dimensions else CAPTIONS[self.line]


class Planned(NamedTuple):
    """A row of a budget."""

    period: Period
    key: Key
    amount_pico: int


class Budget(NamedTuple):
    """The rows of a budget, and the file they are from."""

    file: str
    rows: tuple[Planned, ...]


class Variance(NamedTuple):
    """One line beside its budget, in picounits."""

    key: Key
    rest: bool
    """True if it is the rest that no row of its line names."""
    budget_pico: int | None
    """Budgeted amount; None where nothing was planned."""
    actual_pico: int

    @property
    def name(self) -> str:
        """Return the name in a table."""
        return "  the rest" if self.rest else self.key.name

    @property
    def variance_pico(self) -> int | None:
        """Actual less budget."""
        return None if self.budget_pico is None else self.actual_pico - self.budget_pico

    @property
    def percent(self) -> Decimal | None:
        """The variance as a percentage of the budget, to one decimal."""
        if self.budget_pico is None:
            return None
        return percent_of(self.actual_pico - self.budget_pico, abs(self.budget_pico))

    @property
    def favourable(self) -> bool | None:
        """Return True if it raises the result, False if it lowers it; None if there is no variance."""
        if not self.variance_pico:
            return None
        return (self.variance_pico > 0) is (self.key.line in EARNED)

    def to_json(self) -> dict[str, object]:
        """Return the JSON values; amounts as exact decimal strings."""
        return {
            **self.key._asdict(),
            "rest": self.rest,
            "budget": _text(self.budget_pico),
            "actual": format_pico(self.actual_pico),
            "variance": _text(self.variance_pico),
            "variance_percent": None if self.percent is None else str(self.percent),
            "favourable": self.favourable,
        }


class Against(NamedTuple):
    """A statement beside the budget in a file."""

    file: str
    lines: tuple[Variance, ...]
    cut: tuple[str, ...]
    """The budget's periods of which the statement has only a part."""

    def to_json(self) -> dict[str, object]:
        """Return the JSON values."""
        return {
            "file": self.file,
            "cut_by_time": list(self.cut),
            "lines": [one.to_json() for one in self.lines],
        }

    @property
    def shown(self) -> list[Variance]:
        """Lines with an actual or a budgeted amount."""
        return [one for one in self.lines if one.actual_pico or one.budget_pico]


def read_budget(
    bill: BillFile, named: Callable[[str], Period], departments: Departments, currency: str
) -> Budget:
    """The budget in a file with `COLUMNS`; BillError with every bad cell.

    `named` knows periods by name; UserError of it is a problem of the cell.
    """
    problems: list[Problem] = []
    rows: list[Planned] = []
    seen = _Seen()
    for cells in read_rows(bill, problems, no_progress):
        planned = _planned(cells, named, departments, currency)
        if planned is not None:
            seen.add(planned, cells)
            rows.append(planned)
    refuse(problems)
    if not rows:
        raise BillError(f"{bill.name}: has no rows")
    return Budget(bill.name, tuple(rows))


def _planned(
    cells: Cells, named: Callable[[str], Period], departments: Departments, currency: str
) -> Planned | None:
    """The row in `cells`; None, and noted why, where it is none."""
    line, period_name, period = cells.text("line"), cells.text("period"), None
    try:
        period = named(period_name) if period_name else None
    except UserError as error:
        cells.note("period", str(error))
    amount_pico, department = cells.amount_pico("amount"), cells.optional("department") or ""
    words = line.casefold().replace("-", " ").replace("_", " ").removeprefix("of which ")
    slug = "_".join(words.split())
    known = departments.find(department) if department else None
    if slug in _MARGINS:
        cells.note("line", "follows from its lines; leave it out")
    elif slug != REVENUE and slug not in _FUNCTIONS:
        [nearest] = difflib.get_close_matches(slug, [REVENUE, *_FUNCTIONS], 1, 0)
        nearest = nearest.replace("_", " ")
        cells.note("line", f"is no line of the statement; the nearest is {nearest!r}")
    elif department and (known is None or slug == REVENUE):
        cells.note("department", "is not known" if known is None else "has no revenue")
    elif (cells.optional("currency") or currency) != currency:
        cells.note("currency", f"the books are kept in {currency}")
    elif period is not None:
        customer, model = cells.optional("customer") or "", cells.optional("model") or ""
        key = Key(slug, customer, model, known.value if known else "")
        return Planned(period, key, amount_pico)
    return None


class _Seen:
    """The periods that have been budgeted so far, by what for and by what they are told by."""

    def __init__(self) -> None:
        self._keys: dict[Key, set[Period]] = defaultdict(set)
        self._by_dimensions: dict[str, dict[tuple[str, ...], set[Period]]] = defaultdict(
            lambda: defaultdict(set)
        )

    def add(self, planned: Planned, cells: Cells) -> None:
        """Take `planned` in, and note why it cannot stand beside what there is."""
        period, key = planned.period, planned.key
        if _meets(period, self._keys[key]):
            cells.note("line", f"is budgeted twice for {period.name}")
        self._keys[key].add(period)
        if key.told_by:
            budgeted = self._by_dimensions[key.line]
            for other in sorted(budgeted):
                if other != key.told_by and _meets(period, budgeted[other]):
                    by = f"by {' and '.join(other)} and by {' and '.join(key.told_by)}"
                    cells.note("line", f"is budgeted {by}, which overlap: choose one")
            budgeted[key.told_by].add(period)


def _meets(period: Period, others: Iterable[Period]) -> bool:
    return any(period.span.meet(*other.span).length_ns for other in others)


def against(statement: Statement, budget: Budget) -> Against:
    """`statement` beside what `budget` has for its span. UserError when that is nothing."""
    span = Span(statement.start_ns, statement.end_ns)
    planned: dict[Key, int] = defaultdict(int)
    cut = set()
    for row in budget.rows:
        if span.meet(*row.period.span).length_ns:
            planned[row.key] += span.part_of(row.amount_pico, *row.period.span)
            inside = span.start_ns <= row.period.start_ns and row.period.end_ns <= span.end_ns
            cut |= set() if inside else {row.period.name}
    if not planned:
        periods = sorted({row.period for row in budget.rows})
        raise UserError(
            f"{budget.file} has nothing for this span; its periods are {periods[0].name} to "
            f"{periods[-1].name}"
        )
    return Against(budget.file, tuple(_variances(statement, planned)), tuple(sorted(cut)))


def _variances(statement: Statement, planned: dict[Key, int]) -> Iterator[Variance]:
    """Every line, what it is told by and the rest of it, and the margins where they belong."""
    actual, totals = figures(statement), dict[str, int]()
    for line in CAPTIONS:
        if line in _MARGINS:
            costs = [name for name in _MARGINS[line] if name in totals or actual[name]]
            known = REVENUE in totals and all(name in totals for name in costs)
            total = totals[REVENUE] - sum(totals[name] for name in costs) if known else None
            yield Variance(Key(line), False, total, actual[line])
            continue
        parts = sorted(key for key in planned if key.line == line and key.told_by)
        whole = Key(line)
        if whole in planned or parts:
            parts_pico = sum(planned[key] for key in parts)
            totals[line] = planned.get(whole, parts_pico)
        yield Variance(whole, False, totals.get(line), actual[line])
        lines = [Variance(key, False, planned[key], _actual_pico(statement, key)) for key in parts]
        yield from lines
        if lines:
            rest_pico = actual[line] - sum(one.actual_pico for one in lines)
            rest = Variance(whole, True, totals[line] - parts_pico, rest_pico)
            if rest.budget_pico or rest.actual_pico:
                yield rest


def _actual_pico(statement: Statement, key: Key) -> int:
    """Return the amount of `statement` for `key`, in picounits."""
    if key.line == REVENUE:
        return sum(
            row.amount_pico
            for row in statement.revenue_rows
            if key.customer in ("", row.customer) and key.model in ("", row.model)
        )
    return sum(
        line.amount_pico
        for line in statement.lines
        if line.function in _FUNCTIONS[key.line]
        and key.customer in ("", line.target.customer)
        and key.model in ("", line.target.model)
        and key.department in ("", line.target.department)
    )


def _text(pico: int | None) -> str | None:
    return None if pico is None else format_pico(pico)
