"""Usage as an upstream reports it: one value on its way from the provider to the record of the call."""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Confidence, Items, Tokens

CONFIDENCE: Final = {
    (True, True): Confidence.ESTIMATED,
    (True, False): Confidence.ESTIMATED,
    (False, True): Confidence.COUNTED,
    (False, False): Confidence.REPORTED,
}
"""Confidence in an estimate or none, which is of our own count or of a part, or neither."""


class ReportedUsage(msgspec.Struct, frozen=True):
    """Usage of an answer up to here, as its upstream reports it or as we count it."""

    tokens: Tokens
    items: Items = NO_ITEMS
    service_tier: str = ""
    cost_pico: int | None = None
    """Cost of the answer as the upstream reports it, in picounits of `currency`."""
    currency: str = "USD"
    is_estimate: bool = False
    """The output is our own count of what passed: the upstream reports its own only at the end."""
    is_input_only: bool = False
    """The output is not reported, and to be estimated from what passes."""
    is_counted: bool = False
    """The count is our own and exact: of what was asked for, where the upstream reports nothing."""

    def confidence(self, *, whole: bool) -> Confidence:
        """Return the confidence in it; `whole` when the answer has come to its end."""
        return CONFIDENCE[self.is_estimate, self.is_counted or not whole]


NOTHING_REPORTED: Final = ReportedUsage(NO_TOKENS)
