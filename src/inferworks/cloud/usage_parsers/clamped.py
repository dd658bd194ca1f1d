"""Clamping of reported counts for the books: no part is more than its whole leaves for it.

The books divide a call into its parts and refuse one whose parts are more than the whole (theorem 4). An
upstream that contradicts itself must not stop a period from being closed, so the total is believed, since
all providers charge by it, and a part is reduced. `Tokens.flaw` defines a contradiction.
"""

from __future__ import annotations

import msgspec

from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


def clamped(
    input_tokens: int,
    output_tokens: int,
    *,
    cache_read: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
    input_audio: int = 0,
    output_audio: int = 0,
    input_image: int = 0,
    output_image: int = 0,
) -> Tokens:
    """The counts as `Tokens`; parts are parts of `input_tokens` or `output_tokens`, none is negative."""
    cache_read = min(cache_read, input_tokens)
    input_audio = min(input_audio, input_tokens)
    output_audio = min(output_audio, output_tokens)
    return Tokens(
        input_tokens,
        output_tokens,
        cache_read=cache_read,
        reasoning=min(reasoning, output_tokens),
        cache_write=min(cache_write, input_tokens - cache_read),
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=min(input_image, input_tokens - input_audio),
        output_image=min(output_image, output_tokens - output_audio),
    )


def highest(before: ReportedUsage, now: ReportedUsage) -> ReportedUsage:
    """`now`, none of whose counts is less than it was `before`: what is cumulative cannot fall."""
    then, tokens = before.tokens, now.tokens
    if (
        tokens.input >= then.input
        and tokens.output >= then.output
        and tokens.cache_read >= then.cache_read
    ):
        return now
    every = {n: max(getattr(then, n), getattr(tokens, n)) for n in Tokens.__struct_fields__}
    hour = every.pop("cache_write_1h")
    most = clamped(every.pop("input"), every.pop("output"), **every)
    most = msgspec.structs.replace(most, cache_write_1h=min(hour, most.cache_write))
    tier = now.service_tier or before.service_tier
    return msgspec.structs.replace(now, tokens=most, service_tier=tier)
