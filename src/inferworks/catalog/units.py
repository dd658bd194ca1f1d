"""Billable units: what a call can use, read from the rows beside this file.

A new unit is a row of `units.toml` and a name for it: in `inferworks.units.Unit`, and in the counts of a
call (`meter.usage.Tokens` or `Items`; `meter.events.CallData` for those who report calls). Every other
module reads the rows.

A call tells its tokens as totals and as parts of them. The books need each token once (theorem 4):
`buckets` takes the parts out of their totals. It works on numbers, on columns of Arrow and on columns of a
query, by the operations that it is given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final, TypeVar

import msgspec

from inferworks.units import Unit

INPUT: Final = "Input"
OUTPUT: Final = "Output"
"""FOCUS's TokenDirection."""

T = TypeVar("T")


class BillableUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unit that a call can use. The fields are described at the head of `units.toml`."""

    name: Unit
    meter: str
    counts: str
    per: int
    part_of: Unit | None = None
    is_modality: bool = False
    cache_action: str | None = None
    attribute: str = ""
    listed: tuple[str, ...] = ()
    per_listed: int = 1

    @property
    def pricing_unit(self) -> str:
        """FOCUS PricingUnit: the units that a price is shown for, e.g. `1000000 Tokens`."""
        return self.counts if self.per == 1 else f"{self.per} {self.counts}"


_TEXT: Final = resources.files("inferworks.catalog").joinpath("units.toml").read_text("utf-8")
BILLABLE: Final[Mapping[Unit, BillableUnit]] = {
    row.name: row for row in msgspec.convert(tomllib.loads(_TEXT)["unit"], tuple[BillableUnit, ...])
}
"""The units for sale, in the order in which bills and statements show them."""


def _priced_by(unit: Unit) -> tuple[Unit, ...]:
    whole = BILLABLE[unit].part_of
    return (unit,) if whole is None else (unit, *_priced_by(whole))


PRICED_BY: Final[Mapping[Unit, tuple[Unit, ...]]] = {unit: _priced_by(unit) for unit in BILLABLE}
"""Units for sale, each with the units whose price it pays, the nearest first: cached input without a
price of its own pays that of input, reasoning that of output.
"""
DIRECTIONS: Final[Mapping[Unit, str]] = {
    unit: {Unit.INPUT_TOKENS: INPUT, Unit.OUTPUT_TOKENS: OUTPUT}[units[-1]]
    for unit, units in PRICED_BY.items()
    if units[-1] in (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS)
}
"""Side of a call that each unit of tokens is part of (FOCUS TokenDirection). Other units have none."""


def _parts() -> dict[tuple[Unit, ...], Unit]:
    groups: dict[tuple[Unit, bool], list[Unit]] = {}
    for row in BILLABLE.values():
        if row.part_of is not None:
            groups.setdefault((row.part_of, row.is_modality), []).append(row.name)
    return {tuple(parts): whole for (whole, _), parts in groups.items()}


PARTS: Final[Mapping[tuple[Unit, ...], Unit]] = _parts()
"""Counts that are parts of another one, and together no more than it."""


def _parts_of(whole: Unit, *, modalities: bool) -> tuple[Unit, ...]:
    rows = (row for row in BILLABLE.values() if row.part_of is whole)
    return tuple(row.name for row in rows if row.is_modality == modalities)


_TOTALS: Final = tuple(
    (unit, _parts_of(unit, modalities=False), _parts_of(unit, modalities=True))
    for unit in DIRECTIONS
    if not BILLABLE[unit].is_modality
)


def buckets(
    count: Callable[[Unit], T], minus: Callable[[T, T], T], least: Callable[[T, T], T]
) -> dict[Unit, T]:
    """Return the tokens of a call by bucket: each count without its parts, which are buckets of their own.

    A token read from a cache is that whatever its modality was, for so it is priced: where a provider
    counts it both ways, a modality has what the cache and, for output, reasoning leave.
    """
    found: dict[Unit, Any] = dict.fromkeys(DIRECTIONS)
    for total, parts, modalities in _TOTALS:
        rest = count(total)
        for part in parts:
            rest = minus(rest, count(part))
        for part in modalities:
            found[part] = least(count(part), rest)
            rest = minus(rest, found[part])
        found[total] = rest
    return found
