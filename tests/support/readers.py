"""Readers of answers in OpenAI's dialect, as a provider would make them."""

from __future__ import annotations

import json

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.usage_parsers.base import Reader
from inferworks.testing.providers import make_call

RESPONSE_EXAMPLE = {
    "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "object": "response",
    "status": "completed",
    "error": None,
    "model": "gpt-4.1-2025-04-14",
    "output": [{"type": "message", "role": "assistant", "content": []}],
    "usage": {
        "input_tokens": 328,
        "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 100},
        "output_tokens": 52,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 380,
    },
    "service_tier": "priority",
}


def reader_of(operation: Operation) -> Reader:
    """A fresh reader, as the provider would make it."""
    return openai_operations()[operation].reader(make_call())


def read(operation: Operation, answer: object) -> Chunk:
    """A whole answer, read."""
    return reader_of(operation).whole(json.dumps(answer).encode())
