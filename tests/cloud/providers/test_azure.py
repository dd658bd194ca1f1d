"""Azure OpenAI and Vertex AI, asked over real HTTP with their own proofs of who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import openai
import pytest
from anthropic import AnthropicVertex
from tests.support.cloud_lines import Line, Run, gemini_line, messages_call
from tests.support.clouds import (
    AZURE_KEY,
    AZURE_TOKEN,
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
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient
from inferworks.ids import CallId
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import CHECKS, Staging, make_call, told_tokens
from inferworks.testing.upstream import Answer, Fault
from inferworks.testing.upstreams import azure, vertex
from inferworks.testing.upstreams.azure import API_VERSION, open_azure
from inferworks.testing.upstreams.vertex import open_gemini, open_vertex_claude

pytestmark = pytest.mark.slow
STAGES = (stage_azure, stage_azure_deployments, stage_gemini, stage_vertex_claude)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(run: Run, stage: Staging, check: Callable[[Staging], Awaitable[None]]) -> None:
    """Each promise of the seam is kept at each cloud."""

    async def main() -> None:
        await check(stage)

    run(main())


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
    Fault.HANG: "sent no data for 0.2 s",
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
