"""Event streams: cut anywhere they give the same events, and what these say is never changed."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.http.sse import DONE, EventSplitter, event_data

STREAMS = st.lists(
    st.sampled_from(
        [b"data: a", b"data:", b"b", b":c", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"]
    ),
    max_size=30,
).map(b"".join)


def split(*pieces: bytes) -> tuple[list[bytes], bytes]:
    """The events of a stream that comes in `pieces`, and what is left."""
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.rest


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 80)))
def test_where_a_stream_is_cut_makes_no_difference(stream, cuts):
    """Any pieces of a stream give the same events, and these with the rest are the stream.

    Where a line ends with CR alone, it and all that follow end with LF instead.
    """
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    events, rest = split(stream)
    assert split(*pieces) == (events, rest)
    assert split(*[bytes([byte]) for byte in stream]) == (events, rest)
    lone = re.search(rb"\r(?=[^\n])", stream)
    same = len(stream) if lone is None else lone.start()
    assert b"".join(events) + rest == stream[:same] + re.sub(rb"\r\n?", b"\n", stream[same:])


@given(stream=STREAMS)
def test_lines_end_as_the_standard_says(stream):
    """With CR, LF or CRLF: an event is over as soon as its last line's end has come, and has its data."""
    lines = re.split(rb"\r\n|\n|\r(?!\Z)", stream)
    blocks = [b""]
    for line in lines[:-1]:
        if line:
            blocks[-1] += line + b"\n"
        else:
            blocks.append(b"")
    events, _ = split(stream)
    told = [event_data(event) for event in events]
    assert [data for data in told if data] == [
        d for b in blocks[:-1] if (d := event_data(b + b"\n"))
    ]


def test_an_event_of_lone_carriage_returns_is_not_held_back():
    """An event is handed out with its last byte; LF in the next piece is the same line's end."""
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\r") == [b"data: a\n\n"]
    assert splitter.feed(b"\ndata: b\r") == []
    assert splitter.feed(b"\r") == [b"data: b\n\n"]
    assert splitter.feed(b"data: [DONE]\r") == []
    assert splitter.end() == [b"data: [DONE]\n\n"]


@given(stream=STREAMS)
def test_an_event_ends_at_its_first_empty_line(stream):
    """Each event ends with an empty line and holds no other; the rest holds none."""
    events, rest = split(stream)
    empty = re.compile(rb"\n\r?\n")
    for event in events:
        match = empty.search(event)
        assert match
        assert match.end() == len(event)
    assert not empty.search(rest)


@given(stream=STREAMS)
def test_data_is_what_the_standard_says(stream):
    """The data of an event is its data lines, each without one leading space, joined by newlines."""
    for event in split(stream)[0]:
        lines = [line.rstrip(b"\r") for line in event.split(b"\n")]
        fields = [line[5:] for line in lines if line.startswith(b"data:")]
        expected = b"\n".join(field[1:] if field[:1] == b" " else field for field in fields)
        assert event_data(event) == expected


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: [DONE]\n\n", DONE),
        (b"data:[DONE]\r\n\r\n", DONE),
        (b"event: x\ndata: a\ndata: b\n\n", b"a\nb"),
        (b": keep-alive\n\n", b""),
        (b"\xef\xbb\xbfdata: {}\n\n", b"{}"),
        (b"\xef\xbb\xbfdata: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b"\xef\xbb\xbfevent: x\ndata: a\n\n", b"a"),
        (b"\xef\xbb\xbf", b""),
        (b"data:  two spaces\n\n", b" two spaces"),
        (b"data: end without a newline", b"end without a newline"),
        (b"\n\n", b""),
        (b"", b""),
    ],
)
def test_data_of_an_event(event, data):
    """The forms that upstreams really send."""
    assert event_data(event) == data


def test_an_event_without_end_is_refused():
    """An upstream cannot fill the memory with one event."""
    splitter = EventSplitter(limit_bytes=10)
    assert splitter.feed(b"data: 1\n\n") == [b"data: 1\n\n"]
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        splitter.feed(b"data: 12345")
