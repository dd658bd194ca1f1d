"""Five questions about the cost of compute, each answered with its amount and its lines.

"Does it include inference used for training? Gradient descent? The CPUs and disks holding datasets? The
web servers? The people who swap failed parts?" Each is a pool, a driver and a row of the policy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.departments import Department
from inferworks.books.charge import COST_OF_REVENUE, Function
from inferworks.books.statement.computation import Line
from inferworks.purpose import Purpose


class Question(msgspec.Struct, frozen=True):
    """A question and its answer in three views. Amounts in picounits.

    Other functions are in `amount_pico` alone, which is the answer of the fully loaded view.
    """

    number: int
    text: str
    pool: str
    driver: str
    amount_pico: int
    cost_of_revenue_pico: int
    research_and_development_pico: int
    marginal_pico: int
    """Cost that would have been avoided within the period: the answer of the marginal view."""
    lines: tuple[Line, ...]


class _Definition(NamedTuple):
    number: int
    text: str
    pool: str
    driver: str
    purposes: frozenset[Purpose]
    """The purposes of the question; none stands for the whole pool."""


_QUESTIONS = (
    _Definition(
        1,
        "Inference used for training",
        "machines",
        "nanoseconds of calls whose purpose is train-inference",
        frozenset({Purpose.TRAIN_INFERENCE}),
    ),
    _Definition(
        2,
        "Gradient descent",
        "machines",
        "nanoseconds of train-gradient and customer-training on the machines",
        frozenset({Purpose.TRAIN_GRADIENT, Purpose.CUSTOMER_TRAINING}),
    ),
    _Definition(
        3,
        "CPUs and disks holding datasets",
        "storage",
        "bytes times time held, by the purpose of what is held",
        frozenset(),
    ),
    _Definition(4, "Web servers", "web", "bytes in and out of every call", frozenset()),
    _Definition(
        5,
        "People who swap failed parts",
        "people",
        "minutes on a machine, then the machine's time by purpose",
        frozenset(),
    ),
)


def answer(lines: Iterable[Line], marginal: Policy) -> tuple[Question, ...]:
    """The five questions answered from `lines`; `marginal` decides what was avoidable."""
    ours = [n for n in lines if n.target.department in (None, Department.OPERATIONS)]
    questions: list[Question] = []
    for asked in _QUESTIONS:
        own = [line for line in ours if line.pool == asked.pool]
        if asked.purposes:
            own = [line for line in own if line.target.purpose in asked.purposes]
        sums: dict[Function, int] = defaultdict(int)
        marginal_pico = 0
        for line in own:
            sums[line.function] += line.amount_pico
            if line.function_under(marginal) is Function.COST_OF_REVENUE:
                marginal_pico += line.amount_pico
        questions.append(
            Question(
                number=asked.number,
                text=asked.text,
                pool=asked.pool,
                driver=asked.driver,
                amount_pico=sum(sums.values()),
                cost_of_revenue_pico=sum(sums[function] for function in COST_OF_REVENUE),
                research_and_development_pico=sums[Function.RESEARCH_AND_DEVELOPMENT],
                marginal_pico=marginal_pico,
                lines=tuple(own),
            )
        )
    return tuple(questions)
