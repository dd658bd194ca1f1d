"""Usage parsers of non-streaming responses: embeddings, moderations, rankings.

An upstream that reports no usage is left to the token estimate. Moderations are the exception: they are
free at OpenAI and report nothing because there is nothing to report, so silence is a zero.

Rankings have two units. Cohere bills search units (a query with up to a hundred passages) and reports them
in `meta.billed_units`; Jina, Voyage, vLLM and the others bill tokens and report them in `usage`, some only
as a total. The reported unit is recorded; neither is computed from the other.

Sources: https://platform.openai.com/docs/api-reference/embeddings/object, /moderations/object,
https://docs.cohere.com/reference/rerank, https://docs.voyageai.com/reference/reranker-api
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec

from inferworks.cloud.bodies.lenient import read_answer
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.in_band import is_empty, refusal, tells_an_error
from inferworks.dialects.openai_embeddings import MeteredAnswer
from inferworks.dialects.openai_usage import PromptUsage
from inferworks.dialects.rerank import BilledUnits, MeteredRanking, RankingMeta
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Items, Tokens

Decoded = TypeVar("Decoded", bound=MeteredAnswer)


_read_answer = msgspec.json.Decoder(MeteredAnswer)
_read_ranking = msgspec.json.Decoder(MeteredRanking)


class WholeReader:
    """Reads an answer that tells its tokens in `usage`, or nothing."""

    def __init__(self, _call: Call) -> None:
        pass

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        return Chunk(data, self.reported(data), last=True)

    def event(self, event: bytes) -> Chunk:
        """Raise UpstreamError: this answer is never streamed."""
        raise UpstreamError("this kind of answer is not streamed", sent=True)

    def ended(self) -> Chunk | None:
        """Return None: this answer is never streamed."""
        return None

    def reported(self, data: bytes) -> ReportedUsage | None:
        """Return the usage that the answer reports; None when it reports none."""
        usage = _read(data, _read_answer).usage
        tokens = None if usage is None else _tokens_of(usage)
        return None if tokens is None else ReportedUsage(tokens)


class ModerationsReader(WholeReader):
    """Reads a moderation, which is free unless it says otherwise."""

    def reported(self, data: bytes) -> ReportedUsage:
        """Return the usage that the answer reports; zero when it reports none."""
        return super().reported(data) or ReportedUsage(NO_TOKENS)


class RerankReader(WholeReader):
    """Reads a ranking."""

    def reported(self, data: bytes) -> ReportedUsage | None:
        """Search units, tokens, or both; None when it tells neither."""
        ranking = _read(data, _read_ranking)
        meta = ranking.meta or RankingMeta()
        billed = meta.billed_units or BilledUnits()
        places = (ranking.usage, billed, meta.tokens)
        counts = (_tokens_of(place) for place in places if place is not None)
        tokens = next((count for count in counts if count is not None), None)
        if tokens is None and billed.search_units is None:
            return None
        units = math.ceil(billed.search_units or 0)  # whole, though Cohere writes them as decimals
        return ReportedUsage(tokens or NO_TOKENS, Items(searches=units) if units else NO_ITEMS)


def _tokens_of(reported: PromptUsage | BilledUnits) -> Tokens | None:
    """Input and output; where only a total is told it is input, for such answers write no tokens."""
    if isinstance(reported, PromptUsage):
        read, written = reported.prompt_tokens, reported.completion_tokens
    else:
        read, written = reported.input_tokens, reported.output_tokens
    if read is None:
        read = (
            None
            if reported.total_tokens is None
            else max(reported.total_tokens - (written or 0), 0)
        )
    return None if read is None else Tokens(read, written or 0)


def _read(data: bytes, decoder: msgspec.json.Decoder[Decoded]) -> Decoded:
    """Read an answer. UpstreamError when it is an error, or unreadable."""
    answer = read_answer(data, decoder)
    if not (answer.data or answer.results) and (not is_empty(answer.error) or tells_an_error(data)):
        raise refusal(data)
    return answer
