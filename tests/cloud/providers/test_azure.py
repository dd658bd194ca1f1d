"""Azure OpenAI and Vertex AI, asked over real HTTP with their own proofs of who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import openai
import pytest
from anthropic import AnthropicVertex
from tests.support.clouds import (
    AZURE_KEY,
    AZURE_TOKEN,
    VERTEX_TOKEN,
    stage_azure,
    stage_azure_deployments,
    stage_gemini,
    stage_vertex_claude,
)

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.azure import deployed
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import OperationSpec, PassthroughProvider, Profile
from inferworks.cloud.providers.vertex import gemini_operations, vertex_messages
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.ids import CallId
from inferworks.meter.usage import NO_TOKENS, Tokens
from inferworks.testing.providers import CHECKS, Staging, make_call, make_offer, told_tokens
from inferworks.testing.upstream import Answer, Fault
from inferworks.testing.upstreams import azure, vertex
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.azure import API_VERSION, open_azure
from inferworks.testing.upstreams.vertex import open_gemini, open_vertex_claude

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
STAGES = (stage_azure, stage_azure_deployments, stage_gemini, stage_vertex_claude)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(run: Run, stage: Staging, check: Callable[[Staging], Awaitable[None]]) -> None:
    """Each promise of the seam is kept at each cloud."""

    async def main() -> None:
        await check(stage)

    run(main())


class Line:
    """A provider that speaks to one address."""

    def __init__(
        self,
        client: HttpClient,
        spoken: Mapping[Operation, OperationSpec],
        credential: Credential,
        origin: Origin,
    ) -> None:
        profile = Profile("cloud", spoken, between_bytes_s=0.2)
        provider = PassthroughProvider(client, profile, credential)
        self.provider = TranslatingProvider(provider, TRANSLATIONS)
        self.offer = make_offer(origin=origin)
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


def data_of(chunks: list[Chunk]) -> bytes:
    """Bytes of an answer that the client sees."""
    return b"".join(chunk.data for chunk in chunks)


@asynccontextmanager
async def azure_line(
    *answers: Answer, credential: Credential = AZURE_KEY, api_version: str = ""
) -> AsyncIterator[tuple[Line, azure.FakeAzure]]:
    """Azure, by deployments when a version is named."""
    async with open_azure(*answers) as upstream:
        spoken, origin = openai_operations(), upstream.origin
        if api_version:
            spoken = deployed(spoken, api_version)
            origin = msgspec.structs.replace(origin, base_path="/openai")
        with closing(HttpClient()) as client:
            yield Line(client, spoken, credential, origin), upstream


@pytest.mark.parametrize("api_version", ["", API_VERSION])
@pytest.mark.parametrize("credential", [AZURE_KEY, AZURE_TOKEN], ids=["key", "token"])
def test_what_azure_adds_passes(run: Run, credential: Credential, api_version: str) -> None:
    """The content filter's results reach the client, from an event without choices too, in both APIs."""

    async def main() -> None:
        async with azure_line(credential=credential, api_version=api_version) as (on, upstream):
            streamed, error = await on.ask(make_call())
            assert error is None
            assert b'"prompt_filter_results"' in streamed[0].data
            assert data_of(streamed).count(b'"content_filter_results"') >= 4
            whole, error = await on.ask(make_call(stream=False))
            assert (error, on.status) == (None, 200)
            assert b'"prompt_filter_results"' in whole[0].data
            assert told_tokens(streamed) == told_tokens(whole) == Tokens(5, 3)
            assert b'"usage":{' not in data_of(streamed)
            paths = {received.path for received in upstream.received}
        where = "deployments/inferworks-tiny" if api_version else "v1"
        assert paths == {f"/openai/{where}/chat/completions"}
        assert set(upstream.queries) == {f"api-version={api_version}" if api_version else ""}

    run(main())


def test_a_chunk_without_choices_is_no_beginning_of_a_message(run: Run) -> None:
    """A client of Anthropic's is served by Azure: what has no choice says nothing in its words."""

    async def main() -> None:
        async with azure_line() as (on, _):
            chunks, error = await on.ask(messages_call())
        assert error is None
        assert data_of(chunks).count(b"event: message_start") == 1
        assert b"chatcmpl-123" in data_of(chunks)

    run(main())


def test_azures_other_operations(run: Run) -> None:
    """Embeddings too are asked for at a deployment's path; a name is quoted in it."""

    async def main() -> None:
        async with azure_line(api_version=API_VERSION) as (on, upstream):
            on.offer = msgspec.structs.replace(on.offer, upstream_model="my embedder/1")
            body = b'{"model":"e","input":"Hello"}'
            call = Call(CallId("c"), Operation.EMBEDDINGS, on.offer.model, False, False, body=body)
            _, error = await on.ask(call)
            assert (error, on.status) == (None, 200)
            path = upstream.received[0].path
        assert path == "/openai/deployments/my%20embedder%2F1/embeddings"

    run(main())


@pytest.mark.parametrize(
    ("credential", "api_version", "status"),
    [
        (KeyCredential(b"api-key", "another"), "", 401),
        (KeyCredential.bearer("another"), API_VERSION, 401),
        (AZURE_KEY, "2019-01-01", 404),
    ],
)
def test_azure_refuses(run: Run, credential: Credential, api_version: str, status: int) -> None:
    """A wrong key, token or version is refused, so the fake does check them."""

    async def main() -> None:
        async with azure_line(credential=credential, api_version=api_version) as (on, _):
            chunks, error = await on.ask(make_call())
            assert (error, on.status) == (None, status)
            assert b'"error"' in chunks[0].data

    run(main())


BREAKS = {
    Fault.RESET: "closed the connection mid-answer",
    Fault.CLOSE: "before its last event",
    Fault.GARBAGE: "cannot be read",
    Fault.ERROR_EVENT: "an error of status 500",
    Fault.HANG: "sent nothing for 0.2 s",
}


@pytest.mark.parametrize("fault", BREAKS)
def test_streams_that_break(run: Run, fault: Fault) -> None:
    """A stream of Azure's or of Gemini's that breaks raises and has no last chunk."""

    async def main() -> None:
        answer = Answer(fault=fault, fault_after=3)
        async with (
            azure_line(answer) as (on_azure, _),
            open_gemini(answer) as gemini,
        ):
            with closing(HttpClient()) as client:
                on_gemini = gemini_line(client, gemini.origin)
                for on in (on_azure, on_gemini):
                    chunks, error = await on.ask(make_call())
                    with pytest.raises(UpstreamError, match=BREAKS[fault]):
                        raise error or AssertionError("it did not break")
                    assert not any(chunk.last for chunk in chunks)

    run(main())


def gemini_line(client: HttpClient, origin: Origin) -> Line:
    """Gemini on Vertex."""
    on = Line(client, gemini_operations(openai_operations()), VERTEX_TOKEN, origin)
    on.offer = msgspec.structs.replace(on.offer, upstream_model="gemini-2.5-flash")
    return on


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


def messages_call(
    *, stream: bool = True, operation: Operation = Operation.MESSAGES, **body: Any
) -> Call:
    """A message to Claude."""
    given = {
        "model": "claude",
        **({"max_tokens": 100} if operation is Operation.MESSAGES else {}),
        "messages": [{"role": "user", "content": "Say hello."}],
        **({"stream": True} if stream else {}),
        **body,
    }
    return Call(
        CallId("call_1"), operation, make_offer().model, stream, wants_usage=True,
        body=msgspec.json.encode(given), headers=((b"anthropic-beta", b"context-1m-2025-08-07"),),
    )  # fmt: skip


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


def test_the_vendors_own_clients_understand_the_fakes(run: Run) -> None:
    """The clients of OpenAI (for Azure) and of Anthropic (for Vertex) read the fakes as the clouds."""

    def ask_azure(url: str) -> list[Any]:
        with openai.AzureOpenAI(
            azure_endpoint=url, api_key=azure.KEY, api_version=API_VERSION, max_retries=0
        ) as client:
            said = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            return list(said)

    def ask_vertex(url: str) -> tuple[str, int]:
        with AnthropicVertex(
            region="europe-west1",
            project_id="my-project",
            access_token=vertex.TOKEN,
            base_url=url,
            max_retries=0,
        ) as client:
            asked: Any = {
                "model": "claude-sonnet-4-5@20250929",
                "messages": [{"role": "user", "content": "Hi"}],
            }
            counted = client.messages.count_tokens(**asked)
            with client.messages.stream(max_tokens=9, **asked) as stream:
                return stream.get_final_text(), counted.input_tokens

    async def main() -> None:
        async with open_azure() as upstream:
            origin = msgspec.structs.replace(upstream.origin, base_path="")
            events = await asyncio.to_thread(ask_azure, origin.url)
            assert events[0].choices == []
            assert "".join(e.choices[0].delta.content or "" for e in events[1:]) == "Hello there."
        async with open_vertex_claude() as claude:
            origin = msgspec.structs.replace(claude.origin, base_path="/v1")
            assert await asyncio.to_thread(ask_vertex, origin.url) == ("Hello there.", 5)

    run(main())
