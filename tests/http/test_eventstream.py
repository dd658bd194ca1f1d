"""Amazon's binary event streams: whole, cut anywhere, damaged anywhere; as Amazon's library reads them."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from inferworks.http.eventstream import Message, MessageSplitter, written

HEADERS = st.dictionaries(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.text(max_size=20),
    max_size=4,
)
MESSAGES = st.lists(st.builds(Message, HEADERS, st.binary(max_size=60)), max_size=4)
ONE = written({":message-type": "event", ":event-type": "metadata"}, b'{"usage":{}}')


@pytest.mark.slow
@given(MESSAGES, st.data())
def test_any_cut_gives_the_same_messages(messages: list[Message], data: st.DataObject) -> None:
    """Messages that were written are read again, wherever the stream was cut on its way."""
    stream = b"".join(written(message.headers, message.payload) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = MessageSplitter()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [message for piece in pieces for message in splitter.feed(piece)] == messages
    assert splitter.rest == b""


@given(MESSAGES)
def test_amazons_library_reads_the_same(messages: list[Message]) -> None:
    """Messages that we write are read by botocore with the same headers and payloads."""
    buffer = EventStreamBuffer()
    for message in messages:
        buffer.add_data(written(message.headers, message.payload))
    read = [Message(message.headers, message.payload) for message in buffer]
    assert read == messages


def test_any_bit_that_falls_is_found() -> None:
    """A message with one wrong bit is never handed out, and one with a wrong length not waited for."""
    for bit in range(len(ONE) * 8):
        damaged = bytearray(ONE)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="checksum"):
            MessageSplitter().feed(bytes(damaged))


def test_what_comes_before_a_damaged_message_is_sound() -> None:
    """Messages before a damaged one are handed out, whatever came in the same piece; then it is told."""
    splitter = MessageSplitter()
    assert len(splitter.feed(ONE + ONE + ONE[:-1] + b"?")) == 2
    with pytest.raises(ValueError, match="checksum"):
        splitter.feed(b"")


def test_headers_of_other_types_are_passed_over() -> None:
    """Only text counts; numbers, bytes, times and ids before it are stepped over by their size."""
    fields = b"".join(
        [
            b"\x01t\x00", b"\x01f\x01", b"\x01b\x02\x01", b"\x01s\x03\x00\x01", b"\x01i\x04" + b"\0" * 4,
            b"\x01l\x05" + b"\0" * 8, b"\x01y\x06\x00\x02ab", b"\x01d\x08" + b"\0" * 8,
            b"\x01u\x09" + b"\0" * 16, b"\x01x\x07\x00\x03yes",
        ]
    )  # fmt: skip
    (message,) = MessageSplitter().feed(framed(fields))
    assert message == Message({"x": "yes"}, b"")


@pytest.mark.parametrize(
    "fields", [b"\x05ab", b"\x01i\x04\x00", b"\x01x\x07\x00\x09no", b"\x01x\x07\x00\x01\xff"]
)
def test_headers_that_cannot_be_read(fields: bytes) -> None:
    """Headers that end too early, or are no text, are an error although the sums are right."""
    with pytest.raises(ValueError, match="headers"):
        MessageSplitter().feed(framed(fields))


def test_sizes_that_cannot_be() -> None:
    """A message beyond the limit, or shorter than its own headers, is refused at its prelude."""
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        MessageSplitter(limit_bytes=10).feed(ONE)
    with pytest.raises(ValueError, match="longer than the event"):
        MessageSplitter().feed(prelude(20, 100))


def framed(fields: bytes) -> bytes:
    """A message with these header bytes, no payload, and sums that are right."""
    message = prelude(16 + len(fields), len(fields)) + fields
    return message + struct.pack(">I", crc32(message))


def prelude(total: int, headers: int) -> bytes:
    """The beginning of a message, with its sum."""
    sizes = struct.pack(">II", total, headers)
    return sizes + struct.pack(">I", crc32(sizes))
