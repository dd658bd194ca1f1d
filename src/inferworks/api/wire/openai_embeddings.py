"""Embeddings in OpenAI's dialect: what we read of a request.

Many speak it that OpenAI's bounds do not bind: Jina and vLLM embed pictures, which stand in `input` as
objects, some take more texts at once, and encodings have other names. What there may be is the upstream's
to say; a list of nothing is nobody's.

Sources: https://platform.openai.com/docs/api-reference/embeddings/create, https://jina.ai/embeddings
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_embeddings import EmbeddingsRequest

_decode = msgspec.json.Decoder(EmbeddingsRequest).decode


def decode_embeddings(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    return RequestInfo(request.model, end_user=request.user or "")


EMBEDDINGS = EndpointSpec(
    Operation.EMBEDDINGS, decode_embeddings, OPENAI_ERRORS, request=EmbeddingsRequest
)
