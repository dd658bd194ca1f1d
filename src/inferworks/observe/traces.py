"""Traces: remembers under which span a call was made, and exports its own when it has ended."""

from __future__ import annotations

from typing import Final

from inferworks.ids import CallId
from inferworks.meter.usage import Usage
from inferworks.observe.exporters.base import Exporter
from inferworks.observe.spans import Parent, parse_traceparent, spans_of, traceparent

_MOST_REMEMBERED: Final = 65_536
"""Callers' spans; beyond, the oldest is forgotten and its call begins a trace of its own."""


class Traces:
    """The traces of one gateway. What is remembered of a call is forgotten with its Usage.

    A call that could not even be opened has none, so what is remembered is also bounded.
    """

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._parents: dict[CallId, Parent] = {}

    def begin(self, call_id: CallId, header: bytes | None) -> None:
        """A call begins whose request has this `traceparent`, if any."""
        parent = parse_traceparent(header)
        if parent is None:
            return
        if len(self._parents) >= _MOST_REMEMBERED:
            del self._parents[next(iter(self._parents))]
        self._parents[call_id] = parent

    def traceparent(self, call_id: CallId) -> bytes:
        """The header for a request that is made for a running call."""
        return traceparent(call_id, self._parents.get(call_id))

    def take(self, usage: Usage) -> None:
        """Export the spans of the call that has ended so."""
        self._exporter.export(spans_of(usage, self._parents.pop(usage.call_id, None)))

    def close(self) -> None:
        """Send what is left."""
        self._exporter.close()
