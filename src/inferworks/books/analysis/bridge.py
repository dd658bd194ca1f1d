"""The bridge: from what one more customer would cost to what staying in business costs, pool by pool.

Problem. "Inference is profitable" and "every lab loses money" are both said of the same company, and
both can be right: one speaks of the contribution, the other of the fully loaded margin.

Decision. One walk over the same charges, in four margins, each the last one less what it leaves out:

    revenue
    - avoidable cost of the calls                       = contribution, short run
    - committed capacity that was used                  = contribution, capacity inclusive
    - capacity not used, and what could not be traced   = gross margin
    - research, sales, administration                   = fully loaded margin

Every line of the statement stands in exactly one step, under its pool, so nothing can fall between two
views: the last margin is revenue less everything billed, and that is checked. Idle time that a pool's
idle method puts on customers is still unused capacity here: who bears it does not make it used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from inferworks.books.accounting.policy import GAAP, MARGINAL, Policy, load_policy
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.statement.computation import Line
from inferworks.books.statement.statement import Statement
from inferworks.errors import BooksError
from inferworks.money import format_pico

IDLE_METHOD = "/idle-"
"""Marker in method ids of unused capacity that somebody bears."""


class Step(StrEnum):
    """Deduction of the bridge, in order."""

    AVOIDABLE = "avoidable cost"
    USED = "committed capacity, used"
    UNUSED = "unused or not traced"
    BELOW = "below the gross margin"


MARGINS = {
    Step.AVOIDABLE: "Contribution, short run",
    Step.USED: "Contribution, capacity inclusive",
    Step.UNUSED: "Gross margin",
    Step.BELOW: "Fully loaded margin",
}
"""The margin that each step leads to."""


class BridgeLine(msgspec.Struct, frozen=True):
    """Cost of one pool in one step; below the gross margin, by function too."""

    pool: str
    function: Function
    cost_pico: int


class BridgeStep(msgspec.Struct, frozen=True):
    """One step: its lines, and the margin they lead to. Amounts in picounits."""

    step: Step
    lines: tuple[BridgeLine, ...]
    margin_pico: int

    @property
    def margin(self) -> str:
        """The name of the margin."""
        return MARGINS[self.step]

    @property
    def cost_pico(self) -> int:
        """Return the deduction of the step, in picounits."""
        return sum(line.cost_pico for line in self.lines)


class Bridge(msgspec.Struct, frozen=True):
    """Revenue and the four steps down from it."""

    currency: str
    revenue_pico: int
    steps: tuple[BridgeStep, ...]

    def margin_pico(self, step: Step) -> int:
        """The margin after `step`."""
        return next(item.margin_pico for item in self.steps if item.step is step)

    def to_json(self) -> dict[str, object]:
        """The bridge as JSON values; every amount an exact decimal string."""
        return {
            "currency": self.currency,
            "revenue": format_pico(self.revenue_pico),
            "steps": [
                {
                    "step": step.step.value,
                    "cost": format_pico(step.cost_pico),
                    "lines": [
                        {
                            "pool": line.pool,
                            "function": line.function.value,
                            "cost": format_pico(line.cost_pico),
                        }
                        for line in step.lines
                    ],
                    "margin_name": step.margin,
                    "margin": format_pico(step.margin_pico),
                }
                for step in self.steps
            ],
        }


class Views(msgspec.Struct, frozen=True):
    """The two policies that decide where a line stands on the bridge."""

    gaap: Policy
    marginal: Policy


def shipped_views() -> Views:
    """The policies that ship."""
    return Views(load_policy(GAAP), load_policy(MARGINAL))


def bridge(statement: Statement, views: Views | None = None) -> Bridge:
    """Return the bridge of `statement`, under any policy.

    BooksError when it does not end at revenue less everything billed, or when its third margin is not
    revenue less the cost of revenue of `gaap`.
    """
    views = views or shipped_views()
    built = build(statement.currency, statement.revenue_pico, statement.lines, views)
    ends_pico = statement.revenue_pico - statement.billed_pico
    _must_equal("the fully loaded margin", built.margin_pico(Step.BELOW), ends_pico)
    cost_pico = sum(
        line.amount_pico
        for line in statement.lines
        if line.function_under(views.gaap) in COST_OF_REVENUE
    )
    gross_pico = statement.revenue_pico - cost_pico
    _must_equal("the gross margin", built.margin_pico(Step.UNUSED), gross_pico)
    return built


def build(currency: str, revenue_pico: int, lines: Iterable[Line], views: Views) -> Bridge:
    """The bridge over `lines`, which may be those of one customer."""
    costs: dict[Step, dict[tuple[str, Function], int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        step = step_of(line, views)
        costs[step][line.pool, line.function_under(views.gaap)] += line.amount_pico
    margin_pico, steps = revenue_pico, []
    for step in Step:
        of_step = tuple(BridgeLine(*key, costs[step][key]) for key in sorted(costs[step]))
        margin_pico -= sum(line.cost_pico for line in of_step)
        steps.append(BridgeStep(step, of_step, margin_pico))
    return Bridge(currency, revenue_pico, tuple(steps))


def step_of(line: Line, views: Views) -> Step:
    """The one step that `line` stands in."""
    if line.function_under(views.gaap) not in COST_OF_REVENUE:
        return Step.BELOW
    if line.function_under(views.marginal) is Function.COST_OF_REVENUE:
        return Step.AVOIDABLE
    target = line.target
    placed = target.unused is None and target.unallocated is None
    used = placed and IDLE_METHOD not in line.method
    return Step.USED if used else Step.UNUSED


def _must_equal(name: str, one: int, other: int) -> None:
    if one != other:
        raise BooksError(
            f"theorem 11 (views agree): {name} of the bridge is {format_pico(one)}, by the statement "
            f"it is {format_pico(other)}"
        )
