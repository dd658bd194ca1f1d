"""Cost as an answer tells it: exact, bounded, and nothing where it tells none."""

from __future__ import annotations

import json

import msgspec
import pytest

from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.usage_parsers.base import Reader
from inferworks.cloud.usage_parsers.priced import told_cost
from inferworks.dialects.token_conventions import Counting
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call

PICO = 10**12
TICKS = Counting(cost_field="usage.cost_in_usd_ticks", cost_pico=100)
DOLLARS = Counting(cost_field="usage.cost")


def reader_of(operation: Operation, counting: Counting) -> Reader:
    """A fresh reader, as the provider would make it."""
    return openai_operations(counting=counting)[operation].reader(make_call())


@pytest.mark.parametrize(
    ("data", "pico"),
    [
        (b'{"usage": {"cost": 0.00012}}', 120_000_000),
        (b'{"usage": {"cost": "0.00012"}}', 120_000_000),
        (b'{"usage": {"cost": 1e-12}}', 1),
        (b'{"usage": {"cost": 0.1234567890123456789}}', 123_456_789_012),
        (b'{"usage": {"cost": 0.0000000000005}}', 0),
        (b'{"usage": {"cost": 0.0000000000015}}', 2),
        (b'{"usage": {"cost": 0}}', 0),
        (b'{"response": {"usage": {"cost": 2}}}', 2 * PICO),
        (b'{"usage": {"cost": 1000000}}', 10**18),
        (b'{"usage": {"cost": 1000000.1}}', None),
        (b'{"usage": {"cost": -1}}', None),
        (b'{"usage": {"cost": "NaN"}}', None),
        (b'{"usage": {"cost": "Infinity"}}', None),
        (b'{"usage": {"cost": "much"}}', None),
        (b'{"usage": {"cost": null}}', None),
        (b'{"usage": {"cost": 1e999999999}}', None),
        (b'{"usage": {"cost": 1.4e-04}}', 140_000_000),
        (b'{"usage": {"cost": {"total": 1}}}', None),
        (b'{"usage": {"cost": true}}', None),
        (b'{"usage": null}', None),
        (b'{"usage": [1]}', None),
        (b'{"usage": {}}', None),
        (b'{"usage": 7}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_cost(data: bytes, pico: int | None) -> None:
    """Every digit counts, halves go to the even picounit; what nobody would pay is no amount."""
    assert told_cost(data, ["usage", "cost"], PICO) == pico


def test_ticks_are_read_in_answers_and_in_streams() -> None:
    """Ticks of xAI as published: 232,856,000 are 0.0232856 dollars, whichever way they come."""
    usage = {
        "prompt_tokens": 10120,
        "completion_tokens": 1499,
        "total_tokens": 14428,
        "prompt_tokens_details": {"cached_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 2809},
        "cost_in_usd_ticks": 232_856_000,
    }
    whole = json.dumps({"choices": [{}], "usage": usage}).encode()
    event = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    for counting in (TICKS, msgspec.structs.replace(TICKS, reasoning="added")):
        reader = reader_of(Operation.CHAT, counting)
        for chunk in (reader.whole(whole), reader.event(event)):
            assert chunk.reported is not None
            assert chunk.reported.cost_pico == 23_285_600_000
            assert chunk.reported.tokens == Tokens(10120, 4308, cache_read=128, reasoning=2809)
    ended = {"type": "response.completed", "response": {"usage": {"input_tokens": 1, "cost": 0.5}}}
    last = reader_of(Operation.RESPONSES, DOLLARS).event(
        b"data: %b\n\n" % json.dumps(ended).encode()
    )
    assert last.reported is not None
    assert last.reported.cost_pico == 5 * 10**11


def test_without_a_cost_nothing_is_made_up() -> None:
    """An answer that tells none has none; a count of our own along the way has none either."""
    reader = reader_of(Operation.CHAT, DOLLARS)
    reported = reader.whole(b'{"choices":[{}],"usage":{"prompt_tokens":1}}').reported
    assert reported is not None
    assert reported.cost_pico is None
    assert reader.whole(b'{"choices":[{}]}').reported is None
    assert reader.event(b'data: {"choices":[{"index":0}]}\n\n').reported is None
    assert reader.event(b"data: [DONE]\n\n").last
    delta = b'data: {"type":"x","delta":"abc","usage":{"cost":1}}\n\n'
    along = reader_of(Operation.RESPONSES, DOLLARS).event(delta).reported
    assert along is not None
    assert (along.is_estimate, along.cost_pico) == (True, None)
