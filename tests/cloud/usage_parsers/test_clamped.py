"""Clamping of reported counts: no part is more than its whole leaves for it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.cloud.usage_parsers.clamped import clamped, highest
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

COUNTS = st.integers(0, 200)
TOLD = st.builds(Tokens, **dict.fromkeys(Tokens.__struct_fields__, COUNTS))


@settings(max_examples=15)
@given(TOLD)
def test_whatever_is_told_is_consistent(reported: Tokens) -> None:
    """The totals are believed, and parts fit into them; none grows; once more changes nothing."""
    tokens = clamped(reported)
    assert tokens.flaw() is None
    assert (tokens.input, tokens.output) == (reported.input, reported.output)
    assert all(
        getattr(tokens, name) <= getattr(reported, name) for name in Tokens.__struct_fields__
    )
    assert clamped(tokens) == tokens


def test_a_part_takes_what_the_other_leaves() -> None:
    """Written to a cache can only be what was not read from it; a picture is no sound."""
    tokens = clamped(Tokens(100, 50, cache_read=80, cache_write=80, input_audio=90, input_image=90))
    assert (tokens.cache_read, tokens.cache_write) == (80, 20)
    assert (tokens.input_audio, tokens.input_image) == (90, 10)


@settings(max_examples=15)
@given(TOLD, TOLD)
def test_counts_along_a_stream_never_fall(first: Tokens, second: Tokens) -> None:
    """Input, output and what was read from the cache are at least what they were, and parts still fit."""
    before, now = ReportedUsage(clamped(first)), ReportedUsage(clamped(second))
    most = highest(before, now).tokens
    assert most.flaw() is None
    for name in ("input", "output", "cache_read"):
        assert getattr(most, name) >= getattr(before.tokens, name)
        assert getattr(most, name) >= getattr(now.tokens, name)


def test_what_has_not_fallen_is_taken_as_it_is() -> None:
    """The very same value; one that fell keeps the tier that was told first."""
    before = ReportedUsage(Tokens(10, 5), service_tier="priority")
    grown = ReportedUsage(Tokens(10, 6))
    assert highest(before, grown) is grown
    fallen = highest(before, ReportedUsage(Tokens(3, 9)))
    assert fallen.tokens == Tokens(10, 9)
    assert fallen.service_tier == "priority"


def test_an_hour_of_cache_is_part_of_what_was_written() -> None:
    """`cache_write_1h` never exceeds `cache_write`, whichever of two reports each came from."""
    written = msgspec.structs.replace(Tokens(100, 1), cache_write=60, cache_write_1h=60)
    read = msgspec.structs.replace(Tokens(100, 0), cache_read=90)
    most = highest(ReportedUsage(written), ReportedUsage(read)).tokens
    assert (most.cache_read, most.cache_write, most.cache_write_1h) == (90, 10, 10)
