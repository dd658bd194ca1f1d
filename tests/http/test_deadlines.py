"""Many deadlines and one timer."""

from __future__ import annotations

import asyncio

from inferworks.http.deadlines import NEVER, Deadlines


class Waiter:
    """Notes in `late_ones` that it was late."""

    def __init__(self, late_ones: list[Waiter]) -> None:
        self.deadline = NEVER
        self._late_ones = late_ones

    def late(self) -> None:
        """Note it, and wait no more."""
        self.deadline = NEVER
        self._late_ones.append(self)


def test_the_late_are_told_in_turn() -> None:
    """Each is told after its own deadline, whatever the order in which they were set."""

    async def main() -> None:
        late_ones: list[Waiter] = []
        deadlines, now = Deadlines(), asyncio.get_running_loop().time()
        waiters = [Waiter(late_ones) for _ in range(5)]
        for number in (3, 0, 4, 1, 2):
            deadlines.members.add(waiters[number])
            waiters[number].deadline = now + 0.01 * (number + 1)
            deadlines.expect(waiters[number].deadline)
        async with asyncio.timeout(5.0):
            while len(late_ones) < 5:
                await asyncio.sleep(0.001)
        assert late_ones == waiters
        assert deadlines._timer is None

    asyncio.run(main())


def test_who_is_no_longer_waiting_is_not_late() -> None:
    """A deadline that was met or put off tells nobody; the timer goes on with what is left."""

    async def main() -> None:
        late_ones: list[Waiter] = []
        deadlines, now = Deadlines(), asyncio.get_running_loop().time()
        met, put_off, kept = (Waiter(late_ones) for _ in range(3))
        deadlines.members.update((met, put_off, kept))
        for waiter in (met, put_off, kept):
            waiter.deadline = now + 0.01
            deadlines.expect(waiter.deadline)
        met.deadline, put_off.deadline = NEVER, now + 60.0
        async with asyncio.timeout(5.0):
            while not late_ones:
                await asyncio.sleep(0.001)
        assert late_ones == [kept]
        assert deadlines.fires_at == put_off.deadline
        deadlines.close()
        assert deadlines._timer is None

    asyncio.run(main())
