"""The buckets that a call's tokens fall into: each token into exactly one (theorem 4)."""

from __future__ import annotations

import operator

import msgspec

from inferworks.catalog import units
from inferworks.errors import BooksError
from inferworks.meter.usage import ITEM_UNITS, TOKEN_UNITS, Items, Tokens, Usage
from inferworks.units import Unit


def buckets_of(usage: Usage) -> tuple[tuple[Unit, int], ...]:
    """Every unit of `usage`, in exactly one bucket each, and the request itself (theorem 4)."""
    try:
        return (*buckets(usage.tokens), *counted(usage.items), (Unit.REQUESTS, 1))
    except BooksError as error:
        raise BooksError(f"call {usage.call_id}: {error}") from None


def buckets(tokens: Tokens) -> tuple[tuple[Unit, int], ...]:
    """`tokens` by bucket: parts are taken out of the input and output they are in.

    The input buckets sum to `tokens.input`, the output buckets to `tokens.output`. A token read from a
    cache is that whatever its modality was, for so it is priced: where providers count it both ways, a
    modality has what the cache and, for output, reasoning leave. BooksError when a part is negative or
    parts are more than their whole.
    """
    flaw = tokens.flaw()
    if flaw is not None:
        raise BooksError(f"theorem 4 (bucket): {flaw}")
    counts = dict(zip(TOKEN_UNITS, msgspec.structs.astuple(tokens), strict=True))
    return tuple(units.buckets(counts.__getitem__, operator.sub, min).items())


def counted(items: Items) -> tuple[tuple[Unit, int], ...]:
    """`items` by unit. BooksError when one is negative."""
    counts = msgspec.structs.astuple(items)
    if min(counts) < 0:
        raise BooksError(f"theorem 4 (bucket): a negative count: {items}")
    return tuple(zip(ITEM_UNITS, counts, strict=True))
