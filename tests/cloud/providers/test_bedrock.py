"""Bedrock's Converse asked over real HTTP, signed, by callers of three dialects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.exceptions import ClientError
from tests.support.clouds import stage_bedrock

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.credentials.aws import key_credential
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.bedrock import BEDROCK
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.routing.route import AttemptOutcome
from inferworks.cloud.serving.attempt import judge
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import A_MODEL, check_provider, make_call, make_offer
from inferworks.testing.upstream import Fault
from inferworks.testing.upstreams.bedrock import (
    KEY,
    REGION,
    TOKEN,
    ConverseAnswer,
    FakeBedrock,
    open_bedrock,
)

Run = Callable[[Coroutine[Any, Any, None]], None]
SIGNED = key_credential(REGION, KEY.access_key_id, KEY.secret)
ARN = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"


def converse_call(*, stream: bool = True, **changes: Any) -> Call:
    """A call in Converse's own words, or what is told in `changes`."""
    body = {"messages": [{"role": "user", "content": [{"text": "Say hello."}]}]}
    call = Call(
        CallId("call_1"), Operation.CONVERSE, A_MODEL, stream, wants_usage=True,
        body=msgspec.json.encode(body),
    )  # fmt: skip
    return msgspec.structs.replace(call, **changes)


def messages_call(*, stream: bool = True) -> Call:
    """The same in Anthropic's words, which go over chats to Converse."""
    body = {
        "model": A_MODEL,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": stream,
    }
    return msgspec.structs.replace(
        converse_call(stream=stream), operation=Operation.MESSAGES, body=msgspec.json.encode(body)
    )


def chat_call(*, stream: bool = True) -> Call:
    """The same in OpenAI's words."""
    return make_call(stream=stream, wants_usage=True)


CALLS: Mapping[str, Callable[..., Call]] = {
    "converse": converse_call,
    "chat": chat_call,
    "messages": messages_call,
}


class Line:
    """A provider connected to a fake upstream."""

    def __init__(self, upstream: FakeBedrock, client: HttpClient, credential: Credential) -> None:
        self.upstream = upstream
        provider = PassthroughProvider(client, replace(BEDROCK, between_bytes_s=0.2), credential)
        self.provider = TranslatingProvider(provider, TRANSLATIONS)
        self.offer = make_offer(origin=upstream.origin)
        self.status = 0

    async def ask(self, call: Call) -> tuple[list[Chunk], UpstreamError | None]:
        """Chunks that came, and the error that broke them off."""
        chunks: list[Chunk] = []
        try:
            async with self.provider.send(self.offer, call) as reply:
                self.status = reply.status
                chunks.append(reply.first)
                async for chunk in reply.rest:
                    chunks.append(chunk)
        except UpstreamError as error:
            return chunks, error
        return chunks, None


@asynccontextmanager
async def line(*answers: ConverseAnswer, credential: Credential = SIGNED) -> AsyncIterator[Line]:
    """A provider and an upstream that follows `answers`."""
    async with open_bedrock(*answers) as upstream:
        with closing(HttpClient()) as client:
            yield Line(upstream, client, credential)


def last_told(chunks: list[Chunk]) -> ReportedUsage | None:
    """Usage that was reported last."""
    return next((chunk.reported for chunk in reversed(chunks) if chunk.reported is not None), None)


def test_it_keeps_the_contract(run: Run) -> None:
    """Every promise of the seam is kept, each request's signature recomputed by the upstream."""
    run(check_provider(stage_bedrock))


MANNERS = {
    "plainly": ConverseAnswer(),
    "byte by byte": ConverseAnswer(piece_bytes=1),
    "with thoughts": ConverseAnswer(thoughts=("Hm", " hm")),
    "with a tool": ConverseAnswer(tool=("f", '{"city": "Rome"}')),
    "with nothing but a tool": ConverseAnswer(words=(), tool=("f", "{}")),
    "cached": ConverseAnswer(cache_read=7, cache_write_5m=3, cache_write_1h=2),
    "dearly": ConverseAnswer(service_tier="priority"),
    "of zeros": ConverseAnswer(words=(), input_tokens=0),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("dialect", CALLS)
def test_an_answer_however_it_is_written(run: Run, manner: str, dialect: str) -> None:
    """Whole or in a stream, in every dialect, an answer tells the same; its last chunk comes once."""

    async def main() -> None:
        answer = MANNERS[manner]
        cache_written = answer.cache_write_5m + answer.cache_write_1h
        tokens = Tokens(
            input=answer.input_tokens + answer.cache_read + cache_written,
            output=answer.output_tokens,
            cache_read=answer.cache_read,
            cache_write=cache_written,
            cache_write_1h=answer.cache_write_1h,
        )
        async with line(answer) as on:
            for stream in (True, False):
                chunks, error = await on.ask(CALLS[dialect](stream=stream))
                assert error is None
                assert last_told(chunks) == ReportedUsage(tokens, service_tier=answer.service_tier)
                assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
                data = b"".join(chunk.data for chunk in chunks)
                assert all(word.encode() in data for word in answer.words)
                assert answer.tool is None or b"Rome" in data or answer.tool[1] == "{}"
            assert on.upstream.left_early == 0

    run(main())


BREAKS = {
    Fault.RESET: "closed the connection mid-answer",
    Fault.CLOSE: "before its last event",
    Fault.GARBAGE: "checksum|middle of an event",
    Fault.ERROR_EVENT: "modelStreamErrorException: The model broke off",
    Fault.HANG: "sent no data for 0.2 s",
}


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("dialect", CALLS)
def test_a_stream_that_breaks(run: Run, fault: Fault, dialect: str) -> None:
    """A stream that breaks raises after the chunks that came, and none is taken for its end."""

    async def main() -> None:
        async with line(ConverseAnswer(fault=fault, fault_after=3)) as on:
            chunks, error = await on.ask(CALLS[dialect]())
            with pytest.raises(UpstreamError, match=BREAKS[fault]) as caught:
                raise error or AssertionError("it did not break")
            assert caught.value.sent
            assert not any(chunk.last for chunk in chunks)
            assert b"there" in b"".join(chunk.data for chunk in chunks)

    run(main())


STATUSES = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
    "aNewerException": 500,
}
"""Exception -> the status that Bedrock answers with where it says so before a stream."""


@pytest.mark.parametrize("exception", STATUSES)
def test_an_exception_in_place_of_the_first_event(run: Run, exception: str) -> None:
    """A stream that begins with an exception is what it would be with the status of that."""

    async def main() -> None:
        async with (
            line(ConverseAnswer(fault=Fault.ERROR_EVENT, exception=exception)) as on,
            on.provider.send(on.offer, chat_call()) as reply,
        ):
            assert reply.status == STATUSES[exception]
            assert b"The model broke off." in reply.first.data

    run(main())


REFUSALS = {
    400: "messages: required",
    403: "don't have access",
    404: "Could not resolve",
    408: "timed out",
    424: "due to an error",
    429: "Too many requests",
    500: "unexpected error",
    503: "currently unavailable",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_refusals_in_the_words_of_each_dialect(run: Run, status: int) -> None:
    """A refusal keeps its status and its sentence, and tells of no tokens."""

    async def main() -> None:
        async with line(ConverseAnswer(status=status)) as on:
            for dialect, make in CALLS.items():
                chunks, error = await on.ask(make())
                assert (error, on.status, len(chunks)) == (None, status, 1)
                assert chunks[0].reported is None
                body = msgspec.json.decode(chunks[0].data)
                said = body["message"] if dialect == "converse" else body["error"]["message"]
                assert REFUSALS[status] in said

    run(main())


@pytest.mark.parametrize("status", REFUSALS)
def test_only_mistakes_of_the_caller_are_final(run: Run, status: int) -> None:
    """Another offer is asked for every refusal but 400, a model that failed (424) among them."""

    async def main() -> None:
        async with (
            line(ConverseAnswer(status=status)) as on,
            on.provider.send(on.offer, chat_call()) as reply,
        ):
            assert (judge(reply).outcome is AttemptOutcome.FINAL) == (status == 400)

    run(main())


def test_the_path_names_the_model(run: Run) -> None:
    """A name, a version and an ARN stand in the path as one segment, and are signed as they stand."""

    async def main() -> None:
        async with line() as on:
            for name in ("amazon.nova-lite-v1:0", "us.meta.llama4-17b-v1:0", ARN, "a model/ü"):
                _, error = await on.ask(converse_call(model=ModelId(name), stream=False))
                assert (error, on.status) == (None, 200), name
            on.offer = msgspec.structs.replace(on.offer, upstream_model=ARN)
            await on.ask(chat_call())
            paths = [received.path for received in on.upstream.received]
        assert paths[0] == "/model/amazon.nova-lite-v1%3A0/converse"
        profile = "arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-profile"
        assert paths[-1] == f"/model/{profile}%2Feu.amazon.nova-lite-v1%3A0/converse-stream"

    run(main())


WRONG = {
    "another secret": key_credential(REGION, KEY.access_key_id, "another"),
    "another key": key_credential(REGION, "AKIDOTHER", KEY.secret),
    "another region": key_credential("us-east-1", KEY.access_key_id, KEY.secret),
    "another token": KeyCredential.bearer("bedrock-api-key-OTHER"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_who_cannot_prove_it_is_not_let_in(run: Run, wrong: str) -> None:
    """A wrong secret, key, region or token is refused with 403, so the fake does check them."""

    async def main() -> None:
        async with line(credential=WRONG[wrong]) as on:
            _, error = await on.ask(chat_call())
            assert (error, on.status) == (None, 403)

    run(main())


def test_a_body_changed_on_its_way_is_found(run: Run) -> None:
    """The signature covers the exact body: what is sent is what was signed."""

    class Tampering:
        async def headers(
            self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
        ) -> list[tuple[bytes, bytes]]:
            return await SIGNED.headers(method, url, headers, body + b" ")

    async def main() -> None:
        async with line(credential=Tampering()) as on:
            chunks, _ = await on.ask(chat_call())
            assert on.status == 403
            assert b"signature we calculated does not match" in chunks[0].data

    run(main())


def test_a_bearer_token(run: Run) -> None:
    """Bedrock's API key goes in the header of every request, and nothing is signed."""

    async def main() -> None:
        async with line(credential=KeyCredential.bearer(TOKEN)) as on:
            _, error = await on.ask(chat_call())
            assert (error, on.status) == (None, 200)
            sent = on.upstream.received[0].headers
            assert sent[b"authorization"] == f"Bearer {TOKEN}".encode()
            assert b"x-amz-date" not in sent

    run(main())


def test_a_large_body_is_signed_as_well(run: Run) -> None:
    """A body that is hashed beside the event loop has the same signature."""

    async def main() -> None:
        body = {"messages": [{"role": "user", "content": [{"text": "x" * (2 << 20)}]}]}
        async with line() as on:
            _, error = await on.ask(converse_call(body=msgspec.json.encode(body)))
            assert (error, on.status) == (None, 200)

    run(main())


@pytest.mark.slow
def test_amazons_own_client_understands_the_fake(run: Run) -> None:
    """The fake signs, answers, streams and refuses so that Amazon's library reads it as Bedrock."""

    def ask(url: str) -> tuple[Any, list[Any]]:
        client = botocore.session.Session().create_client(
            "bedrock-runtime",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id=KEY.access_key_id,
            aws_secret_access_key=KEY.secret,
        )
        given = {"modelId": ARN, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
        with closing(client):
            whole = client.converse(**given)
            stream = client.converse_stream(**given)["stream"]
            with closing(stream):
                events = list(stream)
            with pytest.raises(ClientError, match="ThrottlingException"):
                client.converse(**given)
            return whole, events

    async def main() -> None:
        answer = ConverseAnswer(tool=("f", '{"city": "Rome"}'), thoughts=("Hm",), cache_read=3)
        throttled = ConverseAnswer(status=429)
        scripted = (answer, answer, *[throttled] * 5)
        async with open_bedrock(*scripted) as upstream:
            whole, events = await asyncio.to_thread(ask, upstream.origin.url)
        assert whole["output"]["message"]["content"][-1]["toolUse"]["input"] == {"city": "Rome"}
        assert whole["usage"]["cacheReadInputTokens"] == 3
        assert next(iter(events[0])) == "messageStart"
        assert events[-1]["metadata"]["usage"] == whole["usage"]
        assert "signature" in str(events)

    run(main())
