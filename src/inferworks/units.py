"""Countable units, each with its measure; those for sale have a row in `catalog/units.toml`.

Quantities are integers of the unit named; a price is per one of them (`money.Rate`).
"""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """A countable unit."""

    INPUT_TOKENS = "input_tokens"
    CACHE_READ_TOKENS = "cache_read_tokens"
    CACHE_WRITE_TOKENS = "cache_write_tokens"
    CACHE_WRITE_1H_TOKENS = "cache_write_1h_tokens"
    """Tokens written to a cache that keeps them for an hour."""
    INPUT_AUDIO_TOKENS = "input_audio_tokens"
    INPUT_IMAGE_TOKENS = "input_image_tokens"
    OUTPUT_TOKENS = "output_tokens"
    REASONING_TOKENS = "reasoning_tokens"
    OUTPUT_AUDIO_TOKENS = "output_audio_tokens"
    OUTPUT_IMAGE_TOKENS = "output_image_tokens"
    IMAGES = "images"
    """Images made."""
    AUDIO_MS = "audio_ms"
    """Milliseconds of sound heard or spoken."""
    CHARACTERS = "characters"
    """Characters spoken."""
    SEARCHES = "searches"
    """Searches of the web, or a reranker's search units."""
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
