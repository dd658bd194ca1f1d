"""Five questions about the cost of compute: each pool, its driver and its purposes, in three views."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.small_company import USD, worked_out

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.allocate import Target
from inferworks.books.allocation.departments import Department
from inferworks.books.allocation.pools import Behaviour
from inferworks.books.charge import Function, NaturalClass
from inferworks.books.statement.computation import Line
from inferworks.books.statement.five_questions import Question, answer
from inferworks.purpose import Purpose
from inferworks.testing.books import a_company

GAAP, MARGINAL = load_policy("gaap"), load_policy("marginal")


def a_line(
    amount: int, pool: str, purpose: Purpose | None = Purpose.TRAIN_GRADIENT, **changes: Any
) -> Line:
    """A line of so many dollars, with the function that GAAP gives it."""
    line = Line(
        function=Function.COST_OF_REVENUE,
        pool=pool,
        natural_class=NaturalClass.PURCHASED_COMPUTE,
        target=Target(purpose=purpose),
        amount_pico=amount * USD,
        behaviour=Behaviour.VARIABLE,
    )
    line = replace(line, **changes)
    return replace(line, function=line.function_under(GAAP))


def answers(*lines: Line) -> dict[int, Question]:
    """The answers by number."""
    return {one.number: one for one in answer(lines, MARGINAL)}


def amounts(*lines: Line) -> dict[int, int]:
    """The answers in dollars that are not zero."""
    return {n: one.amount_pico // USD for n, one in answers(*lines).items() if one.amount_pico}


def test_without_costs_every_answer_is_zero() -> None:
    """All five are answered, in order."""
    found = answer((), MARGINAL)
    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert {(one.amount_pico, one.marginal_pico, one.lines) for one in found} == {(0, 0, ())}
    assert all(one.text and one.driver for one in found)


@pytest.mark.parametrize(
    ("purpose", "numbers"),
    [
        (Purpose.TRAIN_INFERENCE, {1}),
        (Purpose.TRAIN_GRADIENT, {2}),
        (Purpose.CUSTOMER_TRAINING, {2}),
        (Purpose.SERVE_PAID, set()),
        (Purpose.DATA_PREP, set()),
        (None, set()),
    ],
)
def test_machines_are_asked_about_by_purpose(purpose: Purpose | None, numbers: set[int]) -> None:
    """Serving customers is no part of the questions."""
    assert set(amounts(a_line(3, "machines", purpose))) == numbers


@pytest.mark.parametrize(("pool", "number"), [("storage", 3), ("web", 4), ("people", 5)])
def test_other_pools_are_asked_about_whole(pool: str, number: int) -> None:
    """For any purpose, and where none is known."""
    lines = [a_line(1, pool, purpose) for purpose in (Purpose.SERVE_PAID, None)]
    assert amounts(*lines) == {number: 2}
    assert amounts(a_line(1, "providers")) == {}


def test_lines_of_departments_other_than_operations_are_no_answer() -> None:
    """The marketing department's disk holds no data sets."""
    sales = a_line(1, "storage", None, target=Target(department=Department.SALES))
    operations = a_line(2, "storage", None, target=Target(department=Department.OPERATIONS))
    assert amounts(sales, operations) == {3: 2}


def test_an_answer_has_the_view_of_each_policy() -> None:
    """All of it, what is cost of revenue, what is research, and what could have been avoided."""
    lines = (
        a_line(3, "storage", Purpose.SERVE_PAID),
        a_line(5, "storage", Purpose.SERVE_PAID, behaviour=Behaviour.COMMITTED),
        a_line(7, "storage", Purpose.DATA_PREP),
    )
    found = answers(*lines)[3]
    assert found.lines == lines
    assert found.amount_pico == 15 * USD
    assert found.cost_of_revenue_pico == 8 * USD
    assert found.research_and_development_pico == 7 * USD
    assert found.marginal_pico == sum(
        line.amount_pico
        for line in lines
        if line.function_under(MARGINAL) is Function.COST_OF_REVENUE
    )


def test_the_questions_of_a_small_company() -> None:
    """Descent takes 1 of the machine; the disk 4, traffic 1, the repair 5; a trainer's calls 1."""
    found = answer(worked_out(a_company()).lines, MARGINAL)
    assert [one.amount_pico // USD for one in found] == [1, 1, 4, 1, 5]
    assert [one.pool for one in found] == ["machines", "machines", "storage", "web", "people"]
