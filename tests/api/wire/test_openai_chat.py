"""Chat completions, answered: over raw sockets, a real upstream protocol, and the record of each call."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.meter.usage import Confidence, Outcome, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.in_process_gateway import (
    CHAT,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Reports

Run = Callable[[Coroutine[Any, Any, None]], None]
MESSAGES = [{"role": "user", "content": "Say hello."}]
WHOLE = {"model": A_MODEL, "messages": MESSAGES}
STREAM = {**WHOLE, "stream": True}
ASKING = {**STREAM, "stream_options": {"include_usage": True}}


async def only_usage(gateway: InProcessGateway) -> Usage:
    """The one Usage there is."""
    (usage,) = await gateway.usages()
    return usage


def test_a_whole_answer(run: Run) -> None:
    """A completion comes as the upstream wrote it and leaves one Usage that says all of it."""

    async def main() -> None:
        async with open_gateway(Answer(cached_tokens=4, reasoning_tokens=1)) as (gateway, upstream):
            answer = await gateway.chat(WHOLE)
            assert (answer.status, answer.whole) == (200, True)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json["choices"][0]["message"]["content"] == "Hello there."
            usage = await only_usage(gateway)
            assert (usage.outcome, usage.status, usage.error_code) == (Outcome.ANSWERED, 200, None)
            assert usage.tokens == Tokens(5, 3, cache_read=4, reasoning=1)
            assert usage.confidence is Confidence.REPORTED
            assert (usage.customer, usage.purpose) == ("acme", Purpose.SERVE_PAID)
            assert (usage.model, usage.stream, usage.endpoint) == (
                A_MODEL,
                False,
                "chat.completions",
            )
            assert usage.response_bytes == len(answer.body)
            assert usage.request_bytes == len(json.dumps(WHOLE, separators=(",", ":")))
            assert answer.headers["x-inferworks-call-id"] == usage.call_id
            assert upstream.received[0].headers[b"x-inferworks-call-id"] == usage.call_id.encode()
            assert usage.first_byte_ns is not None
            assert usage.opened_ns <= usage.first_byte_ns <= usage.closed_ns
            (leg,) = usage.legs
            assert (leg.provider, leg.outcome, leg.status) == ("openai", Outcome.ANSWERED, 200)
            assert leg.tokens == usage.tokens
            assert leg.first_token_ns is not None
            assert leg.started_ns <= leg.first_token_ns <= leg.ended_ns

    run(main())


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("asking", [False, True])
def test_a_stream(run: Run, asking: bool, running: bool) -> None:
    """A stream shows usage to the client that asked, and only there; the record is the same."""

    async def main() -> None:
        async with open_gateway(Answer(cached_tokens=2), running_usage=running) as (gateway, _):
            answer = await gateway.chat(ASKING if asking else STREAM)
            assert (answer.status, answer.whole) == (200, True)
            assert answer.headers["content-type"].startswith("text/event-stream")
            *events, done = answer.events
            assert done == b"[DONE]"
            chunks = [json.loads(event) for event in events]
            text = "".join(
                c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]
            )
            assert text == "Hello there."
            told = [chunk for chunk in chunks if chunk.get("usage")]
            assert told == ([chunks[-1]] if asking else [])
            assert all(chunk["choices"] for chunk in chunks) is not asking
            usage = await only_usage(gateway)
            assert (usage.outcome, usage.status, usage.stream) == (Outcome.ANSWERED, 200, True)
            assert usage.tokens == Tokens(5, 3, cache_read=2)
            assert usage.confidence is Confidence.REPORTED
            assert usage.response_bytes == len(answer.body)

    run(main())


def test_running_usage_for_a_client_that_asks_for_it(run: Run) -> None:
    """VLLM's `continuous_usage_stats` reaches the client that asked for it."""

    async def main() -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        async with open_gateway() as (gateway, _):
            answer = await gateway.chat({**STREAM, "stream_options": options})
            assert all(json.loads(event)["usage"] for event in answer.events[:-1])

    run(main())


@pytest.mark.parametrize("body", [WHOLE, ASKING], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("answer", "tokens", "confidence"),
    [
        (Answer(reports=Reports.ZERO), Tokens(), Confidence.REPORTED),
        (Answer(reports=Reports.NEVER), None, Confidence.ESTIMATED),
    ],
    ids=["zero", "silent"],
)
def test_zero_is_reported_and_silence_is_estimated(
    run: Run, body: dict[str, Any], answer: Answer, tokens: Tokens | None, confidence: Confidence
) -> None:
    """An upstream's explicit zero is believed; of a silent one the tokens are a guess, marked as one."""

    async def main() -> None:
        async with open_gateway(answer) as (gateway, _):
            assert (await gateway.chat(body)).status == 200
            usage = await only_usage(gateway)
            assert usage.confidence is confidence
            assert usage.tokens == tokens or (tokens is None and usage.tokens.output > 0)

    run(main())


def test_keep_alive_comments_are_no_tokens(run: Run) -> None:
    """An upstream that says nothing of its usage is not billed by its comments."""

    async def main() -> None:
        quiet = Answer(reports=Reports.NEVER)
        chatty = Answer(reports=Reports.NEVER, comment_before_each="wait")
        async with open_gateway(quiet, chatty) as (gateway, _):
            answers = [await gateway.chat(STREAM), await gateway.chat(STREAM)]
            assert answers[1].body.count(b": wait") > 0
            first, second = await gateway.usages()
            assert first.tokens == second.tokens

    run(main())


PARAMETERS = b"""{ "model": "%b",
  "messages" : [{"role":"system","content":"caf\\u00e9 \xf0\x9f\x99\x82"},
                {"role":"user","content":[{"type":"text","text":"a\\"b"}],"name":"x"}],
  "temperature": 0.70, "top_p":1e-1, "seed": 12345678901234567890123, "n":2,
  "stop": ["\\n", "END"], "max_tokens": 2, "logit_bias": {"50256": -100.0},
  "unknown_parameter": {"deep": [[1.0, null]]}, "user" :"u"%b }"""


def test_a_body_reaches_its_upstream_untouched(run: Run) -> None:
    """Every parameter, known to us or not, goes upstream as the bytes that the client wrote."""

    async def main() -> None:
        async with open_gateway(running_usage=True) as (gateway, upstream):
            sent = PARAMETERS % (A_MODEL.encode(), b"")
            answer = await gateway.chat(sent)
            assert upstream.received[0].body == sent
            texts = [choice["message"]["content"] for choice in answer.json["choices"]]
            assert texts == ["Hello there", "Hello there"]
            assert (await only_usage(gateway)).tokens == Tokens(5, 4)

    run(main())


def test_a_streamed_body_keeps_its_values(run: Run) -> None:
    """In a stream's body only `stream_options` changes; all other values keep their bytes."""

    async def main() -> None:
        async with open_gateway(running_usage=True) as (gateway, upstream):
            sent = PARAMETERS % (A_MODEL.encode(), b', "stream": true')
            answer = await gateway.chat(sent)
            got = upstream.received[0].body
            asked = b'"stream_options":{"include_usage":true,"continuous_usage_stats":true}'
            assert asked in got
            for value in (
                b"0.70",
                b"1e-1",
                b"12345678901234567890123",
                b'["\\n", "END"]',
                b"-100.0",
            ):
                assert value in got
            assert b'"caf\\u00e9 \xf0\x9f\x99\x82"' in got
            assert answer.events[-1] == b"[DONE]"
            assert (await only_usage(gateway)).tokens == Tokens(5, 4)

    run(main())


def test_nulls_are_defaults(run: Run) -> None:
    """A parameter that is null is one that was not given."""

    async def main() -> None:
        names = (
            "stream",
            "stream_options",
            "max_tokens",
            "temperature",
            "n",
            "seed",
            "stop",
            "top_p",
        )
        async with open_gateway() as (gateway, _):
            assert (await gateway.chat({**WHOLE, **dict.fromkeys(names)})).status == 200

    run(main())


@pytest.mark.parametrize(
    ("more", "param"),
    [
        (b'"stream": false', "stream"),
        (b'"Model": "another"', "Model"),
        (b'"\\u006dodel": "another"', "model"),
        ('"\u017ftream": false'.encode(), "\u017ftream"),
        (b'"n": 1, "N": 100', "N"),
        (b'"X-1": 1, "x-1": 2', "x-1"),
    ],
)
def test_a_parameter_that_means_two_values_is_refused(run: Run, more: bytes, param: str) -> None:
    """A request that decoders could read as two values is neither served nor charged."""

    async def main() -> None:
        body = json.dumps(STREAM).encode()[:-1] + b", " + more + b"}"
        async with open_gateway() as (gateway, _):
            answer = await gateway.chat(body)
            assert (answer.status, answer.json["error"]["param"]) == (400, param)
            assert answer.json["error"]["code"] == "duplicate_parameter"

    run(main())


def test_options_of_a_stream_that_mean_two_values_are_refused(run: Run) -> None:
    """Nor can an upstream be kept from telling the usage of a stream by a second spelling."""

    async def main() -> None:
        options = b'"stream_options": {"include_usage": true, "Include_Usage": false}'
        body = json.dumps(STREAM).encode()[:-1] + b", " + options + b"}"
        async with open_gateway() as (gateway, _):
            answer = await gateway.chat(body)
            assert answer.status == 400
            assert answer.json["error"]["param"] == "stream_options.Include_Usage"

    run(main())


def test_failover_is_on_record(run: Run) -> None:
    """A call that was served at the second attempt is one Usage with two legs."""

    async def main() -> None:
        broken = StubProvider([Script(breaks_after=0)], name="broken")
        async with open_gateway_over(broken, StubProvider()) as gateway:
            assert (await gateway.chat(STREAM)).status == 200
            usage = await only_usage(gateway)
            assert [leg.outcome for leg in usage.legs] == [Outcome.FAILED, Outcome.ANSWERED]
            assert usage.tokens == usage.legs[1].tokens == Tokens(5, 3)

    run(main())


def test_a_key_may_narrow_its_purpose(run: Run) -> None:
    """A call names a purpose that its key allows, and is on record with it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {"x-inferworks-purpose": "train-inference"}
            assert (await gateway.chat(WHOLE, headers=headers)).status == 200
            assert (await only_usage(gateway)).purpose is Purpose.TRAIN_INFERENCE

    run(main())


def test_many_calls_over_one_connection(run: Run) -> None:
    """A kept connection answers one call after another, each with its own record."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            reader, writer = await gateway.connect()
            for number in range(5):
                body = json.dumps(STREAM if number % 2 else WHOLE).encode()
                request = gateway.request("POST", CHAT, body, headers={"connection": "keep-alive"})
                writer.write(request)
                end = b"0\r\n\r\n" if number % 2 else b'total_tokens":8}}'
                assert await reader.readuntil(end)
            writer.close()
            await gateway.alone()
            usages = await gateway.usages()
            assert [usage.outcome for usage in usages] == [Outcome.ANSWERED] * 5
            assert len({usage.call_id for usage in usages}) == 5
            assert upstream.connections == 1

    run(main())
