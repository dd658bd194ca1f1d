"""Stages for the drivers of the clouds: each over real HTTP to a fake that checks credentials.

They are arguments of `check_provider`. Only Anthropic's models report tokens before the end of a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import botocore.auth  # noqa: F401 - the first call would import it, and its loop stand meanwhile
import msgspec

from inferworks.cloud.credentials.aws import key_credential
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.azure import deployed
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.bedrock import BEDROCK
from inferworks.cloud.providers.bedrock_messages import bedrock_messages
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import OperationSpec, PassthroughProvider, Profile
from inferworks.cloud.providers.stub import Script
from inferworks.cloud.providers.vertex import gemini_operations, vertex_messages
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient
from inferworks.testing.providers import Stage, scripted, staged
from inferworks.testing.upstream import Answer
from inferworks.testing.upstreams import azure, bedrock, bedrock_claude, vertex
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.bedrock import ConverseAnswer

AZURE_KEY = KeyCredential(b"api-key", azure.KEY)
AZURE_TOKEN = KeyCredential.bearer(azure.TOKEN)
VERTEX_TOKEN = KeyCredential.bearer(vertex.TOKEN)


def bedrock_key() -> Credential:
    """The key that the fake of Bedrock knows. ConfigError without the extra `aws`, whose library signs."""
    return key_credential(bedrock.REGION, bedrock.KEY.access_key_id, bedrock.KEY.secret)


def stage_bedrock(script: Script) -> AbstractAsyncContextManager[Stage]:
    """Chats put in the words of Converse, signed, and sent to a fake that checks the signature."""
    opening = bedrock.open_bedrock(scripted(ConverseAnswer, script, first_events=1))
    return staged(script, opening, _speaking(BEDROCK.operations, bedrock_key()), tells_along=False)


def stage_bedrock_claude(script: Script) -> AbstractAsyncContextManager[Stage]:
    """Chats translated for Anthropic's models on Bedrock, signed; these tell of tokens as they go."""
    opening = bedrock_claude.open_bedrock_claude(_message_answer(script))
    return staged(script, opening, _speaking(bedrock_messages(), bedrock_key()))


def stage_azure(script: Script) -> AbstractAsyncContextManager[Stage]:
    """The v1 API, with a key."""
    opening = azure.open_azure(scripted(Answer, script, first_events=2))
    return staged(script, opening, _speaking(openai_operations(), AZURE_KEY), tells_along=False)


@asynccontextmanager
async def stage_azure_deployments(script: Script) -> AsyncIterator[Stage]:
    """The API of deployments and versions, with a token."""
    opening = azure.open_azure(scripted(Answer, script, first_events=2))
    specs = deployed(openai_operations(), azure.API_VERSION)
    async with staged(script, opening, _speaking(specs, AZURE_TOKEN), tells_along=False) as stage:
        origin = msgspec.structs.replace(stage.offer.origin, base_path="/openai")
        yield replace(stage, offer=msgspec.structs.replace(stage.offer, origin=origin))


def stage_gemini(script: Script) -> AbstractAsyncContextManager[Stage]:
    """Gemini on Vertex, with a token."""
    opening = vertex.open_gemini(scripted(Answer, script, first_events=1))
    specs = gemini_operations(openai_operations())
    return staged(script, opening, _speaking(specs, VERTEX_TOKEN), tells_along=False)


def stage_vertex_claude(script: Script) -> AbstractAsyncContextManager[Stage]:
    """Chats translated for Anthropic's models on Vertex; these tell of tokens as they go."""
    opening = vertex.open_vertex_claude(_message_answer(script))
    return staged(script, opening, _speaking(vertex_messages(), VERTEX_TOKEN))


def _message_answer(script: Script) -> MessageAnswer:
    return scripted(MessageAnswer, script, first_events=3)


def _speaking(
    specs: Mapping[Operation, OperationSpec], credential: Credential
) -> Callable[[HttpClient], Provider]:
    """Return a factory of providers for `specs` and its translations."""
    profile = Profile("cloud", specs)
    return lambda client: TranslatingProvider(
        PassthroughProvider(client, profile, credential), TRANSLATIONS
    )
