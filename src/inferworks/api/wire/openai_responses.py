"""OpenAI's responses: what we read of a request, and how a stream of theirs breaks off.

Input items and tools pass unseen; there are dozens of kinds, and more every month. What is refused here is
what cannot be metered: an answer made in the background is fetched later by its id, so its usage would
never pass through the call that caused it.

Sources: https://platform.openai.com/docs/api-reference/responses/create, https://www.openresponses.org
"""

from __future__ import annotations

import re

import msgspec

from inferworks.api.wire.base import EndpointSpec, ErrorStyle, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import error_body
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_responses import InputTokensRequest, ResponsesRequest
from inferworks.errors import CallError

_decode = msgspec.json.Decoder(ResponsesRequest).decode
_decode_count = msgspec.json.Decoder(InputTokensRequest).decode

_NUMBER = re.compile(rb'(?<!\\)"sequence_number"\s*:\s*(\d{1,15})')
"""Number of an event; in a text of an answer, the quotes are escaped."""


def decode_responses(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong or cannot be metered."""
    request = decode_json(body, _decode)
    if request.background:
        raise CallError(
            400,
            "'background' is not supported: what is fetched later cannot be metered. "
            "Use 'stream' for long answers.",
            code="unsupported_parameter",
            param="background",
        )
    return RequestInfo(
        request.model,
        stream=bool(request.stream),
        wants_usage=True,  # it is in every stream of this dialect
        end_user=request.safety_identifier or request.user or "",
        session=request.prompt_cache_key or request.previous_response_id or "",
        most_output=request.max_output_tokens,
    )


def decode_input_tokens(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    return RequestInfo(decode_json(body, _decode_count).model)


def error_event(error: CallError, _request_id: str = "", before: bytes = b"") -> bytes:
    """An error inside a stream that has begun, numbered after the last of the events `before` it.

    The fields are said twice: at the top, where the reference has them, and in `error`, where OpenAI's own
    clients look to raise an exception.
    """
    numbers = _NUMBER.findall(before)
    fields = {
        "type": "error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "sequence_number": int(numbers[-1]) + 1 if numbers else 0,
        "error": {
            "type": error.kind,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        },
    }
    return b"event: error\ndata: " + msgspec.json.encode(fields) + b"\n\n"


RESPONSES_ERRORS = ErrorStyle(error_body, error_event)

RESPONSES = EndpointSpec(
    Operation.RESPONSES,
    decode_responses,
    RESPONSES_ERRORS,
    frozenset({b"openai-beta"}),
    request=ResponsesRequest,
)
INPUT_TOKENS = EndpointSpec(
    Operation.INPUT_TOKENS, decode_input_tokens, RESPONSES_ERRORS, request=InputTokensRequest
)
