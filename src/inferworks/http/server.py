"""An HTTP/1.1 server for handlers that must know exactly when their client leaves.

Problem. A gateway that meters has to know three things a general framework hides: that a record was
durable *before* the last byte went out, that the client is gone *now*, and that nothing is buffered in
between. Frameworks answer with background tasks, receive-channel polling and response generators whose
`finally` may never run; each of the peers' lost-usage bugs begins there.

Decision. One `asyncio.Protocol` per connection on uvloop (`connection`), parsing by httptools, and what
came before recognised instead of parsed again (`heads`). A request is read whole (bounded), then its
handler runs as one plain coroutine with an `Exchange` in hand (`exchange`). When the client leaves, that
coroutine is cancelled, unless it asked to go on without one. `send` waits when the socket is full, so
back-pressure reaches the upstream. The head of a stream travels with its first chunk in one segment.

Slow and hostile clients: who asks is looked at when the head has come (`admit`), so a stranger's body is
never taken; what all of them make the server hold is bounded together (`budget`); when there are too many
connections an idle one gives way (`room`). A request must be complete within `request_timeout_s` of its
first byte, a client that stops reading is dropped after `write_timeout_s`, sizes and the number of
connections are bounded, and a message with two lengths or two credentials is refused. One timer looks for
those that are late; a timer for each wait would cost more than the wait.

Rejected. uvicorn and starlette (2 and 10 times the CPU per request, the figures are in the
decision record); HTTP/2 (a proxy in front speaks it; SDKs speak 1.1).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass

from inferworks.http.budget import Budget
from inferworks.http.connection import Connection
from inferworks.http.exchange import (
    Admission,
    Admit,
    ClientGone,
    Exchange,
    Handler,
    Refused,
    RequestHead,
)
from inferworks.http.heads import Headers, field_lines
from inferworks.http.shared import Limits, Refusal, Shared, admit_all, plain_refusal
from inferworks.supervise import Supervisor

__all__ = [
    "Admission",
    "Admit",
    "ClientGone",
    "Connection",
    "Exchange",
    "Handler",
    "Headers",
    "HttpServer",
    "Limits",
    "Refusal",
    "Refused",
    "RequestHead",
    "Sweep",
    "bind",
    "field_lines",
    "plain_refusal",
]

_DEFAULT = Limits()
_UNACCEPTED = 1024  # connections that may wait to be accepted


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that holds `port` (0: a free one). OSError when it is taken.

    With `shared` others of this user may bind it with `shared`, too, and each gets a share of the clients.

    OverflowError when the number is no port. The socket listens already, since a port that is only
    bound can still be taken by another; who connects before `HttpServer.listen` accepts is kept waiting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        bound.listen(_UNACCEPTED)
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound


@dataclass(frozen=True, slots=True)
class Sweep:
    """Search for clients past their deadline, which are dropped: supervised work."""

    supervisor: Supervisor
    name: str = "connections"
    """Name of the work."""
    every_s: float = 1.0


class HttpServer:
    """A listening socket, its connections, and the second hand that drops the late ones."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits = _DEFAULT,
        admit: Admit = admit_all,
        refusal: Refusal = plain_refusal,
        on_error: Callable[[BaseException], None] | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        """`admit` is asked whether to take a body before it comes.

        `on_error` hears of every exception that a handler let escape.
        """
        self._shared: Shared[Connection] = Shared(
            handler,
            limits,
            refusal,
            self._report,
            self._something_ended,
            admit,
        )
        self._on_error = on_error
        self._sweep = sweep or Sweep(Supervisor())
        self._servers: list[asyncio.Server] = []
        self._ticking: asyncio.Task[None] | None = None
        self._end: asyncio.Future[None] | None = None

    @property
    def handler(self) -> Handler:
        """Handler that answers requests."""
        return self._shared.handler

    @property
    def budget(self) -> Budget:
        """Budget of the bytes that clients make the server hold."""
        return self._shared.budget

    @property
    def connections(self) -> Set[Connection]:
        """Every connection that is open."""
        return self._shared.connections

    @property
    def running(self) -> Set[Connection]:
        """Every connection that a handler runs for, those whose client has left too."""
        return self._shared.running

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port. OSError when it cannot be had."""
        return await self.listen(bind(host, port))

    async def listen(self, bound: socket.socket) -> int:
        """Listen on a socket that `bind` made. Returns its port."""
        await self.accept_from(bound)
        sweep = self._sweep
        self._ticking = sweep.supervisor.every(sweep.every_s, sweep.name, self._tick, needed=True)
        return int(bound.getsockname()[1])

    async def accept_from(self, bound: socket.socket) -> Callable[[], None]:
        """Take clients from one more socket that `bind` made; the result ends that, and closes it."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self._shared), sock=bound, backlog=_UNACCEPTED
        )
        self._servers.append(server)

        def end() -> None:
            if server in self._servers:  # else all was stopped before
                self._servers.remove(server)
                server.close()

        return end

    async def stop(self, drain_s: float) -> int:
        """Stop listening, let running exchanges finish for `drain_s`, drop the rest.

        Returns how many answers had to be cut. Waits for every handler, those whose client left too, to
        leave its `async with` blocks, however long that takes: that is where records are written. One
        that goes on without its client is cut like the others.
        """
        self._shared.closing = True
        while self._servers:
            self._servers.pop().close()
        for connection in list(self.connections):
            connection.shut()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._all_ended()
        late = [connection for connection in self.connections if connection.owing]
        for connection in self.connections | self.running:
            connection.cut()
        await self._all_ended()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
        return len(late)

    def _report(self, error: BaseException) -> None:
        """Pass on an exception that escaped a handler."""
        if self._on_error is not None:
            self._on_error(error)
        else:
            context = {"message": "a handler failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _something_ended(self) -> None:
        """A connection or a handler has ended; whoever waits for the last one looks again."""
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    async def _all_ended(self) -> None:
        """Wait until no connection is open and no handler runs."""
        while self.connections or self.running:
            self._end = asyncio.get_running_loop().create_future()
            await self._end

    def _tick(self) -> None:
        self._shared.stamp()
        now = asyncio.get_running_loop().time()
        for connection in [c for c in self.connections if c.deadline < now]:
            connection.abort()
