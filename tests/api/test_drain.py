"""Answers that are read on without their clients: how many, how long, how many bytes."""

from __future__ import annotations

import asyncio

from inferworks.api.drain import DrainLimits, Drains


def test_as_many_at_once_as_the_limit_says() -> None:
    """A drain beyond the limit is refused until another ends; one whose answer is over never is."""

    async def main() -> None:
        drains = Drains(DrainLimits(at_once=2))
        first, second = drains.begin(list), drains.begin(list)
        assert first is not None
        assert second is not None
        assert drains.begin(list) is None
        over = drains.begin(list, is_over=True)
        assert over is not None
        assert len(drains) == 3
        first.end()
        assert drains.begin(list) is None  # two still run
        second.end()
        assert drains.begin(list) is not None

    asyncio.run(main())


def test_a_limit_of_none_reads_on_for_nobody() -> None:
    """A limit of 0 leaves only answers that are over already."""

    async def main() -> None:
        drains = Drains(DrainLimits(at_once=0))
        assert drains.begin(list) is None
        assert drains.begin(list, is_over=True) is not None

    asyncio.run(main())


def test_an_end_is_one_end() -> None:
    """A second end takes no other's place away."""

    async def main() -> None:
        drains = Drains()
        drain, other = drains.begin(list), drains.begin(list)
        assert drain is not None
        assert other is not None
        drain.end()
        drain.end()
        assert len(drains) == 1

    asyncio.run(main())


def test_bytes_are_counted_together() -> None:
    """Just the limit is taken, and a byte beyond it is not, however they come."""

    async def main() -> None:
        drain = Drains(DrainLimits(n_bytes=10)).begin(list)
        assert drain is not None
        assert drain.takes(4)
        assert drain.takes(6)
        assert drain.takes(0)
        assert not drain.takes(1)
        drain.end()

    asyncio.run(main())


def test_time_is_up_once() -> None:
    """The task of an answer that takes too long is cut; one that ended in time is not."""

    async def main() -> None:
        cut: list[str] = []
        drains = Drains(DrainLimits(seconds=0.0))
        late, ended = drains.begin(lambda: cut.append("a")), drains.begin(lambda: cut.append("b"))
        assert late is not None
        assert ended is not None
        ended.end()
        for _ in range(3):  # a timer of no time fires in the next turns of the loop
            await asyncio.sleep(0)
        assert cut == ["a"]
        late.end()
        assert len(drains) == 0

    asyncio.run(main())
