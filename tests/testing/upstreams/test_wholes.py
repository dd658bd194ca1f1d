"""Embeddings, moderations and rankings, without a server around them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from inferworks.testing.upstreams.script import Answer, Reports
from inferworks.testing.upstreams.wholes import EMBEDDINGS, MODERATIONS, RERANK


@pytest.mark.parametrize(
    ("given", "count"),
    [("a text", 1), (["a"], 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
)
def test_each_input_has_its_vector_and_its_verdict(given: object, count: int) -> None:
    """A list of tokens is one input; usage counts each."""
    body = EMBEDDINGS.whole(Answer(input_tokens=5), {"model": "m", "input": given})
    assert [one["index"] for one in body["data"]] == list(range(count))
    assert body["usage"] == {"prompt_tokens": 5 * count, "total_tokens": 5 * count}
    assert len(MODERATIONS.whole(Answer(), {"input": given})["results"]) == count


def test_a_vector_in_base64_is_the_same() -> None:
    """Floats of 32 bits, the least byte first."""
    plain, packed = (
        EMBEDDINGS.whole(Answer(), {"model": "m", "input": "a", **more})["data"][0]["embedding"]
        for more in ({"encoding_format": "float"}, {"encoding_format": "base64"})
    )
    assert struct.unpack("<3f", base64.b64decode(packed)) == tuple(plain)


@pytest.mark.parametrize(
    ("reports", "usage"),
    [
        (Reports.NEVER, None),
        (Reports.ZERO, {"prompt_tokens": 0, "total_tokens": 0}),
        (Reports.ALWAYS, {"prompt_tokens": 10, "total_tokens": 10}),
    ],
)
def test_usage_of_embeddings(reports: Reports, usage: object) -> None:
    """Explicit zeros, or none at all."""
    answer = Answer(input_tokens=5, reports=reports)
    assert EMBEDDINGS.whole(answer, {"model": "m", "input": ["a", "b"]}).get("usage") == usage


def test_a_moderation_has_a_model_unasked() -> None:
    """The model of the request, or the newest."""
    assert MODERATIONS.whole(Answer(), {"input": "a"})["model"] == "omni-moderation-latest"
    assert MODERATIONS.whole(Answer(), {"input": "a", "model": "m"})["model"] == "m"


@pytest.mark.parametrize(("top", "count"), [(None, 3), (0, 3), (1, 1), (3, 3), (4, 3)])
def test_a_ranking_has_no_more_than_there_are(top: int | None, count: int) -> None:
    """The passages as they came, each less relevant than the one before."""
    request: dict[str, Any] = {"documents": ["a", "b", "c"], "top_n": top}
    results = RERANK.whole(Answer(), request)["results"]
    assert [one["index"] for one in results] == list(range(count))
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == count


@pytest.mark.parametrize(
    ("reports", "field", "expected"),
    [
        (
            Reports.AS_ASKED,
            "meta",
            {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        ),
        (Reports.ALWAYS, "usage", {"total_tokens": 5}),
        (Reports.NEVER, "usage", None),
    ],
)
def test_a_ranking_is_billed_in_searches_or_tokens(
    reports: Reports, field: str, expected: object
) -> None:
    """Cohere has units of its own; others have tokens, or tell nothing."""
    body = RERANK.whole(Answer(input_tokens=5, reports=reports), {"documents": ["a"]})
    assert body.get(field) == expected
    assert body.keys() == {"id", "results"} | ({field} if expected else set())
