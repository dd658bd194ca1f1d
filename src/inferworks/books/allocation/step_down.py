"""The step-down: support pools go to the pools they support, in declared order, and so to targets.

Problem. A data hall serves machines and storage; its manager serves the hall, the machines and the web
servers; and the hall's badge system serves the manager. The order of division changes the result, and a
circle has no first pool.

Decision. Final pools (those with a driver of their own) are allocated first, each charge by its measured
driver. A support pool then steps down: its charges are divided among the pools it names, by declared
weights or by the cost of those pools, and the amount that reaches a final pool is divided like that
pool's own cost, target by target. Support pools are closed in the order they declare; services to a pool
already closed are left out. The exact solution with every service counted (simultaneous equations, in
fractions) is computed as well, so that the effect of the order is a known figure. A circle among pools of
the same `order` is refused: there the name of a pool would decide.

A charge of a support pool keeps its natural class and its pool throughout, and each of its splits is
recorded like any other. Credits do not change the use of a pool: shares follow positive charges.

Rejected. The reciprocal solution as the default (nested fractions that cannot be followed by hand);
merging support charges into one amount per pool (their natural class and their bill line would be lost).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from inferworks.books.allocation.allocate import (
    Allocated,
    Apportionment,
    Portion,
    Target,
    allocate,
    allocated_of,
    path_of,
)
from inferworks.books.allocation.departments import Department
from inferworks.books.allocation.drivers import Drivers, Leaf, Shares
from inferworks.books.allocation.hierarchical_split import split_down
from inferworks.books.allocation.pools import CostPool, DriverKind, pool_of, step_down_order
from inferworks.books.charge import Charge
from inferworks.money import split

POOL = "pool"
"""The first word of a key that names a pool."""


class Received(NamedTuple):
    """Amount that a final pool received from support pools, by step-down and by simultaneous equations."""

    pool: str
    step_down_pico: int
    reciprocal_pico: Fraction

    @property
    def difference_pico(self) -> Fraction:
        """Difference that the order of the step-down makes to this pool, in picounits."""
        return abs(self.step_down_pico - self.reciprocal_pico)


class Profile(NamedTuple):
    """Cost of a final pool by target: amounts from support pools are divided likewise."""

    targets: dict[Leaf, Target]
    weights: Shares


def allocate_all(
    charges: Iterable[Charge], pools: Sequence[CostPool], drivers: Drivers
) -> tuple[Allocated, ...]:
    """Every one of `charges` divided, in the order of their ids; support pools after the others."""
    placed = [
        (charge, pool_of(charge, pools, drivers.nodes, drivers.billing)) for charge in charges
    ]
    final = [allocate(charge, pool, drivers) for charge, pool in placed if not _supports(pool)]
    supporting = [(charge, pool) for charge, pool in placed if _supports(pool)]
    return tuple(
        sorted((*final, *step_down(supporting, pools, final)), key=lambda item: item.charge.id)
    )


def step_down(
    supporting: Sequence[tuple[Charge, CostPool]],
    pools: Sequence[CostPool],
    final: Iterable[Allocated],
) -> list[Allocated]:
    """The charges of support pools, divided by what the `final` charges of other pools cost."""
    if not supporting:
        return []
    ladder = Ladder(pools, _costs(supporting, final), _profiles(final))
    return [stepped_down(charge, pool, ladder) for charge, pool in supporting]


def ladder_of(allocated: Iterable[Allocated], pools: Sequence[CostPool]) -> Ladder:
    """Return the weights by which the support pools gave when `allocated` was divided."""
    by_name = {pool.name: pool for pool in pools}
    items = [(item, by_name[item.pool]) for item in allocated]
    supporting = [(item.charge, pool) for item, pool in items if _supports(pool)]
    final = [item for item, pool in items if not _supports(pool)]
    return Ladder(pools, _costs(supporting, final), _profiles(final) if supporting else {})


def received(allocated: Sequence[Allocated], pools: Sequence[CostPool]) -> tuple[Received, ...]:
    """Return the amounts that final pools received from support pools, by both solutions, by pool name."""
    by_name = {pool.name: pool for pool in pools}
    supporting = [item for item in allocated if _supports(by_name[item.pool])]
    if not supporting:
        return ()
    final = [item for item in allocated if not _supports(by_name[item.pool])]
    costs = _costs([(item.charge, by_name[item.pool]) for item in supporting], final)
    stepped: dict[str, int] = defaultdict(int)
    for item in supporting:
        for portion in item.portions:
            name = portion.stage.removeprefix(f"{POOL} ")
            if not _supports(by_name[name]):
                stepped[name] += portion.amount_pico
    exact = _reciprocal(supporting, pools, costs)
    return tuple(
        Received(name, stepped[name], exact.get(name, Fraction(0)))
        for name in sorted({*stepped, *exact})
    )


class Ladder(msgspec.Struct, frozen=True):
    """Weights by which support pools give to others, and by which final pools pass amounts on."""

    pools: Sequence[CostPool]
    costs: Mapping[str, int]
    profiles: Mapping[str, Profile]

    def steps(self) -> list[tuple[CostPool, Shares]]:
        """The support pools in order, each with the weights of the pools after it."""
        steps: list[tuple[CostPool, Shares]] = []
        closed: set[str] = set()
        for pool in step_down_order(self.pools):
            closed.add(pool.name)
            weights = weights_of(pool, self.costs)
            steps.append((pool, {(POOL, n): w for n, w in weights.items() if n not in closed}))
        return steps


def weights_of(pool: CostPool, costs: Mapping[str, int]) -> dict[str, int]:
    """The weights by which support pool `pool` gives to the pools it names; those above zero."""
    if isinstance(pool.to, Mapping):
        return dict(pool.to)
    return {name: costs[name] for name in pool.to if costs.get(name, 0) > 0}


def stepped_down(charge: Charge, pool: CostPool, ladder: Ladder) -> Allocated:
    """One charge of a support pool on its way down the ladder."""
    waiting = {pool.name: charge.amount_pico}
    portions: list[Portion] = []
    splits: list[Apportionment] = []
    for support, weights in ladder.steps():
        if support.name not in waiting:
            continue
        amount_pico = waiting.pop(support.name)
        if not weights:
            portions.append(_stuck(charge, support.name, amount_pico))
            continue
        stage = f"pools {support.name}"
        parts = split(amount_pico, weights)
        splits.append(Apportionment(charge.id, stage, amount_pico, weights, parts))
        for (_, name), part_pico in parts.items():
            waiting[name] = waiting.get(name, 0) + part_pico
    for name, amount_pico in sorted(waiting.items()):
        profile = ladder.profiles.get(name)
        if profile is None:
            portions.append(_stuck(charge, name, amount_pico))
            continue
        stage = f"{POOL} {name}"  # divided as that pool's own cost is divided
        parts = split_down(amount_pico, profile.weights, path_of)
        splits.append(Apportionment(charge.id, stage, amount_pico, profile.weights, parts))
        for key, target in profile.targets.items():
            weight = profile.weights[key]
            leaves = {(POOL, name, *key): weight}
            method = f"{DriverKind.POOLS}/step-down"
            portions.append(Portion(stage, target, method, "pico", weight, parts[key], leaves))
    return allocated_of(charge, pool, portions, splits)


def _stuck(charge: Charge, name: str, amount_pico: int) -> Portion:
    """Return the portion that stays in pool `name`, because no driver placed any cost there."""
    named = charge.department
    target = Target(unallocated=name) if named is None else Target(department=Department(named))
    return Portion(
        f"{POOL} {name}", target, f"{DriverKind.POOLS}/whole", "none", 0, amount_pico, {}
    )


def _costs(
    supporting: Iterable[tuple[Charge, CostPool]], final: Iterable[Allocated]
) -> dict[str, int]:
    """Return the sum of each pool's own positive charges, in picounits."""
    costs: dict[str, int] = defaultdict(int)
    for charge, pool in supporting:
        costs[pool.name] += max(0, charge.amount_pico)
    for item in final:
        costs[item.pool] += max(0, item.charge.amount_pico)
    return dict(costs)


def _profiles(final: Iterable[Allocated]) -> dict[str, Profile]:
    profiles: dict[str, Profile] = defaultdict(lambda: Profile({}, defaultdict(int)))
    for item in final:
        for row in item.rows:
            if row.amount_pico > 0:
                key = row.target.order()
                profiles[item.pool].targets[key] = row.target
                profiles[item.pool].weights[key] += row.amount_pico
    return dict(profiles)


def _reciprocal(
    supporting: Iterable[Allocated], pools: Sequence[CostPool], costs: Mapping[str, int]
) -> dict[str, Fraction]:
    """Return the receipts of final pools by simultaneous equations: x = own + transposed(shares) x."""
    order = step_down_order(pools)
    place = {pool.name: number for number, pool in enumerate(order)}
    shares: list[dict[str, Fraction]] = []
    for pool in order:
        weights = weights_of(pool, costs)
        whole = sum(weights.values())
        shares.append({name: Fraction(weight, whole) for name, weight in weights.items()})
    own = [Fraction(0)] * len(order)
    for item in supporting:
        own[place[item.pool]] += item.charge.amount_pico
    matrix = [
        [Fraction(row == column) - shares[column].get(pool.name, 0) for column in range(len(order))]
        for row, pool in enumerate(order)
    ]
    totals = solved(matrix, own)
    reached: dict[str, Fraction] = defaultdict(Fraction)
    for total, given in zip(totals, shares, strict=True):
        for name, share in given.items():
            if name not in place:
                reached[name] += total * share
    return reached


def solved(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction]:
    """The x of `matrix` x = `right`, by Gauss-Jordan elimination in exact fractions.

    ZeroDivisionError when there is no single solution.
    """
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        pivot = next((r for r in range(column, len(rows)) if rows[r][column]), column)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = rows[column][column]
        rows[column] = [value / scale for value in rows[column]]
        for number, row in enumerate(rows):
            if number != column and row[column]:
                factor = row[column]
                rows[number] = [
                    value - factor * base for value, base in zip(row, rows[column], strict=True)
                ]
    return [row[-1] for row in rows]


def _supports(pool: CostPool) -> bool:
    return pool.driver is DriverKind.POOLS
