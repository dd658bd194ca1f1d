"""The facts about calls: a call was opened, and how it ended.

A call is one authenticated request for work. It ends in exactly one `Usage`, whatever happened:
answered, refused, failed, cancelled by its client or cut off by a crash. What was tried for it are the
`legs` of that Usage, one per attempt, so that a failover neither hides cost nor counts it twice.

All values are frozen; times are integer nanoseconds since 1970-01-01 UTC. Facts hold no cycles, so they
are kept from the garbage collector (`gc=False`): reading a million of them takes half the time.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from inferworks.ids import CallId, CustomerId, KeyId, ModelId, OfferId, ProjectId, ReplicaId
from inferworks.purpose import Purpose


class Outcome(StrEnum):
    """How a call or one of its attempts ended."""

    ANSWERED = "answered"
    """The whole answer was handed to the client's connection."""
    REFUSED = "refused"
    """Turned away before any work: bad body, unknown model, over a limit."""
    FAILED = "failed"
    """An upstream failed, or we did."""
    CANCELLED = "cancelled"
    """The client left before the end."""
    CRASHED = "crashed"
    """This program died meanwhile; closed by recovery at the next start."""


class Confidence(StrEnum):
    """Where the token counts come from, best first."""

    REPORTED = "reported"
    """The upstream's own final usage."""
    COUNTED = "counted"
    """Counted from the engine's step trace or from running usage in the stream."""
    ESTIMATED = "estimated"
    """Derived from what was seen; an interrupted stream of a silent upstream."""


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Token counts. `cache_read` is part of `input`, `reasoning` is part of `output`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.reasoning + other.reasoning,
        )


NO_TOKENS = Tokens()


class Leg(msgspec.Struct, frozen=True, gc=False):
    """One attempt to serve a call at one offer."""

    offer: OfferId
    provider: str
    """The driver's name, e.g. `openai`."""
    replica: ReplicaId | None
    """The own replica that did the work; None for somebody else's API."""
    started_ns: int
    first_token_ns: int | None
    ended_ns: int
    outcome: Outcome
    status: int
    """The upstream's HTTP status; 0 when it gave none."""
    tokens: Tokens
    confidence: Confidence
    region: str = ""
    """Where it ran, as the offer says; empty when unknown."""
    chip: str = ""
    """What it ran on, as the offer says; empty when unknown."""


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A call was admitted and is about to be sent upstream. Durable before the upstream sees it."""

    call_id: CallId
    opened_ns: int
    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    purpose: Purpose
    endpoint: str
    """The API operation, e.g. `chat.completions`."""
    model: ModelId
    """The model as the caller named it."""
    stream: bool
    request_bytes: int


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """How far a long stream has come; the newest one is what a crash leaves."""

    call_id: CallId
    at_ns: int
    leg: Leg
    response_bytes: int


class Usage(msgspec.Struct, frozen=True, gc=False):
    """How a call ended. Exactly one per call."""

    call_id: CallId
    customer: CustomerId
    project: ProjectId
    key_id: KeyId
    purpose: Purpose
    endpoint: str
    model: ModelId
    stream: bool
    opened_ns: int
    first_byte_ns: int | None
    """When the first byte of the answer was handed to the client's connection."""
    closed_ns: int
    outcome: Outcome
    status: int
    """The HTTP status the client was given; 0 when it left or we crashed before one."""
    error_code: str | None
    tokens: Tokens
    """What the client is charged for: the tokens of the leg that served it."""
    confidence: Confidence
    request_bytes: int
    response_bytes: int
    legs: tuple[Leg, ...]


def usage_of(
    opened: Opened,
    closed_ns: int,
    outcome: Outcome,
    *,
    status: int,
    error_code: str | None = None,
    first_byte_ns: int | None = None,
    tokens: Tokens = NO_TOKENS,
    confidence: Confidence = Confidence.COUNTED,
    response_bytes: int = 0,
    legs: tuple[Leg, ...] = (),
) -> Usage:
    """The Usage in which the call `opened` ended at `closed_ns`; no tokens are a count of zero."""
    return Usage(
        call_id=opened.call_id,
        customer=opened.customer,
        project=opened.project,
        key_id=opened.key_id,
        purpose=opened.purpose,
        endpoint=opened.endpoint,
        model=opened.model,
        stream=opened.stream,
        opened_ns=opened.opened_ns,
        first_byte_ns=first_byte_ns,
        closed_ns=closed_ns,
        outcome=outcome,
        status=status,
        error_code=error_code,
        tokens=tokens,
        confidence=confidence,
        request_bytes=opened.request_bytes,
        response_bytes=response_bytes,
        legs=legs,
    )
