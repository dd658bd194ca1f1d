"""A gateway runs out of room on its disk and of descriptors, and has them back: it refuses, then resumes.

The real thing: `inferworks up` in its own process, whose limits are lowered and raised as it runs. A file
that may not grow further fails a write as a full disk does. What the clients and the upstream saw is then
compared with the journal: nobody had an answer that is not on record, no work that was done is missing.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import uvloop

from inferworks.http.client import HttpClient, Origin
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome, Usage
from inferworks.testing.platform import RealPlatform, real_platform
from inferworks.testing.upstream import FakeUpstream, open_upstream

pytestmark = pytest.mark.slow

SETTINGS = """
[engine]
replicas = 0
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:{port}/v1"
models = ["m"]
"""

_BODY = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "Go on."}]})


class Clients:
    """Clients of a gateway: they ask, and keep what they were told."""

    def __init__(self, origin: Origin, key: str) -> None:
        self.http = HttpClient()
        self.answered: list[str] = []
        """The calls of those that had an answer."""
        self.statuses = Counter[int]()
        self._origin = origin
        self._headers = [
            (b"authorization", f"Bearer {key}".encode()),
            (b"content-type", b"application/json"),
        ]

    async def ask(self) -> int:
        """Ask once; the status."""
        path = "/chat/completions"
        async with self.http.stream(
            "POST", self._origin, path, body=_BODY, headers=self._headers
        ) as answer:
            body = await answer.read(10.0, 1 << 20)
            headers = dict(answer.headers)
            if answer.status == 200:
                self.answered.append(headers[b"x-inferworks-call-id"].decode())
            else:
                error = msgspec.json.decode(body)["error"]
                assert (answer.status, error["code"]) == (503, "journal"), body
                assert int(headers[b"retry-after"]) >= 1
        self.statuses[answer.status] += 1
        return answer.status

    async def until(self, status: int, *, at_once: int = 1) -> None:
        """Ask, so many at a time, until one of them has `status`."""
        async with asyncio.timeout(20):
            while status not in await asyncio.gather(*(self.ask() for _ in range(at_once))):
                await asyncio.sleep(0.05)


Act = Callable[[RealPlatform, Clients, FakeUpstream], Awaitable[None]]


def run(tmp_path: Path, act: Act) -> tuple[list[Usage], Clients, FakeUpstream, str]:
    """Have `act` happen to a gateway; what is on record, what was seen, and what was logged."""

    async def main(platform: RealPlatform) -> tuple[Clients, FakeUpstream]:
        async with open_upstream() as upstream:
            write_settings(upstream.origin.port)
            key = platform.key()
            clients = Clients(platform.start(), key)
            with closing(clients.http):
                await clients.until(200)
                await act(platform, clients, upstream)
                await clients.until(200)
        return clients, upstream

    with real_platform(tmp_path / "data") as platform:
        clients, upstream = uvloop.run(main(platform))
        assert platform.stop() == 0
        log = platform.log()
        assert "Traceback" not in log, log
        with JournalReader(platform.folder.journal) as reader:
            assert list(reader.opened_unclosed()) == []
            usages = list(reader.usages(0, 2**63 - 1))
        with closing(sqlite3.connect(platform.folder.journal)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check_each_call_once(usages, clients, upstream)
        return usages, clients, upstream, log


def write_settings(port: int) -> None:
    """The configuration of a gateway before an upstream at `port`, in the working directory."""
    Path("inferworks.toml").write_text(SETTINGS.format(port=port), encoding="utf-8")


def check_each_call_once(usages: list[Usage], clients: Clients, upstream: FakeUpstream) -> None:
    """Check that answered calls are on record as answered, and that all calls upstream are on record."""
    by_id = {str(usage.call_id): usage for usage in usages}
    assert len(by_id) == len(usages)
    answered = [call for call, usage in by_id.items() if usage.outcome is Outcome.ANSWERED]
    assert sorted(answered) == sorted(clients.answered)
    calls = [request for request in upstream.received if request.path.endswith("completions")]
    asked = [request.headers[b"x-inferworks-call-id"].decode() for request in calls]
    assert sorted(asked) == sorted(by_id)
    for usage in usages:
        if usage.outcome is not Outcome.ANSWERED:
            assert (usage.outcome, usage.status, usage.error_code) == (
                Outcome.FAILED,
                503,
                "journal",
            )
            assert usage.tokens.output == 0
            assert usage.legs[0].tokens.output > 0, "what it used is known"


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the folder where the gateway finds its configuration."""
    monkeypatch.chdir(tmp_path)


def test_no_room_for_anything(tmp_path: Path) -> None:
    """No call is begun while nothing can be written, and calls are served again without a restart."""

    async def act(platform: RealPlatform, clients: Clients, upstream: FakeUpstream) -> None:
        for _ in range(2):
            with platform.limited(resource.RLIMIT_FSIZE, 1):
                await clients.until(503)
                before = len(upstream.received)
                await asyncio.gather(*(clients.ask() for _ in range(50)))
                assert len(upstream.received) == before
            await clients.until(200)

    _, clients, _, log = run(tmp_path, act)
    assert clients.statuses[503] >= 102
    assert log.count("cannot be written now") <= 4, "not once for each call"
    assert log.count("can be written again") == 2


def test_no_room_for_the_end_of_a_call(tmp_path: Path) -> None:
    """A call worked on that could not be answered is on record afterwards, once, and charged to nobody."""

    async def act(platform: RealPlatform, clients: Clients, _: FakeUpstream) -> None:
        log = platform.folder.journal.with_name("journal.db-wal")
        with platform.limited(resource.RLIMIT_FSIZE, log.stat().st_size + 20_000):
            await clients.until(503, at_once=20)

    usages, clients, _, _ = run(tmp_path, act)
    failed = [usage for usage in usages if usage.outcome is Outcome.FAILED]
    assert 1 <= len(failed) <= clients.statuses[503]


def test_no_descriptors(tmp_path: Path) -> None:
    """Connected clients are served with no descriptor to be had; later ones are, once there are some."""

    async def act(platform: RealPlatform, clients: Clients, _: FakeUpstream) -> None:
        with platform.limited(resource.RLIMIT_NOFILE, 3):
            for _ in range(20):
                assert await clients.ask() == 200
        await asyncio.gather(*(clients.ask() for _ in range(20)))

    run(tmp_path, act)
