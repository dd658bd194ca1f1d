"""Usage in Anthropic's messages, read from events as they might be written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from genai_prices import extract_usage
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.anthropic import CountReader, MessagesReader
from inferworks.errors import UpstreamError
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens

COUNT = st.integers(0, 10**8)
A_CALL = Call(
    CallId("c"), Operation.MESSAGES, ModelId("m"), stream=True, wants_usage=True, body=b"{}"
)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    """A `usage` object as Anthropic writes one: parts within their totals, some left out or null."""
    short, hour, output = draw(COUNT), draw(COUNT), draw(COUNT)
    usage: dict[str, Any] = {"input_tokens": draw(COUNT), "output_tokens": output}
    if draw(st.booleans()):
        usage["cache_creation_input_tokens"] = short + hour
        usage["cache_creation"] = draw(
            st.sampled_from(
                [None, {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}]
            )
        )
    usage["cache_read_input_tokens"] = draw(st.none() | COUNT)
    if draw(st.booleans()):
        thinking = draw(st.integers(0, output))
        usage["output_tokens_details"] = {"thinking_tokens": thinking}
    usage["server_tool_use"] = draw(st.none() | COUNT.map(lambda n: {"web_search_requests": n}))
    usage["service_tier"] = draw(st.sampled_from([None, "standard", "priority"]))
    return usage


def event_of(body: dict[str, Any]) -> bytes:
    """`body` as an event of a stream."""
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()


def stream_of(start: dict[str, Any], end: dict[str, Any], *words: str) -> list[bytes]:
    """The events of a stream that tells `start` and `end`."""
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in words
    ]
    return [
        event_of(body)
        for body in (
            {"type": "message_start", "message": {"usage": start}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
            {"type": "ping"},
            *deltas,
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end},
            {"type": "message_stop"},
        )
    ]


def read(events: list[bytes]) -> list[Chunk]:
    """Chunks that one reader makes of `events`."""
    reader = MessagesReader(A_CALL)
    return [reader.event(event) for event in events]


def last_told(chunks: list[Chunk]) -> ReportedUsage:
    """Usage that was reported last."""
    return [chunk.reported for chunk in chunks if chunk.reported is not None][-1]


def whole(usage: dict[str, Any] | None) -> Chunk:
    """A whole message that tells `usage`."""
    body = {"type": "message", "content": [], "usage": usage}
    return MessagesReader(A_CALL).whole(json.dumps(body).encode())


@pytest.mark.slow
@given(usages())
def test_the_parts_are_the_providers_totals(usage: dict[str, Any]) -> None:
    """Our input is the sum of Anthropic's three, its parts are theirs, and nothing contradicts itself."""
    reported = whole(usage).reported
    assert reported is not None
    tokens = reported.tokens
    read_tokens = usage["cache_read_input_tokens"] or 0
    written = usage.get("cache_creation_input_tokens", 0)
    assert tokens.input == usage["input_tokens"] + read_tokens + written
    assert (tokens.cache_read, tokens.cache_write) == (read_tokens, written)
    assert tokens.output == usage["output_tokens"]
    assert tokens.flaw() is None
    assert reported.service_tier == (usage["service_tier"] or "")
    assert reported.items.searches == (usage["server_tool_use"] or {}).get("web_search_requests", 0)


@pytest.mark.slow
@given(usages())
def test_genai_prices_reads_the_same(usage: dict[str, Any]) -> None:
    """Another reader of the same answers counts what we count."""
    reported = whole(usage).reported
    assert reported is not None
    given = {name: value for name, value in usage.items() if value is not None}
    theirs = extract_usage(
        {"model": "claude-sonnet-4-5", "usage": given}, provider_id="anthropic"
    ).usage
    tokens = reported.tokens
    assert theirs.input_tokens == tokens.input
    assert theirs.output_tokens == tokens.output
    assert (theirs.cache_read_tokens or 0) == tokens.cache_read
    assert (theirs.cache_write_tokens or 0) == tokens.cache_write
    assert (theirs.cache_write_1h_tokens or 0) == tokens.cache_write_1h
    assert (theirs.output_reasoning_tokens or 0) == tokens.reasoning
    assert (theirs.web_searches or 0) == reported.items.searches


@pytest.mark.slow
@given(usages())
def test_a_stream_tells_what_a_whole_message_does(usage: dict[str, Any]) -> None:
    """Input told at the start and output at the end are the whole; every event passes as it came."""
    events = stream_of(
        {**usage, "output_tokens": 1}, {"output_tokens": usage["output_tokens"]}, "a"
    )
    chunks = read(events)
    assert last_told(chunks) == whole(usage).reported
    assert [chunk.data for chunk in chunks] == events
    assert [chunk.last for chunk in chunks] == [False] * (len(events) - 1) + [True]


def test_counts_of_a_stream_never_fall() -> None:
    """Counts are cumulative: a search makes the input grow, and its parts are told anew with it.

    The output of the start is none of them: it is one or two, whatever comes after it.
    """
    start = {"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 1}
    end = {"input_tokens": 900, "cache_read_input_tokens": 0, "output_tokens": 0,
           "server_tool_use": {"web_search_requests": 2}}  # fmt: skip
    reported = last_told(read(stream_of(start, end, "abc")))
    assert reported == ReportedUsage(Tokens(900, 0), Items(searches=2))


def test_half_a_letter_passes() -> None:
    """An upstream may cut a letter in two; each half passes as it came, and the counts are read."""
    events = stream_of({"input_tokens": 10}, {"output_tokens": 2}, "\ud83d", "\ude00")
    chunks = read(events)
    assert [chunk.data for chunk in chunks] == events
    assert last_told(chunks) == ReportedUsage(Tokens(10, 2))


_PLAIN = {"input_tokens": 1050, "output_tokens": 1}
_SPLIT = {"input_tokens": 100, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 50}


@pytest.mark.parametrize(
    ("start", "end", "tokens"),
    [
        (_PLAIN, _SPLIT, Tokens(1050, 20, cache_read=900, cache_write=50)),
        (_SPLIT, _PLAIN, Tokens(2000, 20, cache_read=900, cache_write=50)),
        (_SPLIT, {**dict.fromkeys(_SPLIT, 0), "input_tokens": 1050}, Tokens(1050, 20)),
        (_SPLIT, {**_SPLIT, "input_tokens": 99}, Tokens(1050, 20, cache_read=900, cache_write=50)),
        (_PLAIN, {**_SPLIT, "cache_read_input_tokens": 899}, Tokens(1050, 20)),
        (
            {**_SPLIT, "cache_creation": {"ephemeral_1h_input_tokens": 50}},
            {**_SPLIT, "cache_creation": {"ephemeral_1h_input_tokens": 0}},
            Tokens(1050, 20, cache_read=900, cache_write=50, cache_write_1h=50),
        ),
    ],
)
def test_an_input_that_is_divided_anew_is_counted_once(
    start: dict[str, Any], end: dict[str, Any], tokens: Tokens
) -> None:
    """The larger whole counts, with its own parts (maximhq/bifrost#6598)."""
    reported = last_told(read(stream_of(start, {**end, "output_tokens": 20}, "abc")))
    assert reported == ReportedUsage(tokens)


@pytest.mark.parametrize("zeros", [{}, {"input_tokens": None}, {"input_tokens": 0},
                                   {"input_tokens": -1, "cache_read_input_tokens": []},
                                   {"input_tokens": 0, "cache_read_input_tokens": 0,
                                    "cache_creation": {"ephemeral_1h_input_tokens": 0}}])  # fmt: skip
def test_a_repeated_input_takes_nothing_back(zeros: dict[str, Any]) -> None:
    """Input told at the start holds, whatever the end says of it."""
    start = {"input_tokens": 1000, "cache_read_input_tokens": 500, "output_tokens": 1,
             "cache_creation": {"ephemeral_1h_input_tokens": 30}}  # fmt: skip
    reported = last_told(read(stream_of(start, {**zeros, "output_tokens": 20}, "abc")))
    tokens = Tokens(1530, 20, cache_read=500, cache_write=30, cache_write_1h=30)
    assert reported == ReportedUsage(tokens)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"output_tokens": 20}, (0, 20)), ({"input_tokens": "1000"}, (1000, 0)), ({}, None)],
)
def test_a_side_that_is_not_told_is_guessed(
    usage: dict[str, Any], tokens: tuple[int, int] | None
) -> None:
    """Half a report is kept, with a guess at the other half; it is marked as one."""
    reported = whole(usage).reported
    expected = tokens and ReportedUsage(Tokens(*tokens), is_estimate=True)
    assert reported == expected


def test_an_orderly_end_behind_a_stop_reason_is_an_end() -> None:
    """A stream without `message_stop` is whole if it says why it ended; one of that alone is no answer."""
    reader = MessagesReader(A_CALL)
    reader.event(event_of({"type": "message_start", "message": {}}))
    assert reader.ended() is None
    reader.event(event_of({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}))
    end = reader.ended()
    assert end is not None
    assert end.last
    with pytest.raises(UpstreamError):
        MessagesReader(A_CALL).event(event_of({"type": "message_stop"}))


def test_nothing_told_is_not_zero() -> None:
    """A message without usage tells nothing; one with zeros tells zeros."""
    assert whole(None).reported is None
    assert whole({"input_tokens": 0, "output_tokens": 0}).reported == ReportedUsage(NO_TOKENS)
    silent = [event_of({"type": "message_start", "message": {}}), *stream_of({}, {}, "abc")[3:4]]
    assert [chunk.reported for chunk in read(silent)] == [None, None]


def test_the_output_is_counted_along() -> None:
    """Up to its end a stream's output is an estimate of ours, which gives way to what is told."""
    events = stream_of(
        {"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 50}, "a", "b", "c" * 40
    )
    chunks = read(events)
    outputs = [
        (reported.tokens.output, reported.is_estimate)
        for reported in (c.reported for c in chunks)
        if reported
    ]
    assert outputs == [(1, True), (1, True), (2, True), (10, True), (50, False)]
    assert {reported.tokens.input for reported in (c.reported for c in chunks) if reported} == {3}


def test_a_cache_kept_for_an_hour() -> None:
    """Writes for an hour are a part of the writes, also where no total is given."""
    creation = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    for usage in ({"cache_creation_input_tokens": 10}, {}):
        reported = whole(
            {"input_tokens": 1, "output_tokens": 2, "cache_creation": creation, **usage}
        ).reported
        assert reported is not None
        assert reported.tokens == Tokens(11, 2, cache_write=10, cache_write_1h=6)


@pytest.mark.parametrize(
    "event",
    [b": keep-alive\n\n", b"\n\n", b'event: new_kind\r\ndata: {"type":"new_kind","x":1}\r\n\r\n'],
)
def test_other_events_pass(event: bytes) -> None:
    """Comments and events that we do not know pass as they came and tell nothing."""
    assert read([event]) == [Chunk(event)]


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"type":"error"}',
        b'{"type":"content_block_de',
        b"[1]",
        b"{}",
        b'{"type":' + b"[" * 100_000,
        b'{"type":"\xff"}',
    ],
)
def test_errors_and_nonsense_break_the_answer(data: bytes) -> None:
    """An error within an answer, or what cannot be read, fails the attempt; work was done for it."""
    reader = MessagesReader(A_CALL)
    for reading in (
        lambda: reader.event(b"event: x\ndata: " + data + b"\n\n"),
        lambda: reader.whole(data),
    ):
        with pytest.raises(UpstreamError) as caught:
            reading()
        assert caught.value.sent


@pytest.mark.slow
@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """No bytes of an upstream raise anything but an UpstreamError."""
    try:
        read([data])
    except UpstreamError as error:
        assert error.sent  # noqa: PT017 both ends are fine


def test_counting_tokens_is_free() -> None:
    """The answer to `count_tokens` passes and tells that nothing was used."""
    data = b'{"input_tokens":14}'
    assert CountReader(A_CALL).whole(data) == Chunk(data, ReportedUsage(NO_TOKENS), last=True)
