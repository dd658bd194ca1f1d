"""What goes down to a provider and what comes up: Call, Chunk with what it told, Reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from inferworks.catalog.facts import UNKNOWN_MODEL, ModelFacts
from inferworks.cloud.operation import Operation
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage


class Call(msgspec.Struct, frozen=True):
    """One decoded request, on its way to whoever serves it."""

    id: CallId
    operation: Operation
    model: ModelId
    stream: bool
    wants_usage: bool
    """The client asked for the usage event of a stream (`stream_options.include_usage`)."""
    body: bytes
    """The request as the client sent it."""
    wants_running_usage: bool = False
    """The client asked for usage in every event (`stream_options.continuous_usage_stats`, vLLM's)."""
    content_type: bytes = b"application/json"
    """What `body` is."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The caller's headers that are part of its dialect (`anthropic-version`, `openai-beta`, ...)."""
    session: bytes = b""
    """What calls of one conversation share, for routes that keep them together; empty for none."""
    facts: ModelFacts = UNKNOWN_MODEL
    """What the model takes that is asked. Known where the call is translated, and only there."""
    asked_as: str = ""
    """What the upstream calls that model; empty where it is `model`."""
    lenient: bool = False
    """What that model cannot be asked for is left out rather than refused."""
    left_out: tuple[str, ...] = ()
    """What was left out in the translation: the caller's fields and tools, as the caller named them."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer: an event of a stream, or the events that came together, or a whole body."""

    data: bytes
    """The bytes for the client; empty for an event that only we asked for."""
    told: ReportedUsage | None = None
    """What the answer has used up to here, where the upstream says. An explicit zero is not silence."""
    last: bool = False
    """Nothing follows. A client that has it has the whole answer."""


def _is_not_over() -> bool:
    return False


class Reply(msgspec.Struct, frozen=True):
    """An upstream's answer that has begun: its first chunk is here, the rest is still coming."""

    status: int
    content_type: bytes
    first: Chunk
    rest: AsyncIterator[Chunk]
    """The chunks after the first, up to and including the last. UpstreamError when it breaks off."""
    retry_after_ns: int | None = None
    """In how long a refusal wants to be asked again, where it says so."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The upstream's headers that are part of its dialect's answer (Stability's `seed`)."""
    beside: tuple[tuple[bytes, bytes], ...] = ()
    """What the upstream says of its limits, and its own id of the request (`told_beside`)."""
    is_over: Callable[[], bool] = _is_not_over
    """Whether the upstream has said that its answer is at its end, though what it used may still come."""
    left_out: str = ""
    """What the caller asked for and the upstream was not, as `left_out_text` tells it."""
    lacks: bool = False
    """A refusal told, in the upstream's own words, what the asked model alone does not have."""
