"""Running usage of a stream: reported, or estimated from its events."""

from __future__ import annotations

from inferworks.api.stream_usage import StreamUsage
from inferworks.cloud.call import Chunk
from inferworks.cloud.routing.token_estimate import prompt_tokens
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import Confidence, Tokens
from inferworks.testing.providers import make_call

EVENT = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'


def test_nothing_was_seen() -> None:
    """Nothing is reported, and what there is would be an estimate."""
    usage = StreamUsage(make_call())
    assert usage.reported is NOTHING_REPORTED
    assert usage.confidence is usage.confidence_at_end() is Confidence.ESTIMATED


def test_without_a_report_events_are_counted() -> None:
    """The prompt is estimated once, the answer grows with each event."""
    usage = StreamUsage(make_call())
    counts = []
    for _ in range(3):
        usage.see(Chunk(EVENT))
        counts.append(usage.reported.tokens)
    assert {tokens.input for tokens in counts} == {prompt_tokens(make_call())}
    assert [tokens.output for tokens in counts] == sorted({tokens.output for tokens in counts})
    assert counts[0].output > 0
    assert usage.confidence_at_end() is Confidence.ESTIMATED


def test_of_events_with_many_tokens_the_words_are_counted() -> None:
    """So that what a client is charged that leaves, and what its limits see, is what was made."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"word " * 80)
    usage = StreamUsage(make_call())
    for number in range(1, 6):
        usage.see(Chunk(event))
        assert usage.reported.tokens.output == 100 * number


def test_a_report_replaces_the_estimate_and_no_event_adds_to_it() -> None:
    """Amid a stream it is what was counted so far; at its end it is what the upstream reported."""
    usage = StreamUsage(make_call())
    usage.see(Chunk(EVENT))
    reported = ReportedUsage(Tokens(7, 3))
    usage.see(Chunk(EVENT, reported))
    usage.see(Chunk(EVENT))
    assert usage.reported is reported
    assert usage.confidence is Confidence.COUNTED
    assert usage.confidence_at_end() is Confidence.REPORTED


def test_input_alone_leaves_the_output_to_be_estimated() -> None:
    """Anthropic tells the input at the beginning: it counts for the estimate, which stays one."""
    usage = StreamUsage(make_call())
    usage.see(Chunk(EVENT, ReportedUsage(Tokens(99, 0), is_input_only=True)))
    usage.see(Chunk(EVENT))
    assert usage.reported.tokens.input == 99
    assert usage.reported.tokens.output > 0
    assert usage.confidence is usage.confidence_at_end() is Confidence.ESTIMATED


def test_what_a_failure_reports_is_taken_in() -> None:
    """And one that reports nothing changes nothing."""
    usage = StreamUsage(make_call())
    usage.see_reported(None)
    assert usage.reported is NOTHING_REPORTED
    usage.see_reported(ReportedUsage(Tokens(5, 1), is_estimate=True))
    assert usage.reported.tokens == Tokens(5, 1)
    assert usage.confidence_at_end() is Confidence.ESTIMATED
