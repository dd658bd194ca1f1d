"""One replica as a process: the embedded engine behind its HTTP API.

    python -m inferworks.hardware.engines.embedded.serve --port 0 --replica r1 --node n1 \\
        --model inferworks-tiny --spool r1.spool

It prints one line, `{"event":"ready","port":N,"pid":N}`, when it accepts calls. It ends

- when its standard input ends, at once: the process that started it is dead, and nobody reads the answers;
- on SIGTERM or SIGINT, after the running calls, for which it waits at most `--drain-s` seconds;
- with status 1 when the engine's thread fails.

With `--token stdin` callers must present the first line of its standard input as their token.

It writes its states and steps to the spool (`inferworks.hardware.spool`). "Starting" begins when this
file is read, some hundredths of a second after the process began: Python does not say when that was.
"""

from __future__ import annotations

from inferworks.clock import SystemClock

_CLOCK = SystemClock()
_STARTED_NS = _CLOCK.now_ns()

import argparse  # noqa: E402 - the clock starts before the imports, which take most of a start
import asyncio  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import msgspec  # noqa: E402
import uvloop  # noqa: E402

from inferworks.hardware.engines.embedded.engine import EmbeddedEngine  # noqa: E402
from inferworks.hardware.engines.embedded.model import Model  # noqa: E402
from inferworks.hardware.engines.http_api import EngineApi  # noqa: E402
from inferworks.hardware.spool import ReplicaState, Spool  # noqa: E402
from inferworks.http.server import HttpServer, Limits  # noqa: E402
from inferworks.ids import ModelId, NodeId, ReplicaId  # noqa: E402
from inferworks.log import keep_log  # noqa: E402

_SWITCH_INTERVAL_S = 0.0002
_LONGEST_TOKEN = 1024
_SPARE_FILES = 64
_LEAST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of a replica."""

    host: str
    port: int
    replica: ReplicaId
    node: NodeId
    model: ModelId
    spool: Path
    begins_ns: int
    slots: int
    waiting: int
    threads: int
    drain_s: float
    token: str
    """Reference to the token that callers must present; empty: no token is needed."""


def parse(argv: Sequence[str]) -> Options:
    """Read the command line. SystemExit when it is wrong."""
    parser = argparse.ArgumentParser(prog="serve", description="Serve one embedded replica.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--replica", required=True, help="the replica's id")
    parser.add_argument("--node", required=True, help="the id of the node it runs on")
    parser.add_argument("--model", default="inferworks-tiny", help="the name it answers to")
    parser.add_argument("--spool", type=Path, required=True, help="the file it writes facts to")
    parser.add_argument(
        "--begins-ns", type=int, default=0, help="until when its time is accounted for"
    )
    parser.add_argument("--slots", type=int, default=32, help="sequences in a batch, at most")
    parser.add_argument("--waiting", type=int, default=1024, help="calls that may wait for a slot")
    parser.add_argument("--threads", type=int, default=1, help="threads of one step")
    parser.add_argument("--token", choices=("", "stdin"), default="",
                        help="stdin: answer only to who knows its first line")  # fmt: skip
    parser.add_argument("--drain-s", type=float, default=30.0, help="patience after SIGTERM")
    return Options(**vars(parser.parse_args(argv)))


class _Replica:
    """The running parts, and the two ways to ask them to end."""

    def __init__(self, options: Options, spool: Spool, token: str) -> None:
        self._options = options
        self._spool = spool
        self._token = token
        self._drain = asyncio.Event()
        self._orphaned = asyncio.Event()

    async def run(self) -> int:
        """Load, serve, drain; return the exit status."""
        options = self._options
        self._spool.enter(ReplicaState.LOADING)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain.set)
        threading.Thread(
            target=_wait_for_end_of_input, args=(loop, self._orphaned), name="parent", daemon=True
        ).start()
        model = Model(options.slots, threads=options.threads)
        model.warm()
        engine = EmbeddedEngine(
            model,
            options.model,
            _CLOCK,
            on_step=self._spool.step,
            on_idle=self._spool.beat,
            waiting_limit=options.waiting,
        )

        def healthy() -> bool:
            return not (engine.ended.is_set() or self._drain.is_set())

        face = EngineApi(engine, _CLOCK, healthy, self._token)
        server = HttpServer(face.handle, limits=_limits(), admit=face.admit)
        port = await server.start(options.host, options.port)
        self._spool.enter(ReplicaState.IDLE)
        ready = {"event": "ready", "port": port, "pid": os.getpid()}
        sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
        sys.stdout.buffer.flush()
        await _first_of(self._drain, self._orphaned, engine.ended)
        failed = engine.ended.is_set()
        await self._stop(server, engine)
        return 1 if failed else 0

    async def _stop(self, server: HttpServer, engine: EmbeddedEngine) -> None:
        self._spool.enter(ReplicaState.DRAINING)
        stopping = asyncio.ensure_future(server.stop(self._options.drain_s))
        orphaned = asyncio.ensure_future(self._orphaned.wait())
        await asyncio.wait({stopping, orphaned}, return_when=asyncio.FIRST_COMPLETED)
        orphaned.cancel()
        await engine.close()
        await stopping
        self._spool.enter(ReplicaState.DOWN)


def _limits() -> Limits:
    """No more connections than there may be files: with none left, nobody could be told to give way."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return Limits()
    return Limits(
        connections=min(Limits().connections, max(_LEAST_CONNECTIONS, files - _SPARE_FILES))
    )


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, orphaned: asyncio.Event) -> None:
    """Block until standard input ends; a pipe ends when the last process that holds it does."""
    try:
        while os.read(0, 4096):
            pass
    finally:  # what cannot be listened to is as good as dead: nobody would hear of its end
        loop.call_soon_threadsafe(orphaned.set)


def _line_of_input() -> str:
    """The first line of standard input, and not a byte more of it. SystemExit when it has none."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte or len(line) == _LONGEST_TOKEN:
            raise SystemExit("the first line of standard input must be the token")
        line += byte
    return line.strip().decode("ascii")


async def _serve(options: Options) -> int:
    token = _line_of_input() if options.token else ""
    spool = Spool(
        options.spool, _CLOCK, options.replica, options.node, options.model,
        begins_ns=options.begins_ns,
    )  # fmt: skip
    spool.start(_STARTED_NS)
    try:
        return await _Replica(options, spool, token).run()
    finally:
        spool.close()


def main(argv: Sequence[str]) -> int:
    """Serve until told to end; return the exit status."""
    options = parse(argv)
    keep_log()  # nor does a replica wait for whoever should read its errors
    # The engine's thread and the event loop share the interpreter: with the default of 5 ms the one
    # that comes back from a step or a socket would wait many steps for the other.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
