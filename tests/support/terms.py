"""Random terms of price plans: tiers, packages, included units, fees, minimums and discounts."""

from __future__ import annotations

from hypothesis import strategies as st

from inferworks.accounts.plan import (
    AmountOff,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Price,
    Terms,
    Tier,
    Volume,
)
from inferworks.catalog.units import PRICED_BY
from inferworks.ids import ModelId
from inferworks.units import Unit

_rates = st.integers(0, 10**7)
_steps = st.lists(st.tuples(st.integers(1, 400), _rates), max_size=3)


def _tiers(steps: list[tuple[int, int]], last: int) -> tuple[Tier, ...]:
    bound, tiers = 0, []
    for width, pico in steps:
        bound += width
        tiers.append(Tier(bound, pico))
    return (*tiers, Tier(None, last))


some_tiers = st.builds(_tiers, _steps, _rates)
some_schemes = st.one_of(
    st.builds(PerUnit, _rates),
    st.builds(Graduated, some_tiers),
    st.builds(Volume, some_tiers),
    st.builds(Package, st.integers(1, 500), _rates),
)
_discounts = st.one_of(
    st.builds(AmountOff, st.integers(0, 10**9)),
    st.tuples(st.integers(0, 97), st.integers(0, 97)).filter(lambda p: sum(p) > 0).map(
        lambda p: PercentOff(p[0], sum(p))
    ),
)  # fmt: skip


@st.composite
def some_terms(draw: st.DrawFn) -> Terms:
    """Terms of every kind, in dollars."""
    units = draw(st.lists(st.sampled_from(list(PRICED_BY)), unique=True))
    prices = [
        Price(unit, draw(some_schemes), included=draw(st.sampled_from([0, 0, 150])))
        for unit in units
    ]
    if Unit.INPUT_TOKENS in units and draw(st.booleans()):
        prices.append(Price(Unit.INPUT_TOKENS, draw(some_schemes), models=(ModelId("small"),)))
    return Terms(
        "USD",
        tuple(prices),
        subscription_pico=draw(st.sampled_from([0, 10**9 + 7])),
        minimum_pico=draw(st.sampled_from([0, 10**10 + 1])),
        discounts=tuple(draw(st.lists(_discounts, max_size=2))),
    )
