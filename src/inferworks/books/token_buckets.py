"""The buckets that a call's tokens fall into: each token into exactly one (theorem 4)."""

from __future__ import annotations

from inferworks.errors import BooksError
from inferworks.meter.usage import Items, Tokens, Usage
from inferworks.units import Unit

INPUT, OUTPUT = "Input", "Output"
"""FOCUS's TokenDirection."""
DIRECTIONS = {
    Unit.INPUT_TOKENS: INPUT,
    Unit.CACHE_READ_TOKENS: INPUT,
    Unit.CACHE_WRITE_TOKENS: INPUT,
    Unit.CACHE_WRITE_1H_TOKENS: INPUT,
    Unit.INPUT_AUDIO_TOKENS: INPUT,
    Unit.INPUT_IMAGE_TOKENS: INPUT,
    Unit.OUTPUT_TOKENS: OUTPUT,
    Unit.REASONING_TOKENS: OUTPUT,
    Unit.OUTPUT_AUDIO_TOKENS: OUTPUT,
    Unit.OUTPUT_IMAGE_TOKENS: OUTPUT,
}
"""The side of a call that a bucket is part of. (FOCUS TokenDirection) What is not in it is no token."""


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
    read, heard, seen = _apart(
        tokens.input - tokens.cache_read - tokens.cache_write,
        tokens.input_audio,
        tokens.input_image,
    )
    said, spoken, drawn = _apart(
        tokens.output - tokens.reasoning, tokens.output_audio, tokens.output_image
    )
    return (
        (Unit.INPUT_TOKENS, read),
        (Unit.CACHE_READ_TOKENS, tokens.cache_read),
        (Unit.CACHE_WRITE_TOKENS, tokens.cache_write - tokens.cache_write_1h),
        (Unit.CACHE_WRITE_1H_TOKENS, tokens.cache_write_1h),
        (Unit.INPUT_AUDIO_TOKENS, heard),
        (Unit.INPUT_IMAGE_TOKENS, seen),
        (Unit.OUTPUT_TOKENS, said),
        (Unit.REASONING_TOKENS, tokens.reasoning),
        (Unit.OUTPUT_AUDIO_TOKENS, spoken),
        (Unit.OUTPUT_IMAGE_TOKENS, drawn),
    )


def counted(items: Items) -> tuple[tuple[Unit, int], ...]:
    """`items` by unit. BooksError when one is negative."""
    if min(items.images, items.audio_ms, items.characters, items.searches) < 0:
        raise BooksError(f"theorem 4 (bucket): a negative count: {items}")
    return (
        (Unit.IMAGES, items.images),
        (Unit.AUDIO_MS, items.audio_ms),
        (Unit.CHARACTERS, items.characters),
        (Unit.SEARCHES, items.searches),
    )


def _apart(whole: int, audio: int, image: int) -> tuple[int, int, int]:
    """`whole` as text, audio and image, of which there are no more than is left."""
    audio = min(audio, whole)
    image = min(image, whole - audio)
    return whole - audio - image, audio, image
