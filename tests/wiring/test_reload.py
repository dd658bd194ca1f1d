"""A changed file takes effect whole, while calls run; a broken one not at all."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from inferworks.config import Config, Gateway, load
from inferworks.http.client import HttpClient, Origin
from inferworks.meter.reader import JournalReader
from inferworks.testing.upstream import Answer, FakeUpstream, open_upstream
from inferworks.wiring import ConfigSource, Platform, open_platform, reload
from inferworks.wiring.reload import needs_restart

HEAD = """
[gateway]
port = 0
drain_s = 5

[engine]
replicas = 0
"""


def upstream_text(upstream: FakeUpstream, *models: str, name: str = "up", key: str = "") -> str:
    """An [[upstream]] table."""
    port = upstream.origin.port
    lines = [
        "[[upstream]]",
        f'name = "{name}"',
        f'url = "http://127.0.0.1:{port}/v1"',
        f"models = {msgspec.json.encode(models).decode()}",
        f'key = "{key}"',
    ]
    return "\n".join(lines) + "\n"


class House:
    """A running platform, its file, and one client."""

    def __init__(self, platform: Platform, path: Path, client: HttpClient) -> None:
        self.platform = platform
        self.path = path
        self._client = client
        self._origin = Origin.parse(platform.url)
        self._key = [(b"authorization", f"Bearer {platform.first_key}".encode())]

    def write(self, text: str) -> None:
        """Replace the file, as editors do."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(HEAD + text)
        fresh.replace(self.path)

    async def chat(self, model: str, *, stream: bool = False) -> tuple[int, bytes]:
        """The status and the whole body of an answer."""
        body = msgspec.json.encode(
            {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
        )
        headers = [*self._key, (b"content-type", b"application/json")]
        path = "/chat/completions"
        async with self._client.stream("POST", self._origin, path, headers, body) as response:
            return response.status, await response.read(10.0, 1 << 20)

    async def models(self) -> set[str]:
        """Names of the models served now."""
        async with self._client.stream("GET", self._origin, "/models", self._key) as response:
            listed = msgspec.json.decode(await response.read(10.0, 1 << 20))
            return {model["id"] for model in listed["data"]}

    async def until(self, true: Callable[[set[str]], bool]) -> set[str]:
        """Ask for a look at the file, and wait until what is served is so."""
        self.platform.reload()
        async with asyncio.timeout(10):
            while not true(served := await self.models()):
                await asyncio.sleep(0.005)
            return served


@asynccontextmanager
async def open_gateway_in(
    folder: Path, text: str, environment: dict[str, str] | None = None
) -> AsyncIterator[House]:
    """A platform without replicas of its own, over the file that has `text`."""
    path = folder / "inferworks.toml"
    path.write_text(HEAD + text)

    def read() -> Config:
        config = load(path, {})
        return msgspec.structs.replace(
            config, data=msgspec.structs.replace(config.data, folder=str(folder / "data"))
        )

    with closing(HttpClient()) as client:
        async with open_platform(read(), environment or {}, ConfigSource(path, read)) as platform:
            yield House(platform, path, client)


async def _reload_under_load(folder: Path, times: int) -> tuple[int, int, int]:
    """Calls answered, upstream calls in all, and connections left at upstreams that are gone."""
    stopping = asyncio.Event()
    answered = 0
    slow = Answer(words=("a", "b", "c"), event_s=0.002)
    async with (
        open_upstream(slow) as one,
        open_upstream(slow) as two,
        open_gateway_in(folder, upstream_text(one, "m")) as gateway,
    ):

        async def keep_asking(number: int) -> None:
            nonlocal answered
            while not stopping.is_set():
                status, body = await gateway.chat("m", stream=bool(number % 2))
                assert status == 200, body
                assert not number % 2 or body.endswith(b"data: [DONE]\n\n"), body
                answered += 1

        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(keep_asking(number))
            for turn in range(times):
                there = (one, two)[turn % 2]
                gateway.write(upstream_text(there, "m", f"turn-{turn}", name=f"up-{turn % 3}"))
                served = await gateway.until(lambda names, mark=f"turn-{turn}": mark in names)
                assert served == {"m", f"turn-{turn}"}, "one plan, whole"
            stopping.set()
        last, other = (one, two) if times % 2 else (two, one)
        async with asyncio.timeout(5):
            while other.server.connections:
                await asyncio.sleep(0.005)
        assert last.received
        return answered, len(one.received) + len(two.received), len(other.server.connections)


@pytest.mark.slow
def test_fifty_reloads_under_load(tmp_path: Path) -> None:
    """No call fails, each is recorded once, and connections to what is gone are closed."""
    answered, asked, left = asyncio.run(_reload_under_load(tmp_path, 50))
    assert answered == asked > 100
    assert left == 0
    with JournalReader(tmp_path / "data" / "journal.db") as reader:
        usages = list(reader.usages(0, 2**63 - 1))
    assert len(usages) == answered
    assert {usage.outcome for usage in usages} == {"answered"}


@pytest.mark.slow
def test_what_did_not_change_keeps_its_connections(tmp_path: Path) -> None:
    """An upstream that is the same before and after goes on over the connection it has."""

    async def run() -> int:
        async with open_upstream(Answer()) as upstream:
            text = upstream_text(upstream, "m")
            async with open_gateway_in(tmp_path, text) as gateway:
                await gateway.chat("m")
                gateway.write(upstream_text(upstream, "m", "another"))
                await gateway.until(lambda names: "another" in names)
                assert (await gateway.chat("another"))[0] == 200
                return upstream.connections

    assert asyncio.run(run()) == 1


def test_a_running_call_ends_on_what_it_began_with(tmp_path: Path) -> None:
    """A stream that runs while its upstream is taken out is answered to its end."""

    async def run() -> bytes:
        slow = Answer(words=("a",) * 20, event_s=0.01)
        async with open_upstream(slow) as old, open_upstream(Answer()) as new:
            text = upstream_text(old, "m")
            async with open_gateway_in(tmp_path, text) as gateway:
                running = asyncio.create_task(gateway.chat("m", stream=True))
                async with asyncio.timeout(5):
                    while not old.received:
                        await asyncio.sleep(0.005)
                gateway.write(upstream_text(new, "other"))
                await gateway.until(lambda names: names == {"other"})
                assert (await gateway.chat("m"))[0] == 404
                status, body = await running
                assert status == 200
                return body

    body = asyncio.run(run())
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b'"content":"a"') == 20


@pytest.mark.slow
def test_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Service goes on whatever is wrong with the file, and one line of the log says why."""
    broken = {
        "[[upstream": "not valid TOML",
        '[[upstream]]\nname = "x"\nmodels = ["m"]': "upstream x: set url",
        '[[upstream]]\nname = "x"\nmodels = ["m"]\nkey = "sk-literal"': "env:VARIABLE",
        '[[model]]\nname = "nobody"': "model nobody: no upstream serves it",
    }

    async def run() -> None:
        async with open_upstream(Answer()) as upstream:
            good = upstream_text(upstream, "m")
            async with open_gateway_in(tmp_path, good) as gateway:
                for text, words in broken.items():
                    caplog.clear()
                    gateway.write(good + text)
                    gateway.platform.reload()
                    async with asyncio.timeout(5):
                        while not caplog.records:
                            await asyncio.sleep(0.005)
                    (record,) = caplog.records
                    assert "the old one stays in force" in record.getMessage()
                    assert words in record.getMessage()
                    assert "\n" not in record.getMessage()
                    assert "sk-literal" not in record.getMessage()
                    assert (await gateway.chat("m"))[0] == 200
                gateway.path.unlink()
                for words in ("no such file", "is empty"):
                    caplog.clear()
                    gateway.platform.reload()
                    async with asyncio.timeout(5):
                        while not caplog.records:
                            await asyncio.sleep(0.005)
                    assert words in caplog.text
                    assert (await gateway.chat("m"))[0] == 200
                    gateway.path.touch()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())


@pytest.mark.slow
def test_a_rotated_key_file_is_taken_up(tmp_path: Path) -> None:
    """A secret file that changes is read again by itself, the configuration being the same."""
    key = tmp_path / "key"
    key.write_text("first")

    async def run() -> list[bytes]:
        async with open_upstream(Answer()) as upstream:
            text = upstream_text(upstream, "m", key=f"file:{key}")
            async with open_gateway_in(tmp_path, text) as gateway:
                await gateway.chat("m")
                key.write_text("second one")
                async with asyncio.timeout(10):
                    while upstream.received[-1].headers[b"authorization"] != b"Bearer second one":
                        await gateway.chat("m")
                        await asyncio.sleep(0.05)
                return [upstream.received[0].headers[b"authorization"]]

    assert asyncio.run(run()) == [b"Bearer first"]


def test_what_hangs_in_a_reload_is_told_and_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key store that never answers holds up neither a corrected file nor a stop, and is seen."""
    release = threading.Event()
    store = SimpleNamespace(get_password=lambda service, name: release.wait() and None)
    monkeypatch.setitem(sys.modules, "keyring", store)
    monkeypatch.setattr(reload, "_READ_S", 0.02)

    async def run() -> None:
        async with (
            open_upstream(Answer()) as upstream,
            open_gateway_in(tmp_path, upstream_text(upstream, "m")) as gateway,
        ):
            work = gateway.platform.supervisor.works["configuration"]
            gateway.write(upstream_text(upstream, "n", key="keyring:a/b"))
            gateway.platform.reload()
            async with asyncio.timeout(10):
                while "does not answer" not in caplog.text:
                    await asyncio.sleep(0.005)
            assert await gateway.models() == {"m"}
            assert work.unwell_ns > 0
            gateway.write(upstream_text(upstream, "o"))
            assert await gateway.until({"o"}.__eq__) == {"o"}
            gateway.write(upstream_text(upstream, "p", key="keyring:a/b"))
            gateway.platform.reload()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    release.set()


def test_records_name_who_is_paid(tmp_path: Path) -> None:
    """An account of a known provider is recorded by the name of price lists, at an offer of its own."""

    async def run() -> None:
        async with open_upstream(Answer()) as upstream:
            text = upstream_text(upstream, "m", name="ours").replace(
                "[[upstream]]", '[[upstream]]\nprovider = "gemini"'
            )
            keys = {"GEMINI_API_KEY": "k"}
            async with open_gateway_in(tmp_path, text, keys) as gateway:
                assert (await gateway.chat("m"))[0] == 200

    asyncio.run(run())
    with JournalReader(tmp_path / "data" / "journal.db") as reader:
        (usage,) = reader.usages(0, 2**63 - 1)
    (leg,) = usage.legs
    assert (leg.provider, leg.offer, leg.chip) == ("google", "ours/m", "tpu")


def test_what_needs_a_restart_is_named() -> None:
    """Settings of a start are named when they change; upstreams and models are not among them."""
    before = Config()
    after = msgspec.structs.replace(
        before,
        gateway=Gateway(port=9000),
        data=msgspec.structs.replace(before.data, folder="elsewhere"),
    )
    assert needs_restart(before, before) == []
    assert needs_restart(before, after) == ["gateway.port", "data.folder"]
