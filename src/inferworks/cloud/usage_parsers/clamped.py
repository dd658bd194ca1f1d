"""Clamping of reported counts for the books: no part is more than its whole leaves for it.

The books divide a call into its parts and refuse one whose parts are more than the whole (theorem 4). An
upstream that contradicts itself must not stop a period from being closed, so the total is believed, since
all providers charge by it, and a part is reduced. `Tokens.flaw` defines a contradiction.
"""

from __future__ import annotations

import msgspec

from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


def clamped(reported: Tokens) -> Tokens:
    """`reported`, no count of it negative, with each part as large as its total leaves room for."""
    if (  # as nearly always
        reported.cache_read + reported.cache_write <= reported.input
        and reported.cache_write_1h <= reported.cache_write
        and reported.reasoning <= reported.output
        and reported.input_audio + reported.input_image <= reported.input
        and reported.output_audio + reported.output_image <= reported.output
    ):
        return reported
    cache_read = min(reported.cache_read, reported.input)
    cache_write = min(reported.cache_write, reported.input - cache_read)
    input_audio = min(reported.input_audio, reported.input)
    output_audio = min(reported.output_audio, reported.output)
    return Tokens(
        reported.input,
        reported.output,
        cache_read=cache_read,
        reasoning=min(reported.reasoning, reported.output),
        cache_write=cache_write,
        cache_write_1h=min(reported.cache_write_1h, cache_write),
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=min(reported.input_image, reported.input - input_audio),
        output_image=min(reported.output_image, reported.output - output_audio),
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
