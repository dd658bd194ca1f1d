"""What goes down to a provider and what comes up: Call, Chunk, Reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from inferworks.ids import CallId, ModelId
from inferworks.meter.usage import Tokens


class Call(msgspec.Struct, frozen=True):
    """One decoded request, on its way to whoever serves it."""

    id: CallId
    operation: str
    """The API operation, e.g. `chat.completions`."""
    model: ModelId
    stream: bool
    wants_usage: bool
    """The client asked for the usage event of a stream (`stream_options.include_usage`)."""
    body: bytes
    """The request as the client sent it."""
    wants_running_usage: bool = False
    """The client asked for usage in every event (`stream_options.continuous_usage_stats`, vLLM's)."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer: one event of a stream, or a whole body."""

    data: bytes
    """The bytes for the client; empty for an event that only we asked for."""
    tokens: Tokens | None = None
    """The tokens of the answer up to here, where the upstream says."""
    last: bool = False
    """Nothing follows. A client that has it has the whole answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's answer that has begun: its first chunk is here, the rest is still coming."""

    status: int
    content_type: bytes
    first: Chunk
    rest: AsyncIterator[Chunk]
    """The chunks after the first, up to and including the last. UpstreamError when it breaks off."""
