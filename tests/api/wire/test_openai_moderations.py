"""`POST /v1/moderations`: free, and on record."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from inferworks.ids import ModelId
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import open_gateway
from inferworks.testing.providers import A_MODEL

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_a_moderation(run: Run) -> None:
    """The client reads the result; the call is on record with a zero that the upstream vouches for."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                got = await client.moderations.create(model=A_MODEL, input=["one", "two"])
            assert [result.flagged for result in got.results] == [False, False]
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.outcome) == ("moderations", Outcome.ANSWERED)
            assert (usage.tokens, usage.confidence) == (Tokens(), Confidence.REPORTED)

    run(main())


def test_a_model_need_not_be_named(run: Run) -> None:
    """Without a model it is OpenAI's default, and parts may be images."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            default = ModelId("omni-moderation-latest")
            gateway.catalogue.ready[default] = gateway.catalogue.ready[A_MODEL]
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
                got = await client.moderations.create(input=[picture])  # type: ignore[list-item]
            assert got.model == default
            assert b"model" not in upstream.received[0].body
            (usage,) = await gateway.usages()
            assert usage.model == default

    run(main())


def test_nothing_to_moderate_is_refused(run: Run) -> None:
    """An input is needed."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                with pytest.raises(openai.BadRequestError) as caught:
                    await client.moderations.create(model=A_MODEL, input=[])
            assert caught.value.code == "empty_array"

    run(main())
