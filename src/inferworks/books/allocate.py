"""Allocation: a charge becomes parts, each with a reason, and the parts sum to the charge.

Problem. Cost tools lose money where a driver is missing: the idle of a machine that nobody used
disappears, a negative remainder is clamped to zero, rounded leaves do not sum to their parents.

Decision. From the top down, one split after the other, in whole picounits: a charge to a node's
occupants, a replica's part to its states, the active part to calls. Each split is kept as an
`Apportionment`, so that a figure can be explained down to the call. What no driver can place is a part
like any other, named `Unallocated:<why>`. A credit is split by the same ratios as a charge.

Rejected. Allocating to each dimension on its own (customers and models then disagree, theorem 8);
spreading what cannot be placed over what can (it hides the hole in the metering).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from inferworks.books import drivers as d
from inferworks.books.charge import STAFF_ON_ACTIVITY, Charge, ChargeId, NaturalClass
from inferworks.books.drivers import Drivers, Leaf, Shares
from inferworks.books.pools import CostPool, DriverKind, pool_of
from inferworks.books.span import Span
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, ProjectId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.money import split
from inferworks.purpose import Purpose

UNKNOWN_CALL = "unknown-call"


class Target(msgspec.Struct, frozen=True):
    """What a part was for: a purpose, a kind of unused capacity, or what could not be told.

    Exactly one of `purpose`, `unused` and `unallocated` is set; the rest narrows a purpose.
    """

    purpose: Purpose | None = None
    unused: d.Unused | None = None
    unallocated: str | None = None
    """Why the part could not be placed: the pool's name, or `unknown-call`."""
    customer: CustomerId | None = None
    project: ProjectId | None = None
    key_id: KeyId | None = None
    model: ModelId | None = None
    direction: str | None = None
    """FOCUS's TokenDirection, where the driver can tell: `Input` or `Output`."""

    @property
    def use(self) -> str:
        """The target as a policy names it: `serve-paid`, `unused:idle`, `unallocated`."""
        if self.purpose is not None:
            return self.purpose.value
        return "unallocated" if self.unused is None else f"unused:{self.unused.value}"

    @property
    def label(self) -> str:
        """The target as a statement names it: like `use`, with the reason of what is unallocated."""
        return self.use if self.unallocated is None else f"Unallocated:{self.unallocated}"

    def order(self) -> tuple[str, ...]:
        """A sort key: text only, so that every two targets compare."""
        narrowing = (self.customer, self.project, self.key_id, self.model, self.direction)
        return (self.label, *(text or "" for text in narrowing))


class Allocation(msgspec.Struct, frozen=True):
    """A part of a charge, for one target by one method. FOCUS's allocated charge."""

    charge_id: ChargeId
    pool: str
    natural_class: NaturalClass
    target: Target
    method: str
    """FOCUS's AllocatedMethodId, e.g. `node-time/M2`."""
    driver_unit: str
    driver_quantity: int
    """How much of the driver the target used, in `driver_unit`."""
    amount_pico: int


class Apportionment(msgspec.Struct, frozen=True):
    """One split: `amount_pico` divided by `weights` into `parts` (leaf -> picounits)."""

    charge_id: ChargeId
    stage: str
    amount_pico: int
    weights: Shares
    parts: Shares


class Allocated(msgspec.Struct, frozen=True):
    """A charge, its pool, its parts, and the splits that made them, from the top down."""

    charge: Charge
    pool: str
    rows: tuple[Allocation, ...]
    apportionments: tuple[Apportionment, ...]


class _Part(msgspec.Struct, frozen=True):
    """A leaf's amount before leaves of one target are summed."""

    leaf: Leaf
    method: str
    unit: str
    quantity: int
    amount_pico: int


def allocate(charge: Charge, pool: CostPool, drivers: Drivers) -> Allocated:
    """`charge` divided by the driver of `pool`. The rows sum to the charge (theorem 7)."""
    work = _Work(charge, pool, drivers)
    work.divide()
    rows = _rows(charge, pool, drivers, work.parts)
    return Allocated(charge, pool.name, rows, tuple(work.apportionments))


def allocate_all(
    charges: Iterable[Charge], pools: Sequence[CostPool], drivers: Drivers
) -> tuple[Allocated, ...]:
    """Every one of `charges`, in the order of their ids."""
    return tuple(
        allocate(charge, pool_of(charge, pools, drivers.nodes), drivers)
        for charge in sorted(charges, key=lambda charge: charge.id)
    )


class _Work:
    """One charge being divided: what has been split so far, and the parts."""

    def __init__(self, charge: Charge, pool: CostPool, drivers: Drivers) -> None:
        self.charge, self.pool, self.drivers = charge, pool, drivers
        self.span = Span(charge.period_start_ns, charge.period_end_ns)
        self.parts: list[_Part] = []
        self.apportionments: list[Apportionment] = []

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
                names = (charge.provider, charge.issuer, charge.service_name)
                self._divide_by(self.drivers.provider_tokens(names, span), "tokens")
            case DriverKind.REPAIR_TIME:
                self._divide_repair(resource)
            case DriverKind.NONE:
                self._keep_whole()

    def _divide_node(self, node: str) -> None:
        occupants = self.drivers.occupants(node, self.span)
        if not occupants:
            return self._keep_whole()
        for leaf, amount in self._split("node", self.charge.amount_pico, occupants).items():
            if leaf[0] == d.REPLICA:
                self._divide_replica(ReplicaId(leaf[1]), node, amount)
            else:
                self._part(leaf, "occupancy", "node_ns", occupants[leaf], amount)
        return None

    def _divide_replica(self, replica: ReplicaId, node: str, amount_pico: int) -> None:
        states = self.drivers.states(replica, node, self.span)
        weights: Shares = {(state.value,): duration_ns for state, duration_ns in states.items()}
        parts = self._split(f"replica {replica}", amount_pico, weights)
        for state, duration_ns in states.items():
            part_pico = parts[state.value,]
            if state is State.ACTIVE:
                self._divide_active(replica, node, part_pico)
            else:
                leaf = (d.UNUSED, d.Unused(state.value).value)
                self._part(leaf, "separate", "replica_ns", duration_ns, part_pico)

    def _divide_active(self, replica: ReplicaId, node: str, amount_pico: int) -> None:
        active = self.drivers.active(replica, node, self.span, self.pool.method)
        parts = self._split(f"active {replica}", amount_pico, active.shares)
        for leaf, part_pico in parts.items():
            method = active.method.value
            self._part(leaf, method, "replica_ns", active.shares[leaf], part_pico)

    def _divide_repair(self, resource: str) -> None:
        if self.charge.resource_type == STAFF_ON_ACTIVITY:
            minutes = int(self.charge.quantity or 0)
            known = resource in set(Purpose)
            leaf = (d.PURPOSE, resource) if known else (d.UNALLOCATED,)
            self._part(leaf, "activity", "minutes", minutes, self.charge.amount_pico)
        else:
            work = self.drivers.node_work(resource, self.span, self.pool.method)
            self._divide_by(work, "node_ns")

    def _divide_by(self, shares: Shares, unit: str) -> None:
        """Split the whole charge in one stage."""
        if not shares:
            return self._keep_whole()
        parts = self._split(self.pool.name, self.charge.amount_pico, shares)
        for leaf, amount_pico in parts.items():
            self._part(leaf, "share", unit, shares[leaf], amount_pico)
        return None

    def _keep_whole(self) -> None:
        """The driver is zero: the charge stays whole, in sight."""
        self._part((d.UNALLOCATED,), "whole", "none", 0, self.charge.amount_pico)

    def _split(self, stage: str, amount_pico: int, weights: Shares) -> Shares:
        parts = split(amount_pico, weights)
        self.apportionments.append(
            Apportionment(self.charge.id, stage, amount_pico, weights, parts)
        )
        return parts

    def _part(self, leaf: Leaf, method: str, unit: str, quantity: int, amount_pico: int) -> None:
        method_id = f"{self.pool.driver}/{method}"
        self.parts.append(_Part(leaf, method_id, unit, quantity, amount_pico))


def _rows(
    charge: Charge, pool: CostPool, drivers: Drivers, parts: Iterable[_Part]
) -> tuple[Allocation, ...]:
    """The parts summed by target and method, in a fixed order."""
    sums: dict[tuple[Target, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for part in parts:
        sums_of = sums[target_of(part.leaf, pool.name, drivers), part.method, part.unit]
        sums_of[0] += part.quantity
        sums_of[1] += part.amount_pico
    return tuple(
        Allocation(charge.id, pool.name, charge.natural_class, target, method, unit, *sums[key])
        for key in sorted(sums, key=lambda key: (key[0].order(), key[1], key[2]))
        for target, method, unit in [key]
    )


def target_of(leaf: Leaf, pool: str, drivers: Drivers) -> Target:
    """What the share at `leaf` was for."""
    match leaf:
        case (d.CALL, call_id, direction):
            return _call_target(call_id, direction or None, drivers)
        case (d.ACTIVITY, source, activity_id):
            activity = drivers.activities[source, activity_id]
            return Target(purpose=activity.purpose, customer=activity.customer)
        case (d.PURPOSE, purpose):
            return Target(purpose=Purpose(purpose))
        case (d.UNUSED, kind):
            return Target(unused=d.Unused(kind))
        case (d.UNKNOWN_CALL, _, _):
            return Target(unallocated=UNKNOWN_CALL)
        case _:
            return Target(unallocated=pool)


def _call_target(call_id: str, direction: str | None, drivers: Drivers) -> Target:
    usage = drivers.usages.get(CallId(call_id))
    if usage is None:
        return Target(unallocated=UNKNOWN_CALL)
    return Target(
        purpose=usage.purpose,
        customer=usage.customer,
        project=usage.project,
        key_id=usage.key_id,
        model=usage.model,
        direction=direction,
    )
