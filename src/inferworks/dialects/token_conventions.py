"""Token conventions: a provider's counts where they differ from its dialect, and which ones are believed.

Problem. Two APIs write the same field names and mean different things by them. In OpenAI's dialect the
cached tokens are part of the prompt's and the reasoning is part of the completion's; xAI and Gemini use it
and leave the reasoning out of the completion, though they charge for it: a thinking model then looks eight
times cheaper than it is. Nothing in a single count shows which convention it follows.

Decision. The convention of each provider is a row of the catalog, and here a value that its readers are
given. The provider's own `total_tokens` decides before the row, for conventions change without notice, and
between them the parts always come to the total. Rejected: to use the total alone, which some leave out and
others get wrong; a driver for each provider, for a difference of one line.

Some answers also report their cost, in the field that the row names (`cost_field`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Part = Literal["included", "added"]
Count = Annotated[int, Meta(ge=0, le=10**9)]
"""A number of tokens, as any dialect tells it.

What is more than any model reads or writes in a call was not counted: it is not said, and estimated. One
such number would be the greatest customer of the month, and its sum with another no number of a column.
"""


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
    added = counting.reasoning == "added"
    rest = 0 if total is None else total - input_tokens - told
    if total is None or rest < 0:  # there is no witness, or none to be believed
        beside = reasoning if added else 0
    else:  # of reasoning that is not in the output that was told
        beside = rest if added or rest == reasoning else 0
    return told + beside, max(reasoning, beside)
