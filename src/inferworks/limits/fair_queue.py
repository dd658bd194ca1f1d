"""Fair queue before a pool of permits: whose call is next; a policy without I/O and without a clock.

Problem. A pool that takes calls in the order in which they come belongs to whoever sends most: one
customer's storm fills it, and the others wait behind a thousand calls or are refused beside them.

Decision. Start-time fair queueing with as many calls in service as there are permits, SFQ(D), over
customers and not over keys, of which a customer may make any number.

    admit ──► a permit is free ──────────────────────────────► runs ──► leave
        └───► waits in its customer's queue ──► lowest tag ────┘

A customer's *tag* is the permit-time that its calls have had, divided by its weight. A permit that is
given back goes to the waiting customer of the lowest tag. Virtual time is what the customer had settled
whose call began last; one that comes, or comes back, starts there at least. So it is neither charged for
what nobody else wanted, nor paid for having been away.

*The cost of a call is the time for which it holds its permit*, since that is what others wait for. It is
known when the call ends. A call that runs is charged what this customer's calls have held of late, and is
settled by what it did hold. Counted in calls, a customer of long answers would have the time of many.

So while two customers wait, what they get, for their weights, differs by no more than a call of each, and
the calls that are not settled yet. A newcomer's tag has nothing in it that runs: it is next until it holds
as many permits, for its weight, as the others. One call behind another's thousand therefore waits for the
next permit that is given back: with N permits in use about an Nth of the length of a call.

`QueueLimits.share` keeps a part of the permits for customers who come next, who wait for nothing at all.
Without it (1.0) no permit is idle while a call waits.

The queues are bounded, each and together. When they are full together, a customer who has nothing there
takes the last place of the one who, for its weight, has most. So no number of other people's calls keeps
out the first one.

Rejected. Refusing at once (retries then compete by luck, and whoever retries most wins); one queue in
order of arrival; a least number of permits for each customer (idle most of the time); deficit round robin
(a round is as long as there are customers, and the cost must be known before); counting only the calls that
run (with more customers than permits, weights would have no effect).

Sources: Goyal, Vin and Cheng, Start-time Fair Queueing (SIGCOMM 1996); Jin, Chase and Kaur, Interposed
Proportional Sharing for a Storage Service Utility (SIGMETRICS 2004), which has SFQ(D).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Final

import msgspec

from inferworks.ids import CustomerId

_FIRST_GUESS_NS: Final = 1e9
"""Length of a call in nanoseconds, before one has ended."""
_SWEEP: Final = 1024
"""Customers who are kept though they have no call, before the first look at who need not be."""
_SPARE: Final = 64
"""Replaced entries of the heap that are kept at least."""
_LEARN: Final = 1 / 8
"""Weight of the newest call in the average of lengths."""


class QueueLimits(msgspec.Struct, frozen=True):
    """Bounds of a queue."""

    per_customer: int = 128
    """Calls of one customer that may wait; 0: none waits."""
    in_all: int = 1024
    """Calls of all customers that may wait."""
    share: float = 1.0
    """Share of the permits that one customer may hold, at least one; the rest is for the others."""


class QueueFull(Exception):
    """A call can neither run nor wait; `of_customer` when its customer's queue is full, and not all."""

    def __init__(self, *, of_customer: bool, wait_ns: float) -> None:
        super().__init__("the queue is full")
        self.of_customer = of_customer
        self.wait_ns = wait_ns
        """Estimate of the time in which that queue will be empty, in nanoseconds."""


class Turn:
    """One call's place: it waits, then it runs, then it has left. `FairQueue` alone changes it."""

    __slots__ = ("began_ns", "charged", "evicted", "flow", "runs", "waiter", "waits")

    def __init__(self, flow: _Flow) -> None:
        self.flow = flow
        self.began_ns = 0
        self.charged = 0.0
        """Virtual time that it is charged while it runs."""
        self.waits = False
        self.runs = False
        self.evicted: Turn | None = None
        """Turn that had to leave the queue for this one."""
        self.waiter: Any = None
        """Object by which the caller is woken; none of the queue's business."""


class _Flow:
    """A customer in a queue."""

    __slots__ = (
        "charged",
        "customer",
        "entry",
        "expected_ns",
        "running",
        "settled",
        "waiting",
        "weight",
    )

    def __init__(self, customer: CustomerId, weight: float, expected_ns: float) -> None:
        self.customer = customer
        self.weight = weight
        self.expected_ns = expected_ns
        """Average of the time for which its calls hold their permits, in nanoseconds."""
        self.running = 0
        self.waiting: OrderedDict[Turn, None] = _NOBODY
        self.settled = 0.0
        """Virtual time of its calls that have ended: what they held, for its weight."""
        self.charged = 0.0
        """Virtual time that those that run are charged."""
        self.entry = 0
        """Number of its entry among those whose next call may start; 0 while it has none."""


_NOBODY: Final[OrderedDict[Turn, None]] = OrderedDict()
"""Queue of a customer none of whose calls has waited; never filled."""


class FairQueue:
    """Permits, and the customers' queues for them. For one thread; its times are of a clock never set."""

    def __init__(
        self,
        capacity: int,
        limits: QueueLimits,
        weight_of: Callable[[CustomerId], float] = lambda _: 1.0,
    ) -> None:
        """`capacity` is the number of permits; weights are above zero."""
        self.running = 0
        self.waiting = 0
        self._limits = limits
        self._weight_of = weight_of
        self._flows: dict[CustomerId, _Flow] = {}
        """Customers who run, wait, or have been ahead of others who wait."""
        self._heap: list[tuple[float, int, _Flow]] = []
        """Customers whose next call may start, by tag; replaced entries stay until they come up."""
        self._listed = 0
        """Entries of the heap that are in force."""
        self._entries = 0
        """Entries that were ever made."""
        self._ahead: dict[CustomerId, _Flow] = {}
        """Customers without a call whose tag is kept while others wait."""
        self._sweep_at = _SWEEP
        self._virtual = 0.0
        self._expected_ns = _FIRST_GUESS_NS
        self.capacity = capacity
        self._most = self._most_of_one()

    def admit(self, customer: CustomerId, now_ns: int) -> Turn:
        """Let in a call: it runs at once, or it waits until `leave` or `resize` names it.

        QueueFull when it can do neither. A turn that is `evicted` for it is as if it had left.
        """
        flow = self._flows.get(customer)
        if flow is None:
            flow = _Flow(customer, self._weight_of(customer), self._expected_ns)
            self._flows[customer] = flow
        turn = Turn(flow)
        # others that wait with a permit free are at their own limit
        if self.running < self.capacity and flow.running < self._most and not flow.waiting:
            if flow.settled < self._virtual:
                flow.settled = self._virtual
            self._begin(turn, now_ns)
            return turn
        try:
            self._check_room(turn)
        except QueueFull:
            self._forget(flow)
            raise
        if flow.waiting is _NOBODY:
            flow.waiting = OrderedDict()
        if not flow.waiting:
            flow.settled = max(flow.settled, self._virtual)
        turn.waits = True
        flow.waiting[turn] = None
        self.waiting += 1
        if not flow.entry:
            self._list(flow)
        return turn

    def leave(self, turn: Turn, now_ns: int) -> Sequence[Turn]:
        """End a call that runs or waits, or has left already; returns those that begin now."""
        flow = turn.flow
        if turn.waits:
            turn.waits = False
            del flow.waiting[turn]
            self.waiting -= 1
            if not flow.waiting:
                self._unlist(flow)
                self._forget(flow)
            if not self.waiting:
                self._nobody_waits()
            return ()
        if not turn.runs:
            return ()
        turn.runs = False
        self.running -= 1
        flow.running -= 1
        held_ns = now_ns - turn.began_ns
        flow.settled += held_ns / flow.weight
        flow.charged = flow.charged - turn.charged if flow.running else 0.0
        flow.expected_ns += (held_ns - flow.expected_ns) * _LEARN
        self._expected_ns += (held_ns - self._expected_ns) * _LEARN
        if not self.waiting:
            if not flow.running:
                del self._flows[flow.customer]
            return ()
        if flow.waiting:
            self._list(flow)
        else:
            self._forget(flow)
        return self._begin_next(now_ns)

    def resize(self, capacity: int, now_ns: int) -> Sequence[Turn]:
        """Change the number of permits; returns the turns that begin now. Calls that run go on."""
        if capacity == self.capacity:
            return ()
        self.capacity = capacity
        self._most = self._most_of_one()
        if not self.waiting:
            return ()
        for flow in self._flows.values():
            if flow.waiting:
                self._list(flow)
        return self._begin_next(now_ns)

    def use(self, limits: QueueLimits) -> None:
        """Go by other bounds from now on; those that wait stay."""
        self._limits = limits
        self._most = self._most_of_one()

    def _most_of_one(self) -> int:
        """Most permits that one customer may hold."""
        return max(1, math.floor(self.capacity * self._limits.share))

    def _check_room(self, turn: Turn) -> None:
        """Have room for `turn` in the queue, if need be another's; QueueFull when there is none."""
        flow, limits = turn.flow, self._limits
        if len(flow.waiting) >= limits.per_customer:
            emptied_ns = (1 + len(flow.waiting)) * self._expected_ns / max(flow.running, 1)
            raise QueueFull(of_customer=True, wait_ns=emptied_ns)
        if self.waiting < limits.in_all:
            return
        others = (other for other in self._flows.values() if len(other.waiting) > 1)
        longest = None if flow.waiting else max(others, key=_length, default=None)
        if longest is None:
            emptied_ns = (1 + self.waiting) * self._expected_ns / max(self.running, 1)
            raise QueueFull(of_customer=False, wait_ns=emptied_ns)
        last, _ = longest.waiting.popitem()
        last.waits = False
        self.waiting -= 1
        turn.evicted = last

    def _begin(self, turn: Turn, now_ns: int) -> None:
        """Give `turn` a permit."""
        flow = turn.flow
        turn.runs = True
        turn.began_ns = now_ns
        turn.charged = flow.expected_ns / flow.weight
        flow.running += 1
        self.running += 1
        flow.charged += turn.charged
        if flow.settled > self._virtual:
            self._virtual = flow.settled

    def _begin_next(self, now_ns: int) -> list[Turn]:
        """Give free permits to those that wait, the lowest tag first."""
        begun: list[Turn] = []
        while self._heap and self.running < self.capacity:
            _, entry, flow = heappop(self._heap)
            if entry != flow.entry:
                continue
            self._unlist(flow)
            if flow.running < self._most:  # it may be less than when it was listed
                turn, _ = flow.waiting.popitem(last=False)
                turn.waits = False
                self.waiting -= 1
                self._begin(turn, now_ns)
                self._list(flow)
                begun.append(turn)
        if not self.waiting:
            self._nobody_waits()
        return begun

    def _list(self, flow: _Flow) -> None:
        """Put `flow` by its tag among those whose next call may start, if it is one."""
        self._unlist(flow)
        if not flow.waiting or flow.running >= self._most:
            return
        self._listed += 1
        self._entries += 1  # of equal tags the one that came first
        flow.entry = self._entries
        heappush(self._heap, (flow.settled + flow.charged, flow.entry, flow))
        if len(self._heap) > _SPARE + 4 * self._listed:
            self._heap = [entry for entry in self._heap if entry[1] == entry[2].entry]
            heapify(self._heap)

    def _unlist(self, flow: _Flow) -> None:
        """Have the entry of `flow` count no more."""
        if flow.entry:
            flow.entry = 0
            self._listed -= 1

    def _forget(self, flow: _Flow) -> None:
        """Forget `flow` if it has no call, unless it is ahead of others."""
        if flow.running or flow.waiting:
            return
        if flow.settled <= self._virtual:
            del self._flows[flow.customer]
            self._ahead.pop(flow.customer, None)
            return
        self._ahead[flow.customer] = flow
        if len(self._ahead) >= self._sweep_at:
            self._forget_ahead(self._virtual)

    def _nobody_waits(self) -> None:
        """Forget who was ahead of whom: everything that was asked for has begun."""
        self._heap.clear()
        self._forget_ahead(math.inf)

    def _forget_ahead(self, until: float) -> None:
        """Forget the customers without a call who are ahead of others until the virtual time `until`."""
        for customer, flow in list(self._ahead.items()):
            is_back = flow.running or flow.waiting
            if is_back or flow.settled <= until:
                del self._ahead[customer]
                if not is_back:
                    del self._flows[customer]
        self._sweep_at = _SWEEP + 2 * len(self._ahead)


def _length(flow: _Flow) -> float:
    """Length of a customer's queue, for its weight."""
    return len(flow.waiting) / flow.weight
