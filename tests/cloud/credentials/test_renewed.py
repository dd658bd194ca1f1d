"""A value that ends is fetched once for everybody, renewed before its end, and kept while it is good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.clock import SimClock
from inferworks.cloud.credentials.renewed import Lease, Renewed
from inferworks.cloud.credentials.token import TokenCredential
from inferworks.errors import UpstreamError

Run = Callable[[Coroutine[Any, Any, None]], None]
SECOND_NS = 1_000_000_000


class Source:
    """Source of values: numbered, good for `lasts_s`, or an error."""

    def __init__(self, clock: SimClock, lasts_s: float = 3600.0) -> None:
        self.clock = clock
        self.lasts_s = lasts_s
        self.fetched = 0
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def fetch(self) -> Lease[str]:
        """The next value, once the gate is open."""
        assert self.open.wait(10.0), "nobody opened the gate"
        self.fetched += 1
        if self.error is not None:
            raise self.error
        return Lease(f"token-{self.fetched}", self.clock.now_ns() + round(self.lasts_s * SECOND_NS))


class World:
    """A value, its source and the clock of both."""

    def __init__(self, lasts_s: float = 3600.0) -> None:
        self.clock = SimClock()
        self.source = Source(self.clock, lasts_s)
        self.renewed = Renewed(self.source.fetch, what="a token", clock=self.clock)

    async def settled(self) -> None:
        """Wait until no fetch runs."""
        while self.renewed._fetching is not None:
            await asyncio.wait({self.renewed._fetching})


@pytest.mark.parametrize("by_s", [-40 * 86_400, 40 * 86_400])
def test_a_clock_that_is_set_has_it_renewed(run: Run, by_s: int) -> None:
    """A step of the clock has the value renewed; a failure before the step does not delay that."""

    async def main() -> None:
        on = World()
        assert await on.renewed.get() == "token-1"
        on.source.error = OSError("away")
        on.clock.set(on.clock.now_ns() + by_s * SECOND_NS)
        for _ in range(2):
            if by_s < 0:
                assert await on.renewed.get() == "token-1"
            else:
                with pytest.raises(UpstreamError, match="away"):
                    await on.renewed.get()
            await on.settled()
        assert on.source.fetched == 2
        on.source.error = None
        on.clock.set(on.clock.now_ns() - 7 * SECOND_NS)
        await on.renewed.get()
        await on.settled()
        assert await on.renewed.get() == "token-3"

    run(main())


def test_a_good_value_is_kept(run: Run) -> None:
    """While it is fresh there is one fetch, however often it is asked for."""

    async def main() -> None:
        on = World()
        for _ in range(100):
            assert await on.renewed.get() == "token-1"
        await on.clock.advance(3299.0)
        assert await on.renewed.get() == "token-1"
        assert on.source.fetched == 1

    run(main())


def test_one_fetch_for_many_who_wait(run: Run) -> None:
    """A thousand calls that begin without a value wait for the same fetch."""

    async def main() -> None:
        on = World()
        on.source.open.clear()
        waiting = [asyncio.create_task(on.renewed.get()) for _ in range(1000)]
        await asyncio.sleep(0)
        on.source.open.set()
        assert set(await asyncio.gather(*waiting)) == {"token-1"}
        assert on.source.fetched == 1

    run(main())


def test_it_is_renewed_before_its_end(run: Run) -> None:
    """Five minutes before the end it is fetched again; nobody waits for it meanwhile."""

    async def main() -> None:
        on = World()
        await on.renewed.get()
        await on.clock.advance(3301.0)
        on.source.open.clear()
        assert [await on.renewed.get() for _ in range(9)] == ["token-1"] * 9
        on.source.open.set()
        await on.settled()
        assert await on.renewed.get() == "token-2"
        assert on.source.fetched == 2

    run(main())


def test_a_short_life_is_renewed_at_its_half(run: Run) -> None:
    """A value of two minutes is used for one, and not renewed all the time."""

    async def main() -> None:
        on = World(lasts_s=120.0)
        await on.renewed.get()
        await on.clock.advance(59.0)
        await on.renewed.get()
        await on.settled()
        assert on.source.fetched == 1
        await on.clock.advance(2.0)
        await on.renewed.get()
        await on.settled()
        assert on.source.fetched == 2

    run(main())


def test_a_source_that_fails_is_told_of_at_once(run: Run) -> None:
    """Without a value each call fails as one that was not sent; the source is left alone for a second."""

    async def main() -> None:
        on = World()
        on.source.error = OSError("no route to the token service\nand a second line")
        for _ in range(20):
            with pytest.raises(UpstreamError) as caught:
                await on.renewed.get()
            assert str(caught.value) == (
                "a token cannot be had: OSError: no route to the token service"
            )
            assert not caught.value.sent
        assert on.source.fetched == 1
        on.source.error = None
        await on.clock.advance(1.1)
        assert await on.renewed.get() == "token-2"

    run(main())


def test_a_good_value_outlives_its_source(run: Run) -> None:
    """While the source is away a value serves to its end, and not beyond."""

    async def main() -> None:
        on = World()
        await on.renewed.get()
        on.source.error = OSError("away")
        await on.clock.advance(3400.0)
        assert await on.renewed.get() == "token-1"
        await on.settled()
        await on.clock.advance(199.0)
        assert await on.renewed.get() == "token-1"
        await on.settled()
        await on.clock.advance(2.0)
        with pytest.raises(UpstreamError, match="away"):
            await on.renewed.get()
        on.source.error = None
        await on.clock.advance(2.0)
        assert (await on.renewed.get()).startswith("token-")

    run(main())


def test_who_leaves_does_not_stop_the_fetch(run: Run) -> None:
    """A call that is cancelled while it waits takes the value from nobody else."""

    async def main() -> None:
        on = World()
        on.source.open.clear()
        leaving, staying = (asyncio.create_task(on.renewed.get()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        on.source.open.set()
        assert await staying == "token-1"
        assert leaving.cancelled()
        assert on.source.fetched == 1

    run(main())


def test_a_source_that_hangs_holds_nobody(run: Run) -> None:
    """A caller that waits too long fails as one not sent; the value that comes late serves the next."""

    async def main() -> None:
        on = World()
        on.renewed._wait_s = 0.01
        on.source.open.clear()
        with pytest.raises(UpstreamError, match=r"has not answered in 0\.01 s") as caught:
            await on.renewed.get()
        assert not caught.value.sent
        on.source.open.set()
        await on.settled()
        assert await on.renewed.get() == "token-1"
        assert on.source.fetched == 1

    run(main())


def test_nothing_shows_the_value(run: Run) -> None:
    """Neither the value's holder nor a credential made of it shows it."""

    async def main() -> None:
        on = World()
        credential = TokenCredential(on.renewed)
        headers = await credential.headers("POST", "https://x/", [(b"a", b"b")], b"")
        assert headers == [(b"a", b"b"), (b"authorization", b"Bearer token-1")]
        for value in (on.renewed, on.renewed._lease, credential):
            assert "token-1" not in repr(value)

    run(main())
