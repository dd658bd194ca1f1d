"""Names of customers at a moment, and merges of customers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import CustomerFact
from inferworks.accounts.directory import (
    ALONE,
    FOR_EVER_NS,
    Counted,
    Directory,
    Merge,
    Named,
    directory_of,
    refuse_circle,
)
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.errors import UserError
from inferworks.ids import CustomerId

ACME, BURNS, CORVID = (CustomerId(name) for name in ("acme", "burns", "corvid"))
DAY_NS = 86_400 * 10**9
MERGES = st.lists(
    st.builds(
        Merge,
        st.sampled_from([ACME, BURNS, CORVID]),
        st.integers(0, 9),
        st.sampled_from([ACME, BURNS, CORVID]),
    ),
    max_size=6,
)


def merged(*merges: tuple[CustomerId, int, CustomerId]) -> Directory:
    """A directory of these merges."""
    return Directory(tuple(Merge(*merge) for merge in merges))


def test_a_customer_counts_as_another_from_a_moment_until_another() -> None:
    """A merge of a customer with itself undoes what was before."""
    directory = merged((BURNS, 10, ACME), (BURNS, 20, BURNS))
    assert [directory.survivor(BURNS, at) for at in (9, 10, 19, 20)] == [BURNS, ACME, ACME, BURNS]
    assert directory.survivor(ACME, 15) == ACME
    assert directory.counted() == (Counted(BURNS, 10, 20, ACME),)


def test_merges_follow_each_other() -> None:
    """Customers that count as burns count as acme once burns does; the stretches of a customer adjoin."""
    directory = merged((CORVID, 10, BURNS), (BURNS, 20, ACME))
    assert [directory.survivor(CORVID, at) for at in (5, 10, 20)] == [CORVID, BURNS, ACME]
    assert directory.counted() == (
        Counted(BURNS, 20, FOR_EVER_NS, ACME),
        Counted(CORVID, 10, 20, BURNS),
        Counted(CORVID, 20, FOR_EVER_NS, ACME),
    )
    assert directory.moves() == (Merge(BURNS, 20, ACME), Merge(CORVID, 10, BURNS))


@settings(max_examples=20)
@given(MERGES, st.integers(0, 10))
def test_stretches_say_what_each_moment_says(merges: list[Merge], at_ns: int) -> None:
    """A customer counts as another in one stretch, whatever was recorded, circles included."""
    directory = Directory(tuple(sorted(merges, key=lambda merge: merge.from_ns)))
    for customer in (ACME, BURNS, CORVID):
        within = [
            one.survivor
            for one in directory.counted()
            if one.customer == customer and one.from_ns <= at_ns < one.until_ns
        ]
        survivor = directory.survivor(customer, at_ns)
        assert within == ([] if survivor == customer else [survivor])


@settings(max_examples=20)
@given(MERGES)
def test_circles_are_refused(merges: list[Merge]) -> None:
    """Of what is not refused every survivor stands on its own, at every moment."""
    directory = ALONE
    for merge in merges:
        try:
            refuse_circle(directory, merge)
        except UserError:
            continue
        every = sorted((*directory.merges, merge), key=lambda one: one.from_ns)
        directory = Directory(tuple(every))
    for at_ns in range(11):
        for customer in (ACME, BURNS, CORVID):
            survivor = directory.survivor(customer, at_ns)
            assert directory.into(survivor, at_ns) == survivor


def test_a_circle_that_would_close_later_is_refused() -> None:
    """The error names both and the day on which it would."""
    directory = merged((ACME, 20 * DAY_NS, BURNS))
    with pytest.raises(UserError, match="acme counts as burns itself from 1970-01-21"):
        refuse_circle(directory, Merge(BURNS, 10 * DAY_NS, ACME))


def test_edges_are_the_merges_within_a_span() -> None:
    """Each once, in order, between the ends."""
    directory = merged((BURNS, 10, ACME), (CORVID, 10, ACME), (BURNS, 15, BURNS))
    assert directory.edges_ns(5, 20) == [5, 10, 15, 20]
    assert directory.edges_ns(10, 15) == [10, 15]


def plan(customer: CustomerId, at_ns: int, currency: str = "USD") -> PricePlan:
    """A plan that is known by its currency."""
    return PricePlan(customer, at_ns, Terms(currency))


def test_a_merged_customer_has_no_plan_of_its_own() -> None:
    """A plan ends with the merge, is as it was after it, and callers pay by the other's meanwhile."""
    directory = merged((BURNS, 10, ACME), (BURNS, 20, BURNS))
    plans = (
        plan(ACME, 0, "AAA"),
        plan(ACME, 15, "AAB"),
        plan(BURNS, 0, "BBB"),
        plan(BURNS, 12, "BBC"),
    )
    own = {(one.customer, one.effective_ns): one.terms.currency for one in directory.plans(plans)}
    assert own == {
        (ACME, 0): "AAA", (ACME, 15): "AAB", (BURNS, 0): "BBB", (BURNS, 10): "BBB", (BURNS, 20): "BBC",
    }  # fmt: skip
    paid = {
        (one.customer, one.effective_ns): one.terms.currency
        for one in directory.plans_of_callers(plans)
    }
    assert paid[BURNS, 10] == "AAA"
    assert paid[BURNS, 15] == "AAB"
    assert paid[BURNS, 20] == "BBC"
    assert ALONE.plans(plans) == plans


def test_credit_counts_for_the_customer_that_its_buyer_has_become() -> None:
    """Credit bought before stays; values of others are the same."""
    directory = merged((BURNS, 10, ACME))
    early, late = (Credit(f"c{at}", BURNS, at, 5, "USD") for at in (9, 10))
    counted = directory.credits([early, late])
    assert counted[0] is early
    assert counted[1].customer == ACME


def test_names_are_shown_and_no_two_are_alike() -> None:
    """Of now; two of one name, and one that is the id of another, have their ids behind."""
    directory = Directory(
        names=(
            Named(ACME, 0, "Old"), Named(ACME, 10, "Same"), Named(BURNS, 0, "same"),
            Named(CORVID, 0, "acme"), Named(CORVID, 30, ""),
        )
    )  # fmt: skip
    assert directory.shown(20, [ACME, BURNS, CORVID]) == (
        (ACME, "Same (acme)"), (BURNS, "same (burns)"), (CORVID, "acme (corvid)"),
    )  # fmt: skip
    assert directory.shown(5, [ACME]) == ((ACME, "Old"),)
    assert (CORVID, "") not in directory.shown(30, [CORVID])
    assert directory.shown(30, [CORVID]) == ()


def test_notes_are_of_merges_that_matter_to_a_span() -> None:
    """Within it, or in the year before its end, unless undone before it."""
    directory = merged((BURNS, 400 * DAY_NS, ACME), (CORVID, 10 * DAY_NS, ACME))
    notes = list(directory.notes(500 * DAY_NS, 530 * DAY_NS))
    assert notes == ["burns counts as acme since 1971-02-05."]
    undone = merged((BURNS, 400 * DAY_NS, ACME), (BURNS, 450 * DAY_NS, BURNS))
    assert list(undone.notes(500 * DAY_NS, 530 * DAY_NS)) == []


def a_fact(customer: CustomerId, at_ns: int, **told: Any) -> CustomerFact:
    """A fact that holds from `at_ns` on."""
    return CustomerFact(customer=customer, effective_ns=at_ns, recorded_ns=99, by="ann", **told)


def test_a_directory_is_made_of_facts_in_order_of_time() -> None:
    """Each fact tells what it tells and no more; of one moment the last that was recorded holds."""
    facts = [
        a_fact(BURNS, 20, merged_into=ACME),
        a_fact(BURNS, 10, display_name="B"),
        a_fact(BURNS, 20, merged_into=CORVID),
        a_fact(ACME, 5, zone="Asia/Tokyo"),
    ]
    directory = directory_of(facts)
    assert [merge.into for merge in directory.merges] == [ACME, CORVID]
    assert directory.survivor(BURNS, 20) == CORVID
    assert [name.name for name in directory.names] == ["B"]
    assert [zone.zone for zone in directory.zones] == ["Asia/Tokyo"]
