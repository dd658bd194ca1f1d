"""What can be counted: one row per unit, with what it measures.

Quantities are integers of the unit named; a price is per one of them (`money.Rate`).
"""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """A countable unit."""

    INPUT_TOKENS = "input_tokens"
    CACHE_READ_TOKENS = "cache_read_tokens"
    CACHE_WRITE_TOKENS = "cache_write_tokens"
    OUTPUT_TOKENS = "output_tokens"
    REASONING_TOKENS = "reasoning_tokens"
    REQUESTS = "requests"
    NODE_NS = "node_ns"
    """Nanoseconds that a node was occupied."""
    REPLICA_NS = "replica_ns"
    """Nanoseconds that a replica was in a state."""
    BYTE_SECONDS = "byte_seconds"
    """Bytes held times seconds held, rounded down. (Times nanoseconds would overflow 64 bits.)"""
    BYTES = "bytes"
    MINUTES = "minutes"


NS_PER_SECOND = 1_000_000_000

PRICED_BY = {
    Unit.INPUT_TOKENS: (Unit.INPUT_TOKENS,),
    Unit.CACHE_READ_TOKENS: (Unit.CACHE_READ_TOKENS, Unit.INPUT_TOKENS),
    Unit.CACHE_WRITE_TOKENS: (Unit.CACHE_WRITE_TOKENS, Unit.INPUT_TOKENS),
    Unit.OUTPUT_TOKENS: (Unit.OUTPUT_TOKENS,),
    Unit.REASONING_TOKENS: (Unit.REASONING_TOKENS, Unit.OUTPUT_TOKENS),
    Unit.REQUESTS: (Unit.REQUESTS,),
}
"""What can be sold, and whose price each pays, the nearest first: cached input without a price of its
own is input, reasoning is output."""
