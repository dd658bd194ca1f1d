"""Price plan: the terms of a customer from a moment on.

Problem. Prices are of many kinds (so much a token, less the more is used, by the thousand, by the month)
and they change. A bill must still be explained, and computed again, years later.

Decision. An agreement is its *terms*: a frozen value of whole numbers whose content has a hash. A
*plan* puts a customer under terms from a moment on. Plans are never edited: a new price is a new plan,
a wrong one is withdrawn and stays on record, and every amount that was rated carries the hash of its
terms (theorem 14). `books/revenue/price_schemes.py` turns terms into amounts; `accounts/plan_file.py` reads
them from TOML.

Rejected. Formulas in the plan (nobody can prove what they do); prices looked up at rating time (the
past would move).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeAlias

import msgspec

from inferworks.catalog.units import PRICED_BY
from inferworks.errors import MoneyError, UserError
from inferworks.ids import CustomerId, ModelId
from inferworks.money import Rate
from inferworks.units import Unit


class Tier(msgspec.Struct, frozen=True):
    """A price for the units up to and including `up_to`; None: for all that are left."""

    up_to: int | None
    pico_per_unit: int


class PerUnit(msgspec.Struct, frozen=True, tag="per-unit"):
    """The same price for every unit."""

    pico_per_unit: int


class Graduated(msgspec.Struct, frozen=True, tag="graduated"):
    """Each unit at the price of the tier it falls into; more never costs less."""

    tiers: tuple[Tier, ...]


class Volume(msgspec.Struct, frozen=True, tag="volume"):
    """All units at the price of the tier that their number falls into."""

    tiers: tuple[Tier, ...]


class Package(msgspec.Struct, frozen=True, tag="package"):
    """Blocks of `size` units at `pico` each; a block begun is a block paid."""

    size: int
    pico: int


Scheme: TypeAlias = PerUnit | Graduated | Volume | Package


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """Price of one unit of account, of the `models` named, or of any when none is."""

    unit: Unit
    scheme: Scheme
    models: tuple[ModelId, ...] = ()
    included: int = 0
    """Units of each period that are paid for by the subscription; the scheme counts the rest."""


class PercentOff(msgspec.Struct, frozen=True, tag="percent-off"):
    """A discount of `numerator / denominator` of the amount."""

    numerator: int
    denominator: int


class AmountOff(msgspec.Struct, frozen=True, tag="amount-off"):
    """A discount of `pico` in each period."""

    pico: int


Discount: TypeAlias = PercentOff | AmountOff


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices, fees and discounts of a customer.

    Amounts are in picounits of `currency`, periods are calendar months (UTC). UserError when the terms
    contradict themselves: a negative amount, tiers out of order, two prices for the same thing.
    """

    currency: str
    prices: tuple[Price, ...] = ()
    subscription_pico: int = 0
    """The fee of each period."""
    minimum_pico: int = 0
    """Least charge of each period, after discounts."""
    discounts: tuple[Discount, ...] = ()
    """Taken off usage and subscription, one after the other."""
    name: str = ""

    def __post_init__(self) -> None:
        if min(self.subscription_pico, self.minimum_pico) < 0:
            raise MoneyError("a subscription or a minimum cannot be negative")
        seen: set[tuple[Unit, ModelId | None]] = set()
        for price in self.prices:
            _check_price(price)
            for model in price.models or (None,):
                if (price.unit, model) in seen:
                    named = model or "any model"
                    raise UserError(f"two prices for {price.unit} of {named}; keep one")
                seen.add((price.unit, model))
        for discount in self.discounts:
            match discount:
                case PercentOff(numerator=numerator, denominator=denominator):
                    if not 0 <= numerator <= denominator or not denominator:
                        raise UserError("a discount is between 0 and 100 percent")
                case AmountOff(pico=pico):
                    if pico < 0:
                        raise MoneyError("a discount cannot be negative; raise the price instead")

    @property
    def sha256(self) -> str:
        """The hash of the terms: SHA-256 of their JSON, keys sorted, no spaces, defaults left out.

        Fields added by a later version have defaults, so the hash of older terms stays.
        """
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def standing(self) -> bool:
        """True if a period costs something even when nothing was used."""
        return bool(self.subscription_pico or self.minimum_pico)

    @property
    def is_plain(self) -> bool:
        """True if the terms are prices per unit alone: earlier usage changes no later price."""
        per_unit = all(isinstance(p.scheme, PerUnit) and not p.included for p in self.prices)
        return per_unit and not self.standing and not self.discounts

    def price_of(self, unit: Unit, model: ModelId) -> Price | None:
        """The price that `unit` of `model` pays, if it has one.

        A price that names the model comes before one for any; then the unit's own before the one it
        falls back on (`PRICED_BY`).
        """
        for named in (True, False):
            for paying in PRICED_BY.get(unit, ()):
                for price in self.prices:
                    fits = model in price.models if named else not price.models
                    if price.unit is paying and fits:
                        return price
        return None

    def rate_of(self, unit: Unit, model: ModelId) -> int | None:
        """Return the picounits of one `unit` of `model` if they do not depend on other use; else None."""
        price = self.price_of(unit, model)
        if price is None or price.included or not isinstance(price.scheme, PerUnit):
            return None
        return price.scheme.pico_per_unit

    def dearest_of(self, unit: Unit, model: ModelId) -> int:
        """Return the most picounits that one `unit` of `model` comes to; 0 without a price.

        What is included is taken to be used up. Of a package it is the part: a period is charged whole
        ones, so it may come to more, by less than one.
        """
        price = self.price_of(unit, model)
        if price is None:
            return 0
        scheme = price.scheme
        if isinstance(scheme, PerUnit):
            return scheme.pico_per_unit
        if isinstance(scheme, Package):
            return -(-scheme.pico // scheme.size)
        return max(tier.pico_per_unit for tier in scheme.tiers)


class PricePlan(msgspec.Struct, frozen=True):
    """`terms` for one customer, from `effective_ns` until its next plan."""

    customer: CustomerId
    effective_ns: int
    terms: Terms

    @property
    def currency(self) -> str:
        """The currency of all its amounts."""
        return self.terms.currency

    @classmethod
    def per_token(
        cls,
        customer: CustomerId,
        effective_ns: int,
        currency: str,
        input_pico: int,
        output_pico: int,
    ) -> PricePlan:
        """A plan at so many picounits per input token and per output token."""
        return cls(customer, effective_ns, token_terms(currency, input_pico, output_pico))

    @classmethod
    def per_million(
        cls,
        customer: CustomerId,
        effective_ns: int,
        currency: str,
        input_price: str,
        output_price: str,
    ) -> PricePlan:
        """A plan from prices per million tokens, as decimal texts with at most six decimals."""
        prices = (Rate.per_million(text, currency) for text in (input_price, output_price))
        return cls.per_token(
            customer, effective_ns, currency, *(price.pico_per_unit for price in prices)
        )


class WithdrawnPlan(msgspec.Struct, frozen=True):
    """Plan that was a mistake: it counts no more, but for periods closed with it."""

    plan: PricePlan
    withdrawn_ns: int
    """Moment of the withdrawal."""


def token_terms(currency: str, input_pico: int, output_pico: int) -> Terms:
    """Terms at so many picounits per input token and per output token."""
    return Terms(
        currency,
        (
            Price(Unit.INPUT_TOKENS, PerUnit(input_pico)),
            Price(Unit.OUTPUT_TOKENS, PerUnit(output_pico)),
        ),
    )


def plan_at(plans: Iterable[PricePlan], customer: CustomerId, at_ns: int) -> PricePlan | None:
    """The plan of `customer` in force at `at_ns`: the last one effective by then."""
    in_force = (p for p in plans if p.customer == customer and p.effective_ns <= at_ns)
    return max(in_force, key=lambda plan: plan.effective_ns, default=None)


def _check_price(price: Price) -> None:
    if price.unit not in PRICED_BY:
        raise UserError(f"{price.unit} cannot be sold; choose one of: {', '.join(PRICED_BY)}")
    if price.included < 0:
        raise UserError(f"{price.unit}: included units cannot be negative")
    match price.scheme:
        case PerUnit(pico_per_unit=pico):
            amounts = [pico]
        case Package(size=size, pico=pico):
            if size <= 0:
                raise UserError(f"{price.unit}: a package has at least one unit")
            amounts = [pico]
        case Graduated(tiers=tiers) | Volume(tiers=tiers):
            bounds = [tier.up_to for tier in tiers]
            if not bounds or bounds[-1] is not None or None in bounds[:-1]:
                raise UserError(f"{price.unit}: the last tier, and only that, has no up_to")
            limits = [0, *(bound for bound in bounds if bound is not None)]
            if any(after <= before for before, after in pairwise(limits)):
                raise UserError(f"{price.unit}: each tier must end above the one before")
            amounts = [tier.pico_per_unit for tier in tiers]
    if min(amounts) < 0:
        raise MoneyError(f"{price.unit}: a price cannot be negative")
