"""A stop comes to its end, whatever upstreams and clients do, and what it cuts off is on record."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome
from inferworks.testing.platform import RealPlatform, real_platform
from inferworks.testing.upstream import Answer, Fault, open_upstream

pytestmark = pytest.mark.slow

STREAMS = 20
DRAIN_S = 0.5
BODY = msgspec.json.encode(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
)


async def _cut_off(client: HttpClient, origin: Origin, key: str, begun: asyncio.Semaphore) -> bool:
    """Read a stream until it is cut off; False when it came to an end of its own."""
    headers = [(b"authorization", b"Bearer " + key.encode())]
    async with client.stream("POST", origin, "/chat/completions", headers, BODY) as response:
        assert response.status == 200
        assert await response.next_piece(10.0)
        begun.release()
        try:
            while piece := await response.next_piece(30.0):
                assert b"[DONE]" not in piece
        except UpstreamError:
            return True
    return False


async def _stop_under_streams(platform: RealPlatform, origin: Origin, key: str) -> float:
    """Send SIGTERM while streams run that never end; how many seconds the end took."""
    begun = asyncio.Semaphore(0)
    with closing(HttpClient()) as client:
        streams = [
            asyncio.ensure_future(_cut_off(client, origin, key, begun)) for _ in range(STREAMS)
        ]
        for _ in streams:
            await begun.acquire()
        sent_s = time.monotonic()
        platform.send(signal.SIGTERM)
        assert await asyncio.to_thread(platform.wait) == 0
        took_s = time.monotonic() - sent_s
        assert all(await asyncio.gather(*streams)), "a client that is cut off sees it"
    return took_s


def test_a_stop_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that hang have `drain_s`; then they are cut off, each is recorded once, and it has ended."""
    monkeypatch.chdir(tmp_path)

    async def run() -> tuple[RealPlatform, float]:
        hanging = Answer(words=("a", "b", "c"), fault=Fault.HANG, fault_after=2)
        async with open_upstream(hanging) as upstream:
            (tmp_path / "inferworks.toml").write_text(
                f"[gateway]\ndrain_s = {DRAIN_S}\n[engine]\nreplicas = 0\n"
                f'[[upstream]]\nname = "u"\nurl = "{upstream.origin.url}"\nmodels = ["m"]\n'
            )
            with real_platform(tmp_path / "data") as platform:
                key = platform.key()
                origin = await asyncio.to_thread(platform.start)
                return platform, await _stop_under_streams(platform, origin, key)

    platform, took_s = asyncio.run(run())
    assert DRAIN_S <= took_s < DRAIN_S + 10.0
    assert f"dropped {STREAMS} calls that did not finish in time" in platform.log()
    assert "Traceback" not in platform.log()
    with JournalReader(platform.folder.journal) as reader:
        usages = list(reader.usages(0, 2**63 - 1))
        assert len(usages) == STREAMS
        assert all(usage.outcome is not Outcome.ANSWERED for usage in usages)
        assert all(usage.tokens.output > 0 for usage in usages), "what was seen is counted"
