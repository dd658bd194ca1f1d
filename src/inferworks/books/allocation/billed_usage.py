"""The calls, models and tokens that a bill line stands for.

They are read from the line's own columns, best first. FOCUS's `SkuPriceDetails` names the model
(`ModelId`) and the tokens (`TokenDirection`, `TokenCacheAction`). Where it does not, meters and
descriptions do, in the words of `catalog/billing.toml`. A line that cannot be read so leaves the question
open: then all models count, or both directions, as for a bill of one line.

A line is divided by the first of its *levels* that weighs anything: the tokens that it names; where the
meter does not count those separately, all tokens of their direction. A line that names a model for
certain stays with it: if the model was not called, the line is unallocated. A line that may name a model,
but none that was called, is for all models of its seller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from inferworks.books.charge import Charge, is_provisional
from inferworks.catalog.billing import Billing, Means, Named, Said, edition_of
from inferworks.catalog.units import DIRECTIONS, INPUT, OUTPUT
from inferworks.units import Unit

Units: TypeAlias = tuple[Unit, ...]
Sold: TypeAlias = tuple[str, str]
"""A provider and a model, as calls name them."""

ALL_INPUT: Units = tuple(unit for unit, side in DIRECTIONS.items() if side == INPUT)
ALL_OUTPUT: Units = tuple(unit for unit, side in DIRECTIONS.items() if side == OUTPUT)
FLAT: Units = tuple(unit for unit in DIRECTIONS if unit is not Unit.CACHE_READ_TOKENS)
"""Every token that had to be computed."""


class Level(NamedTuple):
    """Calls and units that may divide a line; a level of no weight is skipped."""

    sold: frozenset[Sold]
    units: Units


class Sale(NamedTuple):
    """Calls, models and units that a line may stand for."""

    providers: frozenset[str]
    """Providers of the calls, in the forms of `Billing.forms`."""
    models: tuple[Named, ...]
    """Models, best first; none where the line names no model."""
    units: tuple[Units, ...]
    """Token units that may divide the line, best first."""
    is_for_calls: bool
    """True if the line stands for the calls of its time; else it is a seat, support, a tax, a credit."""
    says_so: bool
    """True if the line names tokens or a model; else it is usage, and no more is known."""
    exact: Sold | None = None
    """For an estimate: provider and model of its calls."""
    spelled: tuple[str, ...] | None = None
    """For a bill read as before there was a table: its models as spelled, casefolded."""

    @property
    def certain(self) -> bool:
        """True if the line names a model for certain."""
        return any(model.certain for model in self.models)

    def levels(self, sold: Iterable[Sold], billing: Billing) -> tuple[Level, ...]:
        """Return the levels that may divide the line among calls of `sold`, best first."""
        if self.spelled is not None:
            mine = [pair for pair in sold if pair[0].casefold() in self.providers]
            spelled = [pair for pair in mine if pair[1].casefold() in self.spelled]
            return tuple(Level(frozenset(group), FLAT) for group in (spelled, mine) if group)
        if self.exact is not None:
            return (Level(frozenset({self.exact}), FLAT),)
        mine = [pair for pair in sold if not self.providers.isdisjoint(billing.forms(pair[0]))]
        groups = [
            frozenset(
                pair for pair in mine if any(map(named.model.is_of, billing.billed_as(pair[1])))
            )
            for named in self.models
        ]
        if not self.certain:
            groups.append(frozenset(mine))
        levels = (Level(group, units) for group in groups if group for units in self.units)
        return tuple(dict.fromkeys(levels))


def sale_of(charge: Charge, billing: Billing) -> Sale:
    """Return the calls, models and units that `charge`, of a pool divided by tokens, stands for."""
    if billing.is_first:
        return _as_first_read(charge)
    if is_provisional(charge):
        exact = (charge.provider, charge.resource_id or "")
        return Sale(frozenset(), (), (FLAT,), False, False, exact)
    seller = billing.seller(charge.provider, charge.issuer, charge.service_name)
    said = [billing.said(text, seller.family) for text in _texts(charge)]
    details = _details(charge)
    of_tokens = (one.means for one in said if not one.means.isdisjoint(_TOKENS))
    means = next(of_tokens, frozenset[Means]())
    units = _units(details, means, exact="x_RevenueItem" in dict(charge.other))
    models = _models(charge, details, said, billing)
    is_named = any(model.certain for model in models)
    is_for_calls, says_so = _stands_for_calls(charge, said, billing, units[0] != FLAT, is_named)
    return Sale(seller.providers, models, units, is_for_calls, says_so)


def _as_first_read(charge: Charge) -> Sale:
    """Return the sale as read before there was a table, so that periods closed then give the same figures.

    Names are those of the meter, all of one or its first word, and tokens are told by no line.
    """
    names_on_bill = (charge.provider, charge.issuer, charge.service_name)
    folded = [name.casefold() for name in names_on_bill]
    providers = frozenset(short for name in folded for short in (name, name.partition(" ")[0]))
    is_model = (charge.resource_type or "").casefold() == "model"
    models = (charge.resource_id if is_model else "", dict(charge.other).get("ResourceName"))
    spelled = tuple(sorted({name.casefold() for name in models if name}))
    return Sale(providers, (), (FLAT,), False, False, spelled=spelled)


def model_text(charge: Charge) -> str:
    """The text by which `charge` names a model, as the bill writes it; empty for none."""
    is_model = (charge.resource_type or "").casefold() == "model"
    named = _details(charge).get("ModelId") or (charge.resource_id if is_model else "")
    return named or next(iter(_texts(charge)), "")


_METERS = ("SkuMeter", "x_UsageType", "x_SkuMeterName")
"""FOCUS's column for what is metered, and those of AWS and Azure."""
COLUMNS = (
    *_METERS,
    "ChargeFrequency",
    "PricingUnit",
    "ResourceName",
    "SkuId",
    "SkuPriceDetails",
    "x_RevenueItem",
    "x_SkuDescription",
)
"""The columns without a field of their own that are looked at here."""
_TOKENS = frozenset({Means.INPUT, Means.OUTPUT, Means.CACHE, Means.READ, Means.WRITE})
_LONGEST_DETAILS = 100_000


def _texts(charge: Charge) -> tuple[str, ...]:
    """Return the texts that may name a model and tokens, the most reliable column first."""
    other = dict(charge.other)
    edition = edition_of(charge.service_name)
    texts = (
        *(other.get(name, "") for name in _METERS),
        edition[0] if edition else "",
        other.get("ResourceName", ""),
        charge.description,
        other.get("x_SkuDescription", ""),
        other.get("SkuId", ""),
    )
    return tuple(dict.fromkeys(text for text in texts if text))


def _details(charge: Charge) -> Mapping[str, str]:
    """The properties in SkuPriceDetails; none where it is no JSON object of texts."""
    text = dict(charge.other).get("SkuPriceDetails", "")
    if not text or len(text) > _LONGEST_DETAILS:
        return {}
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    pairs: Iterable[tuple[str, Any]] = decoded.items() if isinstance(decoded, dict) else ()
    if isinstance(decoded, list):  # of keys and values
        rows = [row for row in decoded if isinstance(row, dict) and {"key", "value"} <= row.keys()]
        pairs = [(str(row["key"]), row["value"]) for row in rows]
    return {name: value for name, value in pairs if isinstance(value, str) and value}


def _models(
    charge: Charge, details: Mapping[str, str], said: Iterable[Said], billing: Billing
) -> tuple[Named, ...]:
    """The models that a line names: those of the first column that is certain, else what any may name."""
    resource = charge.resource_id or ""
    is_model = (charge.resource_type or "").casefold() == "model"
    for name in (details.get("ModelId", ""), resource if is_model else ""):
        if name:
            return (Named(billing.model(name), certain=True),)
    maybe: list[Named] = []
    for one in said:
        certain = [named for named in one.models if named.certain]
        if certain:
            return tuple(
                sorted(
                    certain, key=lambda n: len(n.model.letters) + len(n.model.digits), reverse=True
                )
            )
        maybe += one.models
    return tuple(dict.fromkeys(maybe))


def _units(
    details: Mapping[str, str], means: frozenset[Means], *, exact: bool
) -> tuple[Units, ...]:
    """The tokens that a line is for, best first. `exact`: its meters are ours, each one unit."""
    direction = details.get("TokenDirection", "").casefold()
    action = details.get("TokenCacheAction", "").casefold()
    cached = Means.CACHE in means and means.isdisjoint({Means.WRITE, Means.UNCACHED})
    read = action == "read" or (not action and cached)
    write = action == "write" or (not action and Means.WRITE in means)
    if not direction:
        both = Means.INPUT in means and Means.OUTPUT in means
        is_input = read or write or (Means.INPUT in means and not both)
        is_output = Means.OUTPUT in means and not both and not (read or write)
        direction = "input" if is_input else "output" if is_output else ""
        is_stated = False
    else:
        is_stated = True
    if direction == "output":
        usual = (Unit.OUTPUT_TOKENS,) if exact else ALL_OUTPUT
        return _narrowed(_told(_OUTPUT, means, usual), ALL_OUTPUT)
    if direction != "input":
        return (FLAT,)
    if read:
        return _narrowed((Unit.CACHE_READ_TOKENS,), ALL_INPUT)
    if write:
        usual = (Unit.CACHE_WRITE_TOKENS,) if exact else _WRITTEN
        return _narrowed(_told(_WRITTEN_FOR, means, usual), ALL_INPUT)
    if is_stated and not action and not exact:
        return (ALL_INPUT,)
    usual = (Unit.INPUT_TOKENS,) if exact else (Unit.INPUT_TOKENS, *_INPUT.values())
    return _narrowed(_told(_INPUT, means, usual), ALL_INPUT)


_OUTPUT = {
    Means.REASONING: Unit.REASONING_TOKENS,
    Means.AUDIO: Unit.OUTPUT_AUDIO_TOKENS,
    Means.IMAGE: Unit.OUTPUT_IMAGE_TOKENS,
}
_INPUT = {Means.AUDIO: Unit.INPUT_AUDIO_TOKENS, Means.IMAGE: Unit.INPUT_IMAGE_TOKENS}
_WRITTEN = (Unit.CACHE_WRITE_TOKENS, Unit.CACHE_WRITE_1H_TOKENS)
_WRITTEN_FOR = {Means.HOUR: Unit.CACHE_WRITE_1H_TOKENS}


def _told(kinds: Mapping[Means, Unit], means: frozenset[Means], usual: Units) -> Units:
    """Return the tokens of the first of `kinds` that a line `means`; the `usual` ones without any."""
    return next(((unit,) for kind, unit in kinds.items() if kind in means), usual)


def _narrowed(units: Units, wide: Units) -> tuple[Units, ...]:
    return tuple(dict.fromkeys((units, wide)))


def _stands_for_calls(
    charge: Charge, said: Iterable[Said], billing: Billing, is_directed: bool, is_named: bool
) -> tuple[bool, bool]:
    """Return (stands for calls, says so) for a line, by its category, unit and words."""
    other = dict(charge.other)
    if charge.charge_category != "Usage" or charge.charge_class:
        return False, False
    units = [billing.said(text) for text in (charge.unit or "", other.get("PricingUnit", ""))]
    means = frozenset().union(*(one.means for one in (*said, *units)))
    if is_directed or Means.TOKENS in means or Means.RESERVED in means:
        return True, True
    means |= billing.said(charge.service_name).means
    is_usage = other.get("ChargeFrequency", "Usage-Based") == "Usage-Based"
    return (True, is_named) if is_usage and Means.OTHER not in means else (False, False)
