"""`POST /v1/completions`: the older kind, passed to an upstream that has it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
PATH = "/v1/completions"


def client_of(gateway: InProcessGateway) -> AsyncOpenAI:
    """The official client, which does not try again."""
    return AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0)


@pytest.mark.parametrize(
    ("prompt", "copies"),
    [("Say hello.", 1), (["Say", "hello"], 2), ([9906, 1917], 1), ([[9906], [1917]], 2)],
)
def test_a_whole_completion(run: Run, prompt: Any, copies: int) -> None:
    """Each kind of prompt goes up as it came; text comes back, one choice for each prompt."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            got = await client.completions.create(model=A_MODEL, prompt=prompt, max_tokens=2)
            assert [choice.text for choice in got.choices] == ["Hello there"] * copies
            assert got.choices[0].finish_reason == "length"
            assert upstream.received[0].path == PATH
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.outcome) == ("completions", Outcome.ANSWERED)
            assert usage.tokens == Tokens(5, 2 * copies)
            assert usage.confidence is Confidence.REPORTED

    run(main())


@pytest.mark.parametrize("asking", [False, True])
def test_a_streamed_completion(run: Run, asking: bool) -> None:
    """A stream comes as text; the usage that we ask for is shown only to those who asked too."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            stream = await client.completions.create(
                model=A_MODEL, prompt="Say hello.", stream=True,
                stream_options={"include_usage": True} if asking else openai.omit,
            )  # fmt: skip
            events = [event async for event in stream]
            texts = [event.choices[0].text for event in events if event.choices]
            assert "".join(texts) == "Hello there."
            assert [e.usage.total_tokens for e in events if e.usage] == ([8] if asking else [])
            (usage,) = await gateway.usages()
            assert (usage.tokens, usage.confidence) == (Tokens(5, 3), Confidence.REPORTED)

    run(main())


def test_a_stream_that_breaks_off(run: Run) -> None:
    """Tokens before the break are counted, from the running usage."""

    async def main() -> None:
        answer = Answer(fault=Fault.RESET, fault_after=2)
        opening = open_gateway(answer, running_usage=True)
        async with opening as (gateway, _), client_of(gateway) as client:
            stream = await client.completions.create(model=A_MODEL, prompt="Hi", stream=True)
            with pytest.raises(openai.APIError, match="ended its answer early"):
                _ = [event async for event in stream]
            (usage,) = await gateway.usages()
            (leg,) = usage.legs
            assert (usage.outcome, leg.confidence) == (Outcome.FAILED, Confidence.COUNTED)
            assert leg.tokens == Tokens(5, 2)

    run(main())


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": [1.5]}, "prompt[0]", "invalid_type"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"logprobs": -1}, "logprobs", "integer_below_min_value"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"best_of": 2, "n": 3}, "best_of", "invalid_value"),
        ({"best_of": 2, "stream": True}, "best_of", "invalid_value"),
        ({"stream_options": {}}, "stream_options", None),
    ],
)
def test_what_is_wrong_is_refused(
    run: Run, change: dict[str, Any], param: str, code: str | None
) -> None:
    """A mistake is told in OpenAI's words, before any upstream hears of it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            body = {"model": A_MODEL, "prompt": "Hi", **change}
            with pytest.raises(openai.BadRequestError) as caught:
                await client.post("/completions", body=body, cast_to=object)
            assert (caught.value.param, caught.value.code) == (param, code)
            assert upstream.received == []
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.REFUSED

    run(main())


def test_unknown_parameters_pass(run: Run) -> None:
    """The bytes of a request are not touched; what they say is between caller and upstream."""

    async def main() -> None:
        body = b'{ "model": "inferworks-tiny", "prompt": "\\u00e9", "top_k": 1e0, "x": [ {} ] }'
        async with open_gateway(running_usage=True) as (gateway, upstream):
            answer = await gateway.ask("POST", PATH, body)
            assert answer.status == 200
            assert upstream.received[0].body == body

    run(main())
