"""Whether a call may start now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from inferworks.errors import CallError


class Gate:
    """Lets at most `limit` calls run at once and turns the others away, so a storm cannot pile up."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.running = 0

    def admit(self) -> AbstractContextManager[None]:
        """A place for one call, to be held with `with`; CallError 429 when there is none."""
        if self.running >= self._limit:
            raise CallError(
                429,
                f"More than {self._limit} calls are running; try again later.",
                kind="rate_limit_error",
                code="too_many_calls",
            )
        return self._place()

    @contextmanager
    def _place(self) -> Iterator[None]:
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
