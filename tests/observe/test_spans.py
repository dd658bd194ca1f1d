"""A call as spans: made of its record, under its caller's."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.operation import Operation
from inferworks.ids import CallId, ModelId, OfferId
from inferworks.meter.usage import Confidence, Leg, Outcome, Tokens, Usage, usage_of
from inferworks.observe.exporters.stub import StubExporter
from inferworks.observe.spans import Kind, Parent, parse_traceparent, spans_of, traceparent
from inferworks.observe.traces import Traces
from inferworks.testing.facts import A_TIME_NS, make_opened

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALL = CallId("call_1")


def a_usage(*legs: Leg, outcome: Outcome = Outcome.ANSWERED) -> Usage:
    """A chat that ended two seconds after it was opened."""
    opened = msgspec.structs.replace(
        make_opened(), call_id=CALL, endpoint=Operation.CHAT, model=ModelId("small"),
        opened_ns=A_TIME_NS, end_user="an-end-user",
    )  # fmt: skip
    usage = usage_of(opened, A_TIME_NS + 2, outcome, status=200)
    return msgspec.structs.replace(usage, tokens=Tokens(9, 3, cache_read=2), legs=legs)


def a_leg(outcome: Outcome = Outcome.ANSWERED, status: int = 200) -> Leg:
    """An attempt."""
    return Leg(
        OfferId("here/small"), "xai", None, A_TIME_NS + 1, None, A_TIME_NS + 2, outcome, status,
        Tokens(9, 3), Confidence.REPORTED, "eu-west",
    )  # fmt: skip


def test_a_call_is_a_span_and_each_attempt_one_below_it() -> None:
    """Two attempts are two client spans under the call's server span, which is under the caller's."""
    usage = a_usage(a_leg(Outcome.FAILED, 503), a_leg())
    call, failed, answered = spans_of(usage, parse_traceparent(PARENT))
    assert (call.kind, failed.kind, answered.kind) == (Kind.SERVER, Kind.CLIENT, Kind.CLIENT)
    assert {s.trace_id for s in (call, failed, answered)} == {0x4BF92F3577B34DA6A3CE929D0E0E4736}
    assert call.parent == Parent(call.trace_id, 0x00F067AA0BA902B7, sampled=True)
    assert failed.parent == answered.parent == Parent(call.trace_id, call.span_id, sampled=True)
    assert len({call.span_id, failed.span_id, answered.span_id}) == 3
    assert (call.error, failed.error, answered.error) == ("", "503", "")
    assert (call.start_ns, call.end_ns) == (A_TIME_NS, A_TIME_NS + 2)
    assert call.name == "chat small"


def test_a_span_has_the_words_of_the_conventions() -> None:
    """Operation, model, provider, region and tokens stand under OpenTelemetry's names."""
    call, attempt = spans_of(a_usage(a_leg()), None)
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.model"] == "small"
    assert call.attributes["gen_ai.provider.name"] == "x_ai"
    assert call.attributes["gen_ai.usage.input_tokens"] == 9
    assert call.attributes["gen_ai.usage.output_tokens"] == 3
    assert call.attributes["gen_ai.usage.cache_read.input_tokens"] == 2
    assert call.attributes["inferworks.call.id"] == CALL
    assert attempt.attributes["cloud.region"] == "eu-west"
    assert attempt.attributes["http.response.status_code"] == 200


def test_a_span_does_not_tell_who_called() -> None:
    """No customer, key or end user is in it; the call's id leads to the record that has them."""
    usage = a_usage(a_leg())
    text = repr(spans_of(usage, None))
    assert not any(who in text for who in (usage.customer, usage.key_id, "an-end-user"))


@pytest.mark.parametrize(
    "header",
    [
        None, b"", b"00", PARENT[:-3], PARENT + b"-x", b"ff" + PARENT[2:], PARENT.upper(),
        b"00-" + b"0" * 32 + PARENT[35:], PARENT[:36] + b"0" * 16 + b"-01",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_begins_a_trace(header: bytes | None) -> None:
    """A header that the standard calls invalid is ignored."""
    assert parse_traceparent(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """A version to come may have more fields; the ones we know are read."""
    assert parse_traceparent(b"01" + PARENT[2:] + b"-more") == parse_traceparent(PARENT)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.text(min_size=1))
def test_a_replica_is_told_of_the_very_span_that_is_made(
    trace_id: int, span_id: int, sampled: bool, call: str
) -> None:
    """The header for a replica, made while the call runs, names the span that its record becomes."""
    parent = Parent(trace_id, span_id, sampled)
    told = parse_traceparent(traceparent(CallId(call), parent))
    usage = msgspec.structs.replace(a_usage(), call_id=CallId(call))
    (span,) = spans_of(usage, parent)
    assert told == Parent(span.trace_id, span.span_id, sampled)


def test_what_is_remembered_is_bounded() -> None:
    """Calls that never end, which there should be none of, do not pile up for ever."""
    traces = Traces(StubExporter())
    for number in range(65_537):
        traces.begin(CallId(str(number)), PARENT)
    assert not traces.traceparent(CallId("0")).startswith(PARENT[:36])
    assert traces.traceparent(CallId("1")).startswith(PARENT[:36])


def test_nothing_is_remembered_of_a_call_that_has_ended() -> None:
    """The caller's span is forgotten with the call; a second one of that id has a trace of its own."""
    exporter = StubExporter()
    traces = Traces(exporter)
    traces.begin(CALL, PARENT)
    assert traces.traceparent(CALL).startswith(PARENT[:36])
    traces.take(a_usage())
    assert not traces.traceparent(CALL).startswith(PARENT[:36])
    traces.take(a_usage())
    first, second = exporter.spans
    assert first.parent is not None
    assert second.parent is None
    traces.close()
    assert exporter.closed
