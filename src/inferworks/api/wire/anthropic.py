"""Anthropic's messages and its counting of their tokens: what we read of a request.

As with OpenAI's chats, a request is decoded once to refuse what is surely wrong; what goes upstream are
the client's own bytes, and what we do not know passes through.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.api.wire.anthropic_errors import ANTHROPIC_ERRORS
from inferworks.api.wire.base import Asked, Form
from inferworks.api.wire.decoding import decode_json
from inferworks.cloud.operation import Operation

Blocks = str | list[dict[str, msgspec.Raw]]


class Message(msgspec.Struct):
    """One turn. Its blocks pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: Blocks


class Metadata(msgspec.Struct):
    """`metadata` of a request."""

    user_id: Annotated[str, Meta(max_length=4096)] | None = None


class CountRequest(msgspec.Struct, gc=False):
    """Parameters that `messages.count_tokens` and `messages` share."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: Blocks | None = None


class MessagesRequest(CountRequest, gc=False, kw_only=True):
    """The parameters of `messages` that we check, with Anthropic's bounds."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    metadata: Metadata | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None


_decode_messages = msgspec.json.Decoder(MessagesRequest).decode
_decode_count = msgspec.json.Decoder(CountRequest).decode


def decode_messages(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode_messages)
    return Asked(
        request.model,
        stream=bool(request.stream),
        wants_usage=True,  # it is in every stream of this dialect
        end_user=(request.metadata and request.metadata.user_id) or "",
    )


def decode_count(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError 400 when it is wrong."""
    return Asked(decode_json(body, _decode_count).model)


_FORWARDED = frozenset({b"anthropic-version", b"anthropic-beta"})

MESSAGES = Form(
    Operation.MESSAGES, decode_messages, ANTHROPIC_ERRORS, _FORWARDED, request=MessagesRequest
)
COUNT_TOKENS = Form(
    Operation.COUNT_TOKENS, decode_count, ANTHROPIC_ERRORS, _FORWARDED, request=CountRequest
)
