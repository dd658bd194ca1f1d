"""A whole platform: what ends in it is seen, and a stop is announced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from inferworks import __version__
from inferworks.config import Config, Data, Engine, Gateway, Log
from inferworks.http.client import Origin
from inferworks.meter.journal import Journal
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Checkpoint, Tokens
from inferworks.testing.facts import A_TIME_NS, make_leg, make_opened
from inferworks.wiring import open_platform


def config(folder: Path, **gateway: Any) -> Config:
    """A platform that serves nothing, on a free port."""
    return Config(
        gateway=Gateway(port=0, **gateway),
        data=Data(folder=str(folder)),
        engine=Engine(replicas=0),
    )


async def get(url: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status and body of what is at `path`."""
    origin = Origin.parse(url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), msgspec.json.decode(body)


async def until(true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.02)


@pytest.mark.slow
def test_a_writer_that_ends_is_vital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call can be served any more: all three paths say so, and whoever runs the platform is told."""

    async def main() -> None:
        async with open_platform(config(tmp_path / "data"), {}) as platform:
            assert await get(platform.url, "/livez") == (
                200,
                {"status": "ok", "version": __version__},
            )
            ended = asyncio.Event()
            platform.supervisor.on_end = lambda _: ended.set()
            monkeypatch.setattr(Journal, "alive", property(lambda _: False))
            async with asyncio.timeout(10):
                await ended.wait()
            for path in ("/livez", "/readyz", "/health"):
                status, body = await get(platform.url, path)
                assert (status, body["status"], body["parts"]) == (503, "failing", ["journal"])

    uvloop.run(main())


@pytest.mark.slow
def test_a_stop_is_announced(tmp_path: Path) -> None:
    """The platform says for `drain_wait_s` that it is not ready any more, and answers all the same."""
    stop = asyncio.Event()
    urls: asyncio.Queue[str] = asyncio.Queue()

    async def run() -> None:
        async with open_platform(config(tmp_path / "data", drain_wait_s=0.5), {}) as platform:
            await urls.put(platform.url)
            await stop.wait()

    async def main() -> None:
        running = asyncio.ensure_future(run())
        url = await urls.get()
        assert (await get(url, "/readyz"))[0] == 200
        stop.set()

        async def stopping() -> bool:
            status, body = await get(url, "/readyz")
            return (status, body["status"]) == (503, "stopping")

        await until(stopping)
        assert (await get(url, "/livez"))[0] == 200
        assert (await get(url, "/health"))[0] == 200
        assert (await get(url, "/v1/models"))[0] == 401
        await running
        with pytest.raises(OSError, match="Connect"):
            await get(url, "/readyz")

    uvloop.run(main())


def test_calls_that_a_crash_left_open_are_seen(tmp_path: Path) -> None:
    """The start that closes them writes their lines into the access log, and counts them."""
    opened = make_opened()
    leg = make_leg(tokens=Tokens(input=9, output=5))
    log = tmp_path / "access.log"

    async def left_open(path: Path) -> None:
        journal = Journal(SqliteStore(path))
        journal.start()
        await journal.commit_all([opened, Checkpoint(opened.call_id, A_TIME_NS + 9, leg, 1234)])
        journal.close()

    async def main() -> None:
        (tmp_path / "data").mkdir()
        await left_open(tmp_path / "data" / "journal.db")
        logged = msgspec.structs.replace(
            config(tmp_path / "data"), log=Log(access="json", file=str(log))
        )
        async with open_platform(logged, {}):
            pass
        async with open_platform(logged, {}):
            pass  # and once only

    uvloop.run(main())
    [line] = map(msgspec.json.decode, log.read_bytes().splitlines())
    told = {"call", "outcome", "error", "status", "input_tokens", "output_tokens", "response_bytes"}
    assert {name: line[name] for name in told} == {
        "call": "call_1",
        "outcome": "crashed",
        "error": "crashed",
        "status": 200,
        "input_tokens": 9,
        "output_tokens": 5,
        "response_bytes": 1234,
    }


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Return true if a task runs our code, and is not one that asyncio made to wait for something."""
    return "inferworks" in task.get_coro().cr_code.co_filename  # type: ignore[union-attr]


@pytest.mark.slow
def test_everything_beside_the_calls_is_supervised(tmp_path: Path) -> None:
    """Each piece of work that a platform runs has a name, and is gone when the platform is."""

    async def main() -> None:
        before = asyncio.all_tasks()
        async with open_platform(config(tmp_path / "data"), {}) as platform:
            works = platform.supervisor.works
            assert {"journal", "keys", "prices", "sealing", "step-traces", "connections"} <= set(
                works
            )
            begun = {task for task in asyncio.all_tasks() - before if _is_ours(task)}
            assert {task.get_name() for task in begun} <= set(works), (
                "and nobody supervises the others"
            )
        assert "keys" not in works
        assert asyncio.all_tasks() == before

    uvloop.run(main())
