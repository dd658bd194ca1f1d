"""Anthropic's messages, answered: by an upstream of either dialect, each call with its one record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import pytest

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.providers.stub import StubProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient
from inferworks.meter.usage import Confidence, Items, Outcome, Tokens, Usage
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, FakeUpstream, Fault, open_upstream
from inferworks.testing.upstreams.anthropic import FakeAnthropic, MessageAnswer, open_anthropic

Run = Callable[[Coroutine[Any, Any, None]], None]
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
WHOLE = {
    "model": A_MODEL,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Say hello."}],
    "metadata": {"user_id": "user-7"},
}
STREAM = {**WHOLE, "stream": True}


@asynccontextmanager
async def before_anthropic(
    *answers: MessageAnswer,
) -> AsyncIterator[tuple[InProcessGateway, FakeAnthropic]]:
    """A gateway before an upstream that speaks Anthropic's dialect."""
    async with open_anthropic(*answers) as upstream:
        with closing(HttpClient()) as client:
            provider = PassthroughProvider(client, ANTHROPIC, NoCredential())
            translating = TranslatingProvider(provider, TRANSLATIONS)
            async with open_gateway_over(translating, origin=upstream.origin) as gateway:
                yield gateway, upstream


@asynccontextmanager
async def before_openai(*answers: Answer) -> AsyncIterator[tuple[InProcessGateway, FakeUpstream]]:
    """A gateway before an upstream that speaks OpenAI's dialect."""
    async with open_upstream(*answers) as upstream:
        with closing(HttpClient()) as client:
            provider = openai_provider(client, NoCredential(), name="openai")
            translating = TranslatingProvider(provider, TRANSLATIONS)
            async with open_gateway_over(translating, origin=upstream.origin) as gateway:
                yield gateway, upstream


async def ask(
    gateway: InProcessGateway, body: object, path: str = MESSAGES, **settings: Any
) -> Answered:
    """Ask as Anthropic's clients do, with `x-api-key`."""
    headers = {"x-api-key": gateway.secret, "anthropic-version": "2023-06-01"}
    headers |= settings.pop("headers", {})
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await gateway.ask("POST", path, data, headers=headers, secret="", **settings)


@pytest.mark.parametrize(
    "thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "m"}]
)
def test_no_thread_is_kept_for_anthropics_clients(run: Run, thread: object) -> None:
    """A `thread` is refused in the words after which clients send all; no offer keeps conversations."""

    async def scenario() -> None:
        async with before_openai() as (gateway, upstream):
            got = await ask(gateway, {**WHOLE, "thread": thread})
            assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
            assert got.json["error"]["details"]["error_code"] == "thread_unsupported_request"
            assert upstream.received == []
            plain = await ask(gateway, {**WHOLE, "max_tokens": "x"})
            assert "details" not in plain.json["error"]

    run(scenario())


async def only_usage(gateway: InProcessGateway) -> Usage:
    """The one Usage there is."""
    (usage,) = await gateway.usages()
    return usage


def events_of(answer: Answered) -> list[Any]:
    """The events of a stream, decoded; each is named as its data says."""
    events = []
    for event in answer.body.split(b"\n\n")[:-1]:
        if event.startswith(b"event: "):
            name, data = event[7:].split(b"\ndata: ")
            events.append(msgspec.json.decode(data))
            assert events[-1]["type"] == name.decode()
    return events


def text_of(events: list[Any]) -> str:
    """Text of a stream."""
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def test_a_message_passes_to_anthropic(run: Run) -> None:
    """The bytes are the caller's and the upstream's, and the one Usage says all of it."""

    async def main() -> None:
        answer = MessageAnswer(cache_read=7, cache_write_1h=2, searches=1, thinking_tokens=3)
        async with before_anthropic(answer) as (gateway, upstream):
            beta = {"anthropic-beta": "context-1m", "x-secret": "s"}
            got = await ask(gateway, WHOLE, headers=beta)
            assert (got.status, got.json["content"][0]["text"]) == (200, "Hello there.")
            (received,) = upstream.received
            assert received.body == msgspec.json.encode(WHOLE)
            assert received.headers[b"anthropic-beta"] == b"context-1m"
            assert not {b"x-secret", b"x-api-key", b"authorization"} & received.headers.keys()
            usage = await only_usage(gateway)
            assert (usage.endpoint, usage.outcome) == ("messages", Outcome.ANSWERED)
            assert usage.tokens == Tokens(
                14, 6, cache_read=7, reasoning=3, cache_write=2, cache_write_1h=2
            )
            assert (usage.items, usage.end_user) == (Items(searches=1), "user-7")
            assert (usage.confidence, usage.legs[0].service_tier) == (
                Confidence.REPORTED,
                "standard",
            )

    run(main())


def test_a_stream_passes_from_anthropic(run: Run) -> None:
    """Every event is handed on as it came, the ping too."""

    async def main() -> None:
        async with before_anthropic() as (gateway, _):
            got = await ask(gateway, STREAM)
            events = events_of(got)
            assert [event["type"] for event in events] == [
                "message_start", "content_block_start", "ping", *["content_block_delta"] * 3,
                "content_block_stop", "message_delta", "message_stop",
            ]  # fmt: skip
            assert text_of(events) == "Hello there."
            usage = await only_usage(gateway)
            assert (usage.tokens, usage.confidence) == (Tokens(5, 3), Confidence.REPORTED)

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_is_served_by_a_chat(run: Run, stream: bool) -> None:
    """A client of Anthropic's is answered in its dialect by an upstream that has never heard of it."""

    async def main() -> None:
        async with before_openai(Answer(cached_tokens=2)) as (gateway, upstream):
            got = await ask(gateway, {**WHOLE, "stream": stream})
            assert got.status == 200
            if stream:
                events = events_of(got)
                assert text_of(events) == "Hello there."
                told = events[-2]["usage"]
            else:
                assert got.json["content"] == [{"type": "text", "text": "Hello there."}]
                told = got.json["usage"]
            assert (told["input_tokens"], told["cache_read_input_tokens"]) == (3, 2)
            assert upstream.received[0].path == "/v1/chat/completions"
            usage = await only_usage(gateway)
            assert (usage.endpoint, usage.tokens) == ("messages", Tokens(5, 3, cache_read=2))
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_a_chat_is_served_by_a_message(run: Run) -> None:
    """A client of OpenAI's is answered in its dialect by Anthropic, the cache in OpenAI's convention."""

    async def main() -> None:
        async with before_anthropic(MessageAnswer(cache_read=7)) as (gateway, _):
            body = {"model": A_MODEL, "messages": WHOLE["messages"]}
            got = await gateway.chat(body)
            assert got.json["choices"][0]["message"]["content"] == "Hello there."
            assert got.json["usage"]["prompt_tokens"] == 12
            assert got.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 7
            streamed = await gateway.chat({**body, "stream": True})
            assert streamed.events[-1] == b"[DONE]"
            assert b'"usage"' not in streamed.body
            assert {usage.tokens for usage in await gateway.usages()} == {
                Tokens(12, 3, cache_read=7)
            }

    run(main())


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.GARBAGE, Fault.ERROR_EVENT])
def test_a_stream_that_breaks(run: Run, fault: Fault) -> None:
    """The client is told in an error event; the input is charged as told, the output as estimated."""

    async def main() -> None:
        async with before_anthropic(MessageAnswer(fault=fault, fault_after=5)) as (gateway, _):
            answer = await ask(gateway, STREAM)
            events = events_of(answer)
            assert events[-1] == {
                "type": "error",
                "error": {
                    "type": "api_error",
                    "message": "The model's server ended its answer early.",
                },
                "request_id": answer.headers["request-id"],
            }
            usage = await only_usage(gateway)
            assert (usage.outcome, usage.error_code) == (Outcome.FAILED, "upstream_failed")
            (leg,) = usage.legs
            assert (leg.tokens, leg.confidence) == (Tokens(5, 2), Confidence.ESTIMATED)

    run(main())


def test_a_translated_stream_that_breaks(run: Run) -> None:
    """Wherever a chat breaks, what its client of messages has is a beginning, and then the error."""

    async def main() -> None:
        for after in range(1, 5):
            answer = Answer(fault=Fault.RESET, fault_after=after)
            async with before_openai(answer) as (gateway, _):
                events = events_of(await ask(gateway, STREAM))
                assert events[0]["type"] == "message_start"
                assert events[-1]["type"] == "error"
                assert "Hello there.".startswith(text_of(events))

    run(main())


REFUSED = {
    "no JSON": (b"{", "JSON"),
    "no limit": ({"model": A_MODEL, "messages": WHOLE["messages"]}, "max_tokens"),
    "no messages": ({**WHOLE, "messages": []}, "messages"),
    "a content of no kind": ({**WHOLE, "messages": [{"role": "user", "content": 7}]}, "content"),
    "too hot": ({**WHOLE, "temperature": 1.5}, "temperature"),
    "a limit of nothing": ({**WHOLE, "max_tokens": 0}, "max_tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_wrong(run: Run, name: str) -> None:
    """The refusal has Anthropic's body, names the fault, and leaves one refused record."""

    async def main() -> None:
        body, word = REFUSED[name]
        async with before_anthropic() as (gateway, upstream):
            got = await ask(gateway, body)
            assert (got.status, got.json["type"]) == (400, "error")
            assert got.json["error"]["type"] == "invalid_request_error"
            assert word in got.json["error"]["message"]
            assert upstream.received == []
            assert (await only_usage(gateway)).outcome is Outcome.REFUSED

    run(main())


def test_errors_have_anthropics_types(run: Run) -> None:
    """Errors of key, model and upstream have Anthropic's types."""

    async def main() -> None:
        async with before_anthropic(MessageAnswer(status=400)) as (gateway, _):
            wrong = await ask(gateway, WHOLE, headers={"x-api-key": "iw_wrong"})
            assert (wrong.status, wrong.json["error"]["type"]) == (401, "authentication_error")
            two = await ask(gateway, WHOLE, headers={"authorization": "Bearer iw_other"})
            assert (two.status, two.json["error"]["type"]) == (401, "authentication_error")
            assert "two different" in two.json["error"]["message"]
            missing = await ask(gateway, {**WHOLE, "model": "nothing"})
            assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")
            refused = await ask(gateway, WHOLE)
            assert (refused.status, refused.json["request_id"]) == (400, "req_011CS")

    run(main())


def test_what_a_chat_cannot_say_is_refused(run: Run) -> None:
    """The refusal comes before anything is sent, in Anthropic's body, with the name of the field."""

    async def main() -> None:
        async with before_openai() as (gateway, upstream):
            got = await ask(gateway, {**WHOLE, "container": "x"})
            assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
            assert "'container'" in got.json["error"]["message"]
            assert upstream.received == []
            assert (await only_usage(gateway)).status == 400

    run(main())


def test_a_count_is_free(run: Run) -> None:
    """A count is answered by Anthropic and recorded as a call that used nothing."""

    async def main() -> None:
        async with before_anthropic(MessageAnswer(input_tokens=14)) as (gateway, _):
            body = {"model": A_MODEL, "messages": WHOLE["messages"]}
            got = await ask(gateway, body, COUNT)
            assert (got.status, got.json) == (200, {"input_tokens": 14})
            usage = await only_usage(gateway)
            assert usage.endpoint == "messages.count_tokens"
            assert (usage.tokens, usage.confidence) == (Tokens(), Confidence.REPORTED)

    run(main())


def test_a_count_that_nobody_can_make(run: Run) -> None:
    """An upstream without such a count refuses it; an estimate would pass for a count."""

    async def main() -> None:
        async with open_gateway_over(TranslatingProvider(StubProvider(), TRANSLATIONS)) as gateway:
            got = await ask(gateway, {"model": A_MODEL, "messages": WHOLE["messages"]}, COUNT)
            assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
            assert "messages.count_tokens" in got.json["error"]["message"]

    run(main())
