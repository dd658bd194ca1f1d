"""The facts about calls: a call was opened, and how it ended.

A call is one authenticated request for work. It ends in exactly one `Usage`, whatever happened: answered,
refused, failed, cancelled by its client or cut off by a crash. Its attempts are the `legs` of that Usage,
so that a failover neither hides cost nor counts it twice.

All values are frozen; times are integer nanoseconds since 1970-01-01 UTC. Facts hold no cycles, so they
are kept from the garbage collector (`gc=False`): reading a million of them takes half the time. In JSON a
field that has its default is left out: rows stay short, and rows written before a field existed read the
same as those written now.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from inferworks.catalog.units import PARTS
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, OfferId, ProjectId, ReplicaId
from inferworks.purpose import Purpose
from inferworks.units import Unit


class Outcome(StrEnum):
    """End of a call or of one of its attempts."""

    ANSWERED = "answered"
    """The whole answer was handed to the client's connection."""
    REFUSED = "refused"
    """Turned away before any work: bad body, unknown model, over a limit."""
    FAILED = "failed"
    """An upstream failed, or we did."""
    CANCELLED = "cancelled"
    """The client left before the end."""
    CRASHED = "crashed"
    """Cut off by the death of this program; closed by recovery at the next start."""


class Confidence(StrEnum):
    """Source of the token counts, best first."""

    REPORTED = "reported"
    """The upstream's own final usage."""
    COUNTED = "counted"
    """Counted from the engine's step trace or from running usage in the stream."""
    ESTIMATED = "estimated"
    """Derived from the passing text; an interrupted stream of a silent upstream."""


class Tokens(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Token counts; everything is part of `input` or of `output`, whatever a provider's convention.

    A modality may overlap with the cache or with reasoning, where an API counts both ways; `flaw` names
    contradictions.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    """Part of `input`: read from a cache."""
    reasoning: int = 0
    """Part of `output`: thought and not said."""
    cache_write: int = 0
    """Part of `input`: written to a cache, for however long."""
    cache_write_1h: int = 0
    """Part of `cache_write`: to be kept for an hour."""
    input_audio: int = 0
    """Part of `input`: heard."""
    output_audio: int = 0
    """Part of `output`: spoken."""
    input_image: int = 0
    """Part of `input`: seen."""
    output_image: int = 0
    """Part of `output`: drawn."""

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(getattr(self, n) + getattr(other, n) for n in self.__struct_fields__))

    def flaw(self) -> str | None:
        """Return the contradiction in these counts, naming the fields; None when there is none."""
        counts = msgspec.structs.astuple(self)
        if min(counts) < 0:
            named = zip(self.__struct_fields__, counts, strict=True)
            return next(f"{name} is negative: {count}" for name, count in named if count < 0)
        for parts, whole in _PARTS:
            if sum(map(counts.__getitem__, parts)) > counts[whole]:
                fields = self.__struct_fields__
                told = " + ".join(f"{fields[n]} {counts[n]}" for n in parts if counts[n])
                return f"{told} is more than {fields[whole]} {counts[whole]}"
        return None


TOKEN_UNITS: Final = tuple(Unit(f"{name}_tokens") for name in Tokens.__struct_fields__)
"""Unit of each field of `Tokens`, in their order."""
_PARTS: Final = tuple(
    (tuple(map(TOKEN_UNITS.index, parts)), TOKEN_UNITS.index(whole))
    for parts, whole in PARTS.items()
)
"""Counts of `Tokens` that are parts of another, and cannot be more together: their places."""

NO_TOKENS: Final = Tokens()


class Items(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Counted units other than tokens."""

    images: int = 0
    """Images made."""
    audio_ms: int = 0
    """Milliseconds of sound heard or spoken."""
    characters: int = 0
    """Characters spoken."""
    searches: int = 0
    """Searches of the web, or a reranker's search units."""


ITEM_UNITS: Final = tuple(map(Unit, Items.__struct_fields__))
"""Unit of each field of `Items`, in their order."""
COUNT_COLUMNS: Final = tuple(unit.value for unit in (*TOKEN_UNITS, *ITEM_UNITS))
"""Names of all counts of a call, in the lake and in what others report."""

NO_ITEMS: Final = Items()
"""The one to use where nothing is counted: it is told by identity when a record is written."""

STREAMED_STATUS: Final = 200
"""Status of a stream whose client had its first byte before the call was closed."""
LONGEST_END_USER: Final = 256
"""Longest `end_user`, in characters; longer ones are cut on arrival."""


class Leg(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
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
    """Region where the attempt ran, as the offer says; empty when unknown."""
    chip: str = ""
    """Chip on which the attempt ran, as the offer says; empty when unknown."""
    items: Items = NO_ITEMS
    service_tier: str = ""
    """Service tier that the upstream reports for the attempt, e.g. `priority`; empty when it reports none.
    """
    told_cost_pico: int | None = None
    """Cost of the attempt as the provider states it, in picounits; kept beside what we compute."""
    told_currency: str = "USD"
    ended_by: str = ""
    """Action once nobody wanted the attempt any more: `cancel`, `drain`, `estimate`; empty if it ended."""
    left_out: str = ""
    """Parameters of the caller that the upstream cannot honour: names joined by `, `; empty for none."""


class Opened(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A call was admitted and is about to be sent upstream. On record before the upstream sees it."""

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
    end_user: str = ""
    """The caller's own label of its end user or session, at most `LONGEST_END_USER` characters."""


class Checkpoint(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Progress of a long stream; the newest checkpoint is what a crash leaves."""

    call_id: CallId
    at_ns: int
    leg: Leg
    response_bytes: int


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """End of a call. Exactly one per call."""

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
    """Moment the first byte of the answer reached the client's connection; None also after a crash."""
    closed_ns: int
    outcome: Outcome
    status: int
    """The HTTP status the client was given; 0 when it left before one, or we crashed and know of none."""
    error_code: str | None
    tokens: Tokens
    """Tokens charged to the client: those of the leg that served it."""
    confidence: Confidence
    request_bytes: int
    response_bytes: int
    legs: tuple[Leg, ...]
    items: Items = NO_ITEMS
    """Items charged to the client beside tokens: those of the leg that served it."""
    end_user: str = ""


def usage_of(
    opened: Opened,
    closed_ns: int,
    outcome: Outcome,
    *,
    status: int,
    error_code: str | None = None,
) -> Usage:
    """The Usage in which the call `opened` ended at `closed_ns` without an attempt: a count of zero.

    `msgspec.structs.replace` adds what an attempt used.
    """
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
        first_byte_ns=None,
        closed_ns=closed_ns,
        outcome=outcome,
        status=status,
        error_code=error_code,
        tokens=NO_TOKENS,
        confidence=Confidence.COUNTED,
        request_bytes=opened.request_bytes,
        response_bytes=0,
        legs=(),
        end_user=opened.end_user,
    )
