"""Breakers: whose failures open one, when it lets a call pass, and that it never locks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.routing.health import Breaker, BreakerState
from inferworks.cloud.routing.policy import BreakerPolicy

S = 1_000_000_000
MS = 1_000_000
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
POLICY = BreakerPolicy(
    failures_in_row=3, failure_share=0.5, least_calls=10, window_s=20.0, cool_down_s=2.0,
    longest_cool_down_s=8.0,
)  # fmt: skip


def told(*events: tuple[float, str], policy: BreakerPolicy = POLICY) -> Breaker:
    """A breaker after `events`: when (in seconds) and what; each call begins and ends at once."""
    breaker = Breaker(policy)
    for at_s, what in events:
        now_ns = round(at_s * S)
        match what.split():
            case ["ok"]:
                breaker.began(now_ns)
                breaker.succeeded(now_ns, now_ns)
            case ["fail"]:
                breaker.began(now_ns)
                breaker.failed(now_ns, now_ns)
            case ["begin"]:
                breaker.began(now_ns)
            case ["late", "ok"]:
                breaker.succeeded(0, now_ns)
            case ["late", "fail"]:
                breaker.failed(0, now_ns)
            case ["wait", seconds]:
                breaker.told_to_wait(now_ns, round(float(seconds) * S))
    return breaker


THREE = [(1.0, "fail"), (1.1, "fail"), (1.2, "fail")]
"""Opens at 1.2 s for 2 s."""


@pytest.mark.parametrize(
    ("events", "at_s", "state"),
    [
        ([], 0.0, CLOSED),
        (THREE[:2], 1.2, CLOSED),
        (THREE, 1.2, OPEN),
        (THREE, 3.19, OPEN),
        (THREE, 3.2, HALF_OPEN),
        ([*THREE[:2], (1.15, "ok"), THREE[2]], 1.3, CLOSED),
        ([*THREE, (3.2, "begin")], 3.3, OPEN),
        ([*THREE, (3.2, "begin")], 5.2, HALF_OPEN),
        ([*THREE, (3.2, "ok")], 3.2, CLOSED),
        ([*THREE, (3.2, "fail")], 7.1, OPEN),
        ([*THREE, (3.2, "fail")], 7.2, HALF_OPEN),
        ([*THREE, (3.2, "fail"), (7.2, "fail")], 15.1, OPEN),
        ([*THREE, (3.2, "fail"), (7.2, "fail")], 15.2, HALF_OPEN),
        ([*THREE, (3.2, "fail"), (7.2, "fail"), (15.2, "fail")], 23.2, HALF_OPEN),
        ([*THREE, (3.2, "fail"), (7.2, "ok"), (8.0, "fail")], 8.0, CLOSED),
        ([*THREE, (3.2, "ok"), (4, "fail"), (4, "fail"), (4, "fail")], 6.0, HALF_OPEN),
        ([*THREE, (1.5, "late ok")], 1.5, OPEN),
        ([*THREE, (3.0, "late fail")], 3.2, HALF_OPEN),
        ([(1.0, "wait 5")], 5.9, OPEN),
        ([(1.0, "wait 5")], 6.0, CLOSED),
        ([(1.0, "wait 5"), (2.0, "wait 1")], 5.9, OPEN),
        ([(1.0, "wait 5"), (6.0, "ok")], 6.0, CLOSED),
        ([*THREE, (1.3, "wait 9")], 10.2, OPEN),
        ([*THREE, (1.3, "wait 9")], 10.3, HALF_OPEN),
    ],
)
def test_when_a_breaker_is_open(
    events: list[tuple[float, str]], at_s: float, state: BreakerState
) -> None:
    """A breaker opens on failures in a row, probes with one call, doubles its pause, closes on success."""
    breaker = told(*events)
    now_ns = round(at_s * S)
    assert breaker.state(now_ns) is state
    assert breaker.passes(now_ns) is (state is not OPEN)


@pytest.mark.parametrize(
    ("pattern", "seconds", "state"),
    [
        ("ok fail " * 4 + "ok", 0.1, CLOSED),
        ("ok fail " * 5, 0.1, OPEN),
        ("ok ok fail " * 9, 0.1, CLOSED),
        ("ok fail " * 5, 9.0, CLOSED),
    ],
)
def test_a_share_of_failures_opens_too(pattern: str, seconds: float, state: BreakerState) -> None:
    """Half of at least ten calls in a window, even when no three fail in a row."""
    events = [(n * seconds, what) for n, what in enumerate(pattern.split(), start=1)]
    assert told(*events).state(round(events[-1][0] * S)) is state


def test_only_one_probe_at_a_time() -> None:
    """The first call through a half-open breaker holds the others off, for one cool-down at most."""
    breaker = told(*THREE)
    at_ns = round(3.2 * S)
    assert breaker.passes(at_ns)
    breaker.began(at_ns)
    assert not breaker.passes(at_ns + 1)
    assert breaker.passes(at_ns + 2 * S), "a probe whose client left does not block for ever"


@given(st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(["ok", "fail", "wait 1"]))))
def test_a_breaker_never_locks(events: list[tuple[int, str]]) -> None:
    """A call passes again within the longest cool-down, and its success closes the breaker."""
    now_s, sequence = 0.0, []
    for step_ms, what in events:
        now_s += step_ms / 1000
        sequence.append((now_s, what))
    breaker = told(*sequence)
    later_ns = round((now_s + POLICY.longest_cool_down_s) * S) + 1
    assert breaker.passes(later_ns)
    breaker.began(later_ns)
    breaker.succeeded(later_ns, later_ns)
    assert breaker.state(later_ns) is CLOSED


def key_of(name: str) -> tuple[str, str]:
    """A key by name, whose first letter is its customer's."""
    return name[0], name


def calls(*events: tuple[str, int | None], step_ms: int = 100) -> Breaker:
    """A breaker after calls of keys: the body that failed there, None for one that was answered."""
    breaker = Breaker(POLICY)
    for number, (key, body) in enumerate(events, start=1):
        now_ns = number * step_ms * MS
        breaker.began(now_ns)
        if body is None:
            breaker.succeeded(now_ns, now_ns, key_of(key))
        else:
            breaker.failed(now_ns, now_ns, key_of(key), body)
    return breaker


@pytest.mark.parametrize(
    ("events", "closed"),
    [
        ([("a", 1)] * 50, True),
        ([("a", 1), ("a", 2)] * 25, True),
        ([("a", 1), ("a", 2), ("a", 3)], False),
        ([("b", None), *[("a", n) for n in range(50)]], True),
        ([*[("a", n) for n in range(2)], ("b", None), *[("a", n) for n in range(2, 50)]], True),
        ([("b", None), *[("a", n) for n in range(50)], ("b", 50)], False),
        ([("a", 1), ("b", 1), ("c", 1)], True),
        ([("a", 1), ("b", 2), ("c", 3)], False),
        ([("b", None), ("c", None), ("d", None), ("a", 1), ("a", 2), ("a", 3), ("e", 4)], True),
        ([("b", None), ("c", None), ("a", 1), ("b", 2), ("a", 3)], False),
        ([("b", None), *[(f"a{n % 9}", n) for n in range(50)]], True),
        ([("a0", None), *[("a1", n) for n in range(50)]], True),
        ([("a0", None), ("a1", 1), ("a2", 2), ("a3", 3)], False),
    ],
)
def test_whose_failures_open_a_breaker(events: list[tuple[str, int | None]], closed: bool) -> None:
    """A body counts once, and where several call, half of them must fail and more than one."""
    assert calls(*events).closed is closed


def test_a_key_that_has_left_is_not_waited_for() -> None:
    """Failures of the only key that has called in a window are all that is known."""
    breaker = calls(("b", None))
    began_ns = round(POLICY.window_s * S) + 2 * S
    for n in range(3):
        breaker.failed(began_ns + n, began_ns + n, key_of("a"), n)
    assert not breaker.closed


def test_what_never_reached_the_offer_is_nobodys_doing() -> None:
    """A refused connection opens it whoever called, though others were just answered."""
    breaker = calls(("b", None), ("c", None))
    for now_ns in (S, S + 1, S + 2):
        breaker.failed(now_ns, now_ns, key_of("a"))
    assert not breaker.closed


HOSTILE = st.one_of(st.integers(0, 100_000), st.just(None))


@pytest.mark.slow
@given(
    st.lists(st.tuples(HOSTILE, st.integers(0, 300), st.integers(0, 5)), max_size=300),
    st.integers(1, 19),
)
def test_one_customer_never_shuts_out_another(
    events: list[tuple[int | None, int, int]], every_s: int
) -> None:
    """The breaker stays closed while B is answered, whatever A sends, by however many keys."""
    breaker, now_ns, next_b_ns = Breaker(POLICY), S, S
    for body, step_ms, number in [(None, 0, 0), *events]:
        now_ns += step_ms * MS
        while next_b_ns <= now_ns:
            breaker.succeeded(next_b_ns, next_b_ns, key_of("b"))
            next_b_ns += every_s * S // 2
        if body is None:
            breaker.succeeded(now_ns, now_ns, key_of(f"a{number}"))
        else:
            breaker.failed(now_ns, now_ns, key_of(f"a{number}"), body)
        assert breaker.closed


def test_a_breaker_stays_small() -> None:
    """A million hostile bodies of as many keys are not all remembered."""
    breaker = calls(("b", None))
    for n in range(20_000):
        breaker.succeeded(S, S, key_of(f"key-{n}"))
        breaker.failed(S, S, key_of(f"key-{n}"), n)
    kept = len(breaker._failing) + len(breaker._span.callers) + len(breaker._span.bodies)
    assert kept <= 3 * 1024
