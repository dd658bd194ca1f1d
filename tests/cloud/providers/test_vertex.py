"""Gemini and Claude on Vertex AI, asked over real HTTP with a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import msgspec
import pytest
from tests.support.cloud_lines import Line, Run, gemini_line, messages_call
from tests.support.clouds import (
    VERTEX_TOKEN,
)

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.vertex import vertex_messages
from inferworks.http.client import HttpClient
from inferworks.meter.usage import NO_TOKENS, Tokens
from inferworks.testing.providers import make_call, told_tokens
from inferworks.testing.upstreams import vertex
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.vertex import open_gemini, open_vertex_claude

pytestmark = pytest.mark.slow


def test_gemini_is_asked_by_its_publishers_name(run: Run) -> None:
    """The body names `google/...`, whatever callers call it; a publisher that is named stays."""

    async def main() -> None:
        async with open_gemini() as upstream:
            with closing(HttpClient()) as client:
                on = gemini_line(client, upstream.origin)
                for name in ("gemini-2.5-flash", "meta/llama-4"):
                    on.offer = msgspec.structs.replace(on.offer, upstream_model=name)
                    chunks, error = await on.ask(make_call())
                    assert (error, on.status) == (None, 200)
                    assert told_tokens(chunks) == Tokens(5, 3)
                sent = [msgspec.json.decode(received.body) for received in upstream.received]
                assert [body["model"] for body in sent] == [
                    "google/gemini-2.5-flash",
                    "meta/llama-4",
                ]

    run(main())


def test_googles_refusals_are_in_the_callers_words(run: Run) -> None:
    """A bad token gets the caller OpenAI's error body, or Anthropic's, with Google's sentence."""

    async def main() -> None:
        async with open_gemini() as gemini, claude_line() as (claude, upstream):
            gemini.token = upstream.token = "ya29.ANOTHER"
            with closing(HttpClient()) as client:
                on = gemini_line(client, gemini.origin)
                for line, call in ((on, make_call()), (claude, messages_call())):
                    chunks, error = await line.ask(call)
                    assert (error, line.status) == (None, 401)
                    said = msgspec.json.decode(chunks[0].data)["error"]
                    assert said["message"].startswith("Request had invalid authentication")
                    assert said["type"] in {"invalid_request_error", "authentication_error"}

    run(main())


@asynccontextmanager
async def claude_line(
    *answers: MessageAnswer,
) -> AsyncIterator[tuple[Line, vertex.FakeVertexClaude]]:
    """Anthropic's models on Vertex."""
    async with open_vertex_claude(*answers) as upstream:
        with closing(HttpClient()) as client:
            on = Line(client, vertex_messages(), VERTEX_TOKEN, upstream.origin)
            name = "claude-sonnet-4-5@20250929"
            on.offer = msgspec.structs.replace(on.offer, upstream_model=name)
            yield on, upstream


@pytest.mark.parametrize("call", [messages_call, make_call], ids=["messages", "chat"])
def test_claude_on_vertex(run: Run, call: Callable[..., Call]) -> None:
    """Whole and in a stream, for both dialects: the model in the path, the version in the body."""

    async def main() -> None:
        answer = MessageAnswer(cache_read=7, cache_write_1h=2)
        async with claude_line(answer) as (on, upstream):
            for stream in (True, False):
                chunks, error = await on.ask(call(stream=stream))
                assert (error, on.status) == (None, 200)
                wanted = Tokens(14, 3, cache_read=7, cache_write=2, cache_write_1h=2)
                assert told_tokens(chunks) == wanted
            sent = [msgspec.json.decode(received.body) for received in upstream.received]
            assert {body["model"] for body in sent} == {"claude-sonnet-4-5@20250929"}
            own = call is messages_call
            assert all((b"anthropic-beta" in r.headers) == own for r in upstream.received)

    run(main())


def test_tokens_are_counted_at_a_path_of_their_own(run: Run) -> None:
    """`count_tokens` names its model in the body."""

    async def main() -> None:
        async with claude_line() as (on, _):
            call = messages_call(stream=False, operation=Operation.COUNT_TOKENS)
            chunks, error = await on.ask(call)
            assert (error, on.status) == (None, 200)
            assert told_tokens(chunks) == NO_TOKENS
            assert msgspec.json.decode(chunks[0].data) == {"input_tokens": 5}

    run(main())


def test_the_version_that_a_caller_names_goes_along(run: Run) -> None:
    """The header's version becomes the body's; one in the body itself is not exchanged."""

    async def main() -> None:
        async with claude_line() as (on, upstream):
            for version in (b"2023-06-01", b"2026-10-21"):
                headers = ((b"anthropic-version", version),)
                await on.ask(msgspec.structs.replace(messages_call(), headers=headers))
                assert on.status == 200
            assert upstream.versions == ["vertex-2023-10-16", "2026-10-21"]
            chunks, _ = await on.ask(messages_call(stream=False, anthropic_version="vertex-2"))
            assert on.status == 400
            assert b"anthropic_version" in chunks[0].data

    run(main())
