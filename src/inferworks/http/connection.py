"""One client's connection: bytes in, exchanges run one after the other, bytes out.

Requests are answered one at a time per connection, so pipelining cannot multiply work: what comes while
one runs is kept unparsed up to `_BACKLOG_BYTES`, and only beyond that is the socket left unread (unread,
it could not tell of a client that leaves).

Handlers run in one task per connection, made with its first request and ended with the connection.
When the client leaves, that task is cancelled, at once and once: leaving its `async with` blocks is where
records are written. A client that closes only its sending half has left too, since nothing tells the two
apart. What a handler sets in a context variable stays set for the next request of its connection.

Nothing that a connection holds may outlive it: its reader and parser, which hold each other, are let go of
when it ends and not when Python next looks for cycles, and its bodies are dropped with their calls.

A handler that fails before it answered is answered for with 500; one that fails in the middle of its
answer has its connection cut, so that half an answer never looks like a whole one.

Rejected. A task per exchange: a task is entered into asyncio's list of all tasks by a weak reference in
Python, which costs 2 microseconds a call; waking one that waits costs 0.4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Hashable
from typing import cast

from inferworks.http.budget import Held
from inferworks.http.exchange import Admission, ClientGone, Exchange, Refused, RequestHead
from inferworks.http.heads import Headers, KnownHead, field_lines, with_length
from inferworks.http.request_reader import RequestReader
from inferworks.http.shared import Shared

_PARSE_BYTES = 16 * 1024  # of a body, parsed at a time
_HEADS_BYTES = 2 * 1024  # else, so that few pipelined requests are ever held parsed
_BACKLOG_BYTES = 64 * 1024  # read ahead of a running exchange before the socket is left unread
_WRITE_BYTES = 256 * 1024  # handed to the socket at a time: a slow reader has a timeout for each
_LINGER_S = 2.0  # for a refused client to read why
_TURNED_AWAY = 16  # connections beyond the limit that are told why; more are dropped at once
_NEVER = float("inf")


class Connection(asyncio.Protocol):
    """One client's connection. The event loop calls the first methods, the reader the next ones."""

    def __init__(self, shared: Shared[Connection]) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._limits = shared.limits
        self.peer = ""
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self, shared.limits)
        self._known: KnownHead[RequestHead] | None = None
        """The head of the last request that came in one segment, if it can be recognised."""
        self._backlog = bytearray()
        self._backlog_held: Held | None = None
        self._waiting: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        """Exchange being answered; nothing else is read meanwhile."""
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None
        """Future that the task awaits while there is nothing to answer."""
        self._writable: asyncio.Future[None] | None = None
        self._ignores_input = False
        """True when further bytes are ignored: the last request was read, or refused."""
        self._lingers = False
        """True while the handler goes on though its client has left."""
        self._owner: Hashable = None
        """Owner of the bytes of bodies and answers: the key that was admitted last."""
        self._sending: Held | None = None
        """Count of this connection among those on which its owner is sending a body."""
        self._refusal: Refused | None = None
        """A refusal whose turn comes after the exchanges before it."""
        self._owes_continue = False
        """True while the client waits for `100 Continue` before it sends the body."""
        self.deadline: float = self._loop.time() + self._limits.keep_alive_s

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection; when there are too many an idle one gives way, or it is turned away."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        if isinstance(address, tuple):  # of a Unix socket it is text, mostly empty
            self.peer = address[0]
        connections = self._shared.connections
        beyond = len(connections) - self._limits.connections
        evictions = self._shared.evictions
        evicted = evictions.choose(connections, self._loop.time()) if beyond >= 0 else None
        connections.add(self)
        evictions.unauthenticated[self] = None
        if self._shared.closing:
            self._close()
        elif evicted is not None:
            evicted.abort()
        elif beyond >= _TURNED_AWAY:
            self.abort()
        elif beyond >= 0:
            self.refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: whatever runs for it is cancelled now, unless it asked to go on."""
        self._transport = None
        self._reader.close()
        self._has_sent()
        self._forget_backlog()
        for waiting in self._waiting:
            if waiting.held is not None:
                waiting.held.release()
        self._waiting.clear()
        if self._task is not None:
            exchange = self._exchange
            on_leave = None if exchange is None else exchange.on_leave
            self._lingers = on_leave is not None and on_leave(self._task.cancel)
            if self._lingers:
                self.resume_writing()  # to be told that nobody is there
            else:
                self._task.cancel()
        self._shared.connections.discard(self)
        self._shared.evictions.unauthenticated.pop(self, None)
        self._shared.something_ended()

    def eof_received(self) -> None:
        """The client will send no more: it leaves, and waits for no running answer."""
        if self._exchange is not None:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came, or keep it until the running exchange is answered.

        A whole request whose head is the one before's is run without the parser.
        """
        if self._ignores_input:
            return
        if self._exchange is not None:
            self._keep(data)
            return
        known = self._known
        if known is not None and not self._reader.receiving:
            body = known.body_in(data)
            if body is not None and len(body) <= self._limits.body_bytes:
                exchange = Exchange(self, known.parsed, body)
                if len(body) != known.body_bytes:
                    exchange.headers = with_length(exchange.headers, len(body))
                self._run(exchange)
                return
        self._parse(data)

    def pause_writing(self) -> None:
        """The client's socket is full."""
        self._writable = self._loop.create_future()
        self.deadline = self._loop.time() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        if self._exchange is not None:
            self.deadline = _NEVER

    # --- reading requests

    def _parse(self, data: bytes) -> None:
        """Feed the parser, but no further than the request that is to run next."""
        reader = self._reader
        parser = None if reader.receiving else reader.parser
        start = 0
        while start < len(data):
            if self._ignores_input:
                return
            if self._exchange is not None:
                self._keep(data[start:])
                return
            end = start + (_PARSE_BYTES if reader.in_body else _HEADS_BYTES)
            reader.feed(data[start:end])
            start = end
        if parser is reader.parser:
            alone = self._exchange is not None and not self._waiting and not self._ignores_input
            self._known = reader.learned(data) if alone else None

    def _keep(self, data: bytes) -> None:
        """Keep what was sent ahead; when it is much, read no more for now."""
        self._backlog += data
        if len(self._backlog) > _BACKLOG_BYTES and self._transport is not None:
            self._transport.pause_reading()
            self._backlog_held = self.hold()
            if not self._backlog_held.more(len(self._backlog)):
                self.abort()

    def _forget_backlog(self) -> None:
        self._backlog = bytearray()
        if self._backlog_held is not None:
            self._backlog_held.release()
            self._backlog_held = None

    # --- what the reader calls

    def begun(self) -> None:
        """A request has begun: its clock starts, unless another is being answered."""
        self._owes_continue = False
        if self._exchange is None:
            self.deadline = self._loop.time() + self._limits.request_timeout_s

    def asked_to_continue(self) -> None:
        """The client waits to be told before it sends the body."""
        self._owes_continue = True
        if self._exchange is None:
            self._pay_continue()

    def admit(self, head: RequestHead) -> Admission | Refused:
        """Admit or refuse the body that follows `head`."""
        admission = self._shared.admit(head)
        if isinstance(admission, Refused):
            return admission
        if admission.owner is not None:
            self._sending = Held(self._shared.sending, admission.owner)
            if not self._sending.more(1):
                message = (
                    "too many requests with this key are being received at once; try again later"
                )
                return self._refusal_of(503, message)
            self._shared.evictions.unauthenticated.pop(self, None)
        self._owner = admission.owner
        return admission

    def hold(self) -> Held:
        """Return a counter of held bytes for the owner that was admitted last."""
        return Held(self._shared.budget, self._owner)

    def received(self, head: RequestHead, body: bytes, held: Held | None) -> None:
        """The request is whole: run it, or let it wait for the one before."""
        self._has_sent()
        exchange = Exchange(self, head, body)
        exchange.held = held
        self._ignores_input = not exchange.keep_alive
        if self._exchange is None:
            self._run(exchange)
        else:
            self._waiting.append(exchange)

    def refuse(self, status: int, message: str) -> None:
        """Answer without a handler when the turn comes, and close; what else comes is ignored."""
        self.turn_away(self._refusal_of(status, message))

    def turn_away(self, refused: Refused) -> None:
        """Answer so when the turn comes, and close; what else comes is ignored."""
        if self._ignores_input:
            return
        self._ignores_input = True
        self._reader.drop()
        self._has_sent()
        if self._exchange is None:
            self._send_refusal(refused)
        else:
            self._refusal = refused

    def _has_sent(self) -> None:
        """No body is on its way here."""
        if self._sending is not None:
            self._sending.release()
            self._sending = None

    # --- running and answering

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """The head of an answer. ValueError when a header holds a line break."""
        close = b"\r\n" if keep_alive and not self._shared.closing else b"connection: close\r\n\r\n"
        start = self._shared.starts.get(status) or self._shared.start_of(status)
        return start + field_lines(headers) + close

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Hand `data` to the socket; while that is full there is something to wait for.

        ClientGone when there is no client.
        """
        if self._transport is None or self._transport.is_closing():
            raise ClientGone
        if len(data) > _WRITE_BYTES:
            return self._write_slowly(data)
        self._transport.write(data)
        return self._writable

    def shut(self) -> None:
        """End the connection now if nothing runs on it, else after the running exchange."""
        self._ignores_input = True
        if self._exchange is None:
            self._close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """Drop the connection, and cancel what runs for it even if it goes on without its client."""
        self.abort()
        if self._exchange is not None:
            self._exchange.on_leave = None
        if self._lingers and self._task is not None:
            self._lingers = False
            self._task.cancel()

    @property
    def most_body_bytes(self) -> int:
        """Largest body that is accepted, in bytes."""
        return self._limits.body_bytes

    @property
    def owing(self) -> bool:
        """True while part of an answer is still to be made or sent."""
        unsent = self._transport is not None and self._transport.get_write_buffer_size() > 0
        return unsent or self._exchange is not None

    @property
    def idle(self) -> bool:
        """True when this connection may be dropped for a new one.

        It runs no handler, and receives no body of an authenticated client.
        """
        return self._exchange is None and (self._owner is None or not self._reader.receiving)

    async def _write_slowly(self, data: bytes) -> None:
        """Write `data` as its client reads it; dropped if it does not, and so many do that already."""
        held: Held | None = None
        try:
            for start in range(0, len(data), _WRITE_BYTES):
                full = self.write(data[start : start + _WRITE_BYTES])
                if full is None:
                    await asyncio.sleep(0)  # others have their turn, however fast it is read
                    continue
                if held is None:
                    held = self.hold()
                    if not held.more(len(data)):
                        self.abort()
                        raise ClientGone
                await full
        finally:
            if held is not None:
                held.release()

    def _run(self, exchange: Exchange) -> None:
        """Have the task answer `exchange`: the one there is, or a first one."""
        self.deadline = _NEVER
        self._exchange = exchange
        self._shared.running.add(self)
        if self._turn is not None:
            self._turn.set_result(None)
            self._turn = None
        elif self._task is None:
            self._task = self._loop.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        """The life of this connection's task: answer, then wait for the next request."""
        handler = self._shared.handler
        try:
            while True:
                while self._exchange is not None:
                    try:
                        await handler(self._exchange)
                    except ClientGone:
                        self.abort()
                    except Exception as error:  # noqa: BLE001 whatever it is, this client has to be told
                        self._shared.report(error)
                    self._answered()
                    if self._exchange is not None:  # sent ahead, perhaps by the thousand
                        await asyncio.sleep(0)  # others have their turn
                if self._transport is None:
                    return  # it was cancelled and went on to its end
                self._turn = turn = self._loop.create_future()
                await turn
        except BaseException:
            self._task = self._turn = None
            if self._exchange is not None:
                self._answered()  # not by us if its client is still there
            raise

    def _answered(self) -> None:
        """The handler is done: see to it that its client has an answer, then go on to the next."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.held is not None:
            exchange.held.release()
        self._shared.running.discard(self)
        if self._shared.closing or self._transport is None:
            self._shared.something_ended()
        if self._transport is None or self._transport.is_closing() or exchange is None:
            return
        if not exchange.started:
            message = "the server failed to answer; the failure has been reported"
            self._send_refusal(self._refusal_of(500, message))
        elif not exchange.finished:
            self.abort()  # a half-sent answer must not look like a whole one
        elif not exchange.keep_alive or self._shared.closing:
            self._close()
        elif self._waiting:
            self._run(self._waiting.popleft())
        elif self._refusal is not None:
            self._send_refusal(self._refusal)
        else:
            limits = self._limits
            receiving = self._reader.receiving
            limit_s = limits.request_timeout_s if receiving else limits.keep_alive_s
            self.deadline = self._loop.time() + limit_s
            if self._owes_continue:
                self._pay_continue()
            if self._backlog:
                data = bytes(self._backlog)
                self._forget_backlog()
                self._transport.resume_reading()
                self._parse(data)

    def _pay_continue(self) -> None:
        """Tell a client that asked first to send its body; not amid the answer to another request."""
        if self._owes_continue and self._reader.receiving and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._owes_continue = False

    def _refusal_of(self, status: int, message: str) -> Refused:
        """Write a refusal by the server itself."""
        return self._shared.refusal(status, message, self._reader.head)

    def _send_refusal(self, refused: Refused) -> None:
        if self._transport is None:
            return
        self._ignores_input = True
        status, content_type, body, headers = refused
        length = b"%d" % len(body)
        fields = ((b"content-length", length), (b"content-type", content_type), *headers)
        self._transport.write(self.head(status, fields, keep_alive=False) + body)
        self.deadline = self._loop.time() + _LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        """Close once everything is sent, or has been refused by the client for too long."""
        if self._transport is not None:
            self._transport.close()
            self.deadline = self._loop.time() + self._limits.write_timeout_s
