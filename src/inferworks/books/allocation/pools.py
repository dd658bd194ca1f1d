"""Cost pools: the rules that assign each charge to a pool, and the driver that divides the pool.

The rules are a TOML file one can read and copy (`pools.toml`); this module reads it and applies it. A
pool either has a driver of its own (a *final* pool: its charges go to targets) or the driver `pools` (a
*support* pool: its charges go to other pools first). The order of that step-down is declared, never
guessed: see `step_down.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from importlib import resources

import msgspec

from inferworks.books.allocation.departments import Department
from inferworks.books.charge import Charge, NaturalClass
from inferworks.catalog.billing import Billing, shipped_billing
from inferworks.errors import ConfigError
from inferworks.misfit import misfit


class DriverKind(StrEnum):
    """Driver that divides a pool."""

    NODE_TIME = "node-time"
    STORED_BYTES = "stored-bytes"
    CALL_BYTES = "call-bytes"
    REPAIR_TIME = "repair-time"
    PROVIDER_TOKENS = "provider-tokens"
    DEPARTMENT = "department"
    """No measure: the department that the charge names, or else the pool, bears all of it."""
    UNUSED = "unused"
    """No driver: a commitment that nobody drew on is unused capacity."""
    POOLS = "pools"
    """Other pools, which it supports: by declared weights, or by what they cost."""
    NONE = "none"


class Method(StrEnum):
    """Method by which a replica's active time is divided among its calls. All conserve (theorem 7)."""

    FLAT = "M0"
    """Every token counts the same."""
    WEIGHTED = "M1"
    """Weighted tokens of the whole call."""
    STEP_SHARE = "M2"
    """Each engine step among the calls in it; where no step is known, M1."""
    SHAPLEY = "M3"
    """Each engine step by sampled Shapley values of its calls; where no step is known, M1."""


class Idle(StrEnum):
    """Rule by which the unused capacity of a node is borne. All conserve (theorem 7)."""

    SEPARATE = "separate"
    """No bearer: a line of its own."""
    PROPORTIONAL = "proportional"
    """Users of the node in the charge's time, in proportion to their work."""
    DEDICATED = "dedicated"
    """The customer who reserved the node; none if it is not reserved."""
    PEAK = "peak"
    """Users of any node in the busiest clock hour, by their work: the demand that sized the fleet."""


class Behaviour(StrEnum):
    """Cost behaviour within the period, as accountants use the term."""

    VARIABLE = "variable"
    """Avoidable within the period, had its use not come."""
    COMMITTED = "committed"
    """Owed regardless of use."""


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions of a rule; an empty list fits everything."""

    service_category: tuple[str, ...] = ()
    service_name: tuple[str, ...] = ()
    charge_category: tuple[str, ...] = ()
    resource_type: tuple[str, ...] = ()
    department: tuple[Department, ...] = ()
    commitment_status: tuple[str, ...] = ()
    """FOCUS's CommitmentDiscountStatus."""
    known_node: bool = False
    api_calls: bool = False

    def fits(self, charge: Charge, nodes: Collection[str], billing: Billing) -> bool:
        """Return True if `charge` meets every condition; `nodes` are the nodes that the meter knows."""
        return (
            (not self.service_category or charge.service_category in self.service_category)
            and (not self.service_name or charge.service_name in self.service_name)
            and (not self.charge_category or charge.charge_category in self.charge_category)
            and (not self.resource_type or charge.resource_type in self.resource_type)
            and (not self.department or charge.department in self.department)
            and (
                not self.commitment_status
                or dict(charge.other).get("CommitmentDiscountStatus") in self.commitment_status
            )
            and (not self.known_node or charge.resource_id in nodes)
            and (
                not self.api_calls
                or billing.seller(
                    charge.provider, charge.issuer, charge.service_name
                ).by_service  # a row of `billing.toml` names the service
            )
        )


class Reservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that is held for one customer, who bears its idle time (idle method `dedicated`)."""

    node: str
    customer: str


class CostPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool of charges with one driver."""

    name: str
    driver: DriverKind
    when: When | tuple[When, ...] = When()
    """Its conditions; of several sets, one must be met."""
    method: Method = Method.STEP_SHARE
    idle: Idle = Idle.SEPARATE
    reserved: tuple[Reservation, ...] = ()
    department: Department | None = None
    """Department that bears the residual of the driver, where the charge itself names none."""
    behaviour: Behaviour | None = None
    """Behaviour of its charges; None leaves it to each charge (see `behaviour_of`)."""
    to: Mapping[str, int] | tuple[str, ...] = ()
    """Driver `pools`: the pools it supports, with whole weights, or without, by what they cost."""
    order: int = 0
    """Driver `pools`: its place in the step-down, lowest first; of equals, by name."""

    def takes(self, charge: Charge, nodes: Collection[str], billing: Billing) -> bool:
        """Return True if `charge` meets its conditions."""
        return any(when.fits(charge, nodes, billing) for when in self.conditions)

    @property
    def conditions(self) -> tuple[When, ...]:
        """The sets of conditions, one of which must fit."""
        return (self.when,) if isinstance(self.when, When) else self.when

    def reserver(self, node: str) -> str | None:
        """The customer who reserved `node`, if somebody did."""
        return next((item.customer for item in self.reserved if item.node == node), None)


def pool_of(
    charge: Charge,
    pools: Sequence[CostPool],
    nodes: Collection[str],
    billing: Billing | None = None,
) -> CostPool:
    """The pool of `charge`: the first whose conditions fit. `pools` come from `read_pools`.

    `billing` reads the names on bills; the shipped table unless given.
    """
    billing = billing or shipped_billing()
    return next(pool for pool in pools if pool.takes(charge, nodes, billing))


def behaviour_of(charge: Charge, pool: CostPool) -> Behaviour:
    """Return the behaviour of `charge` within the period.

    As its pool declares. Else as it was bought, where the bill has FOCUS's PricingCategory: `Committed` is
    committed, `Standard` and `Dynamic` (on demand, spot) are variable. Else power and network are variable
    and everything else is committed.
    """
    if pool.behaviour is not None:
        return pool.behaviour
    bought = dict(charge.other).get("PricingCategory", "")
    if bought in _VARIABLE_PRICING:
        return Behaviour.VARIABLE
    if not bought and charge.natural_class in _VARIABLE_CLASSES:
        return Behaviour.VARIABLE
    return Behaviour.COMMITTED


def read_pools(text: str, name: str) -> tuple[CostPool, ...]:
    """The pools in the TOML `text` of the file `name`, in order.

    ConfigError when it does not parse, two pools share a name, the last one has a condition (a charge
    could then be in no pool), or a declaration of support or reservation cannot be meant.
    """
    try:
        tables = tomllib.loads(text)
        pools = msgspec.convert(tables, _PoolFile).pool
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {misfit(error, tables, _PoolFile)}") from error
    names = [pool.name for pool in pools]
    if len(set(names)) < len(names):
        raise ConfigError(f"{name}: two pools have the same name; rename one")
    if not pools or pools[-1].when != When():
        raise ConfigError(
            f"{name}: the last pool must have no condition, so that every charge has a pool"
        )
    for fault in _faults(pools):
        raise ConfigError(f"{name}: {fault}")
    try:
        step_down_order(pools)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return pools


def step_down_order(pools: Iterable[CostPool]) -> tuple[CostPool, ...]:
    """The support pools in the order in which they are closed: `order`, then who gives, then the name.

    ConfigError when pools of one `order` support each other in a circle, or a pool is left with nobody
    to give to.
    """
    waiting = sorted(
        (pool for pool in pools if pool.driver is DriverKind.POOLS), key=lambda p: (p.order, p.name)
    )
    closed: list[CostPool] = []
    while waiting:
        level = [pool for pool in waiting if pool.order == waiting[0].order]
        given_to = {name for pool in level for name in pool.to}
        free = [pool for pool in level if pool.name not in given_to]
        if not free:
            circle = ", ".join(pool.name for pool in level)
            raise ConfigError(
                f"pools {circle} support each other in a circle; give them different `order`, and "
                "the first is closed first"
            )
        closed.append(free[0])
        waiting.remove(free[0])
        if not set(free[0].to) - {pool.name for pool in closed}:
            raise ConfigError(
                f"pool {free[0].name!r} supports only pools that are closed before it; change `order`"
            )
    return tuple(closed)


def default_pools() -> tuple[CostPool, ...]:
    """The pools that ship with the package."""
    text = resources.files("inferworks.books.allocation").joinpath("pools.toml").read_text("utf-8")
    return read_pools(text, "pools.toml")


_VARIABLE_PRICING = frozenset({"Standard", "Dynamic"})
_VARIABLE_CLASSES = frozenset({NaturalClass.POWER, NaturalClass.NETWORK})


class _PoolFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: tuple[CostPool, ...]


def _faults(pools: Sequence[CostPool]) -> Iterable[str]:
    """Yield the contradictions in the definitions of `pools`, one line each."""
    names = {pool.name for pool in pools}
    for pool in pools:
        if bool(pool.to) != (pool.driver is DriverKind.POOLS):
            yield f'pool {pool.name!r}: `to` and driver = "pools" go together'
        for other in pool.to:
            if other not in names or other == pool.name:
                yield f"pool {pool.name!r} supports {other!r}, which is not another pool here"
        if isinstance(pool.to, Mapping) and any(weight <= 0 for weight in pool.to.values()):
            yield f"pool {pool.name!r}: the weights of `to` must be whole numbers above zero"
        nodes = [item.node for item in pool.reserved]
        if len(set(nodes)) < len(nodes):
            yield f"pool {pool.name!r}: a node is reserved twice"
        if bool(nodes) != (pool.idle is Idle.DEDICATED):
            yield f'pool {pool.name!r}: `reserved` and idle = "dedicated" go together'
