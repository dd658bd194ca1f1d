"""Stages for the drivers of the clouds: each over real HTTP to a fake that wants the right proof.

Only Anthropic's models tell of tokens before the end of a stream. `check_provider` is what they are for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

import msgspec

from inferworks.cloud.credentials.aws import key_credential
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.azure import deployed
from inferworks.cloud.providers.bedrock import bedrock_provider
from inferworks.cloud.providers.bedrock_messages import bedrock_messages
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passing import PassingProvider, Profile, Spoken
from inferworks.cloud.providers.stub import Script
from inferworks.cloud.providers.vertex import gemini_operations, vertex_messages
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.cloud.translating import TranslatingProvider
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.testing.providers import Stage, make_offer
from inferworks.testing.upstream import Answer, FakeUpstream, Fault
from inferworks.testing.upstreams import azure, bedrock, bedrock_claude, vertex
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.bedrock import ConverseAnswer

NOWHERE = Origin("127.0.0.1", 1, tls=False, base_path="")
"""An address where nothing listens."""


BEDROCK_KEY = key_credential(bedrock.REGION, bedrock.KEY.access_key_id, bedrock.KEY.secret)
AZURE_KEY = KeyCredential(b"api-key", azure.KEY)
AZURE_TOKEN = KeyCredential.bearer(azure.TOKEN)
VERTEX_TOKEN = KeyCredential.bearer(vertex.TOKEN)


@asynccontextmanager
async def stage_bedrock(script: Script) -> AsyncIterator[Stage]:
    """Chats put in the words of Converse, signed, and sent to a fake that checks the signature."""
    async with bedrock.open_bedrock(_converse_answer(script)) as upstream:
        offer = make_offer(origin=NOWHERE if script.unreachable else upstream.origin)
        with closing(HttpClient(Timeouts(connect_s=1.0))) as client:
            provider = bedrock_provider(client, BEDROCK_KEY, name="bedrock")
            translating = TranslatingProvider(provider, TRANSLATIONS)
            yield Stage(translating, offer, lambda: upstream.left_early, tells_along=False)


@asynccontextmanager
async def stage_bedrock_claude(script: Script) -> AsyncIterator[Stage]:
    """Chats translated for Anthropic's models on Bedrock, signed; these tell of tokens as they go."""
    opening = bedrock_claude.open_bedrock_claude(_message_answer(script))
    async with _passing(script, opening, bedrock_messages(), BEDROCK_KEY) as stage:
        yield Stage(stage.provider, stage.offer, stage.left_early)


@asynccontextmanager
async def stage_azure(script: Script) -> AsyncIterator[Stage]:
    """The v1 API, with a key."""
    opening = azure.open_azure(_answer(script, first_events=2))
    async with _passing(script, opening, openai_operations(), AZURE_KEY) as stage:
        yield stage


@asynccontextmanager
async def stage_azure_deployments(script: Script) -> AsyncIterator[Stage]:
    """The API of deployments and versions, with a token."""
    opening = azure.open_azure(_answer(script, first_events=2))
    spoken = deployed(openai_operations(), azure.API_VERSION)
    async with _passing(script, opening, spoken, AZURE_TOKEN) as stage:
        origin = msgspec.structs.replace(stage.offer.origin, base_path="/openai")
        offer = msgspec.structs.replace(stage.offer, origin=origin)
        yield Stage(stage.provider, offer, stage.left_early, tells_along=False)


@asynccontextmanager
async def stage_gemini(script: Script) -> AsyncIterator[Stage]:
    """Gemini on Vertex, with a token."""
    opening = vertex.open_gemini(_answer(script, first_events=1))
    spoken = gemini_operations(openai_operations())
    async with _passing(script, opening, spoken, VERTEX_TOKEN) as stage:
        yield stage


@asynccontextmanager
async def stage_vertex_claude(script: Script) -> AsyncIterator[Stage]:
    """Chats translated for Anthropic's models on Vertex; these tell of tokens as they go."""
    opening = vertex.open_vertex_claude(_message_answer(script))
    async with _passing(script, opening, vertex_messages(), VERTEX_TOKEN) as stage:
        yield Stage(stage.provider, stage.offer, stage.left_early)


@asynccontextmanager
async def _passing(
    script: Script,
    opening: AbstractAsyncContextManager[FakeUpstream],
    spoken: Mapping[Operation, Spoken],
    credential: Credential,
) -> AsyncIterator[Stage]:
    """A provider of `spoken`, before what `opening` opens."""
    async with opening as upstream:
        offer = make_offer(origin=NOWHERE if script.unreachable else upstream.origin)
        with closing(HttpClient(Timeouts(connect_s=1.0))) as client:
            provider = PassingProvider(client, Profile("cloud", spoken), credential)
            translating = TranslatingProvider(provider, TRANSLATIONS)
            yield Stage(translating, offer, lambda: upstream.left_early, tells_along=False)


def _answer(script: Script, *, first_events: int) -> Answer:
    """`script` as a wire script; the first events of a stream are no tokens."""
    return Answer(
        words=script.words,
        prompt_tokens=script.input_tokens,
        status=script.status,
        fault=_fault(script),
        fault_after=_fault_after(script, first_events),
        event_s=script.token_s,
    )


def _message_answer(script: Script) -> MessageAnswer:
    """The same for a message, whose first three events are no tokens."""
    return MessageAnswer(
        words=script.words,
        input_tokens=script.input_tokens,
        status=script.status,
        fault=_fault(script),
        fault_after=_fault_after(script, 3),
        event_s=script.token_s,
    )


def _converse_answer(script: Script) -> ConverseAnswer:
    """The same for Converse, whose first event is no token."""
    return ConverseAnswer(
        words=script.words,
        input_tokens=script.input_tokens,
        status=script.status,
        fault=_fault(script),
        fault_after=_fault_after(script, 1),
        event_s=script.token_s,
    )


def _fault(script: Script) -> Fault:
    return Fault.NONE if script.breaks_after is None else Fault.RESET


def _fault_after(script: Script, first_events: int) -> int:
    """How many events come before the fault; 0 when it comes before any."""
    return first_events + script.breaks_after if script.breaks_after else 0
