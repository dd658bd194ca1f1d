"""A storm before and behind a real gateway: what it leaves are records, and no open file.

`inferworks up` in its own process, clients that leave anywhere, and an upstream on a bare socket that
resets, hangs, half-closes, talks nonsense and refuses by chance. A seed gives the same storm again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.support.leaks import until

from inferworks.http.client import Origin
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Confidence, Outcome, Usage
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

CALLS, AT_ONCE = 900, 100
POLICIES = ("cancel", "drain", "estimate")
SETTINGS = """
[engine]
replicas = 0
[breaker]
failures_in_row = 1000000
least_calls = 1000000
"""
UPSTREAM = """
[[upstream]]
name = "{policy}"
provider = "vllm"
url = "http://127.0.0.1:{port}/v1"
models = ["{policy}-model"]
on_leave = "{policy}"
first_byte_s = 0.5
between_bytes_s = 0.5
"""
RESET = struct.pack("ii", 1, 0)


class Wild:
    """An upstream that does with each request what chance says."""

    def __init__(self, seed: int) -> None:
        self.asked: list[str] = []
        self.lines = 0
        self._chance = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.lines += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, RuntimeError):
            pass  # the gateway has left; uvloop has a RuntimeError for that
        finally:
            writer.transport.abort()
            self.lines -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        if head.startswith("get"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n" + b'{"data":[]}')
            return True
        self.asked.append(fields["x-inferworks-call-id"])
        pieces = list(stream() if b'"stream":true' in body else whole())
        breaks_at = self._chance.choice([len(pieces), self._chance.randrange(len(pieces))])
        for number, piece in enumerate(pieces):
            if number == breaks_at:
                return await self._break(reader, writer)
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self._chance.random() * 0.01)
        return True

    async def _break(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match self._chance.choice(["reset", "half-close", "hang", "nonsense", "close"]):
            case "reset":
                if line := writer.get_extra_info("socket"):  # None once the gateway has left
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            case "half-close":
                writer.write_eof()
                await reader.read()
            case "hang":
                await reader.read()
            case "nonsense":
                writer.write(self._chance.randbytes(200))
                await writer.drain()
        return False


def event(body: object) -> bytes:
    """An event in a chunk."""
    data = b"data: " + msgspec.json.encode(body) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def usage(output: int) -> dict[str, int]:
    """A `usage` object."""
    return {"prompt_tokens": 7, "completion_tokens": output, "total_tokens": 7 + output}


def stream() -> list[bytes]:
    """The pieces of a stream of eight tokens."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    choice = {"index": 0, "delta": {"content": "word "}}
    words = [event({"choices": [choice], "usage": usage(n)}) for n in range(1, 9)]
    last = event({"choices": [], "usage": usage(8)})
    return [head, *words, last, b"e\r\ndata: [DONE]\n\n\r\n", b"0\r\n\r\n"]


def whole() -> list[bytes]:
    """The pieces of a whole answer of eight tokens."""
    message = {"role": "assistant", "content": "word " * 8}
    body = msgspec.json.encode({"choices": [{"index": 0, "message": message}], "usage": usage(8)})
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return [head % len(body), body[:50], body[50:]]


@dataclass(frozen=True)
class Seen:
    """Bytes that one client received."""

    data: bytes
    stream: bool

    @property
    def well(self) -> bool:
        """True if the answer is whole and good."""
        if self.stream:
            return self.data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        return self.data.startswith(b"HTTP/1.1 200") and self.data.endswith(b"}")

    @property
    def call_id(self) -> str:
        """The call's id in the answer's head."""
        return self.data.split(b"x-inferworks-call-id: ")[1].split(b"\r\n")[0].decode()


async def call(origin: Origin, key: str, chance: random.Random) -> Seen:
    """Make a call, and perhaps leave it somewhere."""
    is_stream = chance.random() < 0.7
    leave_after = chance.randrange(1500) if chance.random() < 0.5 else 1 << 30
    body = msgspec.json.encode(
        {
            "model": f"{chance.choice(POLICIES)}-model",
            "messages": [{"role": "user", "content": "Go on."}],
            "stream": is_stream,
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    seen = b""
    try:
        writer.write(head.encode() + body)
        if leave_after < 100:
            await asyncio.sleep(chance.random() * 0.02)
            return Seen(b"", is_stream)
        while len(seen) < leave_after and (piece := await reader.read(leave_after - len(seen))):
            seen += piece
    except ConnectionError:
        pass  # it was cut, which is told apart below
    finally:
        writer.transport.abort()
    return Seen(seen, is_stream)


def sockets_of(platform: RealPlatform) -> int:
    """Number of sockets the gateway has open."""
    instance = platform.folder.instance()
    assert instance is not None, "it runs"
    links = Path(f"/proc/{instance.pid}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links if link.is_symlink())


@pytest.mark.parametrize("seed", [1])
def test_a_storm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Calls, records and open sockets add up once it is over."""
    monkeypatch.chdir(tmp_path)
    upstream = Wild(seed)

    async def storm(platform: RealPlatform) -> list[Seen]:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=1024)
        write_settings(server.sockets[0].getsockname()[1])
        key = platform.key()
        origin = platform.start()
        before = sockets_of(platform)
        chance, turns = random.Random(seed), asyncio.Semaphore(AT_ONCE)

        async def one() -> Seen:
            async with turns:
                return await call(origin, key, chance)

        seen = await asyncio.gather(*[one() for _ in range(CALLS)])
        server.close()
        await until(lambda: sockets_of(platform) - before <= upstream.lines)  # those that are kept
        assert platform.stop() == 0
        await until(lambda: upstream.lines == 0)
        await server.wait_closed()
        return seen

    with real_platform(tmp_path / "data") as platform:
        seen = uvloop.run(storm(platform))
        usages = read_usages(platform)
    check(usages, seen, upstream.asked)


def write_settings(port: int) -> None:
    """The configuration, in the working directory."""
    tables = [UPSTREAM.format(policy=policy, port=port) for policy in POLICIES]
    Path("inferworks.toml").write_text(SETTINGS + "".join(tables), encoding="utf-8")


def read_usages(platform: RealPlatform) -> list[Usage]:
    """Every record, once the platform has stopped without a complaint."""
    assert "Traceback" not in platform.log(), platform.log()
    with JournalReader(platform.folder.journal) as reader:
        assert list(reader.opened_unclosed()) == []
        return list(reader.facts(0, 2**63 - 1).usages)


def check(usages: list[Usage], seen: list[Seen], asked: list[str]) -> None:
    """Each call once, each answer as it was recorded, each policy as it is meant."""
    by_id = {str(record.call_id): record for record in usages}
    assert len(by_id) == len(usages) <= CALLS
    assert set(asked) <= set(by_id), "the upstream was asked for a call without a record"
    for call_id, times in Counter(asked).items():
        assert times <= len(by_id[call_id].legs) <= 2, "twice over a kept connection it closed"
    for answer in seen:
        if answer.well:
            record = by_id[answer.call_id]
            assert (record.outcome, record.tokens.output) == (Outcome.ANSWERED, 8)
    outcomes = Counter(record.outcome for record in usages)
    assert outcomes[Outcome.ANSWERED] >= sum(answer.well for answer in seen) > CALLS // 10
    assert outcomes[Outcome.CANCELLED] > CALLS // 20
    assert outcomes[Outcome.FAILED] > CALLS // 10
    assert set(outcomes) == {Outcome.ANSWERED, Outcome.CANCELLED, Outcome.FAILED}
    for record in usages:
        check_policy(record)


def check_policy(record: Usage) -> None:
    """A leg of a cancelled call says what its offer's policy is, unless its upstream failed first.

    Who leaves while the last event is on its way leaves an answer that is over, and that one is read to
    its end whatever the policy is.
    """
    policy = record.model.removesuffix("-model")
    if record.outcome is not Outcome.CANCELLED:
        assert all(leg.ended_by == "" for leg in record.legs)
        return
    for leg in record.legs:
        if leg.outcome is not Outcome.CANCELLED:
            assert leg.ended_by == ""
            if leg is record.legs[-1]:
                assert policy == "drain", "only what is drained can fail once its client has left"
        elif leg.ended_by == "drain":
            assert (leg.tokens.output, leg.confidence) == (8, Confidence.REPORTED)
        else:
            assert leg.ended_by == policy
            assert policy == "cancel" or leg.confidence is Confidence.ESTIMATED
