"""Interface of a provider: `Call` goes down to it; `Reply` and `Chunk` come up with the reported usage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from inferworks.catalog.facts import UNKNOWN_MODEL, ModelFacts
from inferworks.cloud.operation import Operation
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage


class Call(msgspec.Struct, frozen=True):
    """Decoded request of a client, on its way to an offer."""

    id: CallId
    operation: Operation
    model: ModelId
    stream: bool
    wants_usage: bool
    """The client asked for the usage event of a stream (`stream_options.include_usage`)."""
    body: bytes
    wants_running_usage: bool = False
    """The client asked for usage in every event (`stream_options.continuous_usage_stats`, vLLM's)."""
    wants_cost: bool = False
    """The client asked for the cost in the answer's usage."""
    content_type: bytes = b"application/json"
    """Content type of `body`."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Client's headers that are part of its dialect (`anthropic-version`, `openai-beta`, ...)."""
    session: bytes = b""
    """Key that calls of one conversation share, for session affinity; empty for none."""
    facts: ModelFacts = UNKNOWN_MODEL
    """Capabilities of the model at the offer; known only where the call is translated."""
    asked_as: str = ""
    """Upstream's name of the model; empty where it is `model`."""
    lenient: bool = False
    """True when fields that the model cannot be asked for are left out rather than refused."""
    left_out: tuple[str, ...] = ()
    """Fields and tools that the translation left out, as the caller named them."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer: an event of a stream, or the events that came together, or a whole body."""

    data: bytes
    """The bytes for the client; empty for an event that only we asked for."""
    reported: ReportedUsage | None = None
    """Usage of the answer so far, where the upstream reports it. An explicit zero counts as reported."""
    last: bool = False
    """True for the last chunk: a client that has it has the whole answer."""


class Reply(msgspec.Struct, frozen=True):
    """An upstream's answer that has begun: its first chunk is here, the rest is still coming."""

    status: int
    content_type: bytes
    first: Chunk
    rest: AsyncIterator[Chunk]
    """The chunks after the first, up to and including the last. UpstreamError when it breaks off."""
    retry_after_ns: int | None = None
    """Nanoseconds until a refusal wants to be asked again, where it says so."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The upstream's headers that are part of its dialect's answer (Stability's `seed`)."""
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    """Headers with the upstream's rate limits and its own id of the request (`forwarded_headers`)."""
    is_over: Callable[[], bool] = lambda: False
    """Return True when the upstream has ended its answer, though its usage may still come."""
    left_out: str = ""
    """Names of the fields that the upstream was not sent, as `left_out_text` writes them."""
    lacks: bool = False
    """True when a refusal said, in the upstream's own words, that only this model lacks the feature."""
