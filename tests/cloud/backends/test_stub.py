"""Replicas that are only names: they start, hang and end as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.cloud.backends.stub import StubBackend, StubReplica
from inferworks.errors import UpstreamError
from inferworks.ids import ModelId, NodeId, ReplicaId

SPOOL = Path("nowhere")


def spec(number: int) -> ReplicaSpec:
    """The specification of a replica."""
    return ReplicaSpec(ReplicaId(f"replica-{number}"), NodeId("node"), ModelId("m"), slots=1)


async def crash(replica: StubReplica) -> None:
    """End it from outside."""
    replica.crash("out of memory")


ENDS: dict[str, Callable[[StubReplica], Awaitable[None]]] = {
    "out of memory": crash,
    "killed": lambda replica: replica.kill(),
    "stopped": lambda replica: replica.stop(30.0),
}


def test_starts_are_remembered_and_the_first_may_fail(tmp_path: Path) -> None:
    """A failed start is an attempt that was not sent; the next one is as good as any."""

    async def main() -> None:
        backend = StubBackend("http://127.0.0.1:7/v1", failures=2)
        for number in (0, 1):
            with pytest.raises(UpstreamError, match=f"replica-{number} would not start") as failed:
                await backend.start(spec(number), tmp_path, 1.0)
            assert not failed.value.sent
        replica = await backend.start(spec(2), tmp_path, 1.0)
        assert replica.url == "http://127.0.0.1:7/v1"
        assert backend.started == [spec(0), spec(1), spec(2)]
        assert backend.replicas == [replica]

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == [], "it traces nothing"


@pytest.mark.parametrize("why", ENDS)
def test_an_end_is_told_to_all_who_wait(why: str) -> None:
    """Waiters of before and those that come later hear the same."""

    async def main() -> None:
        replica = await StubBackend().start(spec(0), SPOOL, 1.0)
        waiting = asyncio.create_task(replica.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        await ENDS[why](replica)
        assert (await waiting, await replica.wait()) == (why, why)

    asyncio.run(main())


def test_a_replica_that_hangs_answers_no_more() -> None:
    """Nothing else changes: it can still be killed."""

    async def main() -> None:
        replica = await StubBackend().start(spec(0), SPOOL, 1.0)
        await replica.answer()
        replica.hang()
        asking = asyncio.create_task(replica.answer())
        await asyncio.sleep(0)
        assert not asking.done()
        asking.cancel()
        await replica.kill()
        assert await replica.wait() == "killed"

    asyncio.run(main())
