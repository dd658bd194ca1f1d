"""Disclosure to the caller of one call, beside its answer: provider, region, cost and overhead.

    x-inferworks-provider, -region     provider that served it and its region, as the books name them
    x-inferworks-overhead-us           time spent in the gateway, in microseconds
    x-inferworks-queued-us             time for which it waited for its turn, in microseconds, where it did
    x-inferworks-cost, -currency       exact cost of the call to its caller; whole answers only

A stream's head leaves before its cost is known. A client that wants the cost in the answer itself, streams
included, asks for it: `x-inferworks-include: cost`, or `"usage": {"include": true}` in the body, as
OpenRouter's clients do. It is then put into the answer's own `usage` object, as exact decimals and not as
floats; every other byte of the answer stays what the upstream sent.

The overhead is the time from when the request was read to when its first attempt began, between attempts,
and from when the answer (of a stream: its first chunk) was read to when its head is handed to the socket;
the commit of a whole answer's record is in it. Waiting for a turn is not: it is told by itself. Opening a
connection to an upstream is the upstream's time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.api.pricing import Cost, PricingTable
from inferworks.cloud.bodies.rewrite import read_fields, with_value
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Opened

INCLUDE: Final = b"x-inferworks-include"
_USAGE: Final = b'"usage"'
_NONE: Final = b"null"


def asks_for_cost(include: bytes | None) -> bool:
    """Return True when an `x-inferworks-include` header names the cost."""
    return include is not None and b"cost" in [word.strip() for word in include.lower().split(b",")]


class CostDisclosure:
    """Cost of one call, as it is written into the answer of a client that asked for it."""

    __slots__ = ("_opened", "_pricing", "_seller")

    def __init__(self, pricing: PricingTable | None, opened: Opened, seller: str) -> None:
        """`seller` is the provider that is paid; empty for own replicas."""
        self._pricing = pricing
        self._opened = opened
        self._seller = seller

    def body(self, data: bytes, reported: ReportedUsage) -> bytes:
        """Return a whole answer with its cost in it, if it has a `usage`."""
        if _USAGE not in data:
            return data
        return with_cost(data, *self._cost(reported))

    def chunk(self, data: bytes, reported: ReportedUsage) -> bytes:
        """Return one or more events of a stream with their cost, by the usage that is `reported` so far."""
        if reported.is_estimate or _USAGE not in data:
            return data
        cost = self._cost(reported)
        lines = data.split(b"\n")
        for number, line in enumerate(lines):
            # every line of a stream of events that holds usage holds all of its object
            if line.startswith(b"data:") and _USAGE in line:
                rest = line[5:]
                written = rest.strip()
                at = len(line) - len(rest.lstrip())
                priced = with_cost(written, *cost)
                lines[number] = b"".join((line[:at], priced, line[at + len(written) :]))
        return b"\n".join(lines)

    def _cost(self, reported: ReportedUsage) -> tuple[bytes, bytes]:
        if self._pricing is None:
            return as_json(None)
        return as_json(self._pricing.cost(self._opened, self._seller, reported))


def as_json(cost: Cost | None) -> tuple[bytes, bytes]:
    """`usage.cost` and `usage.cost_details`, amounts as exact decimal numbers."""
    if cost is None:
        return _NONE, _NONE
    parts = b"".join(b',"%b":%b' % (unit.encode(), decimal(pico)) for unit, pico in cost.parts)
    head = b'{"currency":%b,"basis":"%b"' % (
        msgspec.json.encode(cost.currency),
        cost.basis.encode(),
    )
    return decimal(cost.pico), b"%b%b}" % (head, parts)


def with_cost(data: bytes, amount: bytes, details: bytes) -> bytes:
    """The JSON object `data` with a cost in its `usage`, or in that of the `response` that it is about.

    What has no such object, or is none itself, stays as it is.
    """
    try:
        fields = read_fields(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
    usage = bytes(fields.get("usage", _NONE))
    if usage.startswith(b"{"):
        priced = with_value(usage, read_fields(usage), "cost", amount)
        priced = with_value(priced, read_fields(priced), "cost_details", details)
        return with_value(data, fields, "usage", priced)
    about = bytes(fields.get("response", _NONE))
    if about.startswith(b"{"):
        return with_value(data, fields, "response", with_cost(about, amount, details))
    return data


def decimal(pico: int) -> bytes:
    """An amount that is not negative, exactly, as a JSON number: `format_pico` in a third of its time."""
    digits = b"%013d" % pico
    return (digits[:-12] + b"." + digits[-12:]).rstrip(b"0").rstrip(b".")
