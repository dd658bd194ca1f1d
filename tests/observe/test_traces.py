"""Traces: under which span a call was made, until it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from inferworks.ids import CallId
from inferworks.observe import traces
from inferworks.observe.traces import Traces
from inferworks.testing.facts import make_usage

TRACE = b"0123456789abcdef0123456789abcdef"
HEADER = b"00-" + TRACE + b"-0123456789abcdef-01"


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.is_closed = False

    def export(self, spans: Iterable[Any]) -> None:
        """Keep `spans`."""
        self.spans += spans

    def close(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True


def test_a_call_belongs_to_its_callers_trace_until_it_has_ended() -> None:
    """Then it is forgotten."""
    exporter = Kept()
    found = Traces(exporter)
    found.begin(CallId("call_1"), HEADER)
    assert TRACE in found.traceparent(CallId("call_1"))
    found.take(make_usage(call_id="call_1"))
    assert exporter.spans
    assert TRACE not in found.traceparent(CallId("call_1"))
    found.close()
    assert exporter.is_closed


@pytest.mark.parametrize("header", [None, b"", b"nonsense", HEADER[:-3]])
def test_a_header_that_is_none_begins_no_trace_of_anybody(header: bytes | None) -> None:
    """The call has a trace of its own."""
    found = Traces(Kept())
    found.begin(CallId("call_1"), header)
    own = found.traceparent(CallId("call_1"))
    assert TRACE not in own
    assert own == found.traceparent(CallId("call_1"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first, and begins a trace of its own."""
    monkeypatch.setattr(traces, "_MOST_REMEMBERED", 2)
    found = Traces(Kept())
    for number in range(3):
        found.begin(CallId(f"call_{number}"), HEADER)
    known = [TRACE in found.traceparent(CallId(f"call_{number}")) for number in range(3)]
    assert known == [False, True, True]
