"""Token conventions: a provider's counts where they differ from its dialect, and which ones are believed.

Problem. Two APIs write the same field names and mean different things by them. In OpenAI's dialect the
cached tokens are part of the prompt's and the reasoning is part of the completion's; xAI and Gemini use it
and leave the reasoning out of the completion, though they charge for it: a thinking model then looks eight
times cheaper than it is. Nothing in a single count shows which convention it follows.

Decision. The convention of each provider is a row of the catalog, and here a value that its readers are
given. The provider's own `total_tokens` decides before the row, for conventions change without notice, and
between them the parts always come to the total. Rejected: to use the total alone, which some leave out and
others get wrong; a driver for each provider, for a difference of one line.

Some answers also report their cost. That is no count: `Priced` takes it from the field that the row names.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.base import Reader, ReaderOf
from inferworks.http.sse import event_data

Part = Literal["included", "added"]
Count = Annotated[int, Meta(ge=0, le=10**9)]
"""A number of tokens, as any dialect tells it.

What is more than any model reads or writes in a call was not counted: it is not said, and estimated. One
such number would be the greatest customer of the month, and its sum with another no number of a column.
"""
_LARGEST_PICO: Final = 10**18


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """The convention of one provider. The default is that of OpenAI."""

    cache: Part = "included"
    """Input tokens: cached ones `included` in the reported input, or `added` to it."""
    reasoning: Part = "included"
    """Output tokens: reasoning `included` in the reported output, or `added` to it."""
    cost_field: str = ""
    """Field in which an answer reports its cost, names joined by dots; empty for none."""
    cost_pico: int = 10**12
    """Picounits per unit of the cost field."""


AS_OPENAI: Final = Counting()


def whole_input(told: int, cached: int, counting: Counting) -> int:
    """All input tokens, of what was told as input and what was told as read from or written to a cache."""
    return told + cached if counting.cache == "added" else told


def whole_output(
    told: int, reasoning: int, total: int | None, input_tokens: int, counting: Counting
) -> tuple[int, int]:
    """All output tokens, and those of them that are reasoning, of what was told as output and reasoning.

    `total` is what the provider says everything comes to, `input_tokens` all of its input.
    """
    beside = _beside(told, reasoning, total, input_tokens, counting)
    return told + beside, max(reasoning, beside)


def _beside(
    told: int, reasoning: int, total: int | None, input_tokens: int, counting: Counting
) -> int:
    """Tokens of reasoning that are not in the output that was told."""
    added = counting.reasoning == "added"
    rest = 0 if total is None else total - input_tokens - told
    if total is None or rest < 0:  # there is no witness, or none to be believed
        return reasoning if added else 0
    return rest if added or rest == reasoning else 0


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
        return chunk if chunk.told is None else self._with_cost(chunk, event_data(event))

    def ended(self) -> Chunk | None:
        """The last chunk of a stream that ends without one."""
        return self._reader.ended()

    def _with_cost(self, chunk: Chunk, data: bytes) -> Chunk:
        """`chunk`, whose JSON is `data`, with the cost that it tells."""
        if chunk.told is None or (chunk.told.is_estimate and not chunk.last):
            return chunk
        cost = told_cost(data, self._path, self._pico)
        told = msgspec.structs.replace(chunk.told, cost_pico=cost)
        return msgspec.structs.replace(chunk, told=told)


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
