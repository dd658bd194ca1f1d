"""Bounds on the number of values in a JSON text, whatever its size.

A decoder makes an object for every message, part and name, of fifty bytes to five hundred. Thirty megabytes
of `{},` became a gigabyte and took seconds. So the values of large texts are counted before decoding. A
count of its commas and brackets is quick, and never too low; strings may hold many of them too, so where
there seem to be too many they are counted again, this time outside of strings.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from inferworks.cloud.bodies.aside import LARGE_BYTES
from inferworks.errors import UnreadableError

_STEP_BYTES: Final = 1024 * 1024
"""Bytes of a string that are passed over at once: the interpreter's lock is free in between."""
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class Bounds(NamedTuple):
    """Most values and containers that a JSON text may hold."""

    values: int
    """Members of lists and fields of objects, at any depth."""
    containers: int
    """Lists and objects."""


MADE_INTO_OBJECTS: Final = Bounds(values=500_000, containers=100_000)
"""Of what is made into objects: every request, and the answers whose parts are looked at. There is room for
a prompt of half a million tokens given as numbers, or for thirty thousand messages."""
PASSED_OVER: Final = Bounds(values=8_000_000, containers=2_000_000)
"""Bounds of any other answer: vectors have millions of numbers."""


def excess(data: bytes, bounds: Bounds = MADE_INTO_OBJECTS) -> str | None:
    """Describe the excess over `bounds` in the JSON `data`, for a message to its sender; None for none."""
    if data.count(b",") <= bounds.values and _opened(data, 0, len(data)) <= bounds.containers:
        return None
    values = containers = at = 0
    while True:
        quote = data.find(b'"', at)
        end = quote if quote >= 0 else len(data)
        values += data.count(b",", at, end)
        containers += _opened(data, at, end)
        if values > bounds.values:
            return f"more than {bounds.values:,} values"
        if containers > bounds.containers:
            return f"more than {bounds.containers:,} lists and objects"
        if quote < 0:
            return None
        at = quote + 1
        while (match := _IN_STRING.match(data, at, at + _STEP_BYTES)) and match.end() > at:
            at = match.end()
        at += 1  # behind the quote that ends the string


def check_answer(data: bytes, bounds: Bounds = MADE_INTO_OBJECTS) -> None:
    """UnreadableError when the answer or event `data` is large and holds more values than may be."""
    if len(data) > LARGE_BYTES and (too_much := excess(data, bounds)) is not None:
        raise UnreadableError(f"it has {too_much}")


def _opened(data: bytes, at: int, end: int) -> int:
    return data.count(b"[", at, end) + data.count(b"{", at, end)
