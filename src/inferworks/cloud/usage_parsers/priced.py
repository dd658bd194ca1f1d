"""Usage parser around another one, for upstreams whose answers also report their cost.

A cost is no count: it is taken from the field that the provider's convention names (`Counting.cost_field`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.base import Reader, ReaderOf
from inferworks.dialects.token_conventions import Counting
from inferworks.http.sse import event_data

_LARGEST_PICO: Final = 10**18


class Priced:
    """A reader that also takes what an answer says it costs."""

    def __init__(self, reader: Reader, counting: Counting) -> None:
        self._reader = reader
        self._path = counting.cost_field.split(".")
        self._pico = counting.cost_pico

    def whole(self, data: bytes) -> Chunk:
        """A whole answer."""
        return self._with_cost(self._reader.whole(data), data)

    def event(self, event: bytes) -> Chunk:
        """One event."""
        chunk = self._reader.event(event)
        return chunk if chunk.reported is None else self._with_cost(chunk, event_data(event))

    def ended(self) -> Chunk | None:
        """The last chunk of a stream that ends without one."""
        return self._reader.ended()

    def _with_cost(self, chunk: Chunk, data: bytes) -> Chunk:
        """`chunk`, whose JSON is `data`, with the cost that it tells."""
        if chunk.reported is None or (chunk.reported.is_estimate and not chunk.last):
            return chunk
        cost = told_cost(data, self._path, self._pico)
        reported = msgspec.structs.replace(chunk.reported, cost_pico=cost)
        return msgspec.structs.replace(chunk, reported=reported)


def priced(reader_of: ReaderOf, counting: Counting) -> ReaderOf:
    """Makes the readers of `reader_of`, which take the cost too where `counting` says that it is told."""
    if not counting.cost_field:
        return reader_of

    def make(call: Call) -> Priced:
        return Priced(reader_of(call), counting)

    return make


def told_cost(data: bytes, path: list[str], pico: int) -> int | None:
    """The amount that stands at `path` of `data`, in picounits; None when there is no amount.

    The events of a response have it in their `response`. The number is read as it is written, so that no
    digit of a small amount is lost on the way, and what is finer than a picounit is rounded half to even.
    """
    value = _at(data, path)
    if value is None:
        value = _at(data, ["response", *path])
    if value is None:
        return None
    try:
        amount = Decimal(value.strip('"')) * pico
    except ArithmeticError:  # no number, or none that anybody would pay
        return None
    fits = amount.is_finite() and 0 <= amount <= _LARGEST_PICO
    return int(amount.to_integral_value()) if fits else None


def _at(data: bytes, path: list[str]) -> str | None:
    """The text of the value at `path`; None when there is none."""
    value: bytes | msgspec.Raw = data
    for name in path:
        try:
            fields = read_fields(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # no object; that the answer itself is one, its own reader has seen
        if name not in fields:
            return None
        value = fields[name]
    return bytes(value).decode()
