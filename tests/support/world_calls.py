"""Calls of a seeded world at an external API: estimated, closed, billed, and taken back again.

A call has a cost stated by its provider, or a list price. It is estimated until a bill covers its period;
a close seals the estimate, a later bill reverses it, and withdrawing that bill restores it. Calls that
arrive for a closed period are not estimated any more: their bill will be late. `ApiCalls` is the world's
own record of that, independent of the books.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from msgspec.structs import replace
from tests.support.world_bills import API, BilledWorld

from inferworks.books.accruals.api_estimates import API_CATEGORY, estimates, true_up
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.period import Period
from inferworks.catalog.billing import shipped_billing
from inferworks.catalog.prices import ListPrice, ListRate
from inferworks.meter.usage import Leg, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.books import a_leg, a_usage
from inferworks.units import Unit

_PROVIDER: Final = "openai"
_MODEL: Final = "small"
"""Model of all calls, as `a_usage` has it."""
_INPUT, _OUTPUT = "0.25", "1.75"


class _Prices:
    """A price list on which tokens of one model stand, and no other."""

    _price = ListPrice(
        _PROVIDER,
        _MODEL,
        {Unit.INPUT_TOKENS: ListRate(_INPUT, 10**6), Unit.OUTPUT_TOKENS: ListRate(_OUTPUT, 10**6)},
        "0" * 64,
    )

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """The price of `model` at `provider`, at any time."""
        return self._price if (provider, model) == (_PROVIDER, _MODEL) else None


class ApiCalls:
    """Purchased calls, and their estimate when periods were closed."""

    def __init__(self) -> None:
        self.sealed: dict[str, int] = {}

    def seal(self, world: BilledWorld, usages: Iterable[Usage], period: Period) -> None:
        """Note the estimates of a close."""
        self.sealed[period.name] = self._fresh_pico(world, usages, period.span)

    def standing_pico(
        self,
        world: BilledWorld,
        usages: Sequence[Usage],
        closed: Iterable[Period],
        open_: Iterable[Span],
    ) -> int:
        """Return the unbilled estimate: as of the close for `closed` periods, afresh for `open_` spans."""
        sealed = sum(
            self.sealed[period.name] for period in closed if not _is_billed(world, period.span)
        )
        return sealed + sum(self._fresh_pico(world, usages, span) for span in open_)

    def _fresh_pico(self, world: BilledWorld, usages: Iterable[Usage], span: Span) -> int:
        if _is_billed(world, span):
            return 0
        legs = [leg for usage in usages for leg in _bought(usage) if span.holds(leg.started_ns)]
        listed = [leg.tokens for leg in legs if leg.told_cost_pico is None]
        return sum(leg.told_cost_pico or 0 for leg in legs) + round(sum(map(_listed_pico, listed)))


def an_api_call(world: BilledWorld, name: str, customer: str) -> Usage:
    """A call at the API within the last period, or the one before."""
    dice = world.random
    started_ns = max(0, world.now_ns - dice.randint(0, 1_200))
    tokens = Tokens(input=dice.randint(0, 10**6), output=dice.randint(0, 10**5))
    leg = a_leg(None, (started_ns, started_ns + 30), tokens, provider=_PROVIDER)
    if dice.random() < 0.5:
        leg = replace(leg, told_cost_pico=dice.randint(0, 10**13), told_currency="USD")
    return a_usage(
        name,
        customer=customer,
        purpose=dice.choice([Purpose.SERVE_PAID, Purpose.SERVE_PAID, *Purpose]),
        opened_ns=started_ns,
        tokens=tokens,
        legs=[leg],
    )


def estimated(
    usages: Iterable[Usage],
    bills: Sequence[Charge],
    sealed: Sequence[Charge],
    closed: Sequence[Span],
    span: Span,
) -> tuple[Charge, ...]:
    """The estimates that stand in the books of `span` beside `bills`, as the command line has them."""
    now = estimates(usages, _PRICES, span, "USD")
    fresh = [c for c in now if not any(one.holds(c.period_start_ns) for one in closed)]
    kept = [charge for charge in sealed if span.holds(charge.period_start_ns)]
    return true_up(fresh, bills, _is_api_bill, kept, _BILLING) if fresh or kept else ()


_PRICES, _BILLING = _Prices(), shipped_billing()


def _is_api_bill(charge: Charge) -> bool:
    return charge.service_category == API_CATEGORY


def _bought(usage: Usage) -> list[Leg]:
    return [leg for leg in usage.legs if leg.replica is None]


def _listed_pico(tokens: Tokens) -> Fraction:
    pico = Fraction(10**12, 10**6)
    return (tokens.input * Fraction(_INPUT) + tokens.output * Fraction(_OUTPUT)) * pico


def _is_billed(world: BilledWorld, span: Span) -> bool:
    """Return whether a line of the API's bills is for a time within `span`."""
    return any(
        span.meet(line.period_start_ns, line.period_end_ns).length_ns
        for export in world.suppliers.exports.values()
        if export.issuer == API
        for line in export.lines
    )
