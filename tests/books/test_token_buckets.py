"""Theorem 4: each token of a call is in exactly one bucket."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.rated import CACHED, INPUT, NOVEMBER, OUTPUT, REASONING, a_plan

from inferworks.accounts.plan import (
    PerUnit,
    Price,
)
from inferworks.books.revenue.rating import (
    rate,
)
from inferworks.books.token_buckets import buckets
from inferworks.catalog.units import DIRECTIONS
from inferworks.catalog.units import INPUT as INPUT_SIDE
from inferworks.catalog.units import OUTPUT as OUTPUT_SIDE
from inferworks.errors import BooksError
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_usage
from inferworks.units import Unit


@pytest.mark.parametrize(
    "tokens", [Tokens(1, 1, 2, 0), Tokens(1, 1, 0, 2), Tokens(-1, 0), Tokens(5, 5, -1, 0)]
)
def test_a_part_is_never_more_than_its_whole(tokens) -> None:
    """Counts that contradict themselves stop the books, by the name of the call."""
    usage = a_usage("odd", tokens=tokens, opened_ns=NOVEMBER.start_ns)
    with pytest.raises(BooksError, match=r"call odd: theorem 4"):
        rate([usage], [a_plan(Price(INPUT, PerUnit(1)))], NOVEMBER, "USD")


_tokens = st.builds(Tokens, *[st.integers(0, 12)] * len(Tokens.__struct_fields__))


@pytest.mark.slow
@settings(max_examples=300)
@given(_tokens)
def test_buckets_sum_to_the_providers_totals(tokens: Tokens) -> None:
    """Theorem 4: input and output come apart into buckets and go together again."""
    if tokens.flaw() is not None:
        with pytest.raises(BooksError, match="theorem 4"):
            buckets(tokens)
        return
    found = dict(buckets(tokens))
    assert len(found) == len(buckets(tokens))
    assert set(found) == set(DIRECTIONS)
    assert min(found.values()) >= 0
    for direction, whole in ((INPUT_SIDE, tokens.input), (OUTPUT_SIDE, tokens.output)):
        assert sum(n for unit, n in found.items() if DIRECTIONS[unit] == direction) == whole
    assert found[CACHED] == tokens.cache_read
    assert found[Unit.CACHE_WRITE_TOKENS] + found[Unit.CACHE_WRITE_1H_TOKENS] == tokens.cache_write
    assert found[Unit.INPUT_AUDIO_TOKENS] <= tokens.input_audio
    assert found[Unit.OUTPUT_IMAGE_TOKENS] <= tokens.output_image
    assert found[REASONING] == tokens.reasoning


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        (
            Tokens(input=100, cache_read=10, cache_write=30, cache_write_1h=20, input_audio=5),
            {INPUT: 55, CACHED: 10, Unit.CACHE_WRITE_TOKENS: 10, Unit.CACHE_WRITE_1H_TOKENS: 20}
            | {Unit.INPUT_AUDIO_TOKENS: 5},
        ),
        (
            Tokens(input=100, cache_read=90, input_audio=60, input_image=40),
            {CACHED: 90, Unit.INPUT_AUDIO_TOKENS: 10},
        ),
        (
            Tokens(output=50, reasoning=30, output_audio=5, output_image=10),
            {OUTPUT: 5, REASONING: 30, Unit.OUTPUT_AUDIO_TOKENS: 5, Unit.OUTPUT_IMAGE_TOKENS: 10},
        ),
    ],
)
def test_buckets_by_hand(tokens: Tokens, found: dict[Unit, int]) -> None:
    """An hour's cache write is no other write, and what the cache held is in no modality's bucket."""
    assert {unit: n for unit, n in buckets(tokens) if n} == found
