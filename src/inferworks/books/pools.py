"""Cost pools: which pot a charge goes into, and what divides the pot.

The rules are a TOML file one can read and copy (`pools.toml`); this module reads it and applies it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from enum import StrEnum
from importlib import resources

import msgspec

from inferworks.books.charge import Charge
from inferworks.errors import ConfigError


class DriverKind(StrEnum):
    """What divides a pool."""

    NODE_TIME = "node-time"
    STORED_BYTES = "stored-bytes"
    CALL_BYTES = "call-bytes"
    REPAIR_TIME = "repair-time"
    PROVIDER_TOKENS = "provider-tokens"
    NONE = "none"


class Method(StrEnum):
    """How a replica's active time is divided among its calls. All conserve (theorem 7)."""

    FLAT = "M0"
    """Every token counts the same."""
    WEIGHTED = "M1"
    """Weighted tokens of the whole call."""
    STEP_SHARE = "M2"
    """Each engine step among the calls in it; where no step is known, M1."""


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conditions of a rule; an empty list fits everything."""

    service_category: tuple[str, ...] = ()
    service_name: tuple[str, ...] = ()
    charge_category: tuple[str, ...] = ()
    resource_type: tuple[str, ...] = ()
    known_node: bool = False

    def fits(self, charge: Charge, nodes: Collection[str]) -> bool:
        """Whether `charge` meets every condition; `nodes` are the nodes that the meter knows."""
        return (
            _among(self.service_category, charge.service_category)
            and _among(self.service_name, charge.service_name)
            and _among(self.charge_category, charge.charge_category)
            and _among(self.resource_type, charge.resource_type)
            and (not self.known_node or charge.resource_id in nodes)
        )


class CostPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pot of charges with one driver."""

    name: str
    driver: DriverKind
    when: When = When()
    method: Method = Method.STEP_SHARE


def pool_of(charge: Charge, pools: Sequence[CostPool], nodes: Collection[str]) -> CostPool:
    """The pool of `charge`: the first whose conditions fit. `pools` come from `read_pools`."""
    return next(pool for pool in pools if pool.when.fits(charge, nodes))


def read_pools(text: str, name: str) -> tuple[CostPool, ...]:
    """The pools in the TOML `text` of the file `name`, in order.

    ConfigError when it does not parse, two pools share a name, or the last one has a condition (a
    charge could then be in no pool).
    """
    try:
        tables = tomllib.loads(text)
        pools = msgspec.convert(tables, _PoolFile).pool
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name}: {error}") from error
    names = [pool.name for pool in pools]
    if len(set(names)) < len(names):
        raise ConfigError(f"{name}: two pools have the same name; a pool is one rule")
    if not pools or pools[-1].when != When():
        raise ConfigError(f"{name}: the last pool must have no condition, or a charge may fit none")
    return pools


def default_pools() -> tuple[CostPool, ...]:
    """The pools that ship with the package."""
    text = resources.files("inferworks.books").joinpath("pools.toml").read_text("utf-8")
    return read_pools(text, "pools.toml")


class _PoolFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: tuple[CostPool, ...]


def _among(wanted: tuple[str, ...], value: str | None) -> bool:
    return not wanted or value in wanted
