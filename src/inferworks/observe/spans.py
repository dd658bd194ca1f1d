"""A call as spans: one for the call, one below it for each attempt.

Problem. Spans that are opened and closed along the way of a call cost every call, need a context that
follows it through tasks, and stay open when a way out forgets them.

Decision. Spans are made of the record in which a call ended, when it has ended: a `Usage` has every time
and count that they need. What a record does not have is the caller's trace, which is kept by the call's id
until then. The ids of spans are made from the call's id, so that an own replica can be told of the span it
works under before that span is made, and the same call has the same spans however often they are made.

What is in a span: operation, model, provider, region, tokens, times, outcome. Never a prompt or an answer,
nor who called: `inferworks.call.id` leads to the record, which says it to those who may read the books.

Source: https://www.w3.org/TR/trace-context/ and OpenTelemetry's conventions for generative AI.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from inferworks.catalog.units import BILLABLE
from inferworks.ids import CallId
from inferworks.meter.usage import TOKEN_UNITS, Leg, Outcome, Tokens, Usage
from inferworks.observe.conventions import operation_name, provider_name

Value: TypeAlias = str | int | bool

_TRACEPARENT: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 1
_COUNTS: Final = tuple(
    (place, BILLABLE[unit]) for place, unit in enumerate(TOKEN_UNITS) if BILLABLE[unit].attribute
)
"""Places of the counts of `Tokens` that a span holds, and their units."""


class Kind(StrEnum):
    """End of a request that a span is of."""

    SERVER = "server"
    CLIENT = "client"


class Parent(msgspec.Struct, frozen=True):
    """The span under which a caller made a call."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(msgspec.Struct, frozen=True):
    """A piece of work with its time, in nanoseconds since 1970-01-01 UTC."""

    trace_id: int
    """128 bits."""
    span_id: int
    """64 bits."""
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    parent: Parent | None
    error: str
    """Error in one word; empty for none."""
    attributes: Mapping[str, Value]


def parse_traceparent(header: bytes | None) -> Parent | None:
    """The caller's span in a `traceparent` header; None when there is none that is valid."""
    found = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(found[4], 16) & _SAMPLED))


def traceparent(call_id: CallId, parent: Parent | None) -> bytes:
    """The header that puts a request under the span of this call."""
    sampled = parent is None or parent.sampled
    ids = (trace_id_of(call_id, parent), span_id_of(call_id), sampled)
    return b"00-%032x-%016x-%02x" % ids


def trace_id_of(call_id: CallId, parent: Parent | None) -> int:
    """The trace that a call belongs to: its caller's, else one of its own."""
    return parent.trace_id if parent else _number(call_id, 16)


def span_id_of(call_id: CallId, attempt: int | None = None) -> int:
    """The span of a call, or of one of its attempts."""
    return _number(call_id if attempt is None else f"{call_id}/{attempt}", 8)


def spans_of(usage: Usage, parent: Parent | None) -> list[Span]:
    """The spans of a call that has ended, its own first."""
    trace_id, call_id = trace_id_of(usage.call_id, parent), usage.call_id
    name = f"{operation_name(usage.endpoint)} {usage.model}".strip()
    own = Parent(trace_id, span_id_of(call_id), sampled=True)
    found: dict[str, Value] = {
        **_common(usage, usage.tokens),
        "inferworks.call.id": usage.call_id,
        "inferworks.outcome": str(usage.outcome),
        "inferworks.confidence": str(usage.confidence),
        "inferworks.attempts": len(usage.legs),
    }
    if usage.legs:
        found["gen_ai.provider.name"] = provider_name(usage.legs[-1].provider)
    if usage.status:
        found["http.response.status_code"] = usage.status
    if usage.first_byte_ns is not None:
        found["inferworks.time_to_first_byte_ns"] = usage.first_byte_ns - usage.opened_ns
    call = Span(
        trace_id,
        own.span_id,
        name,
        Kind.SERVER,
        usage.opened_ns,
        usage.closed_ns,
        parent,
        _error(usage.outcome, usage.error_code),
        found,
    )
    attempts = [
        Span(
            trace_id,
            span_id_of(call_id, number),
            name,
            Kind.CLIENT,
            leg.started_ns,
            leg.ended_ns,
            own,
            _error(leg.outcome, str(leg.status) if leg.status >= 400 else None),
            _attempt_attributes(usage, leg),
        )
        for number, leg in enumerate(usage.legs)
    ]
    return [call, *attempts]


def _attempt_attributes(usage: Usage, leg: Leg) -> dict[str, Value]:
    found: dict[str, Value] = {
        **_common(usage, leg.tokens),
        "gen_ai.provider.name": provider_name(leg.provider),
        "inferworks.offer": leg.offer,
        "inferworks.outcome": str(leg.outcome),
        "inferworks.confidence": str(leg.confidence),
    }
    told = {
        "cloud.region": leg.region,
        "inferworks.replica": leg.replica or "",
        "gen_ai.openai.response.service_tier": leg.service_tier,
        "inferworks.ended_by": leg.ended_by,
        "inferworks.left_out": leg.left_out,
    }
    found.update({name: value for name, value in told.items() if value})
    if leg.status:
        found["http.response.status_code"] = leg.status
    return found


def _common(usage: Usage, tokens: Tokens) -> dict[str, Value]:
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation_name(usage.endpoint),
        "gen_ai.request.stream": usage.stream,
    }
    if usage.model:
        found["gen_ai.request.model"] = usage.model
    counts = msgspec.structs.astuple(tokens)
    for place, row in _COUNTS:
        if counts[place] or row.part_of is None:
            found[row.attribute] = counts[place]
    return found


def _error(outcome: Outcome, code: str | None) -> str:
    return "" if outcome is Outcome.ANSWERED else code or str(outcome)


def _number(text: str, n_bytes: int) -> int:
    """A number made from `text`, never zero, as random as a hash."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=n_bytes).digest()
    return int.from_bytes(digest) or 1
