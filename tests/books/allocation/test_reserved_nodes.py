"""Reserved nodes: whoever a customer counts as bears the time in which nobody used its node."""

from __future__ import annotations

import pytest

from inferworks.accounts.directory import ALONE, Directory, Merge
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.reserved_nodes import reservers, unmerged, unused_ns
from inferworks.books.calendar.span import Span
from inferworks.catalog.load import model_catalog
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.testing.books import an_activity, an_interval

ACME, BURNS = CustomerId("acme"), CustomerId("burns")
SPAN = Span(0, 100)


def drivers(*merges: tuple[CustomerId, int, CustomerId]) -> Drivers:
    """A node for 100 ns: a replica idle for 20 of its first 40, gradient descent from 50 to 60."""
    facts = Facts(
        (),
        (),
        an_interval((0, 40), {State.ACTIVE: 20, State.IDLE: 15, State.LOADING: 5}),
        (an_activity("descent", "node-1", (50, 60), 10),),
    )
    customers = Directory(tuple(Merge(*merge) for merge in merges)) if merges else ALONE
    return Drivers(facts, model_catalog(), customers=customers)


@pytest.mark.parametrize(
    ("span", "unused"),
    [(SPAN, 70), (Span(0, 40), 20), (Span(40, 100), 50), (Span(50, 60), 0), (Span(60, 60), 0)],
)
def test_unused_time_has_no_active_replica_and_no_activity(span: Span, unused: int) -> None:
    """Idle and loading replicas are unused, and so is a node with nothing on it."""
    assert unused_ns(drivers(), "node-1", span) == unused


def test_a_node_that_nobody_used_is_unused_all_the_time() -> None:
    """Known or not."""
    assert unused_ns(drivers(), "node-2", SPAN) == 100


def test_a_span_is_cut_where_customers_are_merged() -> None:
    """Only within it."""
    customers = drivers((BURNS, 0, ACME), (BURNS, 30, BURNS), (ACME, 100, BURNS)).customers
    assert list(unmerged(customers, SPAN)) == [Span(0, 30), Span(30, 100)]
    assert list(unmerged(ALONE, SPAN)) == [SPAN]


def test_a_customer_bears_the_unused_time_of_its_node() -> None:
    """Alone, so no time has to be weighed, also where there is none."""
    assert reservers(drivers(), ACME, "node-1", SPAN) == {("reserver", "acme"): 1}
    assert reservers(drivers(), ACME, "node-1", Span(50, 60)) == {("reserver", "acme"): 1}


def test_a_merger_within_the_span_divides_the_unused_time() -> None:
    """20 ns before 40, 50 after: the first is acme's own, the second that of burns."""
    merged = drivers((ACME, 40, BURNS))
    assert reservers(merged, ACME, "node-1", SPAN) == {
        ("reserver", "acme"): 20,
        ("reserver", "burns"): 50,
    }
    assert reservers(merged, BURNS, "node-1", SPAN) == {("reserver", "burns"): 1}
    assert reservers(merged, ACME, "node-1", Span(0, 40)) == {("reserver", "acme"): 1}


def test_whoever_bears_no_unused_time_bears_nothing() -> None:
    """The merger came when gradient descent began: all of the rest is before or after it."""
    merged = drivers((ACME, 50, BURNS), (ACME, 60, ACME))
    assert reservers(merged, ACME, "node-1", SPAN) == {("reserver", "acme"): 70}
