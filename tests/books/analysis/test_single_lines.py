"""Lines of bundles, each divided alone: they sum to their bundle, part by part, and are called by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.small_company import RULES, SPAN

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.allocate import Allocated
from inferworks.books.analysis.single_lines import Singles
from inferworks.books.charge import Charge, ChargeId
from inferworks.books.lines import Lines
from inferworks.books.statement.computation import BUNDLES, Computation, Inputs, compute
from inferworks.books.statement.statement import checked
from inferworks.testing.books import a_charge, a_company

GAAP = load_policy("gaap")
RULES_OF_MANY = replace(RULES, bundles=BUNDLES)
WORLD = a_company()


class Held(Lines):
    """Lines that are read from memory."""

    def __init__(self, charges: Iterable[Charge]) -> None:
        super().__init__()
        self._bodies = [msgspec.json.encode(one) for one in sorted(charges, key=lambda one: one.id)]

    def __len__(self) -> int:
        return len(self._bodies)

    def bodies(self) -> Iterator[bytes]:
        """Yield each line as its JSON."""
        return iter(self._bodies)


def many(number: int = 3) -> list[Charge]:
    """Each charge of the small company so many times, with other amounts, and one alone."""
    lines = [
        replace(charge, id=ChargeId(f"{charge.id}-{n}"), amount_pico=charge.amount_pico + 7 * n)
        for charge in WORLD.charges
        for n in range(number)
    ]
    return [*lines, a_charge("alone", "1", SPAN, category="Databases", resource="db")]


def inputs_of(charges: Iterable[Charge]) -> Inputs:
    """Inputs of these lines, too many to hold."""
    return Inputs(Held(charges), WORLD.facts, WORLD.plans, GAAP, "USD", SPAN, RULES_OF_MANY)


@pytest.fixture(name="done", scope="module")
def _done() -> tuple[Computation, Singles]:
    """The computation of bundles, and its lines by themselves."""
    inputs = inputs_of(many())
    computation = checked(inputs)
    return computation, Singles(computation, inputs)


def figures(
    items: Iterable[Allocated],
) -> list[tuple[str, int, tuple[tuple[object, str, int], ...]]]:
    """Id and amount of each charge, and what each target bears by which method."""
    return [
        (
            item.charge.id,
            item.charge.amount_pico,
            tuple((row.target, row.method, row.amount_pico) for row in item.rows),
        )
        for item in items
    ]


def test_each_line_is_divided_as_if_it_were_alone(done: tuple[Computation, Singles]) -> None:
    """By id, to the picounit, as a computation that holds all of them divides it."""
    _, singles = done
    alone = compute(Inputs(tuple(many()), WORLD.facts, WORLD.plans, GAAP, "USD", SPAN, RULES))
    assert figures(singles) == figures(alone.allocated)
    assert figures(singles) == figures(singles)


def bundles(computation: Computation) -> list[Allocated]:
    """The charges that stand for several lines."""
    return [item for item in computation.allocated if item.charge.lines > 1]


def test_lines_within_a_bundle_sum_to_it(done: tuple[Computation, Singles]) -> None:
    """At all of its places; a bundle is called by its first line."""
    computation, singles = done
    assert bundles(computation)
    for bundle in bundles(computation):
        lines = list(singles.within({bundle.charge.id: range(bundle.charge.lines)}))
        assert len(lines) == bundle.charge.lines
        assert lines[0].charge.id == bundle.charge.id
        assert sum(line.charge.amount_pico for line in lines) == bundle.charge.amount_pico
        sums: dict[object, int] = {}
        for line in lines:
            for row in line.rows:
                sums[row.target] = sums.get(row.target, 0) + row.amount_pico
        wanted: dict[object, int] = {}
        for row in bundle.rows:
            wanted[row.target] = wanted.get(row.target, 0) + row.amount_pico
        assert sums == wanted


def test_only_the_places_that_are_asked_for_are_opened(done: tuple[Computation, Singles]) -> None:
    """Of several bundles at once; of none there is none."""
    computation, singles = done
    one, other = bundles(computation)[:2]
    found = list(singles.within({one.charge.id: {1}, other.charge.id: {0, 2}}))
    assert len(found) == 3
    assert list(singles.within({})) == []
    assert list(singles.within({"nothing": {0}})) == []


def test_amounts_of_a_bundle_are_those_of_its_lines(done: tuple[Computation, Singles]) -> None:
    """Portion by portion, in the order of the lines; each sums to the portion."""
    computation, singles = done
    for bundle in bundles(computation):
        amounts = singles.amounts(bundle)
        assert len(amounts) == len(bundle.portions)
        for portion, of_lines in zip(bundle.portions, amounts, strict=True):
            assert (len(of_lines), int(of_lines)) == (bundle.charge.lines, portion.amount_pico)
        lines = list(singles.within({bundle.charge.id: range(bundle.charge.lines)}))
        for place, line in enumerate(lines):
            assert sum(next(iter(one.at([place]))) for one in amounts) == line.charge.amount_pico


def test_a_line_is_found_by_its_id(done: tuple[Computation, Singles]) -> None:
    """In a bundle or alone; a name that there is not finds nothing."""
    _, singles = done
    for charge in many():
        [found] = singles.called(charge.id)
        assert (found.charge.id, found.charge.amount_pico) == (charge.id, charge.amount_pico)
        assert sum(row.amount_pico for row in found.rows) == charge.amount_pico
    assert list(singles.called("nothing")) == []


def test_lines_that_are_held_are_in_no_bundles() -> None:
    """Each is there by itself already."""
    inputs = replace(inputs_of([]), charges=tuple(many()), rules=RULES)
    singles = Singles(checked(inputs), inputs)
    assert list(singles.within({"x": {0}})) == []
    assert len(list(singles)) == len(many())
