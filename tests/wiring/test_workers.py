"""The port of several workers, and a channel between processes."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest
import uvloop

from inferworks.api.context import Others
from inferworks.config import Config
from inferworks.http.server import bind
from inferworks.wiring.channel import Ask, Hello, Start, State, Told, to_gateway, to_worker
from inferworks.wiring.workers import listeners


def test_a_socket_for_each_worker_and_one_port() -> None:
    """Clients that connect are spread over the sockets, and none waits at a port of another."""
    sockets = listeners("127.0.0.1", 0, 4)
    clients: list[socket.socket] = []
    try:
        [port] = {bound.getsockname()[1] for bound in sockets}
        clients += [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(64)]
        taken = []
        for bound in sockets:
            bound.setblocking(False)
            taken.append(0)
            while True:
                try:
                    accepted, _ = bound.accept()
                except BlockingIOError:
                    break
                taken[-1] += 1
                clients.append(accepted)
        assert sum(taken) == 64
        assert min(taken) > 0, "the kernel gave one of four sockets none of 64 clients"
        with pytest.raises(OSError, match="in use"):
            listeners("127.0.0.1", port, 2)
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", port)
    finally:
        for one in (*sockets, *clients):
            one.close()


def test_messages_come_whole_and_in_order_until_the_other_side_is_gone() -> None:
    """A start carries the configuration and the state of all else; what is sent to the dead is lost."""
    start = Start(Config(), 2, 4, "secret", State(others=Others(running_calls=3, ill=("log",))))

    async def main() -> None:
        one, other = socket.socketpair()
        gateway, worker = await to_worker(one), await to_gateway(other)
        with closing(gateway), closing(worker):
            worker.send(Hello())
            gateway.send(start)
            gateway.send(Ask())
            assert await gateway.take() == Hello()
            assert [await worker.take(), await worker.take()] == [start, Ask()]
            told = Told({"inferworks_calls_running": [((), 1 << 40)]}, 1, ("journal",), (), 3)
            worker.send(told)
            assert await gateway.take() == told
            await worker.closed()
            assert await gateway.take() is None
            worker.send(Hello())
            await asyncio.sleep(0)

    uvloop.run(main())
