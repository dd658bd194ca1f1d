"""A worker of a gateway: a process that serves calls for the one that holds the data folder.

It is no command: the holder starts it as `python -m inferworks.cli.worker CHANNEL SOCKET...`, with the
descriptors that it inherits: its channel, and the listening socket of each worker (`wiring.workers`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import uvloop

from inferworks.cli.last_resort import GRACE_S, LastResort
from inferworks.cli.process import is_full, settle, tune
from inferworks.errors import UserError
from inferworks.log import LogHandler, keep_log
from inferworks.outlet import replace_standard_output
from inferworks.supervise import Supervisor, Work, ending
from inferworks.wiring.channel import Channel, Failed, Hello, Ready, Start, ToWorker, to_gateway
from inferworks.wiring.holder import Holder
from inferworks.wiring.platform import open_worker
from inferworks.wiring.serving import Serving

_PR_SET_PDEATHSIG: Final = 1
_TELL_S: Final = 10.0
"""Seconds between log lines about the repeats in past minutes."""


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the holder hears them, and tells us
    _die_with_the_holder()
    log = keep_log()
    replace_standard_output()
    tune()
    channel, *sockets = (socket.socket(fileno=int(number)) for number in arguments)
    return uvloop.run(_run(channel, sockets, log))


def _die_with_the_holder() -> None:
    """Have the kernel kill this process when the holder dies; elsewhere the end of the channel does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _run(ours: socket.socket, sockets: Sequence[socket.socket], log: LogHandler) -> int:
    channel = await to_gateway(ours)
    channel.send(Hello())
    start = await channel.take()
    if not isinstance(start, Start):  # the holder stops, or is dead
        return 0
    gateway = start.config.gateway
    resort = LastResort(gateway.drain_wait_s + gateway.drain_s + GRACE_S)
    supervisor = Supervisor()
    holder = Holder(channel, supervisor, start.number, start.workers)
    holder.take(start.state)
    try:
        async with open_worker(start, sockets, os.environ, holder) as serving:
            channel.send(Ready())
            settle()
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            supervisor.on_end = lambda _: loop.call_soon_threadsafe(stopping.set)
            obey = partial(_obey, channel, holder, serving, sockets, stopping)
            obeys = supervisor.task("holder", obey, vital=True)
            async with ending(supervisor.every(_TELL_S, "log", log.tell)):
                if not supervisor.ended():
                    await stopping.wait()
                resort.told()
    except Exception as error:
        channel.send(Failed(" ".join(str(error).split()), is_full(error)))
        await channel.closed()
        if isinstance(error, UserError) or is_full(error):
            return 1
        raise
    obeys.cancel()  # not before the running calls are over
    await asyncio.wait({obeys})
    await channel.closed()
    resort.over()
    return 1 if supervisor.ended() else 0


async def _obey(
    channel: Channel[ToWorker],
    holder: Holder,
    serving: Serving,
    sockets: Sequence[socket.socket],
    stopping: asyncio.Event,
    _: Work,
) -> None:
    """Do as the holder says; end at once when it is dead, for a next one closes the calls."""
    while (message := await channel.take()) is not None:
        if not await holder.obey(message, serving, sockets):
            stopping.set()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
