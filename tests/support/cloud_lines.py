"""Lines to providers at the clouds, and what their clients see."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from tests.support.clouds import (
    VERTEX_TOKEN,
)

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import OperationSpec, PassthroughProvider, Profile
from inferworks.cloud.providers.vertex import gemini_operations
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.ids import CallId
from inferworks.testing.providers import make_offer

Run = Callable[[Coroutine[Any, Any, None]], None]


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


def gemini_line(client: HttpClient, origin: Origin) -> Line:
    """Gemini on Vertex."""
    on = Line(client, gemini_operations(openai_operations()), VERTEX_TOKEN, origin)
    on.offer = msgspec.structs.replace(on.offer, upstream_model="gemini-2.5-flash")
    return on


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
