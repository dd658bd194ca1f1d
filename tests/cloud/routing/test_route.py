"""Routes, driven by hand: a list of results in, the steps that were asked for out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.route import (
    ELSEWHERE,
    FINAL,
    LACKS,
    SERVED,
    SLOW,
    UNREAD,
    UNTRANSLATED,
    AttemptOutcome,
    AttemptResult,
    Route,
    Step,
    attempts,
)
from inferworks.testing.providers import make_offer

MS = 1_000_000


@dataclass
class Seen:
    """A `RoutingState` that is a table: whatever is not in it is 0."""

    now: int = 0
    retry: dict[str, int] = field(default_factory=dict)
    chance: float = 0.0

    def now_ns(self) -> int:
        """The clock."""
        return self.now

    def running(self, offer: Offer) -> int:
        """Nothing runs."""
        return 0

    def first_byte_ns(self, offer: Offer) -> int:
        """Nothing is known."""
        return 0

    def passes(self, offer: Offer) -> bool:
        """Return whether the breaker of `offer` passes a call."""
        return self.now >= self.retry_ns(offer)

    def retry_ns(self, offer: Offer) -> int:
        """Time at which the breaker of `offer` passes a call."""
        return self.retry.get(offer.id, 0)

    def random(self) -> float:
        """The same number each time."""
        return self.chance


def offers(names: str) -> list[Offer]:
    """Offers of these ids."""
    return [make_offer(offer_id=name) for name in names]


def drive(route: Route, results: Sequence[AttemptResult]) -> list[Step]:
    """The steps that `route` asks for, told one result after another."""
    steps: list[Step] = []
    try:
        steps.append(next(route))
        for result in results:
            steps.append(route.send(result))
    except StopIteration:
        pass
    return steps


def tried(steps: Sequence[Step]) -> str:
    """The ids of the offers in `steps`, `.` for waiting on."""
    return "".join("." if step.offer is None else step.offer.id for step in steps)


def allowed() -> bool:
    """A budget without end."""
    return True


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], "a"),
        ([SERVED, SERVED], "a"),
        ([FINAL, FINAL], "a"),
        ([ELSEWHERE], "ab"),
        ([ELSEWHERE, SERVED, SERVED], "ab"),
        ([ELSEWHERE, FINAL, FINAL], "ab"),
        ([ELSEWHERE, ELSEWHERE], "abc"),
        ([ELSEWHERE, ELSEWHERE, ELSEWHERE], "abc"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_what_is_tried(
    results: list[AttemptResult], expected: str, deadline_s: float | None
) -> None:
    """Only a failure leads to the next offer, in their order, three times at most."""
    policy = RoutePolicy(deadline_s=deadline_s)
    assert tried(drive(attempts(offers("abcd"), policy, Seen(), 0), results)) == expected


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([UNTRANSLATED], "ab"),
        ([UNTRANSLATED, SERVED, SERVED], "ab"),
        ([UNTRANSLATED, FINAL, FINAL], "ab"),
        ([UNTRANSLATED] * 9, "abcdefyz"),
        ([UNTRANSLATED] * 6 + [SERVED], "abcdefy"),
        ([UNTRANSLATED] * 6 + [ELSEWHERE, UNTRANSLATED], "abcdefyz"),
        ([UNTRANSLATED] * 5 + [ELSEWHERE], "abcdef"),
        ([UNTRANSLATED, ELSEWHERE, UNTRANSLATED, ELSEWHERE, ELSEWHERE], "abcde"),
        ([ELSEWHERE, ELSEWHERE, UNTRANSLATED, UNTRANSLATED, ELSEWHERE], "abcde"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_what_cannot_be_asked_is_passed_over(
    results: list[AttemptResult], expected: str, deadline_s: float | None
) -> None:
    """An offer that cannot be asked is no attempt; the reserve is asked only when no other could be."""
    policy = RoutePolicy(deadline_s=deadline_s)
    route = attempts(offers("abcdef"), policy, Seen(), 0, in_reserve=lambda: offers("yz"))
    assert tried(drive(route, results)) == expected


def chain(*groups: str) -> list[Offer]:
    """Offers of a model, then those of its fallbacks."""
    return [
        replace(make_offer(offer_id=name), fallback=number)
        for number, names in enumerate(groups)
        for name in names
    ]


@pytest.mark.parametrize(
    ("n_attempts", "tries", "expected"),
    [
        (3, 1, "abcxyz"),
        (1, 1, "axyz"),
        (2, 1, "abxyz"),
        (3, 2, "abcxxyyzz"),
        (4, 4, "abcdxxxxyyyyzzzz"),
        (9, 2, "abcdabcdxxyyzz"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 600.0])
def test_each_fallback_can_be_reached(
    n_attempts: int, tries: int, expected: str, deadline_s: float | None
) -> None:
    """The model's own offers are tried as often as they may be, then those of each fallback are."""
    policy = RoutePolicy(attempts=n_attempts, tries_per_offer=tries, deadline_s=deadline_s)
    route = attempts(chain("abcd", "x", "y", "z"), policy, Seen(), 0)
    assert tried(drive(route, [ELSEWHERE] * 30)) == expected


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([UNTRANSLATED, ELSEWHERE, ELSEWHERE, ELSEWHERE], "abbb"),
        ([ELSEWHERE, UNTRANSLATED, ELSEWHERE, ELSEWHERE], "abaa"),
        ([UNTRANSLATED, UNTRANSLATED, UNTRANSLATED], "ab"),
    ],
)
def test_what_cannot_be_asked_is_not_asked_again(
    results: list[AttemptResult], expected: str
) -> None:
    """An offer that cannot express the request is not asked again, however often it might be tried."""
    policy = RoutePolicy(attempts=9, tries_per_offer=3)
    assert tried(drive(attempts(offers("ab"), policy, Seen(), 0), results)) == expected


def test_the_first_that_can_be_asked_is_so_whatever_its_breaker_says() -> None:
    """The first offer that can be asked is tried with its breaker open: no better one was found."""
    for deadline_s in (None, 60.0):
        policy, sight = RoutePolicy(deadline_s=deadline_s), Seen(retry={"b": 1, "c": 1})
        route = attempts(offers("abc"), policy, sight, 0)
        assert tried(drive(route, [UNTRANSLATED, ELSEWHERE])) == "ab"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([LACKS], "ab"),
        ([LACKS, SERVED, SERVED], "ab"),
        ([LACKS, LACKS, LACKS], "ab"),
        ([LACKS, ELSEWHERE, ELSEWHERE, ELSEWHERE], "abbb"),
        ([ELSEWHERE, LACKS, ELSEWHERE, ELSEWHERE], "abaa"),
    ],
)
def test_what_lacks_something_is_not_asked_again(
    results: list[AttemptResult], expected: str
) -> None:
    """An offer that lacks something counts as an attempt, and another may have it."""
    policy = RoutePolicy(attempts=9, tries_per_offer=3)
    assert tried(drive(attempts(offers("ab"), policy, Seen(), 0), results)) == expected
    if ELSEWHERE not in results:
        assert tried(drive(attempts(offers("ab"), RoutePolicy(), Seen(), 0), results)) == expected


@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_without_offers_nothing_is_tried(deadline_s: float | None) -> None:
    """Without an offer a route is empty."""
    policy = RoutePolicy(deadline_s=deadline_s)
    assert drive(attempts([], policy, Seen(), 0), [ELSEWHERE]) == []


def test_an_offer_that_opened_meanwhile_is_passed_over() -> None:
    """Between two attempts of one call other calls may have found the next offer broken."""
    sight = Seen(retry={"b": 1})
    assert tried(drive(attempts(offers("abc"), RoutePolicy(), sight, 0), [ELSEWHERE])) == "ac"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([UNREAD], "aa"),
        ([UNREAD, SERVED, SERVED], "aa"),
        ([UNREAD, FINAL, FINAL], "aa"),
        ([UNREAD, UNREAD], "aab"),
        ([UNREAD, ELSEWHERE], "aab"),
        ([UNREAD, ELSEWHERE, UNREAD, ELSEWHERE], "aabb"),
        ([ELSEWHERE, UNREAD, UNREAD, UNREAD], "abb"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_what_nobody_has_read_is_asked_once_more(
    results: list[AttemptResult], expected: str, deadline_s: float | None
) -> None:
    """The same offer, at once, and not counted among the two attempts; its second failure is one."""
    policy = RoutePolicy(attempts=2, deadline_s=deadline_s)
    steps = drive(attempts(offers("abc"), policy, Seen(), 0), results)
    assert tried(steps) == expected
    assert not any(step.wait_ns for step in steps)


def test_what_nobody_has_read_is_not_asked_after_the_deadline() -> None:
    """Nor where the offer's breaker has opened meanwhile: then another is asked."""
    sight = Seen()
    route = attempts(offers("ab"), RoutePolicy(deadline_s=2.0), sight, 0)
    next(route)
    sight.retry["a"] = 1
    step = route.send(UNREAD)
    assert step.offer is not None
    assert step.offer.id == "b"
    sight.now = 2000 * MS
    with pytest.raises(StopIteration):
        route.send(UNREAD)


@pytest.mark.parametrize(
    ("chance", "waits_ms"),
    [(0.0, [0, 200, 400, 800]), (0.5, [0, 100, 200, 400]), (0.75, [0, 50, 100, 200])],
)
def test_the_same_offer_again_after_a_wait(chance: float, waits_ms: list[int]) -> None:
    """Each further try waits twice as long, less what chance takes off."""
    policy = RoutePolicy(attempts=4, tries_per_offer=4)
    steps = drive(attempts(offers("a"), policy, Seen(chance=chance), 0), [ELSEWHERE] * 9)
    assert [step.wait_ns for step in steps] == [wait * MS for wait in waits_ms]


def test_all_others_come_before_an_offer_is_tried_again() -> None:
    """A second round begins when every offer has failed once."""
    policy = RoutePolicy(attempts=5, tries_per_offer=2)
    steps = drive(attempts(offers("abc"), policy, Seen(), 0), [ELSEWHERE] * 9)
    assert tried(steps) == "abcab"
    assert [step.wait_ns > 0 for step in steps] == [False, False, False, True, True]


def test_an_upstream_that_says_when_is_waited_for() -> None:
    """`retry-after` is the least wait before the offer that said so; another's wait stays its own."""
    policy = RoutePolicy(attempts=4, tries_per_offer=2)
    later = AttemptResult(AttemptOutcome.ELSEWHERE, 3000 * MS)
    steps = drive(attempts(offers("ab"), policy, Seen(), 0), [later, ELSEWHERE, ELSEWHERE])
    assert [(step.wait_ns // MS) for step in steps] == [0, 0, 3000, 200]


@pytest.mark.parametrize(
    ("policy", "retry_after_s", "expected"),
    [
        (RoutePolicy(tries_per_offer=2), 9, "aa"),
        (RoutePolicy(tries_per_offer=2), 11, "a"),
        (RoutePolicy(tries_per_offer=2, deadline_s=5.0), 4, "aa"),
        (RoutePolicy(tries_per_offer=2, deadline_s=5.0), 6, "a"),
    ],
)
def test_a_wait_that_is_too_long_is_not_made(
    policy: RoutePolicy, retry_after_s: int, expected: str
) -> None:
    """Beyond ten seconds, or the deadline, a client is told rather than kept."""
    result = AttemptResult(AttemptOutcome.ELSEWHERE, retry_after_s * 1000 * MS)
    assert tried(drive(attempts(offers("a"), policy, Seen(), 0), [result])) == expected


def test_nothing_is_tried_after_the_deadline() -> None:
    """The deadline counts from the call's arrival; each attempt is given what is left of it."""
    sight = Seen(now=1000 * MS)
    route = attempts(offers("abc"), RoutePolicy(deadline_s=2.0), sight, 0)
    assert next(route).slow_after_ns == 1000 * MS
    sight.now = 1800 * MS
    assert route.send(ELSEWHERE).slow_after_ns == 200 * MS
    sight.now = 2000 * MS
    with pytest.raises(StopIteration):
        route.send(ELSEWHERE)


def test_a_slow_call_ends_at_its_deadline() -> None:
    """Silence until the deadline ends the route, with the attempt still running."""
    sight = Seen()
    route = attempts(offers("ab"), RoutePolicy(deadline_s=2.0), sight, 0)
    next(route)
    sight.now = 2000 * MS
    with pytest.raises(StopIteration):
        route.send(SLOW)


def hedging(
    names: str = "abc", may_hedge: Callable[[], bool] = allowed, *, n: int = 3, tries: int = 1
) -> Route:
    """A route that hedges after 100 ms."""
    policy = RoutePolicy(hedge_after_ms=100.0, attempts=n, tries_per_offer=tries)
    return attempts(offers(names), policy, Seen(), 0, may_hedge)


UNREAD_BY_A = AttemptResult(AttemptOutcome.ELSEWHERE, None, make_offer(offer_id="a"), unread=True)
FAILED = {
    name: AttemptResult(AttemptOutcome.ELSEWHERE, None, make_offer(offer_id=name)) for name in "abc"
}
UNSAID_BY = {
    name: AttemptResult(AttemptOutcome.UNTRANSLATED, None, make_offer(offer_id=name))
    for name in "abc"
}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([SERVED], "a"),
        ([SLOW], "ab"),
        ([SLOW, SERVED], "ab"),
        ([SLOW, SLOW, SLOW], "ab.."),
        ([SLOW, FAILED["a"], SERVED], "ab."),
        ([SLOW, FAILED["b"], SERVED], "ab."),
        ([SLOW, FAILED["b"], FAILED["a"]], "ab.c"),
        ([SLOW, FAILED["a"], FAILED["b"], SLOW], "ab.c."),
        ([ELSEWHERE, SLOW], "abc"),
        ([ELSEWHERE, ELSEWHERE, SLOW], "abc."),
        ([SLOW, UNREAD_BY_A, SLOW], "aba."),
        ([SLOW, UNREAD_BY_A, UNREAD_BY_A, FAILED["b"]], "aba.c"),
        ([UNREAD, SLOW, FAILED["a"], SERVED], "aab."),
        ([UNTRANSLATED, SLOW, SERVED], "abc"),
        ([SLOW, UNSAID_BY["b"], SLOW, SERVED], "abc."),
        ([SLOW, UNSAID_BY["b"], UNSAID_BY["c"], SERVED], "abc."),
        ([SLOW, UNSAID_BY["b"], FAILED["a"], SERVED], "abc."),
        ([UNTRANSLATED, UNTRANSLATED, SLOW, ELSEWHERE], "abc."),
    ],
)
def test_a_slow_call_is_hedged_once(results: list[AttemptResult], expected: str) -> None:
    """A second offer races the first; nobody else is tried while either of them runs."""
    assert tried(drive(hedging(), results)) == expected


def test_a_hedge_needs_an_offer_a_budget_and_an_attempt() -> None:
    """Without any of them a slow call is waited for, and a budget that is not needed is not spent."""
    asked: list[str] = []

    def refuse() -> bool:
        asked.append("")
        return False

    assert tried(drive(hedging("a", refuse, tries=3), [SLOW])) == "a."
    assert tried(drive(hedging("ab", refuse, n=1), [SLOW])) == "a."
    assert asked == []
    assert tried(drive(hedging("ab", refuse), [SLOW, SLOW])) == "a.."
    assert len(asked) == 1


def test_the_hedging_delay_is_given_to_the_driver() -> None:
    """Before the hedge the delay, after it only what a deadline leaves."""
    steps = drive(hedging(), [SLOW, SLOW])
    assert [step.slow_after_ns for step in steps] == [100 * MS, None, None]


@given(
    st.lists(
        st.sampled_from([SERVED, FINAL, ELSEWHERE, LACKS, UNREAD, UNTRANSLATED, SLOW]), max_size=12
    ),
    st.integers(0, 4),
    st.integers(1, 5),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_route_keeps_its_bounds(
    results: list[AttemptResult], n_offers: int, n_attempts: int, tries: int, hedges: bool
) -> None:
    """No more attempts than allowed, at most two at once, nothing after the end.

    What nobody has read comes on top of them, for each offer once.
    """
    policy = RoutePolicy(attempts=n_attempts, tries_per_offer=tries, hedge_after_ms=1.0)
    route = attempts(offers("abcd"[:n_offers]), policy, Seen(), 0, allowed if hedges else None)
    names, running, ended = [], 0, False
    step = next(route, None)
    for result in results:
        if step is None:
            break
        assert not ended, "nothing follows an answer"
        if step.offer is not None:
            names.append(step.offer.id)
            running += 1
        assert 1 <= running <= (2 if hedges else 1)
        running -= result.outcome in (
            AttemptOutcome.ELSEWHERE,
            AttemptOutcome.LACKS,
            AttemptOutcome.UNTRANSLATED,
        )
        ended = result in (SERVED, FINAL)
        try:
            step = route.send(result)
        except StopIteration:
            step = None
    unread = results.count(UNREAD)
    assert len(names) <= n_attempts + unread + results.count(UNTRANSLATED)
    assert all(names.count(name) <= tries + bool(unread) for name in names)
