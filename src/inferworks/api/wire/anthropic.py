"""Anthropic's messages and its counting of their tokens: what we read of a request.

As with OpenAI's chats, a request is decoded once to refuse what is surely wrong; what goes upstream are
the client's own bytes, and what we do not know passes through.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.anthropic_errors import ANTHROPIC_ERRORS
from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.cut import cut_messages
from inferworks.api.wire.decoding import decode_json
from inferworks.cloud.operation import Operation
from inferworks.dialects.anthropic_messages import CountRequest, MessagesRequest

_decode_messages = msgspec.json.Decoder(MessagesRequest).decode
_decode_count = msgspec.json.Decoder(CountRequest).decode


def decode_messages(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode_messages)
    return RequestInfo(
        request.model,
        stream=bool(request.stream),
        wants_usage=True,  # it is in every stream of this dialect
        end_user=(request.metadata and request.metadata.user_id) or "",
        most_output=request.max_tokens,
    )


def decode_count(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    return RequestInfo(decode_json(body, _decode_count).model)


_FORWARDED = frozenset({b"anthropic-version", b"anthropic-beta"})

MESSAGES = EndpointSpec(
    Operation.MESSAGES,
    decode_messages,
    ANTHROPIC_ERRORS,
    _FORWARDED,
    request=MessagesRequest,
    cut=cut_messages,
)
COUNT_TOKENS = EndpointSpec(
    Operation.COUNT_TOKENS, decode_count, ANTHROPIC_ERRORS, _FORWARDED, request=CountRequest
)
