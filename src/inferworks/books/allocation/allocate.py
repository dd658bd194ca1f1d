"""Allocation: a charge becomes parts, each with a reason, and the parts sum to the charge.

Problem. Cost tools lose money where a driver is missing: the cost of a machine that nobody used
disappears, a negative remainder is clamped to zero, rounded leaves do not sum to their parents.

Decision. From the top down, one split after the other, in whole picounits: a charge to a node's
occupants, a replica's part to its states, the active part to *targets*. A target is the tuple of all
dimensions of a statement (purpose, customer, model, region, ...); usage alike in all of them is one
weight. A split goes to purpose and customer first, and from there to targets (`hierarchical_split.py`).
So the amounts of a statement do not depend on the number of calls behind a target, a million calls are
rounded as often as one, and an engine that only knows sums gives the same picounits. Only an explanation
divides a target's part further, among its calls. Each split is kept as an `Apportionment`, and each part
with the leaves behind it as a `Portion`. A residual that no driver can place is a part like any other,
named `Unallocated:<reason>`. A credit is split by the same ratios as a charge.

Rejected. Dividing among calls first and summing up (each call rounds; only an engine that sees calls can
repeat it); allocating to each dimension on its own (customers and models then disagree, theorem 8);
spreading the residual over the allocated parts (it hides the gap in the metering).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from inferworks.books.allocation import drivers as d
from inferworks.books.allocation.billed_usage import sale_of
from inferworks.books.allocation.departments import Department
from inferworks.books.allocation.drivers import Drivers, Leaf, Shares
from inferworks.books.allocation.hierarchical_split import Amount, Path, split_each_down
from inferworks.books.allocation.pools import Behaviour, CostPool, DriverKind, Idle, behaviour_of
from inferworks.books.allocation.reserved_nodes import reservers
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import STAFF_ON_ACTIVITY, Charge, ChargeId, NaturalClass
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, ProjectId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.money import split
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND

UNKNOWN_CALL = "unknown-call"


class Target(msgspec.Struct, frozen=True):
    """Target of a part: a purpose, a department, a kind of unused capacity, or an unallocated residual.

    Exactly one of `purpose`, `department`, `unused` and `unallocated` is set; the rest narrows it. A field
    that is not known is None, never an empty text.
    """

    purpose: Purpose | None = None
    unused: d.Unused | None = None
    unallocated: str | None = None
    """Name of the pool whose driver could not place the part, or `unknown-call`."""
    customer: CustomerId | None = None
    project: ProjectId | None = None
    key_id: KeyId | None = None
    model: ModelId | None = None
    direction: str | None = None
    """FOCUS's TokenDirection, where the driver can tell: `Input` or `Output`."""
    provider: str | None = None
    """Provider of the leg that served; our own replicas have one too."""
    region: str | None = None
    chip: str | None = None
    day: str | None = None
    """The UTC date on which the call was opened or the activity began."""
    department: Department | None = None
    """Department that bears the cost, where no measure tells its use."""

    @property
    def use(self) -> str:
        """The target as a policy names it: `serve-paid`, `department:sales`, `unused:idle`, ..."""
        if self.purpose is not None:
            return self.purpose.value
        if self.department is not None:
            return f"{d.DEPARTMENT}:{self.department.value}"
        return "unallocated" if self.unused is None else f"unused:{self.unused.value}"

    @property
    def label(self) -> str:
        """The target as a statement names it: like `use`, with the reason of what is unallocated."""
        return self.use if self.unallocated is None else f"Unallocated:{self.unallocated}"

    def order(self) -> Leaf:
        """A sort key that no two targets share; text only, so that every two compare.

        It settles the ties of a split: label, customer, project, key, model, direction, provider, region,
        chip, day; what is not known is the empty text.
        """
        return (
            *(self.label, self.customer or "", self.project or "", self.key_id or ""),
            *(self.model or "", self.direction or "", self.provider or ""),
            *(self.region or "", self.chip or "", self.day or ""),
        )


class Allocation(msgspec.Struct, frozen=True):
    """A part of a charge, for one target by one method. FOCUS's allocated charge."""

    charge_id: ChargeId
    pool: str
    natural_class: NaturalClass
    behaviour: Behaviour
    target: Target
    method: str
    """FOCUS's AllocatedMethodId, e.g. `node-time/M2`."""
    driver_unit: str
    driver_quantity: int
    """Quantity of the driver that the target used, in `driver_unit`."""
    amount_pico: int


class Apportionment(msgspec.Struct, frozen=True):
    """One split: `amount_pico` divided by `weights` into `parts`, by key (`Target.order`, a replica...)."""

    charge_id: ChargeId
    stage: str
    amount_pico: int
    weights: Shares
    parts: Shares
    lines: int = 1
    """Number of lines that were split, each on its own; amount and parts are then their sums
    (`bundles.py`)."""


class Portion(msgspec.Struct, frozen=True):
    """Part of a split that one target received, with its leaves (calls, activities) and their weights."""

    stage: str
    target: Target
    method: str
    unit: str
    quantity: int
    amount_pico: int
    leaves: Shares

    def by_leaf(self) -> Shares:
        """The amount among the leaves; sums to it exactly. Only an explanation asks."""
        return split(self.amount_pico, self.leaves) if any(self.leaves.values()) else {}


class Allocated(msgspec.Struct, frozen=True):
    """A charge, its pool, its parts, and the splits that made them, from the top down."""

    charge: Charge
    pool: str
    rows: tuple[Allocation, ...]
    apportionments: tuple[Apportionment, ...]
    portions: tuple[Portion, ...] = ()


class Grouped(NamedTuple):
    """Shares by target: the sums that a split weighs, and the leaves behind each."""

    targets: dict[Leaf, Target]
    weights: Shares
    leaves: dict[Leaf, Shares]


def allocate(charge: Charge, pool: CostPool, drivers: Drivers) -> Allocated:
    """`charge` divided by the driver of `pool`. The rows sum to the charge (theorem 7)."""
    work = Division(charge, pool, drivers)
    work.divide()
    return allocated_of(charge, pool, work.portions, work.apportionments)


def allocated_of(
    charge: Charge,
    pool: CostPool,
    portions: Iterable[Portion],
    apportionments: Iterable[Apportionment],
) -> Allocated:
    """A charge of `pool` with the portions summed by target and method, in a fixed order."""
    portions = tuple(portions)
    behaviour = behaviour_of(charge, pool)
    sums: dict[tuple[Target, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for portion in portions:
        sums_of = sums[portion.target, portion.method, portion.unit]
        sums_of[0] += portion.quantity
        sums_of[1] += portion.amount_pico
    rows = tuple(
        Allocation(
            charge.id, pool.name, charge.natural_class, behaviour, target, method, unit, *sums[key]
        )
        for key in sorted(sums, key=lambda key: (key[0].order(), key[1], key[2]))
        for target, method, unit in [key]
    )
    return Allocated(charge, pool.name, rows, tuple(apportionments), portions)


class _Unused(NamedTuple):
    """Unused capacity of a charge, before the idle method says who bears it."""

    stage: str
    target: Target
    quantity_ns: int
    amount: Amount


class Division:
    """One charge being divided: what has been split so far, and the portions."""

    def __init__(self, charge: Charge, pool: CostPool, drivers: Drivers) -> None:
        self.charge, self.pool, self.drivers = charge, pool, drivers
        self.amount = charge.amounts
        self.span = Span(charge.period_start_ns, charge.period_end_ns)
        self.portions: list[Portion] = []
        self.apportionments: list[Apportionment] = []
        self._unused: list[_Unused] = []

    def _path_of(self, leaf: Leaf) -> Path:
        """Return the path above a call or activity: its purpose and customer, then its target."""
        key = target_of(leaf, self.pool.name, self.drivers).order()
        return (*path_of(key), key)

    def divide(self) -> None:
        """Split the whole charge by its pool's driver."""
        charge, span, resource = self.charge, self.span, self.charge.resource_id or ""
        match self.pool.driver:
            case DriverKind.NODE_TIME:
                self._divide_node(resource)
            case DriverKind.STORED_BYTES:
                self._divide_by(self.drivers.stored(resource, span), "byte_seconds")
            case DriverKind.CALL_BYTES:
                self._divide_by(self.drivers.call_bytes(span), "bytes")
            case DriverKind.PROVIDER_TOKENS:
                sale = sale_of(charge, self.drivers.billing)
                self._divide_by(self.drivers.provider_tokens(sale, span), "tokens")
            case DriverKind.REPAIR_TIME if charge.resource_type == STAFF_ON_ACTIVITY:
                minutes = charge.quantity or "0"
                worked, unit = int(Decimal(minutes) * 60 * NS_PER_SECOND), "ns"
                if minutes.isdigit():
                    worked, unit = int(minutes), "minutes"
                known = resource in set(Purpose)
                leaf = (d.PURPOSE, resource) if known else (d.UNALLOCATED,)
                grouped = self._grouped({leaf: worked})
                [key] = grouped.targets
                self._portion("activity", grouped, key, "activity", unit, self.amount)
            case DriverKind.REPAIR_TIME:
                work = self.drivers.node_work(resource, span, self.pool.method, self._path_of)
                self._divide_by(work, "node_ns")
            case DriverKind.UNUSED:
                self._keep_whole((d.UNUSED, d.Unused.COMMITMENT.value))
            case DriverKind.DEPARTMENT | DriverKind.NONE:
                self._keep_whole()

    def _divide_node(self, node: str) -> None:
        occupants = self.drivers.occupants(node, self.span)
        if not occupants:
            return self._keep_whole()
        replicas = {leaf: ns for leaf, ns in occupants.items() if leaf[0] == d.REPLICA}
        others = self._grouped({leaf: ns for leaf, ns in occupants.items() if leaf not in replicas})
        parts = self._split("node", self.amount, {**replicas, **others.weights})
        for leaf in replicas:
            self._divide_replica(ReplicaId(leaf[1]), node, parts[leaf])
        for key, target in others.targets.items():
            if target.unused is None:
                self._portion("node", others, key, "occupancy", "node_ns", parts[key])
            else:
                self._unused.append(_Unused("node", target, others.weights[key], parts[key]))
        return self._place_unused(node)

    def _divide_replica(self, replica: ReplicaId, node: str, amount: Amount) -> None:
        stage = f"replica {replica}"
        states = self.drivers.states(replica, node, self.span)
        weights: Shares = {(state.value,): duration_ns for state, duration_ns in states.items()}
        parts = self._split(stage, amount, weights)
        for state, duration_ns in states.items():
            if state is State.ACTIVE:
                active = self.drivers.active(
                    replica, node, self.span, self.pool.method, self._path_of
                )
                self.divide_among(
                    f"active {replica}",
                    active.shares,
                    active.method.value,
                    "replica_ns",
                    parts[state.value,],
                )
            else:
                place = self.drivers.replica_place(replica)
                target = Target(
                    unused=d.Unused(state.value),
                    provider=place.provider or None,
                    region=place.region or None,
                    chip=place.chip or None,
                )
                self._unused.append(_Unused(stage, target, duration_ns, parts[state.value,]))

    def _place_unused(self, node: str) -> None:
        """Allocate unused capacity to its bearers by the pool's idle method; without any, to nobody."""
        bearers: Shares = {}
        match self.pool.idle:
            case Idle.PROPORTIONAL:
                work = self.drivers.node_work
                bearers = work(node, self.span, self.pool.method, self._path_of)
            case Idle.DEDICATED:
                customer = self.pool.reserver(node)
                if customer is not None:
                    bearers = reservers(self.drivers, customer, node, self.span)
            case Idle.PEAK:
                bearers = self.drivers.peak_work(self.span, self.pool.method, self._path_of)
            case Idle.SEPARATE:
                pass
        if bearers and self._unused:
            amount = sum(item.amount for item in self._unused)
            method = f"idle-{self.pool.idle.value}"
            return self.divide_among("idle", bearers, method, "node_ns", amount)
        for stage, target, quantity_ns, amount in self._unused:
            self._keep(
                amount,
                Portion(
                    stage,
                    target,
                    f"{self.pool.driver}/separate",
                    "node_ns" if stage == "node" else "replica_ns",
                    quantity_ns,
                    int(amount),
                    {(d.UNUSED, target.use): quantity_ns},
                ),
            )
        return None

    def _divide_by(self, shares: Shares, unit: str) -> None:
        """Split the whole charge in one stage."""
        if not shares:
            return self._keep_whole()
        return self.divide_among(self.pool.name, shares, "share", unit, self.amount)

    def divide_among(
        self, stage: str, shares: Shares, method: str, unit: str, amount: Amount
    ) -> None:
        """Split `amount` among the targets of `shares`, and keep a portion for each."""
        grouped = self._grouped(shares)
        parts = self._split(stage, amount, grouped.weights)
        for key, part in parts.items():
            self._portion(stage, grouped, key, method, unit, part)

    def _keep_whole(self, leaf: Leaf | None = None) -> None:
        """Keep the charge whole where the driver is zero: its department's, else unallocated."""
        department = self.charge.department or self.pool.department
        if leaf is None:
            leaf = (d.UNALLOCATED,) if department is None else (d.DEPARTMENT, department)
        grouped = self._grouped({leaf: 0})
        [key] = grouped.targets
        self._portion(self.pool.name, grouped, key, "whole", "none", self.amount)

    def _grouped(self, shares: Shares) -> Grouped:
        return by_target(shares, self.pool.name, self.drivers)

    def _split(self, stage: str, amount: Amount, weights: Shares) -> Mapping[Leaf, Amount]:
        parts = split_each_down(amount, weights, path_of)
        sums = {key: int(part) for key, part in parts.items()}
        lines = 1 if isinstance(amount, int) else len(amount)
        self.apportionments.append(
            Apportionment(self.charge.id, stage, int(amount), weights, sums, lines)
        )
        return parts

    def _portion(
        self, stage: str, grouped: Grouped, key: Leaf, method: str, unit: str, amount: Amount
    ) -> None:
        self._keep(
            amount,
            Portion(
                stage,
                grouped.targets[key],
                f"{self.pool.driver}/{method}",
                unit,
                grouped.weights[key],
                int(amount),
                grouped.leaves[key],
            ),
        )

    def _keep(self, amount: Amount, portion: Portion) -> None:
        """Keep a portion; of a bundle, the sum of `amount`."""
        self.portions.append(portion)


def path_of(key: Leaf) -> Path:
    """Return the path above a target's key: its label and customer. A replica stands alone."""
    return (key[:2],)


def by_target(shares: Shares, pool: str, drivers: Drivers) -> Grouped:
    """`shares` summed by target, under each target's `order`."""
    grouped = Grouped({}, defaultdict(int), defaultdict(dict))
    for leaf, quantity in shares.items():
        target = target_of(leaf, pool, drivers)
        key = target.order()
        grouped.targets[key] = target
        grouped.weights[key] += quantity
        grouped.leaves[key][leaf] = quantity
    return grouped


def target_of(leaf: Leaf, pool: str, drivers: Drivers) -> Target:
    """Return the target of the share at `leaf`."""
    match leaf:
        case (d.CALL, call_id, direction, attempt):
            usage = drivers.usages.get(CallId(call_id))
            if usage is None:
                return Target(unallocated=UNKNOWN_CALL)
            place = drivers.place(CallId(call_id), attempt)
            return Target(
                purpose=usage.purpose,
                customer=usage.customer,
                project=usage.project,
                key_id=usage.key_id,
                model=usage.model,
                direction=direction or None,
                provider=place.provider or None,
                region=place.region or None,
                chip=place.chip or None,
                day=utc_day(usage.opened_ns),
            )
        case (d.ACTIVITY, source, activity_id):
            activity = drivers.activities[source, activity_id]
            return Target(
                purpose=activity.purpose,
                customer=activity.customer,
                day=utc_day(activity.start_ns),
            )
        case (d.PURPOSE, purpose):
            return Target(purpose=Purpose(purpose))
        case (d.DEPARTMENT, department):
            return Target(department=Department(department))
        case (d.RESERVER, customer):
            return Target(purpose=Purpose.SERVE_PAID, customer=CustomerId(customer))
        case (d.UNUSED, kind):
            return Target(unused=d.Unused(kind))
        case (d.UNKNOWN_CALL, _, _, _):
            return Target(unallocated=UNKNOWN_CALL)
        case _:
            return Target(unallocated=pool)
