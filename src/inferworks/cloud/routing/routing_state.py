"""Inputs of a routing strategy: `RoutingState` of the offers, `CallFacts` of the call.

Strategies decide by nothing else, so a table of values, a simulation and a running gateway are the same to
them.
"""

from __future__ import annotations

import re
from typing import Protocol

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer, Rates

_BYTES_PER_TOKEN = 4
"""Bytes per token of English text, by rule of thumb: an estimate to compare by, never to charge by."""
_LOOKED_AT_BYTES = 64 * 1024
"""Bytes that are searched at either end of a request; a limit or a prompt amid a large one is not worth the
time.
"""
_LIMIT = re.compile(rb'(?<!\\)"max_(?:completion_|output_)?tokens"\s*:\s*(\d{1,9})')
_PROMPT = re.compile(rb'(?<!\\)"(?:messages|system|tools|prompt|input|instructions)"\s*:')


class RoutingState(Protocol):
    """State of the offers at this moment. Reading changes nothing but the sequence of random numbers."""

    def now_ns(self) -> int:
        """The clock, in nanoseconds."""
        ...

    def running(self, offer: Offer) -> int:
        """Calls running at `offer`."""
        ...

    def first_byte_ns(self, offer: Offer) -> int:
        """Moving average of its time to first byte; 0 while nothing is known of it."""
        ...

    def passes(self, offer: Offer) -> bool:
        """Return True when the offer's breaker lets a call pass now."""
        ...

    def retry_ns(self, offer: Offer) -> int:
        """Time in nanoseconds when the offer's breaker lets the next call pass; in the past for now."""
        ...

    def random(self) -> float:
        """The next number of a seeded row, from 0 to below 1."""
        ...


class CallFacts:
    """Facts of a call that a strategy may use. Its body is read only when one of them needs it."""

    __slots__ = ("_call", "price")

    def __init__(self, call: Call, price: Rates | None = None) -> None:
        self._call = call
        self.price = price
        """Price that the customer pays for the call; None when unknown."""

    @property
    def session(self) -> bytes:
        """Key that the calls of one conversation share; empty for none."""
        return self._call.session

    @property
    def prompt_bytes(self) -> int:
        """Size of the request."""
        return len(self._call.body)

    def input_tokens(self) -> int:
        """An estimate of the prompt's tokens."""
        return len(self._call.body) // _BYTES_PER_TOKEN

    def output_tokens(self, otherwise: int) -> int:
        """The most tokens that the request allows for its answer; `otherwise` where it sets no limit."""
        body = self._call.body
        found = _LIMIT.search(body, 0, _LOOKED_AT_BYTES)
        if found is None and len(body) > _LOOKED_AT_BYTES:
            found = _LIMIT.search(body, len(body) - _LOOKED_AT_BYTES)
        return otherwise if found is None else int(found[1])

    def prefix(self, n_bytes: int) -> bytes:
        """The first `n_bytes` of the prompt: from where it begins in the body, or else of the body."""
        body = self._call.body
        found = _PROMPT.search(body, 0, _LOOKED_AT_BYTES)
        start = 0 if found is None else found.start()
        return body[start : start + n_bytes]
