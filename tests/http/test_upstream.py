"""One connection to an upstream, over a transport that the test holds: what is believed, and when."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.deadlines import Deadlines
from inferworks.http.upstream import Response, UpstreamConnection

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"content-length: 2\r\n\r\nhi"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
HIGH_WATER_BYTES = 256 * 1024


class Line(asyncio.Transport):
    """A transport that keeps what is written and tells its protocol of its end."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_paused = False
        self.unsent_bytes = 0
        self._closing = False
        self.connection = UpstreamConnection("upstream", Deadlines())
        self.connection.connection_made(self)

    def writelines(self, pieces: Any) -> None:
        """Keep `pieces`."""
        self.sent += pieces

    def is_closing(self) -> bool:
        """Return True once it was aborted."""
        return self._closing

    def abort(self) -> None:
        """End at once."""
        self._closing = True

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Read again."""
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        """Bytes that have not left."""
        return self.unsent_bytes

    def asked(self, *data: bytes) -> UpstreamConnection:
        """The connection after a request whose answer comes as `data`."""
        self.connection.send([b"GET / HTTP/1.1\r\n\r\n"])
        for piece in data:
            self.connection.data_received(piece)
        return self.connection

    def ends(self, error: Exception | None = None) -> None:
        """The other side is gone."""
        self.connection.connection_lost(error)


def on_a_line(test: Callable[[Line], Awaitable[None]]) -> None:
    """Run `test` with a fresh connection."""

    async def main() -> None:
        await test(Line())

    asyncio.run(main())


def failure(line: Line) -> UpstreamError:
    """The error that a reader is told."""
    with pytest.raises(UpstreamError) as failed:
        line.connection.more()
    return failed.value


@pytest.mark.parametrize("cut", [1, 17, len(WHOLE) - 1, len(WHOLE)])
def test_an_answer_is_whole_however_it_is_cut(cut: int) -> None:
    """Status, headers and body are the same in one segment or two, and the connection serves again."""

    async def test(line: Line) -> None:
        for _ in range(2):  # the second time the head is known
            connection = line.asked(*(piece for piece in (WHOLE[:cut], WHOLE[cut:]) if piece))
            assert (connection.status, connection.complete) == (200, True)
            assert dict(connection.headers) == {b"content-length": b"2"}
            assert connection.buffered_bytes == 2
            assert not connection.usable
            assert connection.take() == b"hi"
            assert connection.take() == b""
            assert connection.usable

    on_a_line(test)


def test_a_known_head_with_a_body_of_another_length() -> None:
    """An answer that differs in the length of its body alone says its own length."""

    async def test(line: Line) -> None:
        line.asked(WHOLE).take()
        connection = line.asked(OK + b"content-length: 3\r\n\r\nhey")
        assert (connection.take(), connection.headers[b"content-length"]) == (b"hey", b"3")

    on_a_line(test)


def test_an_interim_answer_is_forgotten() -> None:
    """Headers of an interim answer are none of the answer's, and it ends nothing."""

    async def test(line: Line) -> None:
        connection = line.asked(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        assert (connection.status, connection.complete) == (0, False)
        connection.data_received(WHOLE)
        assert (connection.status, b"link" in connection.headers) == (200, False)

    on_a_line(test)


def test_trailers_are_no_headers() -> None:
    """Fields behind a body change nothing of its head."""

    async def test(line: Line) -> None:
        connection = line.asked(CHUNKED, b"2\r\nhi\r\n0\r\nx-late: 1\r\n\r\n")
        assert connection.complete
        assert b"x-late" not in connection.headers

    on_a_line(test)


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_an_answer_without_a_length_ends_with_its_connection(error: Exception | None) -> None:
    """An end in order is the end of the answer, and a reset is not."""

    async def test(line: Line) -> None:
        connection = line.asked(OK + b"\r\nhi")
        assert not connection.complete
        line.ends(error)
        assert connection.complete is (error is None)
        if error is not None:
            assert str(failure(line)) == "upstream closed the connection mid-answer"

    on_a_line(test)


@pytest.mark.parametrize("head", [CHUNKED, OK + b"content-length: 2\r\n\r\n"])
def test_an_answer_with_a_length_must_be_whole(head: bytes) -> None:
    """An end amid such an answer is a failure, also one in order."""

    async def test(line: Line) -> None:
        line.asked(head)
        line.ends()
        error = failure(line)
        assert str(error) == "upstream closed the connection mid-answer"
        assert (error.sent, error.unread) == (True, False)

    on_a_line(test)


def test_an_end_before_the_answer() -> None:
    """A new connection that ends without a byte may have been read; one just reused was not."""

    async def test(line: Line) -> None:
        line.asked()
        line.ends()
        error = failure(line)
        assert str(error) == "upstream closed the connection before it answered"
        assert not error.unread
        again = Line()
        again.connection.reused_at = asyncio.get_running_loop().time()
        again.asked()
        again.ends()
        error = failure(again)
        assert str(error) == "upstream closed the connection just as it was reused"
        assert error.unread

    on_a_line(test)


def test_nothing_is_sent_on_a_connection_that_is_gone() -> None:
    """A request on a closed connection has cost nothing."""

    async def test(line: Line) -> None:
        line.ends()
        with pytest.raises(UpstreamError, match="upstream closed the connection") as failed:
            line.connection.send([b"x"])
        assert not failed.value.sent
        assert line.sent == []
        assert not line.connection.usable

    on_a_line(test)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-x\r\n", "upstream sent something that is not HTTP/1.1"),
        (WHOLE + WHOLE, "upstream sent something that is not HTTP/1.1"),
        (OK + b"x: " + b"y" * 262_144, "upstream sent headers larger than 262144 bytes"),
    ],
    ids=["no-http", "two-answers", "large-head"],
)
def test_what_is_not_believed(data: bytes, why: str) -> None:
    """A connection that breaks the rules is ended at once."""

    async def test(line: Line) -> None:
        line.asked(data)
        assert line.is_closing()
        failed = failure(line)
        assert (str(failed), failed.answered) == (why, True)
        assert not line.connection.usable

    on_a_line(test)


@pytest.mark.parametrize(("data", "answered"), [(b"", False), (OK, False), (WHOLE[:-1], True)])
def test_an_answer_that_breaks_off_came(data: bytes, answered: bool) -> None:
    """An end after the head of an answer is not one of an upstream that cannot be reached."""

    async def test(line: Line) -> None:
        line.asked(data)
        line.ends()
        assert failure(line).answered == answered

    on_a_line(test)


def test_a_slow_reader_holds_the_upstream_back() -> None:
    """Reading stops above 256 KiB that nobody took, and goes on when they are taken."""

    async def test(line: Line) -> None:
        connection = line.asked(OK + b"content-length: 999999\r\n\r\n", b"x" * HIGH_WATER_BYTES)
        assert not line.is_paused
        connection.data_received(b"x")
        assert line.is_paused
        assert len(connection.take()) == HIGH_WATER_BYTES + 1
        assert not line.is_paused

    on_a_line(test)


def test_a_connection_with_an_unsent_request_is_not_used_again() -> None:
    """An answer may come before all of its request has left; the next would follow its rest."""

    async def test(line: Line) -> None:
        line.asked(WHOLE).take()
        line.unsent_bytes = 1
        assert not line.connection.usable
        line.unsent_bytes = 0
        assert line.connection.usable

    on_a_line(test)


def test_a_connection_that_the_upstream_will_close_is_not_used_again() -> None:
    """`connection: close` is heeded."""

    async def test(line: Line) -> None:
        connection = line.asked(OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi")
        assert connection.take() == b"hi"
        assert not connection.usable

    on_a_line(test)


def test_what_is_late_is_told_by_what_was_due() -> None:
    """Before the head the answer is late to begin, after it a silence is, and at last the whole."""

    async def test(line: Line) -> None:
        connection = line.connection
        connection.send([b"x"], first_byte_s=60)
        connection.data_received(b"HTTP")
        connection.late()
        error = failure(line)
        assert str(error) == "upstream did not send complete response headers within 60 s"
        assert error.gave_up
        silent = Line()
        silent.asked(CHUNKED).more(5)
        silent.connection.late()
        assert str(failure(silent)) == "upstream sent no data for 5 s"
        whole = Line()
        whole.connection.send([b"x"], first_byte_s=90, answer_s=60)
        whole.connection.late()
        assert str(failure(whole)) == "upstream did not finish its answer in time"
        for late in (line, silent, whole):
            late.ends()

    on_a_line(test)


def test_a_reader_is_woken() -> None:
    """A waiting reader is woken by data and by an end."""

    async def test(line: Line) -> None:
        connection = line.asked()
        waiter = connection.more()
        assert not waiter.done()
        connection.data_received(CHUNKED)
        assert waiter.done()
        waiter = connection.more()
        line.ends()
        assert waiter.done()

    on_a_line(test)


def test_a_body_is_read_up_to_its_limit() -> None:
    """A body of just the limit is read, and one byte more is refused."""

    async def test(line: Line) -> None:
        response = Response(line.asked(WHOLE))
        assert response.status == 200
        assert response.plain is line.connection
        assert await response.read(1, 2) == b"hi"
        with pytest.raises(UnreadableError, match="it is larger than 1 bytes"):
            await Response(line.asked(WHOLE)).read(1, 1)

    on_a_line(test)


def test_a_coded_body_is_decoded_as_it_is_read() -> None:
    """A compressed answer is read as what it says, and its limit counts what it became."""

    async def test(line: Line) -> None:
        body = gzip.compress(b"x" * 1000)
        head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        response = Response(line.asked(head + body))
        assert response.plain is None
        assert await response.read(1, 1000) == b"x" * 1000
        with pytest.raises(UnreadableError, match="it is larger than 999 bytes"):
            await Response(line.asked(head + body)).read(1, 999)

    on_a_line(test)


def test_a_body_that_cannot_be_decoded_has_been_paid() -> None:
    """A body in a coding that it does not have is an answer that nobody can read."""

    async def test(line: Line) -> None:
        head = OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n"
        with pytest.raises(UnreadableError) as failed:
            await Response(line.asked(head + b"hi")).read(1, 100)
        assert failed.value.worked

    on_a_line(test)


def test_pieces_come_as_they_are() -> None:
    """Each piece is all that has come by then, and an empty one is the end."""

    async def test(line: Line) -> None:
        response = Response(line.asked(CHUNKED, b"1\r\na\r\n1\r\nb\r\n"))
        assert await response.next_piece(1) == b"ab"
        line.connection.data_received(b"1\r\nc\r\n0\r\n\r\n")
        assert [piece async for piece in response.pieces(1)] == [b"c"]
        assert await response.next_piece(1) == b""

    on_a_line(test)
