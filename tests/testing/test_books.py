"""Builders for the books make facts that hold together, and random worlds keep the meter's promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings

from inferworks.books.bills.base import BillFile, Progress, bill_file
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.charge import Charge
from inferworks.books.currency import NO_RATES, Rates
from inferworks.meter.capacity import State
from inferworks.meter.usage import Tokens
from inferworks.testing.books import (
    Dice,
    World,
    a_charge,
    a_company,
    a_leg,
    a_shift,
    a_step,
    a_usage,
    an_activity,
    an_interval,
    check_bill_reader,
    spans,
    token_counts,
    worlds,
)

GOOD = bill_file(
    "bill.csv",
    b"BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory\n"
    b"10.00,USD,2026-11-21T00:00:00Z,2026-11-22T00:00:00Z,A Cloud,Compute\n"
    b"1.00,USD,2026-11-22T00:00:00Z,2026-11-23T00:00:00Z,A Cloud,Networking\n",
)


def test_a_charge_is_exact_and_known_by_its_line() -> None:
    """The last picounit is kept; two lines of one invoice have two ids, whatever else they say."""
    one = a_charge("a", "0.000000000001", (0, 1))
    assert one.amount_pico == 1
    assert one.id == a_charge("a", "5", (3, 9)).id
    assert one.id != a_charge("b", "0.000000000001", (0, 1)).id
    assert one.id != a_charge("a", "1", (0, 1), provider="b-cloud").id
    assert a_charge("a", "-2.5", (0, 1), currency="EUR").currency == "EUR"


def test_a_shift_is_of_a_node_or_of_an_activity() -> None:
    """Ten minutes on a time sheet."""
    node, activity = (
        a_shift("a", "1", (0, 1), node="n"),
        a_shift("a", "1", (0, 1), node=None, activity="x"),
    )
    assert (node.resource_id, activity.resource_id) == ("n", "x")
    assert node.resource_type != activity.resource_type
    assert (node.quantity, node.unit) == ("10", "Minutes")


def test_builders_take_any_field() -> None:
    """A test names its subject; the rest is filled in."""
    usage = a_usage("c", customer="acme", sent_bytes=7, legs=[a_leg(None, (1, 2), Tokens(1, 2))])
    assert (usage.request_bytes, usage.response_bytes, usage.closed_ns) == (7, 7, 1)
    assert usage.legs[0].replica is None
    assert a_usage("c", status=500).status == 500
    assert an_activity("a", "disk", (1, 2), 3, customer="acme").customer == "acme"
    step = a_step(4, 10, 5, [("c", 1, 2, 3)], replica="r")
    assert [(call.call_id, call.prefill_tokens) for call in step.calls] == [("c", 1)]
    rows = an_interval((0, 10), {State.ACTIVE: 4, State.IDLE: 6})
    assert [(row.state, row.duration_ns) for row in rows] == [(State.ACTIVE, 4), (State.IDLE, 6)]


class Reader(FocusBillReader):
    """The reader of FOCUS files, with a fault."""

    def __init__(self, spoil: Callable[[tuple[Charge, ...]], tuple[Charge, ...]]) -> None:
        super().__init__()
        self.spoil = spoil

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """Read the bill, and spoil what was read."""
        return self.spoil(super().read(bill, currency, progress, rates))


class TakesEverything(FocusBillReader):
    """Recognises any file."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True."""
        return True


class TakesNothing(FocusBillReader):
    """Recognises no file."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Return False."""
        return False


def in_turns() -> Callable[[tuple[Charge, ...]], tuple[Charge, ...]]:
    """A fault that shows only at every other reading."""
    readings: list[int] = []

    def spoil(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
        readings.append(1)
        return charges[:: 1 if len(readings) % 2 else -1]

    return spoil


def test_a_good_reader_passes() -> None:
    """The reader of FOCUS files keeps all promises."""
    check_bill_reader(FocusBillReader(), GOOD, "USD")
    check_bill_reader(Reader(lambda charges: charges), GOOD, "USD")


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        (TakesEverything(), "recognises anything"),
        (TakesNothing(), "does not recognise its own header"),
        (Reader(in_turns()), "read twice, read differently"),
    ],
)
def test_a_reader_that_breaks_a_promise_is_found(reader: FocusBillReader, words: str) -> None:
    """The assertion says the promise."""
    with pytest.raises(AssertionError, match=words):
        check_bill_reader(reader, GOOD, "USD")


def test_dice_land_on_the_ends_more_often() -> None:
    """A fifth of the numbers and more are the least or the greatest; none lies beyond them."""
    its = Dice(1)
    found = [its.number(0, 1000) for _ in range(200)]
    assert {0, 1000} <= set(found) <= set(range(1001))
    assert sum(number in (0, 1000) for number in found) > 20
    assert [its.number(5, 5) for _ in range(3)] == [5, 5, 5]
    assert [Dice(7).amount() for _ in range(3)] == [Dice(7).amount()] * 3


@settings(max_examples=20)
@given(token_counts(), spans())
def test_counts_do_not_contradict_themselves(tokens: Tokens, span: tuple[int, int]) -> None:
    """Parts are no more than the whole; a span has a nanosecond at least."""
    assert tokens.cache_read + tokens.cache_write <= tokens.input <= 500
    assert tokens.cache_write_1h <= tokens.cache_write
    assert tokens.input_audio + tokens.input_image <= tokens.input
    assert tokens.output_audio + tokens.output_image <= tokens.output
    assert tokens.reasoning <= tokens.output <= 500
    assert span[0] < span[1]


@settings(max_examples=20)
@given(worlds())
def test_a_random_world_keeps_the_meter_s_promises(world: World) -> None:
    """States fill each interval; steps of a replica follow each other, numbered; names are unique."""
    facts = world.facts
    intervals: defaultdict[tuple[str, int, int], int] = defaultdict(int)
    for row in facts.capacity:
        assert row.duration_ns >= 0
        intervals[row.replica, row.start_ns, row.end_ns] += row.duration_ns
    for (_, start_ns, end_ns), filled_ns in intervals.items():
        assert filled_ns == end_ns - start_ns > 0
    ended: dict[str, int] = {}
    counted: dict[str, int] = defaultdict(int)
    for step in facts.steps:
        assert step.seq == counted[step.replica]
        assert step.start_ns >= ended.get(step.replica, 0)
        counted[step.replica] += 1
        ended[step.replica] = step.start_ns + step.duration_ns
    for names in (
        [charge.id for charge in world.charges],
        [usage.call_id for usage in facts.usages],
        [activity.id for activity in facts.activities],
        [plan.customer for plan in world.plans],
    ):
        assert len(set(names)) == len(names)
    assert any(charge.line == "machine" for charge in world.charges), "there is one charge at least"


def test_a_company_is_what_its_docstring_says() -> None:
    """22 were billed; a replica is on the machine for 800 ns, the disk is 3 : 1, bytes are 6 : 2 : 2."""
    charges, facts, plans = a_company()
    assert sum(charge.amount_pico for charge in charges) == 22 * 10**12
    assert sum(row.duration_ns for row in facts.capacity) == 800
    assert [step.duration_ns for step in facts.steps] == [300, 100]
    used = {one.id: one.quantity for one in facts.activities}
    assert used == {"corpus": 3_000, "files": 1_000, "descent": 100}
    assert [usage.request_bytes for usage in facts.usages] == [30, 0, 10, 10]
    assert [plan.customer for plan in plans] == ["acme", "burns"]
