"""Conventions by which providers count, and their own totals as witness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.usage_parsers.anthropic import MessagesReader
from inferworks.cloud.usage_parsers.base import Reader
from inferworks.cloud.usage_parsers.converse import ConverseReader
from inferworks.dialects.token_conventions import AS_OPENAI, Counting, whole_output
from inferworks.errors import UpstreamError
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call

ADDED = Counting(reasoning="added")


def reader_of(operation: Operation, counting: Counting) -> Reader:
    """A fresh reader, as the provider would make it."""
    return openai_operations(counting=counting)[operation].reader(make_call())


@pytest.mark.parametrize(
    ("counting", "told", "reasoning", "total", "output"),
    [
        (AS_OPENAI, 100, 60, 110, (100, 60)),  # as OpenAI says it
        (AS_OPENAI, 40, 60, 110, (100, 60)),  # the total shows that it is beside
        (AS_OPENAI, 40, 60, None, (40, 60)),  # no witness: as the row says
        (AS_OPENAI, 40, 0, 110, (40, 0)),  # something else is in the total: nobody says what
        (AS_OPENAI, 100, 60, 7, (100, 60)),  # a total that cannot be
        (ADDED, 40, 60, 110, (100, 60)),  # as xAI says it
        (ADDED, 40, 0, 110, (100, 60)),  # as Gemini says it: only the total shows the thoughts
        (ADDED, 100, 60, 110, (100, 60)),  # the row is out of date: the total shows it
        (ADDED, 40, 60, None, (100, 60)),
        (ADDED, 40, 60, 7, (100, 60)),
        (ADDED, 0, 0, 10, (0, 0)),
    ],
)
def test_the_total_is_the_witness(
    counting: Counting, told: int, reasoning: int, total: int | None, output: tuple[int, int]
) -> None:
    """Ten tokens of input: what the provider's total shows goes before what its row says."""
    assert whole_output(told, reasoning, total, 10, counting) == output


COUNT = st.integers(0, 10_000)
FACTS = st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT)
"""Fresh input, read from the cache, written to it, visible output, reasoning: what truly was."""
CONVENTIONS = st.builds(
    Counting,
    cache=st.sampled_from(["included", "added"]),
    reasoning=st.sampled_from(["included", "added"]),
)


def truth(facts: tuple[int, int, int, int, int]) -> Tokens:
    """The counts as ours."""
    fresh, read, written, visible, thought = facts
    whole = fresh + read + written
    return Tokens(whole, visible + thought, cache_read=read, cache_write=written, reasoning=thought)


@given(FACTS, CONVENTIONS, st.booleans())
def test_every_convention_comes_to_the_same(
    facts: tuple[int, int, int, int, int], counting: Counting, has_total: bool
) -> None:
    """Theorem 4 in OpenAI's dialect: whoever tells whichever way, the parts are those of the truth."""
    fresh, read, written, visible, thought = facts
    said_input = fresh if counting.cache == "added" else fresh + read + written
    said_output = visible if counting.reasoning == "added" else visible + thought
    ours = truth(facts)
    total = {"total_tokens": ours.input + ours.output} if has_total else {}
    cached = {"cached_tokens": read, "cache_write_tokens": written}
    chat = {
        "prompt_tokens": said_input,
        "completion_tokens": said_output,
        "prompt_tokens_details": cached,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    response = {
        "input_tokens": said_input,
        "output_tokens": said_output,
        "input_tokens_details": cached,
        "output_tokens_details": {"reasoning_tokens": thought},
    }
    for operation, usage in ((Operation.CHAT, chat), (Operation.RESPONSES, response)):
        answer = {"object": "response", "choices": [{}], "usage": {**usage, **total}}
        told = reader_of(operation, counting).whole(json.dumps(answer).encode()).reported
        assert told is not None
        assert told.tokens == ours


@given(FACTS, st.integers(0, 10_000))
def test_added_caches_come_to_the_same(
    facts: tuple[int, int, int, int, int], for_an_hour: int
) -> None:
    """Theorem 4 where the cache is added: Anthropic's messages and Bedrock's Converse."""
    fresh, read, written, visible, thought = facts
    hour = min(for_an_hour, written)
    anthropic = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - hour,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": visible + thought,
        "output_tokens_details": {"thinking_tokens": thought},
    }
    converse = {
        "inputTokens": fresh,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "cacheDetails": [{"ttl": "1h", "inputTokens": hour}],
        "outputTokens": visible + thought,
        "totalTokens": fresh + read + written + visible + thought,
    }
    for reader, answer in (
        (MessagesReader(make_call()), {"type": "message", "usage": anthropic}),
        (ConverseReader(make_call()), {"usage": converse}),
    ):
        told = reader.whole(json.dumps(answer).encode()).reported
        assert told is not None
        ours = truth(facts)
        assert (told.tokens.input, told.tokens.output) == (ours.input, ours.output)
        assert (told.tokens.cache_read, told.tokens.cache_write) == (read, written)
        assert told.tokens.cache_write_1h == hour


USAGE = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens",
         "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens",
         "cache_creation_input_tokens", "reasoning_tokens", "inputTokens", "outputTokens",
         "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
    ),
    st.integers(0, 10**9) | st.none(),
)  # fmt: skip
DETAILS = st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens",
         "cache_read_input_tokens", "thinking_tokens", "ephemeral_1h_input_tokens",
         "ephemeral_5m_input_tokens"]
    ),
    st.integers(0, 10**9) | st.none(),
)  # fmt: skip
PLACES = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens_details", "completion_tokens_details", "input_tokens_details",
         "output_tokens_details", "cache_creation"]
    ),
    DETAILS,
)  # fmt: skip


@pytest.mark.slow
@given(USAGE, PLACES, CONVENTIONS)
def test_whatever_is_told_the_parts_fit(
    usage: Mapping[str, Any], places: Mapping[str, Any], counting: Counting
) -> None:
    """An upstream that contradicts itself is read by every reader into counts that do not."""
    answer = {"type": "message", "choices": [{}], "data": [1], "results": [1]}
    said = {name: count for name, count in usage.items() if count is not None or "_" in name}
    whole = json.dumps({**answer, "usage": {**said, **places}}).encode()
    readers = [reader_of(operation, counting) for operation in openai_operations()]
    for reader in (*readers, MessagesReader(make_call()), ConverseReader(make_call())):
        try:
            told = reader.whole(whole).reported
        except UpstreamError:
            continue  # null where a number must be
        assert told is None or told.tokens.flaw() is None


@pytest.mark.parametrize(
    ("place", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 3}, "cached_tokens": 9}, 3),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 9}, 0),
        ({"prompt_tokens_details": None, "cached_tokens": 3}, 3),
        ({"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 7}, 3),
        ({"cache_read_input_tokens": 3, "cache_creation_input_tokens": 1}, 3),
    ],
)
def test_the_cache_is_found_where_it_stands(place: dict[str, Any], cached: int) -> None:
    """In the details first, where an explicit zero is an answer; else where each vendor has it."""
    usage = {"prompt_tokens": 10, "completion_tokens": 1, **place}
    answer = json.dumps({"choices": [{}], "usage": usage}).encode()
    told = reader_of(Operation.CHAT, AS_OPENAI).whole(answer).reported
    assert told is not None
    assert (told.tokens.input, told.tokens.cache_read) == (10, cached)
