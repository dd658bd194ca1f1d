"""Bedrock's InvokeModel and CountTokens: the envelopes around what a model's own API says.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
"""

from __future__ import annotations

import msgspec

from inferworks.dialects.token_conventions import Count


class InvokeChunk(msgspec.Struct, rename={"event": "bytes"}):
    """A message of a stream."""

    event: bytes
    """Event, which msgspec decodes from base64."""


class InvokeTokenCount(msgspec.Struct, rename="camel"):
    """The answer of CountTokens."""

    input_tokens: Count
