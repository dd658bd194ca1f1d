"""Seam of the dialects: one `EndpointSpec` per operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from inferworks.cloud.operation import Operation
from inferworks.errors import CallError
from inferworks.meter.usage import Tokens


class RequestInfo(msgspec.Struct, frozen=True):
    """Request fields that the gateway itself needs."""

    model: str
    stream: bool = False
    wants_usage: bool = False
    """True when the client asked for the usage of a stream (where the dialect has it only on request)."""
    wants_running_usage: bool = False
    wants_cost: bool = False
    """True when the client asked for the cost in the answer's usage (OpenRouter's `usage: {"include":
    true}`).
    """
    end_user: str = ""
    """End user, in the caller's own words (OpenAI's `user`, Anthropic's `metadata.user_id`)."""
    most_output: int | None = None
    """Tokens that each choice of the answer may have; None where the request sets no limit."""
    choices: int = 1
    """Answers that were asked for, or images."""
    session: str = ""
    """Key that requests of one conversation share (`prompt_cache_key`, ...); empty when not given."""


@dataclass(frozen=True, slots=True)
class ErrorStyle:
    """Error format of a dialect."""

    body: Callable[[CallError, str], bytes]
    """Encode the whole body of a refusal of the request of that id."""
    event: Callable[[CallError, str, bytes], bytes]
    """Encode the last event of a stream that broke off after the events given, in the answer to the request
    of that id.
    """
    named: Callable[[bytes, str], bytes] | None = None
    """Put the id of the request into an upstream's error body, if its place there is empty."""
    id_header: bytes = b"x-request-id"
    """Header in which the dialect's clients look for the id of their request."""


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Format in which clients of one dialect send one operation."""

    operation: Operation
    decode: Callable[[bytes, bytes], RequestInfo]
    """Decode a body and its content type. CallError in the dialect's own statuses when it is wrong."""
    errors: ErrorStyle
    forwarded: frozenset[bytes] = frozenset()
    """Request headers that are part of the dialect and go upstream; no other header does."""
    request: type[msgspec.Struct] | None = None
    """Type that a JSON body is checked against, for the OpenAPI document; None where it is no JSON."""
    fields: type[msgspec.Struct] | None = None
    """Type that a form with files is checked against, for the OpenAPI document; None where it is no form.
    """
    cut: Callable[[CallError, bytes, Tokens | None], bytes] | None = None
    """Encode the end of a stream in which a limit is reached, after its last events and with its usage.

    None where the dialect has no such end, and the stream ends with an error.
    """
