"""Items other than text are paid for too: from a client's call to the amount of a price plan."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from openai import AsyncOpenAI

from inferworks.accounts.plan import PerUnit, Price, PricePlan, Terms
from inferworks.books.calendar.months import month_of
from inferworks.books.revenue.rating import rate
from inferworks.testing.in_process_gateway import A_CUSTOMER, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Reports
from inferworks.testing.upstreams.audio import recording
from inferworks.units import Unit

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
PRICES = {
    Unit.IMAGES: 40_000_000_000,  # 4 cents a picture
    Unit.CHARACTERS: 15_000_000,  # 15 dollars a million
    Unit.AUDIO_MS: 100_000,  # 0.6 cents a minute
}


def test_every_item_is_paid_for(run: Run) -> None:
    """Two pictures, nine characters and a minute of sound come to exactly their prices."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=Reports.NEVER)) as (gateway, _),
            AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0) as client,
        ):
            await client.images.generate(model=A_MODEL, prompt="A cat.", n=2)
            await client.audio.speech.create(model=A_MODEL, input="Grüß Gott", voice="alloy")
            await client.audio.transcriptions.create(
                model=A_MODEL, file=("a.wav", recording(60_000))
            )
            usages = await gateway.usages()
            prices = tuple(Price(unit, PerUnit(pico)) for unit, pico in PRICES.items())
            plan = PricePlan(A_CUSTOMER, 0, Terms("USD", prices))
            revenue = rate(usages, [plan], month_of(usages[0].opened_ns), "USD")
            assert {row.unit: row.amount_pico for row in revenue.rated} == {
                Unit.IMAGES: 80_000_000_000,
                Unit.CHARACTERS: 135_000_000,
                Unit.AUDIO_MS: 6_000_000_000,
            }
            assert revenue.unpriced == ()

    run(main())
