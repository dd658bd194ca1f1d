"""OpenAI's moderations: what we read of a request.

Source: https://platform.openai.com/docs/api-reference/moderations/create
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_moderations import ModerationsRequest

_decode = msgspec.json.Decoder(ModerationsRequest).decode


def decode_moderations(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    return RequestInfo(decode_json(body, _decode).model)


MODERATIONS = EndpointSpec(
    Operation.MODERATIONS, decode_moderations, OPENAI_ERRORS, request=ModerationsRequest
)
