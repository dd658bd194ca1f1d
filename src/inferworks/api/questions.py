"""Questions of customers about their own usage and limits: what may be asked at once, and who reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from inferworks.errors import CallError
from inferworks.ids import CustomerId
from inferworks.meter.used import Used

T = TypeVar("T")

_MOST_AT_ONCE: Final = 8
"""Most customers whose questions are taken at once."""
_BUSY: Final = (
    "Another question about your usage or limits is being answered; ask again when it is."
)


class UsageReads(Protocol):
    """Source of what customers have used."""

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used in each interval between two of `edges_ns`.

        Without `by_key`, over all projects and keys. UserError when more than `most_rows` archived rows
        would have to be read; DataFolderError or LakeError when they cannot be.
        """
        ...


class Questions:
    """Questions of customers: one of each customer at a time, and few of all together."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = ThreadPoolExecutor(threads, "usage")
        self._asking: set[CustomerId] = set()

    def close(self) -> None:
        """Let those that are being answered finish, and take no more."""
        self._threads.shutdown(cancel_futures=True)

    async def in_thread(self, customer: CustomerId, work: Callable[[], T]) -> T:
        """Return the result of `work`, which goes on in its thread if the caller leaves.

        CallError 429 while another question of the customer is being answered, 503 when too many are.
        """
        self._begin(customer)
        loop = asyncio.get_running_loop()
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._asking.discard(customer)
            raise

        def over(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._asking.discard, customer)

        future.add_done_callback(over)
        return await asyncio.wrap_future(future)

    @contextmanager
    def asked(self, customer: CustomerId) -> Iterator[None]:
        """Hold a customer's place while the block answers, under the same conditions."""
        self._begin(customer)
        try:
            yield
        finally:
            self._asking.discard(customer)

    def _begin(self, customer: CustomerId) -> None:
        if customer in self._asking:
            raise CallError(429, _BUSY, kind="requests", code="rate_limit_exceeded",
                            retry_after_s=1)  # fmt: skip
        if len(self._asking) >= _MOST_AT_ONCE:
            raise CallError(503, "Too many ask for their usage at the moment; try again later.",
                            kind="server_error", code="overloaded", retry_after_s=1)  # fmt: skip
        self._asking.add(customer)
