"""What every dialect at the door must supply, one `Form` per operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from inferworks.cloud.operation import Operation
from inferworks.errors import CallError


class Asked(msgspec.Struct, frozen=True):
    """What a request says, as far as the house needs to know it."""

    model: str
    stream: bool = False
    wants_usage: bool = False
    """The client asked to see the usage of a stream (where the dialect has it only on request)."""
    wants_running_usage: bool = False
    wants_cost: bool = False
    """The client asked for the cost in the answer's usage (OpenRouter's `usage: {"include": true}`)."""
    end_user: str = ""
    """Who it is for, in the caller's own words (OpenAI's `user`, Anthropic's `metadata.user_id`)."""
    session: str = ""
    """What requests of one conversation share (`prompt_cache_key`, ...); empty when they do not say."""


def _as_it_is(body: bytes, _request_id: str) -> bytes:
    return body


@dataclass(frozen=True, slots=True)
class ErrorStyle:
    """How a dialect writes an error."""

    body: Callable[[CallError, str], bytes]
    """The whole body of a refusal of the request of that id."""
    event: Callable[[CallError, str], bytes]
    """The last event of a stream that broke off, in the answer to the request of that id."""
    named: Callable[[bytes, str], bytes] = _as_it_is
    """An error body of an upstream's with the id of the request, if its place there is empty."""
    id_header: bytes = b"x-request-id"
    """Where its clients look for the id of their request."""


@dataclass(frozen=True, slots=True)
class ModelList:
    """How a dialect writes what is served here."""

    one: Callable[[str], bytes]
    """A model by itself."""
    several: Callable[[Sequence[str], str], bytes]
    """All of them, or the page that a query asks for. CallError 400 when that makes no sense."""


@dataclass(frozen=True, slots=True)
class Form:
    """How clients of one dialect write one operation."""

    operation: Operation
    decode: Callable[[bytes, bytes], Asked]
    """A body and its content type. CallError in the dialect's own statuses when it is wrong."""
    errors: ErrorStyle
    forwarded: frozenset[bytes] = frozenset()
    """The client's headers that are part of the dialect and go upstream; no other header does."""
    request: type[msgspec.Struct] | None = None
    """What a JSON body is checked against, for the OpenAPI document; None where it is no JSON."""
    fields: type[msgspec.Struct] | None = None
    """What a form with files is checked against, for that document too; None where it is no form."""
