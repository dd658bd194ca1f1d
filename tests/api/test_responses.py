"""`POST /v1/responses`, passed to an upstream that has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import openai
import pytest
from openai import AsyncOpenAI

from inferworks.cloud.providers.stub import StubProvider
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
PATH = "/v1/responses"


def client_of(gateway: InProcessGateway) -> AsyncOpenAI:
    """The official client, which does not try again."""
    return AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0)


def test_a_whole_response(run: Run) -> None:
    """The client reads the text; every part of the usage is on record."""

    async def main() -> None:
        answer = Answer(input_tokens=9, cached_tokens=4, reasoning_tokens=2)
        async with open_gateway(answer) as (gateway, upstream), client_of(gateway) as client:
            got = await client.responses.create(
                model=A_MODEL, input="Say hello.", instructions="Be brief.", safety_identifier="u"
            )
            assert (got.output_text, got.status) == ("Hello there.", "completed")
            assert upstream.received[0].path == PATH
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.end_user) == ("responses", "u")
            assert usage.tokens == Tokens(9, 3, cache_read=4, reasoning=2)
            assert usage.confidence is Confidence.REPORTED
            assert usage.legs[0].service_tier == "default"

    run(main())


def test_a_streamed_response(run: Run) -> None:
    """Typed events come in order, all of them, and the last one tells the usage."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            stream = await client.responses.create(model=A_MODEL, input="Hi", stream=True)
            events = [event async for event in stream]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
            text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            assert text == "Hello there."
            (usage,) = await gateway.usages()
            assert (usage.tokens, usage.confidence) == (Tokens(5, 3), Confidence.REPORTED)

    run(main())


def test_an_incomplete_stream_is_a_whole_answer(run: Run) -> None:
    """`response.incomplete` ends a stream as well as `response.completed`."""

    async def main() -> None:
        opening = open_gateway(Answer(words=("a",) * 20))
        async with opening as (gateway, _), client_of(gateway) as client:
            async with client.responses.stream(
                model=A_MODEL, input="Hi", max_output_tokens=16
            ) as stream:
                types = [event.type async for event in stream]
            assert types[-1] == "response.incomplete"
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.ANSWERED, Tokens(5, 16))

    run(main())


def test_a_stream_that_breaks_off(run: Run) -> None:
    """The client's own exception; what was seen is on record, and that it is an estimate."""

    async def main() -> None:
        answer = Answer(fault=Fault.RESET, fault_after=6)
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            stream = await client.responses.create(model=A_MODEL, input="Hi", stream=True)
            with pytest.raises(openai.APIError, match="ended its answer early"):
                _ = [event async for event in stream]
            (usage,) = await gateway.usages()
            (leg,) = usage.legs
            assert (usage.outcome, leg.confidence) == (Outcome.FAILED, Confidence.ESTIMATED)
            assert leg.tokens.output == 2

    run(main())


@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.GARBAGE, Fault.ERROR_EVENT])
def test_faults_amid_a_stream(run: Run, fault: Fault) -> None:
    """A stream that goes wrong, in any way, ends with an error event and one failed record."""

    async def main() -> None:
        async with open_gateway(Answer(fault=fault, fault_after=5)) as (gateway, _):
            body = {"model": A_MODEL, "input": "Hi", "stream": True}
            got = await gateway.ask("POST", PATH, json.dumps(body).encode())
            events = got.body.strip().split(b"\n\n")
            assert events[-1].startswith(b"event: error\n")
            told = [json.loads(event.partition(b"data: ")[2]) for event in events]
            assert told[-1]["code"] == "upstream_failed"
            numbers = [one["sequence_number"] for one in told if "sequence_number" in one]
            assert numbers == list(range(len(numbers)))
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.FAILED

    run(main())


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": 1}, "input", "invalid_type"),
        ({"input": ["a"]}, "input[0]", "invalid_type"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
        ({"tools": {}}, "tools", "invalid_type"),
    ],
)
def test_what_is_wrong_is_refused(run: Run, change: dict[str, Any], param: str, code: str) -> None:
    """A mistake, and what could not be metered, is told before any upstream hears of it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            body = {"model": A_MODEL, "input": "Hi", **change}
            with pytest.raises(openai.BadRequestError) as caught:
                await client.post("/responses", body=body, cast_to=object)
            assert (caught.value.param, caught.value.code) == (param, code)
            assert upstream.received == []
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.REFUSED

    run(main())


def test_nothing_is_kept(run: Run) -> None:
    """A request for an earlier response is refused with a line that says what to do."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            with pytest.raises(openai.NotFoundError, match="no responses are kept here"):
                await client.responses.retrieve("resp_1")
            with pytest.raises(openai.NotFoundError, match="whole conversation"):
                await client.responses.delete("resp_1")
            with pytest.raises(openai.NotFoundError):
                await client.responses.cancel("resp_1")
            assert (await gateway.ask("GET", f"{PATH}/resp_1", secret="")).status == 401
            assert upstream.received == []

    run(main())


def test_input_tokens(run: Run) -> None:
    """Input tokens are counted by the offer that would answer, for nothing; if none counts, by words."""

    async def main() -> None:
        async with open_gateway(Answer(input_tokens=7)) as (gateway, upstream):
            async with client_of(gateway) as client:
                counted = await client.responses.input_tokens.count(model=A_MODEL, input="Hi")
            assert (counted.input_tokens, counted.object) == (7, "response.input_tokens")
            assert upstream.received[0].path == "/v1/responses/input_tokens"
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.tokens) == ("responses.input_tokens", Tokens())
            assert usage.outcome is Outcome.ANSWERED
        async with open_gateway_over(StubProvider()) as gateway:
            body = msgspec.json.encode({"model": A_MODEL, "input": "Hi"})
            answer = await gateway.ask("POST", "/v1/responses/input_tokens", body)
            assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_operation")

    run(main())
