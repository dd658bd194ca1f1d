"""Clamping of reported counts for the books: no part is more than its whole leaves for it.

The books divide a call into its parts and refuse one whose parts are more than the whole (theorem 4). An
upstream that contradicts itself must not stop a period from being closed, so the total is believed, since
all providers charge by it, and a part is reduced. `Tokens.flaw` defines a contradiction.
"""

from __future__ import annotations

import msgspec

from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


def clamped(told: Tokens) -> Tokens:
    """`told`, none of whose counts is negative, with each part as large as its total leaves room for."""
    if (  # as nearly always
        told.cache_read + told.cache_write <= told.input
        and told.cache_write_1h <= told.cache_write
        and told.reasoning <= told.output
        and told.input_audio + told.input_image <= told.input
        and told.output_audio + told.output_image <= told.output
    ):
        return told
    cache_read = min(told.cache_read, told.input)
    cache_write = min(told.cache_write, told.input - cache_read)
    input_audio = min(told.input_audio, told.input)
    output_audio = min(told.output_audio, told.output)
    return Tokens(
        told.input,
        told.output,
        cache_read=cache_read,
        reasoning=min(told.reasoning, told.output),
        cache_write=cache_write,
        cache_write_1h=min(told.cache_write_1h, cache_write),
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=min(told.input_image, told.input - input_audio),
        output_image=min(told.output_image, told.output - output_audio),
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
    most = {n: max(getattr(then, n), getattr(tokens, n)) for n in Tokens.__struct_fields__}
    tier = now.service_tier or before.service_tier
    return msgspec.structs.replace(now, tokens=clamped(Tokens(**most)), service_tier=tier)
