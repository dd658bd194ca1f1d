"""Reranking, in the words that Cohere, Jina, vLLM and most others share: what we read of a request.

Nobody owns this dialect. Cohere began it; the others kept `query`, `documents` and `top_n`, and each has
fields of its own, which pass. A refusal of ours is written as OpenAI's: the clients look at the status.

Sources: https://docs.cohere.com/reference/rerank, https://jina.ai/reranker,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.rerank import RerankRequest

_decode = msgspec.json.Decoder(RerankRequest).decode


def decode_rerank(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    return RequestInfo(request.model, end_user=request.user or "")


RERANK = EndpointSpec(Operation.RERANK, decode_rerank, OPENAI_ERRORS, request=RerankRequest)
