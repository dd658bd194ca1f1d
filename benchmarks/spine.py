"""Length of the path of one call: Python calls, functions and files from the socket to the journal.

    python benchmarks/spine.py [--functions] [--json] [--time]

A gateway of `inferworks.testing` (authentication, limits, metrics and metering on, the journal's store in
memory) serves chat calls over kept connections, whole ones and streams. The first calls warm it; then every
entry into a Python function of `inferworks` in the event loop's thread is counted, and the shortest of some
calls is shown. A coroutine that goes on after it waited enters again. The journal's writer has a thread of
its own and is not counted, client and upstream have a process. A stream is in lock step: its upstream sends
an event when the client has the one before. So the figures depend on the program and not on the machine.

`--functions` lists every function with its entries, in the order of the first. `--time` measures the
CPU time of the event loop's thread per call too, the least of some rounds. That does depend on the machine:
compare two versions in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import msgspec
import uvloop

import inferworks
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_provider
from inferworks.http.client import HttpClient, Origin
from inferworks.testing.in_process_gateway import CHAT, open_gateway_over
from inferworks.testing.providers import A_MODEL

WARM_CALLS: Final = 20
COUNTED_CALLS: Final = 10
ROUNDS: Final = 20
CALLS_PER_ROUND: Final = 50
EVENTS: Final = 10
"""Events of a stream that have text."""

_PACKAGE: Final = str(Path(inferworks.__file__).parent) + "/"
_NOT_COUNTED: Final = _PACKAGE + "testing/"
_USAGE: Final = '"usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19}'
_WHOLE: Final = (
    '{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    f'{{"role":"assistant","content":"{"word " * 80}"}},"finish_reason":"stop"}}],{_USAGE}}}'
).encode()
_WHOLE_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_WHOLE)
)
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_CHUNK: Final = '{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":'
_EVENT: Final = f'data: {_CHUNK}[{{"index":0,"delta":{{"content":"word "}}}}]}}\n\n'.encode()
_USAGE_EVENT: Final = f"data: {_CHUNK}[],{_USAGE}}}\n\n".encode()
_DONE: Final = b"data: [DONE]\n\n"


class Walk(msgspec.Struct, frozen=True):
    """One walk along the path of a call."""

    entered: tuple[CodeType, ...]
    """Function of each entry, in their order."""

    def figures(self) -> dict[str, int]:
        """Return the figures of the walk by name."""
        files = [code.co_filename for code in self.entered]
        return {
            "calls": len(self.entered),
            "functions": len(set(self.entered)),
            "files": len(set(files)),
            "changes of file": sum(before != after for before, after in pairwise(files)),
        }


class Peer:
    """Client and upstream of a gateway, in a process of their own.

    The client makes one call after the other on one connection, as it is told over a pipe.
    """

    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self._pipe, theirs = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            self._pipe.close()
            try:
                _be_peer(theirs, listening)
            finally:
                os._exit(0)
        theirs.close()
        listening.close()

    def tell(self, order: Order) -> None:
        """Have the client carry out `order`, and wait until it has."""
        self._pipe.sendall(msgspec.json.encode(order))
        assert self._pipe.recv(1) == b".", "the client has failed"

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        os.waitpid(self._pid, 0)


class Order(msgspec.Struct, frozen=True):
    """Calls for a client to make."""

    port: int
    secret: str
    stream: bool
    calls: int


def _be_peer(pipe: socket.socket, listening: socket.socket) -> None:
    """Answer as an upstream, and make the calls that are ordered, until the pipe is closed."""
    has_event = threading.Semaphore(0)
    threading.Thread(target=_accept, args=(listening, has_event), daemon=True).start()
    connection = None
    while data := pipe.recv(4096):
        order = msgspec.json.decode(data, type=Order)
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", order.port))
        for _ in range(order.calls):
            _call(connection, order, has_event)
        pipe.sendall(b".")


def _call(connection: socket.socket, order: Order, has_event: threading.Semaphore) -> None:
    """Make a call and read its answer; `has_event` is released for each event that has come."""
    messages = [{"role": "user", "content": "hello " * 20}]
    request = {"model": A_MODEL, "messages": messages, "stream": order.stream}
    body = msgspec.json.encode(request)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n"
        f"authorization: Bearer {order.secret}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    data, seen, end = b"", 0, b"0\r\n\r\n" if order.stream else _WHOLE[-40:]
    while not data.endswith(end):
        piece = connection.recv(65536)
        assert piece, f"the gateway closed the connection after {data!r}"
        data += piece
        for _ in range(seen, data.count(b'"word "')):
            has_event.release()
            seen += 1
    assert data.startswith(b"HTTP/1.1 200 OK"), data


def _accept(listening: socket.socket, has_event: threading.Semaphore) -> None:
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer_all, args=(connection, has_event), daemon=True).start()


def _answer_all(connection: socket.socket, has_event: threading.Semaphore) -> None:
    """Answer the requests of one connection; each of them comes in one segment or two."""
    with connection:
        while data := connection.recv(65536):
            while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                data += connection.recv(65536)
            if b'"stream":true' not in data:
                connection.sendall(_WHOLE_HEAD + _WHOLE)
                continue
            connection.sendall(_STREAM_HEAD)
            for _ in range(EVENTS):
                connection.sendall(_framed(_EVENT))
                has_event.acquire()
            connection.sendall(_framed(_USAGE_EVENT) + _framed(_DONE) + b"0\r\n\r\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def walks(peer: Peer, *, with_time: bool) -> dict[str, tuple[Walk, float]]:
    """Return the walk of a whole call and of a streamed one, each with its CPU time in microseconds.

    The time is 0 unless asked for.
    """
    found = {}
    with closing(HttpClient()) as client:
        provider = openai_provider(client, NoCredential(), name="openai")
        origin = Origin("127.0.0.1", peer.port, tls=False, base_path="/v1")
        async with open_gateway_over(provider, origin=origin) as gateway:
            for name, stream in (("whole", False), ("streamed", True)):
                order = Order(gateway.port, gateway.secret, stream, 1)
                await asyncio.to_thread(peer.tell, msgspec.structs.replace(order, calls=WARM_CALLS))
                counted = [await _walk(peer, order) for _ in range(COUNTED_CALLS)]
                shortest = min(counted, key=lambda walk: len(walk.entered))
                found[name] = shortest, await _cpu_us(peer, order) if with_time else 0.0
    return found


async def _walk(peer: Peer, order: Order) -> Walk:
    """Make one call, and note each function of the package that this thread enters meanwhile."""
    entered: list[CodeType] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(_PACKAGE) and not name.startswith(_NOT_COUNTED):
            entered.append(frame.f_code)

    sys.setprofile(note)
    try:
        await asyncio.to_thread(peer.tell, order)
        await asyncio.sleep(0.05)  # what the gateway does when its client has the answer
    finally:
        sys.setprofile(None)
    return Walk(tuple(entered))


async def _cpu_us(peer: Peer, order: Order) -> float:
    """Return the CPU time of this thread per call, in microseconds: the least of some rounds.

    With the kernel's part: kernels tell that from the program's by the clock's ticks, longer than a round.
    """
    many = msgspec.structs.replace(order, calls=CALLS_PER_ROUND)
    rounds_s = []
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        await asyncio.to_thread(peer.tell, many)
        rounds_s.append(time.thread_time() - began_s)
    return min(rounds_s) / CALLS_PER_ROUND * 1e6


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--functions", action="store_true", help="list the functions too")
    parser.add_argument("--time", action="store_true", help="measure the CPU time too")
    arguments = parser.parse_args()
    with closing(Peer()) as peer:
        found = uvloop.run(walks(peer, with_time=arguments.time))
    if arguments.json:
        figures = {name: {**walk.figures(), "cpu_us": us} for name, (walk, us) in found.items()}
        print(json.dumps(figures))
        return
    for name, (walk, cpu_us) in found.items():
        parts = [f"{n} {figure}" for figure, n in walk.figures().items()]
        print(f"{name}:", ", ".join([*parts, f"{cpu_us:.1f} us"] if arguments.time else parts))
        if arguments.functions:
            for code in dict.fromkeys(walk.entered):
                file = code.co_filename.removeprefix(_PACKAGE)
                print(
                    f"  {walk.entered.count(code):4} {file}:{code.co_firstlineno} {code.co_qualname}"
                )


if __name__ == "__main__":
    main()
