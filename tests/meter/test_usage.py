"""Facts about calls: counts that contradict nothing, and the names that are on record."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from inferworks.meter.usage import (
    COUNT_COLUMNS,
    ITEM_UNITS,
    NO_ITEMS,
    NO_TOKENS,
    TOKEN_UNITS,
    Checkpoint,
    Confidence,
    Items,
    Leg,
    Opened,
    Outcome,
    Tokens,
    Usage,
    usage_of,
)
from inferworks.purpose import Purpose
from inferworks.testing.books import token_counts
from inferworks.testing.facts import A_TIME_NS, make_leg, make_opened, make_usage
from inferworks.units import Unit

ONE_EACH = Tokens(*range(1, 11))


def test_counts_are_added_field_by_field() -> None:
    """Counts of two attempts are those of their call; with nothing they stay."""
    assert Tokens(*range(2, 21, 2)) == ONE_EACH + ONE_EACH
    assert NO_TOKENS + ONE_EACH == ONE_EACH + NO_TOKENS == ONE_EACH
    assert Tokens(1, output=2) + Tokens(cache_read=3) == Tokens(1, 2, 3)


@pytest.mark.parametrize(
    ("tokens", "flaw"),
    [
        (NO_TOKENS, None),
        (Tokens(10, 5, cache_read=10, reasoning=5), None),
        (Tokens(10, cache_read=4, cache_write=6, cache_write_1h=6), None),
        (Tokens(10, cache_read=10, input_audio=10), None),
        (Tokens(10, 10, reasoning=10, output_audio=10), None),
        (Tokens(-1), "input is negative: -1"),
        (Tokens(5, -2, cache_read=-3), "output is negative: -2"),
        (Tokens(10, cache_read=11), "cache_read 11 is more than input 10"),
        (
            Tokens(10, cache_read=4, cache_write=7),
            "cache_read 4 + cache_write 7 is more than input 10",
        ),
        (
            Tokens(10, cache_write=5, cache_write_1h=6),
            "cache_write_1h 6 is more than cache_write 5",
        ),
        (Tokens(output=5, reasoning=6), "reasoning 6 is more than output 5"),
        (
            Tokens(10, input_audio=5, input_image=6),
            "input_audio 5 + input_image 6 is more than input 10",
        ),
        (
            Tokens(output=10, output_audio=5, output_image=6),
            "output_audio 5 + output_image 6 is more than output 10",
        ),
    ],
)
def test_a_contradiction_of_counts_is_named(tokens: Tokens, flaw: str | None) -> None:
    """Parts are no more than their whole, at the boundary as much; a modality may overlap the cache."""
    assert tokens.flaw() == flaw


@settings(max_examples=15)
@given(token_counts(), token_counts())
def test_sums_of_sound_counts_are_sound(one: Tokens, other: Tokens) -> None:
    """So a call's tokens may be summed over its attempts without a look at each."""
    assert one.flaw() is None
    assert (one + other).flaw() is None


def test_every_count_has_its_unit() -> None:
    """In the order of the fields, which is that of the columns; these names are on record."""
    assert len(TOKEN_UNITS) == len(Tokens.__struct_fields__)
    assert TOKEN_UNITS[:4] == (
        Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS, Unit.CACHE_READ_TOKENS, Unit.REASONING_TOKENS,
    )  # fmt: skip
    assert ITEM_UNITS == (Unit.IMAGES, Unit.AUDIO_MS, Unit.CHARACTERS, Unit.SEARCHES)
    assert COUNT_COLUMNS == (
        "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens",
        "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens", "output_audio_tokens",
        "input_image_tokens", "output_image_tokens", "images", "audio_ms", "characters", "searches",
    )  # fmt: skip


def test_names_of_outcomes_and_confidences_are_on_record() -> None:
    """Another name would be another outcome to whoever reads a journal of before."""
    assert [*Outcome] == ["answered", "refused", "failed", "cancelled", "crashed"]
    assert [*Confidence] == ["reported", "counted", "estimated"]


def test_counts_of_zero_are_not_written() -> None:
    """A row says only what there is, and reads as before."""
    assert msgspec.json.encode(NO_TOKENS) == b"{}"
    assert msgspec.json.encode(Tokens(3, reasoning=1)) == b'{"input":3,"reasoning":1}'
    assert msgspec.json.decode(b'{"output":2}', type=Tokens) == Tokens(output=2)
    assert msgspec.json.encode(Items(searches=2)) == b'{"searches":2}'


@pytest.mark.parametrize("type_", [Tokens, Items, Leg, Opened, Checkpoint, Usage])
def test_facts_are_frozen_and_out_of_reach_of_the_collector(type_: type[msgspec.Struct]) -> None:
    """A million of them are read in half the time."""
    config = type_.__struct_config__
    assert (config.frozen, config.gc, config.omit_defaults) == (True, False, True)


def test_a_row_of_before_reads_as_one_of_now() -> None:
    """Fields that were added since have their defaults."""
    leg = make_leg()
    written = msgspec.to_builtins(leg)
    assert set(written) == {
        "offer", "provider", "replica", "started_ns", "first_token_ns", "ended_ns", "outcome",
        "status", "tokens", "confidence",
    }  # fmt: skip
    assert msgspec.convert(written, Leg) == leg
    assert (leg.items, leg.told_currency, leg.left_out) == (NO_ITEMS, "USD", "")


def test_a_call_without_an_attempt_is_a_count_of_zero() -> None:
    """All that was known when it was opened, and how it ended."""
    opened = replace(make_opened(purpose=Purpose.SERVE_FREE), end_user="ann")
    usage = usage_of(opened, A_TIME_NS + 9, Outcome.REFUSED, status=429, error_code="slow_down")
    for field in Opened.__struct_fields__:
        assert getattr(usage, field) == getattr(opened, field)
    assert (usage.closed_ns, usage.outcome) == (A_TIME_NS + 9, Outcome.REFUSED)
    assert (usage.status, usage.error_code) == (429, "slow_down")
    assert (usage.tokens, usage.items, usage.legs) == (NO_TOKENS, NO_ITEMS, ())
    assert (usage.first_byte_ns, usage.response_bytes) == (None, 0)
    assert usage.confidence is Confidence.COUNTED
    assert usage_of(opened, A_TIME_NS, Outcome.ANSWERED, status=200).error_code is None


def test_a_usage_survives_the_way_there_and_back() -> None:
    """Two attempts, one at somebody else's API that says what it cost."""
    told = replace(make_leg(replica=None), told_cost_pico=7, told_currency="EUR", left_out="n")
    usage = replace(make_usage(legs=[told, make_leg(tokens=ONE_EACH)]), items=Items(images=1))
    assert msgspec.json.decode(msgspec.json.encode(usage), type=Usage) == usage
