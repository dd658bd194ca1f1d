"""Embeddings in OpenAI's dialect.

Many speak it that OpenAI's bounds do not bind: Jina and vLLM embed pictures, which stand in `input` as
objects, some take more texts at once, and encodings have other names. What there may be is the upstream's
to say; a list of nothing is nobody's.

Sources: https://platform.openai.com/docs/api-reference/embeddings/create, https://jina.ai/embeddings
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_usage import PromptUsage


class EmbeddingsRequest(msgspec.Struct, gc=False):
    """The parameters of `embeddings` that we check."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: (
        str
        | dict[str, msgspec.Raw]
        | Annotated[list[str | int | list[int] | dict[str, msgspec.Raw]], Meta(min_length=1)]
    )
    """A text, texts, tokens, lists of tokens, or objects with a text or a picture."""
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: str | None = None
    user: Annotated[str, Meta(max_length=4096)] | None = None


class MeteredAnswer(msgspec.Struct):
    """Fields of an answer that are metered, also of moderations; the others are passed over."""

    usage: PromptUsage | None = None
    error: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    results: msgspec.Raw = msgspec.Raw()
