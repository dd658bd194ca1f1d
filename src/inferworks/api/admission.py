"""Concurrency limits: admission of a call, or 429."""

from __future__ import annotations

from inferworks.errors import CallError
from inferworks.ids import KeyId


class ConcurrencyLimiter:
    """Limit of calls that run at once, in all and per key; the others are refused, so none queue up.

    `limit` bounds all calls, `per_key` those of one key, so that no customer's burst takes every permit; 0
    for no limit per key.
    """

    def __init__(self, limit: int, per_key: int = 0) -> None:
        self.running = 0
        self.closing = False
        """True while the gateway is about to stop: /readyz refuses new calls, which are served if they
        come.
        """
        self._limit = limit
        self._per_key = per_key or limit
        self._of_key: dict[KeyId, int] = {}

    def admit(self, key: KeyId) -> None:
        """Count one call of `key` that begins; CallError 429 if too many run. Each ends with `leave`."""
        of_key = self._of_key.get(key, 0)
        if self.running >= self._limit:
            raise _full(f"{self._limit} calls are running, which is the limit; try again later.")
        if of_key >= self._per_key:
            raise _full(
                f"{self._per_key} calls with this key are running, which is the limit; try again later."
            )
        self.running += 1
        self._of_key[key] = of_key + 1

    def leave(self, key: KeyId) -> None:
        """Count a call of `key` that ends."""
        self.running -= 1
        left = self._of_key[key] - 1
        if left:
            self._of_key[key] = left
        else:
            del self._of_key[key]


def _full(message: str) -> CallError:
    return CallError(429, message, kind="rate_limit_error", code="too_many_calls")
