"""Routes, driven by hand: a list of verdicts in, the offers that were tried out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.offer import Load, Offer
from inferworks.cloud.route import Route, Verdict, least_loaded
from inferworks.testing.providers import make_offer

SERVED, FINAL, ELSEWHERE = Verdict.SERVED, Verdict.FINAL, Verdict.ELSEWHERE


def drive(route: Route, verdicts: Sequence[Verdict]) -> list[str]:
    """The ids of the offers that `route` tries, told one verdict after another."""
    tried: list[str] = []
    try:
        tried.append(next(route).id)
        for verdict in verdicts:
            tried.append(route.send(verdict).id)
    except StopIteration:
        pass
    return tried


def offers(*names: str) -> list[Offer]:
    """Offers of these ids."""
    return [make_offer(offer_id=name) for name in names]


@pytest.mark.parametrize(
    ("running", "verdicts", "tried"),
    [
        ({}, [], "a"),
        ({}, [SERVED, SERVED], "a"),
        ({}, [FINAL, FINAL], "a"),
        ({}, [ELSEWHERE], "ab"),
        ({}, [ELSEWHERE, SERVED, SERVED], "ab"),
        ({}, [ELSEWHERE, FINAL, FINAL], "ab"),
        ({}, [ELSEWHERE, ELSEWHERE], "abc"),
        ({}, [ELSEWHERE, ELSEWHERE, ELSEWHERE], "abc"),
        ({"a": 1}, [ELSEWHERE, ELSEWHERE, ELSEWHERE], "bcd"),
        ({"a": 2, "b": 1, "c": 3}, [ELSEWHERE, ELSEWHERE], "dba"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, [ELSEWHERE], "ab"),
    ],
)
def test_what_is_tried(running: dict[str, int], verdicts: list[Verdict], tried: str) -> None:
    """The least loaded comes first, ties by id; only a failure leads elsewhere, three times at most."""
    route = least_loaded(offers("d", "b", "c", "a"), lambda offer: running.get(offer.id, 0))
    assert drive(route, verdicts) == list(tried)


def test_without_offers_nothing_is_tried() -> None:
    """A model without a ready replica has an empty route."""
    assert drive(least_loaded([], lambda offer: 0), [ELSEWHERE]) == []


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 3), max_size=6),
    st.lists(st.sampled_from(Verdict), max_size=8),
    st.integers(1, 5),
)
def test_a_route_is_short_and_never_repeats(
    running: dict[str, int], verdicts: list[Verdict], attempts: int
) -> None:
    """No offer is tried twice, nothing follows a served or final attempt, the bound holds."""
    route = least_loaded(offers(*running), lambda offer: running[offer.id], attempts=attempts)
    tried = drive(route, verdicts)
    stopped = next((i for i, v in enumerate(verdicts) if v is not ELSEWHERE), len(verdicts))
    assert len(tried) == len(set(tried))
    assert len(tried) == min(len(running), attempts, stopped + 1)
    assert [running[name] for name in tried] == sorted(running[name] for name in tried)


def test_load_counts_what_is_running() -> None:
    """Calls at an offer are counted while they run, and forgotten after an exception too."""
    load = Load()
    first, second = offers("a", "b")
    with load.one_more(first), load.one_more(first), load.one_more(second):
        assert (load.at(first), load.at(second)) == (2, 1)
    with pytest.raises(RuntimeError), load.one_more(first):
        raise RuntimeError
    assert (load.at(first), load.at(second)) == (0, 0)


@given(st.integers(0, 20))
def test_spreading_keeps_the_load_even(arrivals: int) -> None:
    """Calls that start one after another differ by one between two equal offers at most."""
    load = Load()
    both = offers("a", "b")
    held = []
    for _ in range(arrivals):
        offer = next(least_loaded(both, load.at))
        place = load.one_more(offer)
        place.__enter__()
        held.append(place)
        assert abs(load.at(both[0]) - load.at(both[1])) <= 1
    for place in held:
        place.__exit__(None, None, None)
    assert load.at(both[0]) == load.at(both[1]) == 0
