"""Fair queue: permits are conserved, none is idle, shares follow the weights, and nobody starves."""

from __future__ import annotations

import gc
import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from inferworks.ids import CustomerId
from inferworks.limits.fair_queue import FairQueue, QueueFull, QueueLimits, Turn

CUSTOMERS: Final = tuple(map(CustomerId, "abcd"))
S: Final = 10**9
WIDE: Final = QueueLimits(per_customer=10**6, in_all=10**6)


class Storm:
    """Calls that hold permits of a queue for so long each; time passes from end to end."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.now_ns = 0
        self.lengths: dict[Turn, int] = {}
        self.begun_ns: dict[Turn, int] = {}
        self.names: dict[Turn, CustomerId] = {}
        self._ends: list[tuple[int, int, Turn]] = []
        self._numbers = count()

    def send(self, customer: CustomerId, length_ns: int) -> Turn:
        """One call more."""
        turn = self.queue.admit(customer, self.now_ns)
        self.lengths[turn], self.names[turn] = length_ns, customer
        if turn.runs:
            self._begin(turn)
        return turn

    def pass_time(self, until_ns: int) -> None:
        """Let calls end."""
        while self._ends and self._ends[0][0] <= until_ns:
            self.now_ns, _, turn = heapq.heappop(self._ends)
            for begun in self.queue.leave(turn, self.now_ns):
                self._begin(begun)
        self.now_ns = until_ns

    def served_ns(self, customer: CustomerId, since_ns: int = 0) -> int:
        """Permit-time that a customer's calls have had until now."""
        return sum(
            max(0, min(begun_ns + self.lengths[turn], self.now_ns) - max(begun_ns, since_ns))
            for turn, begun_ns in self.begun_ns.items()
            if self.names[turn] == customer
        )

    def _begin(self, turn: Turn) -> None:
        self.begun_ns[turn] = self.now_ns
        heapq.heappush(self._ends, (self.now_ns + self.lengths[turn], next(self._numbers), turn))


class Orders(RuleBasedStateMachine):
    """Arrivals, ends, cancellations and changes of size in any order."""

    turns = Bundle("turns")

    def __init__(self) -> None:
        super().__init__()
        self.limits = QueueLimits(per_customer=3, in_all=6, share=0.5)
        self.queue = FairQueue(4, self.limits, lambda name: 1.0 + ord(name) - ord("a"))
        self.mine: dict[Turn, CustomerId] = {}
        self.now_ns = 0

    @rule(target=turns, customer=st.sampled_from(CUSTOMERS), passed_ns=st.integers(0, 3 * S))
    def arrive(self, customer: CustomerId, passed_ns: int) -> Turn:
        """A call of `customer`: it runs or waits, or is refused by a queue that is full."""
        self.now_ns += passed_ns
        waiting = self.counts(running=False)
        try:
            turn = self.queue.admit(customer, self.now_ns)
            full = None
        except QueueFull as refused:
            full = refused
        if full is not None:
            assert full.wait_ns > 0
            if full.of_customer:
                assert waiting[customer] == self.limits.per_customer
            else:
                assert sum(waiting.values()) == self.limits.in_all
                assert waiting[customer] or max(waiting.values()) == 1
            return Turn(None)  # type: ignore[arg-type]  # one that has left before it came
        self.mine[turn] = customer
        if turn.evicted is not None:
            assert sum(waiting.values()) == self.limits.in_all
            assert waiting[self.mine.pop(turn.evicted)] > 1
        return turn

    @rule(turn=consumes(turns), passed_ns=st.integers(0, 3 * S))
    def leave(self, turn: Turn, passed_ns: int) -> None:
        """A call ends, or its client leaves it, or it had left already."""
        self.now_ns += passed_ns
        ran = turn.runs
        begun = self.queue.leave(turn, self.now_ns)
        self.mine.pop(turn, None)
        assert ran or not begun, "nothing begins unless a permit was given back"
        assert all(one in self.mine and one.runs for one in begun)
        assert not turn.runs
        assert not turn.waits

    @rule(capacity=st.integers(1, 6))
    def resize(self, capacity: int) -> None:
        """More or fewer permits."""
        self.queue.resize(capacity, self.now_ns)

    def counts(self, *, running: bool) -> dict[CustomerId, int]:
        """Calls of each customer that run, or that wait."""
        found = dict.fromkeys(CUSTOMERS, 0)
        for turn, customer in self.mine.items():
            found[customer] += turn.runs if running else turn.waits
        return found

    @invariant()
    def permits_are_conserved(self) -> None:
        """As many run and wait as have come and not left, each in one state."""
        queue, mine = self.queue, self.mine
        assert all(turn.runs != turn.waits for turn in mine)
        assert queue.running == sum(turn.runs for turn in mine)
        assert queue.waiting == sum(turn.waits for turn in mine)
        waiting = self.counts(running=False)
        assert max(waiting.values()) <= self.limits.per_customer
        assert queue.waiting <= self.limits.in_all

    @invariant()
    def no_permit_is_idle(self) -> None:
        """While one is free, only those wait who have their share."""
        if self.queue.running < self.queue.capacity:
            most = max(1, self.queue.capacity // 2)
            running, waiting = self.counts(running=True), self.counts(running=False)
            assert all(running[name] >= most for name in CUSTOMERS if waiting[name])

    def teardown(self) -> None:
        """Nothing is kept of anybody when all have left."""
        for turn in list(self.mine):
            self.queue.leave(turn, self.now_ns)
        assert (self.queue.running, self.queue.waiting) == (0, 0)
        assert not self.queue._flows
        assert not self.queue._heap
        assert not self.queue._ahead


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestOrders.pytestmark = [pytest.mark.slow]


weights = st.sampled_from((0.5, 1.0, 2.0, 3.0, 7.0))
lengths = st.lists(st.integers(S // 10, 2 * S), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.tuples(weights, weights, weights), st.floats(0.0, 20.0))
def test_shares_are_proportional_to_weights_within_one_call(
    capacity: int, weighing: tuple[float, float, float], later_s: float
) -> None:
    """Of calls of one length, counted as they begin, over any interval in which all of them wait.

    It begins when the others have caught up with the one that came first and took every permit.
    """
    weight_of = dict(zip(CUSTOMERS, weighing, strict=False))
    storm = Storm(FairQueue(capacity, WIDE, weight_of.__getitem__))
    for customer in weight_of:
        for _ in range(100 * capacity):
            storm.send(customer, S)
    while not any(storm.begun_ns[t] for t in storm.begun_ns if storm.names[t] == CUSTOMERS[0]):
        storm.pass_time(storm.now_ns + S)
    since_ns = storm.now_ns + 1 + round(later_s * S)
    storm.pass_time(since_ns + 10 * S)
    begun = dict.fromkeys(weight_of, 0)
    for turn, at_ns in storm.begun_ns.items():
        begun[storm.names[turn]] += at_ns >= since_ns
    for one, weight in weight_of.items():
        for other, its_weight in weight_of.items():
            apart = abs(begun[one] / weight - begun[other] / its_weight)
            assert apart <= 1 / weight + 1 / its_weight + 1e-6


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.tuples(weights, weights), st.tuples(lengths, lengths))
def test_shares_of_calls_of_any_length(
    capacity: int, weighing: tuple[float, float], of_each: tuple[Sequence[int], Sequence[int]]
) -> None:
    """Permit-time follows the weights, within a call of each for every permit and one more."""
    weight_of = dict(zip(CUSTOMERS, weighing, strict=False))
    queue = FairQueue(capacity, WIDE, weight_of.__getitem__)
    storm = Storm(queue)
    for _ in range(60 * capacity):
        for customer, its in zip(weight_of, of_each, strict=True):
            storm.send(customer, its[_ % len(its)])
    longest_ns = 2 * S
    for until_s in range(1, 60):
        storm.pass_time(until_s * S)
        if not all(any(t.waits for t in storm.lengths if storm.names[t] == c) for c in weight_of):
            break
        one, other = (storm.served_ns(name) / weight for name, weight in weight_of.items())
        bound = (capacity + 1) * longest_ns * sum(1 / weight for weight in weight_of.values())
        assert abs(one - other) <= bound


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 8), st.integers(0, 200), st.lists(st.integers(1, 4 * S), min_size=3, max_size=20)
)
def test_one_call_behind_a_thousand_waits_for_two_permits_at_most(
    capacity: int, before: int, its: Sequence[int]
) -> None:
    """A wait that depends neither on the number of another's calls nor on their length."""
    storm = Storm(FairQueue(capacity, WIDE))
    for number in range(1000):
        storm.send(CUSTOMERS[0], its[number % len(its)])
    for _ in range(before):
        storm.pass_time(storm._ends[0][0])
    ahead = len(storm.begun_ns)
    turn = storm.send(CUSTOMERS[1], S)
    assert turn.waits
    while turn.waits:
        storm.pass_time(storm._ends[0][0])
    begun = list(storm.begun_ns)[ahead:]
    assert begun.index(turn) <= 1 + _at_once(storm, turn)


def _at_once(storm: Storm, turn: Turn) -> int:
    """Calls that began before `turn` at the same moment, when several permits came back at once."""
    at_ns = storm.begun_ns[turn]
    return sum(other is not turn and began == at_ns for other, began in storm.begun_ns.items())


def test_time_counts_and_not_calls() -> None:
    """A customer of calls ten times as long gets no more time; the other begins ten times as many."""
    storm = Storm(FairQueue(4, WIDE))
    for _ in range(400):
        storm.send(CUSTOMERS[0], 5 * S)
        for _ in range(10):
            storm.send(CUSTOMERS[1], S // 2)
    storm.pass_time(60 * S)
    since_ns = storm.now_ns
    storm.pass_time(140 * S)
    one, other = (storm.served_ns(name, since_ns) for name in CUSTOMERS[:2])
    assert one + other == 4 * 80 * S
    assert abs(one - other) <= 2 * 5 * S


def test_a_customer_who_was_away_is_not_paid_for_it() -> None:
    """After an hour of another's calls alone both have the same from then on."""
    storm = Storm(FairQueue(2, WIDE))
    for _ in range(400):
        storm.send(CUSTOMERS[0], S)
    storm.pass_time(100 * S)
    for _ in range(100):
        storm.send(CUSTOMERS[1], S)
    storm.pass_time(140 * S)
    assert abs(storm.served_ns(CUSTOMERS[1]) - 40 * S) <= 2 * S


def test_a_share_is_kept_for_the_others() -> None:
    """One customer holds three of four permits, and the next who comes waits for nothing."""
    queue = FairQueue(4, QueueLimits(share=0.75))
    mine = [queue.admit(CUSTOMERS[0], 0) for _ in range(5)]
    assert [turn.runs for turn in mine] == [True, True, True, False, False]
    other = queue.admit(CUSTOMERS[1], 0)
    assert other.runs
    assert not queue.leave(other, S)
    assert queue.leave(mine[0], S) == [mine[3]]


def test_a_full_queue_gives_the_last_place_of_the_longest_to_a_newcomer() -> None:
    """By weight; who has a call in it already is refused, and a queue of one call each is full for all."""
    queue = FairQueue(1, QueueLimits(per_customer=4, in_all=5), lambda c: 2.0 if c == "b" else 1.0)
    queue.admit(CUSTOMERS[0], 0)
    of_a = [queue.admit(CUSTOMERS[0], 0) for _ in range(2)]
    of_b = [queue.admit(CUSTOMERS[1], 0) for _ in range(3)]
    with pytest.raises(QueueFull) as full:
        queue.admit(CUSTOMERS[0], 0)
    assert not full.value.of_customer
    newcomer = queue.admit(CUSTOMERS[2], 0)
    assert newcomer.evicted is of_a[1]
    assert not of_a[1].waits
    assert queue.admit(CUSTOMERS[3], 0).evicted is of_b[2]
    assert queue.waiting == 5


def test_a_customers_queue_is_bounded() -> None:
    """The refusal estimates when it will be empty: by the calls that run, and how long they take."""
    queue = FairQueue(2, QueueLimits(per_customer=1))
    for _ in range(3):
        queue.admit(CUSTOMERS[0], 0)
    with pytest.raises(QueueFull) as full:
        queue.admit(CUSTOMERS[0], 0)
    assert (full.value.of_customer, full.value.wait_ns) == (True, S)
    none = FairQueue(1, QueueLimits(per_customer=0))
    none.admit(CUSTOMERS[0], 0)
    with pytest.raises(QueueFull):
        none.admit(CUSTOMERS[1], 0)
    assert len(none._flows) == 1


def test_customers_are_forgotten_in_a_long_storm() -> None:
    """Ten thousand who come once each while another's calls always wait leave a bounded memory."""
    queue = FairQueue(2, WIDE)
    mine = [queue.admit(CUSTOMERS[0], 0) for _ in range(40_000)]
    running, now_ns = mine[:2], 0
    for number in range(10_000):
        queue.admit(CustomerId(f"customer-{number}"), now_ns)
        for _ in range(3):
            now_ns += S // 2
            running += queue.leave(running.pop(0), now_ns)
    assert queue.waiting > 10_000
    assert len(queue._flows) < 3 * 1024
    assert len(queue._heap) < 1024
    for turn in mine:
        if turn.waits:
            queue.leave(turn, now_ns)
    while running:
        running += queue.leave(running.pop(), now_ns)
    assert not queue._flows


def _callers() -> Iterator[CustomerId]:
    while True:
        yield from CUSTOMERS


def test_turns_are_no_garbage() -> None:
    """Turns that have left are freed at once, without the collector."""
    queue = FairQueue(2, QueueLimits())
    callers = _callers()
    gc.collect()
    gc.disable()
    try:
        before = sum(type(one) is Turn for one in gc.get_objects())
        for _ in range(50):
            turns = [queue.admit(next(callers), 0) for _ in range(8)]
            for turn in turns:
                queue.leave(turn, S)
            del turns, turn
        assert sum(type(one) is Turn for one in gc.get_objects()) == before
    finally:
        gc.enable()
