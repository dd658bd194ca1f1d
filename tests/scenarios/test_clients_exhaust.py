"""A gateway in its own process runs out of something, refuses what does not fit, and goes on.

Descriptors and memory are limited as a shell limits them; clients take more than there is, then leave.
Nothing else may have happened: calls are served or refused in so many words, each answer is on record, and
when the cause is gone all is as before.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from inferworks.http.client import Origin
from inferworks.http.server import Exchange, HttpServer, Limits
from inferworks.meter.reader import JournalReader
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

MB = 1 << 20
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
SETTINGS = """
[engine]
replicas = 0
[[upstream]]
name = "up"
url = "http://127.0.0.1:{port}/v1"
models = ["m"]
"""


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """The port of an upstream that answers every chat."""

    async def answer(exchange: Exchange) -> None:
        await exchange.respond(200, msgspec.json.encode(ANSWER))

    server = HttpServer(answer, limits=Limits(body_bytes=64 * MB))
    port = await server.start("127.0.0.1", 0)
    yield port
    await server.stop(0.0)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlatform]:
    """A platform that reads its settings from the working directory."""
    monkeypatch.chdir(tmp_path)
    with real_platform(tmp_path / "data") as platform:
        yield platform


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process have 4,000 files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4000:
        pytest.skip("this process may not have 4,000 files open: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def started(platform: RealPlatform, upstream_port: int, ulimit: str) -> tuple[str, Origin]:
    """A key, and where `platform` listens."""
    Path("inferworks.toml").write_text(SETTINGS.format(port=upstream_port))
    return platform.key(), platform.start(ulimit=ulimit)


def request(key: str, body: bytes, length: int | None = None) -> bytes:
    """The bytes of a chat request."""
    fields = f"host: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n"
    length = len(body) if length is None else length
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}content-length: {length}\r\n\r\n"
    return head.encode() + body


async def told(origin: Origin, data: bytes) -> int:
    """The status of the answer to `data`; 0 when the connection is closed without one."""
    try:
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
    except OSError:
        return 0
    try:
        writer.write(data)
        async with asyncio.timeout(20.0):
            head = await reader.read(65536)
        return int(head.split(b" ")[1]) if head else 0
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()


async def served_again(origin: Origin, key: str) -> None:
    """Wait until a call is served."""
    deadline = time.monotonic() + 10.0
    while (status := await told(origin, request(key, msgspec.json.encode(CHAT)))) != 200:
        assert time.monotonic() < deadline, f"still refused: {status}"
        await asyncio.sleep(0.05)


def recorded(platform: RealPlatform) -> Counter[int]:
    """Number of calls on record, by status."""
    with JournalReader(platform.folder.journal) as journal:
        return Counter(usage.status for usage in journal.usages(0, 1 << 62))


def test_too_few_descriptors_to_start(platform: RealPlatform) -> None:
    """A start with room for few clients only is refused in one line that says what to do."""
    Path("inferworks.toml").write_text(SETTINGS.format(port=1))
    with pytest.raises(AssertionError, match="did not start"):
        platform.start(ulimit="-n 48")
    assert platform.wait() != 0
    assert "may have 48 files open and needs" in platform.log()
    assert "Traceback" not in platform.log()


@pytest.mark.parametrize("files", [96, 256, 1024])
def test_more_connections_than_descriptors(
    platform: RealPlatform, many_files: None, files: int
) -> None:
    """Neither strangers nor uploads beyond all descriptors end the service, and it needs no restart."""

    async def main() -> None:
        async with upstream() as port:
            key, origin = await asyncio.to_thread(started, platform, port, f"-n {files}")
            call = request(key, msgspec.json.encode(CHAT))
            statuses = Counter([await told(origin, call)])
            half = request(key, msgspec.json.encode(CHAT)[:-1], length=100)
            for opened in (b"", b"GET / HT", half):
                crowd = []
                for _ in range(files + 100):
                    _, writer = await asyncio.open_connection(origin.host, origin.port)
                    writer.write(opened)
                    crowd.append(writer)
                during = Counter([await told(origin, call) for _ in range(10)])
                assert set(during) <= ({200} if opened != half else {200, 503, 0})
                statuses += during
                for writer in crowd:
                    writer.transport.abort()
                await served_again(origin, key)
                statuses[200] += 1
            together = await asyncio.gather(*(told(origin, call) for _ in range(200)))
            statuses += Counter(together)
            await served_again(origin, key)
            statuses[200] += 1
            assert await asyncio.to_thread(platform.stop) == 0
            assert recorded(platform)[200] == statuses[200] >= 25
            assert "limits fit" in platform.log()
            assert "Traceback" not in platform.log()

    asyncio.run(main())


def test_more_bodies_than_memory(platform: RealPlatform) -> None:
    """Large bodies at once are served or refused one by one, and the process lives on."""

    async def main() -> None:
        async with upstream() as port:
            key, origin = await asyncio.to_thread(started, platform, port, "-v 1200000")
            content = "x" * (30 * MB)
            large = msgspec.json.encode(
                {"model": "m", "messages": [{"role": "user", "content": content}]}
            )
            data = request(key, large)
            statuses = Counter(await asyncio.gather(*(told(origin, data) for _ in range(30))))
            assert set(statuses) <= {200, 429, 500, 503, 0}
            assert statuses[503], "not all of them fit"
            await served_again(origin, key)
            assert await asyncio.to_thread(platform.stop) == 0

    asyncio.run(main())
