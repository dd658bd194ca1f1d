"""The gateway is killed under 500 streams and started again: every call has one record, none two.

The real thing: `inferworks up` in its own process before an upstream of this one, real sockets, SIGKILL.
What the clients saw and what the upstream was asked are compared with what the journal holds afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
import uvloop
from tests.support.leaks import until
from tests.support.streams import EVENT_S, Client, Upstream

from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

STREAMS = 500
SHORT, LONG = 3, 1000
DRAINS = 40
CHECKPOINT_S = 0.5
SURELY_S = CHECKPOINT_S + 1.5
"""A checkpoint, and how late a busy machine may be with it."""

SETTINGS = """
[engine]
replicas = 0
[gateway]
max_calls = 1000
[meter]
checkpoint_s = {checkpoint_s}
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:{port}/v1"
models = ["m"]
on_leave = "drain"
[leave]
drains = {drains}
"""


def made_clients() -> list[Client]:
    """Of every five clients, one has a short answer and one leaves."""
    return [Client(SHORT if n % 5 == 0 else LONG, n % 5 == 1) for n in range(STREAMS)]


def test_sigkill_under_500_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered calls are on record as answered, and each of the others is closed once by recovery."""
    monkeypatch.chdir(tmp_path)
    clients = made_clients()

    async def storm(platform: RealPlatform) -> tuple[Counter[str], float]:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            write_settings(port)
            key = platform.key()
            origin = platform.start()
            tasks = [asyncio.ensure_future(client.run(origin, key)) for client in clients]
            await until(lambda: all(len(client.times) >= 2 for client in clients))
            await asyncio.sleep(SURELY_S + SHORT * EVENT_S)  # so that each has been checkpointed
            assert sum(client.whole for client in clients) == STREAMS // 5
            platform.kill()
            killed = time.monotonic()
            await asyncio.gather(*tasks)
        finally:
            await upstream.server.stop(drain_s=0.0)
        return upstream.asked, killed

    with real_platform(tmp_path / "data") as platform:
        asked, killed = uvloop.run(storm(platform))
        platform.start()
        assert platform.stop() == 0
        usages = read_usages(platform)
    check_each_call_once(usages, asked, clients)
    check_what_was_lost(usages, clients, killed - SURELY_S)


def write_settings(port: int) -> None:
    """The configuration of a gateway before an upstream at `port`, in the working directory."""
    settings = SETTINGS.format(port=port, checkpoint_s=CHECKPOINT_S, drains=DRAINS)
    Path("inferworks.toml").write_text(settings, encoding="utf-8")


def read_usages(platform: RealPlatform) -> list[Usage]:
    """Every record, once the platform has stopped without a complaint."""
    assert "Traceback" not in platform.log(), platform.log()
    with JournalReader(platform.folder.journal) as reader:
        assert list(reader.opened_unclosed()) == []
        return list(reader.facts(0, 2**63 - 1).usages)


def check_each_call_once(usages: list[Usage], asked: Counter[str], clients: list[Client]) -> None:
    """Calls, records and questions to the upstream are the same, one of each."""
    by_id = {str(usage.call_id): usage for usage in usages}
    assert len(by_id) == len(usages) == STREAMS
    assert set(asked) == set(by_id)
    assert set(asked.values()) == {1}
    assert {client.call_id for client in clients} == set(by_id)
    for client in clients:
        usage = by_id[client.call_id]
        if client.whole:
            assert (usage.outcome, usage.tokens) == (Outcome.ANSWERED, Tokens(7, SHORT))
        elif not client.leaves:
            assert usage.outcome is Outcome.CRASHED
    left = Counter(by_id[client.call_id].outcome for client in clients if client.leaves)
    assert left == {Outcome.CRASHED: DRAINS, Outcome.CANCELLED: STREAMS // 5 - DRAINS}


def check_what_was_lost(usages: list[Usage], clients: list[Client], before: float) -> None:
    """Of a stream that was cut, at most a checkpoint's worth of tokens is not on record."""
    by_id = {str(usage.call_id): usage for usage in usages}
    for client in clients:
        surely = sum(seen < before for seen in client.times)
        assert by_id[client.call_id].tokens.output >= surely
