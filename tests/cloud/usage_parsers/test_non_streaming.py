"""Usage of embeddings, moderations and rankings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.cloud.usage_parsers.non_streaming import (
    ModerationsReader,
    RerankReader,
    WholeReader,
)
from inferworks.errors import RefusalError, UpstreamError
from inferworks.meter.usage import Items, Tokens
from inferworks.testing.providers import make_call


def reported(reader: type[WholeReader], **answer: Any) -> Tokens | None:
    """The tokens that an answer tells."""
    usage = reader(make_call()).reported(json.dumps(answer).encode())
    return None if usage is None else usage.tokens


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, Tokens(7, 0)),
        ({"prompt_tokens": 7, "completion_tokens": 2}, Tokens(7, 2)),
        ({"total_tokens": 9}, Tokens(9, 0)),
        ({"total_tokens": 9, "completion_tokens": 4}, Tokens(5, 4)),
        ({"total_tokens": 1, "completion_tokens": 4}, Tokens(0, 4)),
        ({"prompt_tokens": 0}, Tokens(0, 0)),
        ({}, None),
        (None, None),
    ],
)
def test_embeddings(usage: Any, tokens: Tokens | None) -> None:
    """A total alone is input; an explicit zero is told, silence is not."""
    assert reported(WholeReader, data=[1], usage=usage) == tokens


def test_moderations_are_free_unless_they_say_otherwise() -> None:
    """Silence is a zero."""
    assert reported(ModerationsReader, results=[1]) == Tokens()
    assert reported(ModerationsReader, results=[1], usage={"prompt_tokens": 3}) == Tokens(3)


@pytest.mark.parametrize(
    ("answer", "tokens", "searches"),
    [
        ({"meta": {"billed_units": {"search_units": 2}}}, Tokens(), 2),
        ({"meta": {"billed_units": {"search_units": 1.2}}}, Tokens(), 2),
        ({"meta": {"billed_units": {"search_units": 0}}}, Tokens(), 0),
        ({"usage": {"total_tokens": 11}}, Tokens(11), 0),
        ({"meta": {"tokens": {"input_tokens": 4, "output_tokens": 1}}}, Tokens(4, 1), 0),
        (
            {"meta": {"billed_units": {"input_tokens": 5, "search_units": 1},
                      "tokens": {"input_tokens": 6}}},
            Tokens(5),
            1,
        ),
        ({"usage": {"total_tokens": 3}, "meta": {"tokens": {"input_tokens": 6}}}, Tokens(3), 0),
    ],
)  # fmt: skip
def test_rankings(answer: dict[str, Any], tokens: Tokens, searches: int) -> None:
    """Units are whole and rounded up; tokens are those of the first place that tells any."""
    usage = RerankReader(make_call()).reported(json.dumps({"results": [1], **answer}).encode())
    assert usage is not None
    assert (usage.tokens, usage.items) == (tokens, Items(searches=searches))


def test_a_ranking_that_tells_neither_is_estimated() -> None:
    """None, and no zero."""
    assert reported(RerankReader, results=[1], meta={}) is None


def test_an_error_is_no_answer() -> None:
    """Unless there is an answer beside it."""
    for answer in ({"error": {"code": 429, "message": "x"}}, {"detail": "x"}):
        with pytest.raises(RefusalError):
            reported(WholeReader, **answer)
    assert reported(
        WholeReader, data=[1], error={"code": 429}, usage={"prompt_tokens": 1}
    ) == Tokens(1)
    assert reported(WholeReader, data=[], error=None) is None


def test_these_answers_come_whole() -> None:
    """An event is a fault of the upstream's, and the end of a stream adds nothing."""
    reader = WholeReader(make_call())
    with pytest.raises(UpstreamError, match="not streamed"):
        reader.event(b"data: {}\n\n")
    assert reader.ended() is None
    assert reader.whole(b'{"data": [1]}').last
