"""Limits of calls that run at once: permits of the gateway and of each model's slots, shared by customers.

A call needs a permit of the gateway, and one of its model where that runs on a known number of slots: our
own replicas, and upstreams with `max_calls`. It takes its model's first, so that those who wait for a slot
hold no permit of the gateway, which others could use. `fair_queue` says whose turn it is; this module wakes
them.

A replica serves in order of arrival. So it is sent no more calls than it has slots, and one more that is at
hand when a slot becomes free; the others wait here, where turns are fair.

A permit is given back once, by whoever holds the `Permit`, however the call ends: refused, cancelled while
it waits, cancelled just as it is let in, or served.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from inferworks.accounts.key import Key
from inferworks.clock import Clock, SystemClock
from inferworks.cloud.routing.slots import SlotPool
from inferworks.errors import CallError
from inferworks.ids import CustomerId, KeyId
from inferworks.limits.fair_queue import FairQueue, QueueFull, QueueLimits, Turn
from inferworks.observe.metric import FIRST_TOKEN_NS, Histogram
from inferworks.units import NS_PER_SECOND

_LONGEST_RETRY_S: Final = 60


class QueueOutcome(StrEnum):
    """End of a wait for a permit."""

    ADMITTED = "admitted"
    EXPIRED = "expired"
    """Wait that took too long: 503."""
    EVICTED = "evicted"
    """Loss of the place to a customer who had none: 503."""
    LEFT = "left"
    """End of a wait by a client that left."""


class Fairness(msgspec.Struct, frozen=True):
    """Settings of the queues."""

    limits: QueueLimits = QueueLimits()
    """Bounds of each queue; `share` is of the gateway's permits only."""
    wait_s: float = 10.0
    """Longest time that a call waits, in seconds."""
    weights: Mapping[str, float] = MappingProxyType({})
    """Weights by customer."""
    default_weight: float = 1.0


REFUSE_AT_ONCE: Final = Fairness(QueueLimits(per_customer=0))
"""Settings without queues."""
NO_WEIGHTS: Final = Fairness()
"""Settings of customers of the same weight."""


class Permit:
    """One call's permits, those that it still waits for among them."""

    __slots__ = ("_key", "_limiter", "_turns", "queued_ns")

    def __init__(self, limiter: ConcurrencyLimiter, key: KeyId | None) -> None:
        self._limiter = limiter
        self._key = key
        self._turns: list[tuple[FairQueue, Turn]] = []
        self.queued_ns = 0
        """Nanoseconds for which it waited."""

    def enter(self, queue: FairQueue, customer: CustomerId) -> Turn:
        """Take a permit of `queue`, or a place in it to `wait` in; CallError when there is none."""
        limiter = self._limiter
        try:
            turn = queue.admit(customer, limiter.now_ns())
        except QueueFull as full:
            raise limiter.refusal(queue, full) from None
        self._turns.append((queue, turn))
        if turn.evicted is not None:
            _tell(turn.evicted, QueueOutcome.EVICTED)
        return turn

    async def wait(self, turn: Turn) -> None:
        """Wait until it is the turn of this call; CallError when that takes too long."""
        limiter = self._limiter
        began_ns, outcome = limiter.now_ns(), QueueOutcome.LEFT
        left_s = max(0.0, limiter.fairness.wait_s - self.queued_ns / NS_PER_SECOND)
        loop = asyncio.get_running_loop()
        turn.waiter = waiter = loop.create_future()
        timer = loop.call_later(left_s, _tell, turn, QueueOutcome.EXPIRED)
        try:
            outcome = await waiter
        finally:
            timer.cancel()
            queued_ns = limiter.now_ns() - began_ns
            self.queued_ns += queued_ns
            limiter.waits[outcome].take(queued_ns)
        if outcome is not QueueOutcome.ADMITTED:
            raise _not_admitted(outcome, self.queued_ns)

    def leave(self) -> None:
        """Give back every permit, and every place in a queue; whoever is next begins."""
        limiter, key = self._limiter, self._key
        for queue, turn in self._turns:
            for begun in queue.leave(turn, limiter.now_ns()):
                _tell(begun, QueueOutcome.ADMITTED)
        self._turns.clear()
        if key is not None:
            self._key = None
            limiter.leave_key(key)


class ConcurrencyLimiter:
    """Limit of calls that run at once, in all, of each model's slots, and per key."""

    def __init__(
        self,
        limit: int,
        per_key: int = 0,
        fairness: Fairness = NO_WEIGHTS,
        clock: Clock | None = None,
    ) -> None:
        """`limit` bounds all calls, `per_key` those of one key, which do not wait beyond it; 0 for none."""
        self.closing = False
        """True while the gateway is about to stop: /readyz refuses new calls, which are served if they
        come.
        """
        self.now_ns = (clock or SystemClock()).carried().now_ns
        self.waits: Mapping[QueueOutcome, Histogram] = {
            outcome: Histogram(FIRST_TOKEN_NS) for outcome in QueueOutcome
        }
        """Times for which calls waited, by how that ended; those that did not wait are not among them."""
        self._per_key = per_key
        self._of_key: dict[KeyId, int] = {}
        self._models: dict[str, FairQueue] = {}
        self.fairness = fairness
        self._all = FairQueue(limit, fairness.limits, self._weight_of)

    @property
    def running(self) -> int:
        """Calls that run."""
        return self._all.running

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return self._all.waiting + sum(queue.waiting for queue in self._models.values())

    def use(self, fairness: Fairness) -> None:
        """Go by other settings from now on; calls that wait go on to wait."""
        self.fairness = fairness
        self._all.use(fairness.limits)
        for queue in self._models.values():
            queue.use(_of_model(fairness))

    async def admit(self, key: Key, slots: SlotPool | None = None) -> Permit:
        """Let in a call of `key`, which may have to wait; CallError 429 or 503 when it cannot be let in.

        `slots` is the pool that its model runs on, where that has an end. Each permit ends with `leave`.
        """
        permit = Permit(self, self._enter_key(key.id) if self._per_key else None)
        try:
            if slots is not None:
                turn = permit.enter(self._queue_of(slots), key.customer)
                if turn.waits:
                    await permit.wait(turn)
            turn = permit.enter(self._all, key.customer)
            if turn.waits:
                await permit.wait(turn)
        except BaseException:
            permit.leave()
            raise
        return permit

    def refusal(self, queue: FairQueue, full: QueueFull) -> CallError:
        """Refusal of a call for which there is no place in `queue`."""
        again_s = min(_LONGEST_RETRY_S, max(1, math.ceil(full.wait_ns / NS_PER_SECOND)))
        if not full.of_customer:
            return _server_error(
                "queue_full", "Too many calls wait already; try again later.", again_s
            )
        waiting = self.fairness.limits.per_customer
        message = (
            f"{waiting} calls of yours wait already, which is the limit; try again later."
            if waiting
            else f"{queue.running} calls are running, which is the limit; try again later."
        )
        return _too_many(message, again_s)

    def leave_key(self, key: KeyId) -> None:
        """Count a call of `key` that ends."""
        left = self._of_key[key] - 1
        if left:
            self._of_key[key] = left
        else:
            del self._of_key[key]

    def _enter_key(self, key: KeyId) -> KeyId:
        """Count a call of `key` that comes; CallError 429 when it has as many as it may."""
        of_key = self._of_key.get(key, 0)
        if of_key >= self._per_key:
            raise _too_many(
                f"{self._per_key} calls with this key are running, which is the limit; try again later.",
                1,
            )
        self._of_key[key] = of_key + 1
        return key

    def _queue_of(self, slots: SlotPool) -> FairQueue:
        """Return the queue before a model's slots, as many as there are now."""
        queue = self._models.get(slots.name)
        if queue is None:
            queue = FairQueue(slots.permits, _of_model(self.fairness), self._weight_of)
            self._models[slots.name] = queue
        elif queue.capacity != slots.permits:
            for begun in queue.resize(slots.permits, self.now_ns()):
                _tell(begun, QueueOutcome.ADMITTED)
        return queue

    def _weight_of(self, customer: CustomerId) -> float:
        fairness = self.fairness
        return fairness.weights.get(customer, fairness.default_weight)


def _of_model(fairness: Fairness) -> QueueLimits:
    """Return the bounds of a model's queue: its slots are dear, and none is kept idle."""
    return msgspec.structs.replace(fairness.limits, share=1.0)


def _tell(turn: Turn, outcome: QueueOutcome) -> None:
    """Wake whoever waits for `turn`, unless that was done, or it was cancelled."""
    waiter: asyncio.Future[QueueOutcome] = turn.waiter
    if not waiter.done():
        waiter.set_result(outcome)


def _not_admitted(outcome: QueueOutcome, queued_ns: int) -> CallError:
    """Refusal of a call that waited in vain."""
    again_s = min(_LONGEST_RETRY_S, max(1, round(queued_ns / NS_PER_SECOND)))
    if outcome is QueueOutcome.EVICTED:
        return _server_error("queue_full", "Too many calls wait already; try again later.", again_s)
    message = f"No call could begin within {queued_ns / NS_PER_SECOND:.1f} s; try again later."
    return _server_error("queue_timeout", message, again_s)


def _too_many(message: str, again_s: int) -> CallError:
    return CallError(
        429, message, kind="rate_limit_error", code="too_many_calls", retry_after_s=again_s
    )


def _server_error(code: str, message: str, again_s: int) -> CallError:
    return CallError(503, message, kind="server_error", code=code, retry_after_s=again_s)
