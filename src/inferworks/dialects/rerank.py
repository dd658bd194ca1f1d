"""Reranking, in the words that Cohere, Jina, vLLM and most others share.

Nobody owns this dialect. Cohere began it; the others kept `query`, `documents` and `top_n`, and each has
fields of its own.

Sources: https://docs.cohere.com/reference/rerank, https://jina.ai/reranker,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_embeddings import MeteredAnswer
from inferworks.dialects.token_conventions import Count

Passage = str | dict[str, msgspec.Raw]
"""A text, or an object with a text or an image."""


class RerankRequest(msgspec.Struct, gc=False):
    """The parameters of `rerank` that we check."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    query: Passage
    documents: Annotated[list[Passage], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None = None
    user: Annotated[str, Meta(max_length=4096)] | None = None


class BilledUnits(msgspec.Struct):
    """Units that Cohere bills, or tokens that it counted."""

    search_units: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None


class RankingMeta(msgspec.Struct):
    """Cohere's `meta`."""

    billed_units: BilledUnits | None = None
    tokens: BilledUnits | None = None


class MeteredRanking(MeteredAnswer):
    """Fields of a ranking that are metered."""

    meta: RankingMeta | None = None
