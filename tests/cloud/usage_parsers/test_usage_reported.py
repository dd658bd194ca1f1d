"""Usage in answers of OpenAI's dialect: every part of the totals, and nothing that is not said."""

from __future__ import annotations

import json
from typing import Any

import genai_prices
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.readers import RESPONSE_EXAMPLE, read, reader_of

from inferworks.cloud.bodies.lenient import with_whole_letters
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.routing.token_estimate import whole_usage
from inferworks.cloud.usage_parsers.clamped import clamped
from inferworks.errors import UpstreamError
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Confidence, Items, Tokens
from inferworks.testing.providers import make_call

CHAT_EXAMPLE = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "model": "gpt-4.1-2025-04-14",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}}],
    "usage": {
        "prompt_tokens": 1190,
        "completion_tokens": 210,
        "total_tokens": 1400,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 20},
        "completion_tokens_details": {
            "reasoning_tokens": 64,
            "audio_tokens": 11,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
    "service_tier": "default",
}
EMBEDDING_EXAMPLE = {
    "object": "list",
    "data": [{"object": "embedding", "embedding": [0.0023064255, -0.0093279], "index": 0}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}
OURS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "input_audio_tokens": "input_audio",
    "output_audio_tokens": "output_audio",
    "output_reasoning_tokens": "reasoning",
}
"""Name of each count in genai-prices -> ours."""


@pytest.mark.parametrize(
    ("operation", "flavor", "example"),
    [
        (Operation.CHAT, "chat", CHAT_EXAMPLE),
        (Operation.RESPONSES, "responses", RESPONSE_EXAMPLE),
        (Operation.EMBEDDINGS, "embeddings", EMBEDDING_EXAMPLE),
    ],
)
def test_usage_is_what_genai_prices_extracts(
    operation: Operation, flavor: str, example: dict[str, Any]
) -> None:
    """On the reference's own examples we find what the makers of the price list find."""
    theirs = genai_prices.extract_usage(example, provider_id="openai", api_flavor=flavor).usage
    reported = read(operation, example).reported
    assert reported is not None
    for name, ours in OURS.items():
        assert getattr(reported.tokens, ours) == (getattr(theirs, name, 0) or 0), name


COUNT = st.integers(0, 10**9)


@given(total=st.tuples(COUNT, COUNT), parts=st.tuples(*[COUNT] * 7))
def test_parts_never_exceed_their_totals(total: tuple[int, int], parts: tuple[int, ...]) -> None:
    """Totals are kept and parts fit into them, whatever is told."""
    read_, write, hour, reasoning, heard, spoken, seen = parts
    tokens = clamped(Tokens(
        *total, cache_read=read_, cache_write=write, cache_write_1h=hour, reasoning=reasoning,
        input_audio=heard, output_audio=spoken, input_image=seen,
    ))  # fmt: skip
    assert (tokens.input, tokens.output) == total
    assert tokens.flaw() is None


@given(st.integers(0, 1000), st.integers(0, 1000), st.data())
def test_consistent_counts_are_kept_exactly(whole: int, output: int, data: st.DataObject) -> None:
    """Counts without a contradiction are taken as told, in chats and in responses."""
    cached = data.draw(st.integers(0, whole))
    written = data.draw(st.integers(0, whole - cached))
    thought = data.draw(st.integers(0, output))
    ours = Tokens(whole, output, cache_read=cached, cache_write=written, reasoning=thought)
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    chat = {
        "prompt_tokens": whole,
        "completion_tokens": output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    response = {
        "input_tokens": whole,
        "output_tokens": output,
        "input_tokens_details": details,
        "output_tokens_details": {"reasoning_tokens": thought},
    }
    for operation, usage in ((Operation.CHAT, chat), (Operation.RESPONSES, response)):
        reported = read(operation, {"object": "response", "choices": [{}], "usage": usage}).reported
        assert reported is not None
        assert reported.tokens == ours


@pytest.mark.parametrize(
    ("operation", "zero"),
    [
        (Operation.CHAT, {"prompt_tokens": 0, "completion_tokens": 0}),
        (Operation.COMPLETIONS, {"prompt_tokens": 0, "completion_tokens": 0}),
        (Operation.RESPONSES, {"input_tokens": 0, "output_tokens": 0}),
        (Operation.EMBEDDINGS, {"prompt_tokens": 0, "total_tokens": 0}),
        (Operation.RERANK, {"total_tokens": 0}),
    ],
)
def test_zero_is_not_silence(operation: Operation, zero: dict[str, int]) -> None:
    """An explicit zero is told; what is missing or null is not."""
    reported = read(operation, {"choices": [{}], "usage": zero}).reported
    assert reported is not None
    assert reported.tokens == NO_TOKENS
    for silence in ({}, {"usage": None}, {"usage": {}}, {"usage": [1]}, {"usage": "none"}):
        assert read(operation, {"choices": [{}], **silence}).reported is None


@pytest.mark.parametrize("number", [10**9 + 1, 10**12, 2**63 - 1, 10**23, -1])
@pytest.mark.parametrize(
    ("operation", "example"),
    [
        (Operation.CHAT, CHAT_EXAMPLE),
        (Operation.RESPONSES, RESPONSE_EXAMPLE),
        (Operation.EMBEDDINGS, EMBEDDING_EXAMPLE),
    ],
)
def test_what_nobody_can_have_used_is_not_said(
    operation: Operation, example: dict[str, Any], number: int
) -> None:
    """A count that no call has is no count: it is estimated, whatever else the answer tells."""
    counts = {name: number for name, value in example["usage"].items() if isinstance(value, int)}
    call = make_call()
    reported, confidence = whole_usage(
        call, read(operation, {**example, "usage": counts}), b"application/json"
    )
    assert max(reported.tokens.input, reported.tokens.output) < 1000
    assert confidence is Confidence.ESTIMATED


def test_moderations_are_free() -> None:
    """Silence is a zero there, and what is told is taken."""
    reported = read(Operation.MODERATIONS, {"results": []}).reported
    assert reported is not None
    assert reported.tokens == NO_TOKENS
    billed = read(Operation.MODERATIONS, {"results": [], "usage": {"prompt_tokens": 7}}).reported
    assert billed is not None
    assert billed.tokens == Tokens(7)


@pytest.mark.parametrize(
    ("answer", "tokens", "items"),
    [
        ({"meta": {"billed_units": {"search_units": 2}}}, NO_TOKENS, Items(searches=2)),
        ({"meta": {"billed_units": {"search_units": 1.0}}}, NO_TOKENS, Items(searches=1)),
        ({"meta": {"billed_units": {"search_units": 0}}}, NO_TOKENS, NO_ITEMS),
        ({"usage": {"total_tokens": 815}}, Tokens(815), NO_ITEMS),
        ({"usage": {"prompt_tokens": 20, "total_tokens": 20}}, Tokens(20), NO_ITEMS),
        ({"meta": {"tokens": {"input_tokens": 9, "output_tokens": 1}}}, Tokens(9, 1), NO_ITEMS),
        (
            {"usage": {"total_tokens": 4}, "meta": {"billed_units": {"search_units": 1}}},
            Tokens(4),
            Items(searches=1),
        ),
    ],
)
def test_rankings_tell_units_or_tokens(
    answer: dict[str, Any], tokens: Tokens, items: Items
) -> None:
    """Cohere's units, Jina's total and Together's counts are each taken as they are told."""
    reported = read(Operation.RERANK, {"results": [], **answer}).reported
    assert reported is not None
    assert (reported.tokens, reported.items) == (tokens, items)


SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
OPENED = {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}}
PICTURE = {"type": "image_generation_call", "status": "completed", "action": "generate"}


@pytest.mark.parametrize(
    ("change", "items"),
    [
        ({}, NO_ITEMS),
        ({"output": [SEARCH, OPENED, SEARCH, PICTURE]}, Items(searches=2, images=1)),
        (
            {"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": 3}}},
            Items(searches=3),
        ),
        ({"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": 0}}}, NO_ITEMS),
        ({"output": [{**PICTURE, "status": "failed"}]}, NO_ITEMS),
    ],
)
def test_what_tools_of_the_upstream_did_is_counted(change: dict[str, Any], items: Items) -> None:
    """Searches and images are items; the upstream's own count of searches goes before ours."""
    reported = read(Operation.RESPONSES, {**RESPONSE_EXAMPLE, **change}).reported
    assert reported is not None
    assert (reported.items, reported.service_tier) == (items, "priority")


@pytest.mark.parametrize("operation", sorted(openai_operations().keys() - {Operation.SPEECH}))
@pytest.mark.parametrize("data", [b"", b"[]", b'{"usage":', b"\xff", b'{"error":{"message":"no"}}'])
def test_an_error_is_no_answer(operation: Operation, data: bytes) -> None:
    """An error in the clothes of an answer, and what cannot be read, fail the attempt."""
    with pytest.raises(UpstreamError):
        reader_of(operation).whole(data)


@given(st.text(st.sampled_from('\\u"\ud83d\ude00x\n\U0001f600'), max_size=12))
def test_half_a_letter_is_read_as_its_sign(text: str) -> None:
    """Whole letters, and whatever looks like an escape, stay what they were."""
    data = with_whole_letters(json.dumps(text).encode())
    halves = dict.fromkeys(range(55296, 57344), "�")
    assert msgspec.json.decode(data) == json.loads(json.dumps(text)).translate(halves)
