"""Work on large bodies beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from inferworks.cloud.bodies.aside import aside


def test_work_is_done_in_another_thread() -> None:
    """The loop goes on meanwhile, and the result comes back to it."""

    async def main() -> None:
        inside = threading.Event()
        may_end = threading.Event()

        def work(number: int) -> tuple[int, str]:
            inside.set()
            assert may_end.wait(10)
            return number, threading.current_thread().name

        future = aside(work, 7)
        await asyncio.to_thread(inside.wait, 10)
        assert not future.done()
        may_end.set()
        number, thread = await future
        assert number == 7
        assert thread.startswith("large-body")

    asyncio.run(main())


def test_an_error_comes_back_as_it_was() -> None:
    """An exception of the work is raised where it is awaited."""

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await aside(divmod, 1, 0)

    asyncio.run(main())
