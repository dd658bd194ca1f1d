"""OpenAI's chat completions: what we read of a request.

A request is decoded once, typed, to refuse what is wrong in OpenAI's words and statuses; what goes
upstream are the client's own bytes. Parameters we do not know pass through untouched, for the upstream to
take or refuse.
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.cut import cut_chat
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_chat import ChatRequest, StreamOptions
from inferworks.errors import CallError

_WITH_COST: Final = {"include": True}
_LONGEST_WISH_BYTES: Final = 64


_decode = msgspec.json.Decoder(ChatRequest).decode


def decode_chat(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError with OpenAI's status, code and parameter when it is wrong."""
    request = decode_json(body, _decode)
    wants_usage = running = False
    if request.stream_options is not None:
        wants_usage, running = stream_wishes(request.stream, request.stream_options)
    usage = request.usage
    wants_cost = (
        usage is not msgspec.UNSET
        and len(usage) <= _LONGEST_WISH_BYTES
        and bool(msgspec.json.decode(usage) == _WITH_COST)
    )
    return RequestInfo(
        request.model,
        stream=bool(request.stream),
        wants_usage=wants_usage,
        wants_running_usage=running,
        end_user=request.safety_identifier or request.user or "",
        session=request.prompt_cache_key or "",
        wants_cost=wants_cost,
        most_output=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
    )


def stream_wishes(stream: bool | None, options: StreamOptions) -> tuple[bool, bool]:
    """Return the wishes for usage at the end of a stream, and in every event of it.

    CallError 400 when there is no stream.
    """
    if not stream:
        raise CallError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    wants_usage = bool(options.include_usage)
    return wants_usage, wants_usage and bool(options.continuous_usage_stats)


CHAT = EndpointSpec(
    Operation.CHAT,
    decode_chat,
    OPENAI_ERRORS,
    frozenset({b"openai-beta"}),
    request=ChatRequest,
    cut=cut_chat,
)
