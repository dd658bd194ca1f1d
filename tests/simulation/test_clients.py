"""Answers as the simulation's clients read them from the bytes that came."""

from __future__ import annotations

import pytest

from inferworks.simulation.clients import Call, http, take_in, unchunked

HEAD = b"HTTP/1.1 200 OK\r\nX-Inferworks-Call-Id: id-1\r\n"


def a_call() -> Call:
    """A call that nothing has come of."""
    return Call("call-0", "acme", False, 0)


def test_a_request_has_its_key_and_its_length() -> None:
    """The bytes as they are sent."""
    assert http("POST", "/p", b"body", "iw_1") == (
        b"POST /p HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer iw_1\r\n"
        b"content-length: 4\r\n\r\nbody"
    )


def test_an_answer_of_a_length_is_whole_with_its_last_byte() -> None:
    """One byte less is a part; the next answer on the connection is left."""
    data = HEAD + b"Content-Length: 5\r\n\r\nhello"
    for size in range(len(data)):
        call = a_call()
        assert take_in(call, data[:size]) is None
        assert not call.whole
    call = a_call()
    assert take_in(call, data + b"HTTP/1.1 404") == len(data)
    assert (call.whole, call.status, call.call_id, call.body) == (True, 200, "id-1", b"hello")
    assert call.cost_pico is None


def test_a_chunked_answer_is_whole_with_its_last_chunk() -> None:
    """A part shows the pieces that came; the end is an empty chunk and an empty line."""
    body = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    data = HEAD + b"transfer-encoding: chunked\r\n\r\n" + body
    call = a_call()
    assert take_in(call, data[:-1]) is None
    assert (call.whole, call.body) == (False, b"abc0123456789")
    assert take_in(call, data + b"more") == len(data)
    assert (call.whole, call.body) == (True, b"abc0123456789")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", (b"", None)),
        (b"3", (b"", None)),
        (b"3\r\nab", (b"ab", None)),
        (b"3\r\nabc\r\n", (b"abc", None)),
        (b"0\r\n\r\n", (b"", 5)),
        (b"0\r\n\r\nnext", (b"", 5)),
    ],
)
def test_chunks_are_joined(data: bytes, found: tuple[bytes, int | None]) -> None:
    """As far as they came, with the size of it all once it is whole."""
    assert unchunked(data) == found


@pytest.mark.parametrize(
    ("head", "body", "cost_pico"),
    [
        (b"x-inferworks-cost: 0.000045\r\n", b"{}", 45_000_000),
        (b"", b'{"cost":0.000000000001}', 1),
        (b"", b'{"usage": {"cost": 2}}', 2 * 10**12),
        (b"X-Inferworks-Cost: 1\r\n", b'{"cost":2}', 10**12),
        (b"", b"{}", None),
    ],
)
def test_a_cost_is_read_exactly(head: bytes, body: bytes, cost_pico: int | None) -> None:
    """From the head or from the body, to the picounit; the head is first."""
    call = a_call()
    take_in(call, HEAD + head + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert call.cost_pico == cost_pico
