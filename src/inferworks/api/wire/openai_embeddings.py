"""OpenAI's embeddings: what we read of a request.

Source: https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from inferworks.api.wire.base import Asked, Form
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation

Text = Annotated[str, Meta(min_length=1)]


class EmbeddingsRequest(msgspec.Struct, gc=False):
    """The parameters of `embeddings` that we check, with OpenAI's bounds."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Text | Annotated[list[Text | int | list[int]], Meta(min_length=1, max_length=2048)]
    """A text, texts, tokens, or lists of tokens."""
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str, Meta(max_length=4096)] | None = None


_decode = msgspec.json.Decoder(EmbeddingsRequest).decode


def decode_embeddings(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    return Asked(request.model, end_user=request.user or "")


EMBEDDINGS = Form(Operation.EMBEDDINGS, decode_embeddings, OPENAI_ERRORS, request=EmbeddingsRequest)
