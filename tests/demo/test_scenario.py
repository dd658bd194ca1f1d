"""The demo's parts: the plan, the bills, what is stored, the student."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from inferworks.books.bills.base import no_progress, open_bill
from inferworks.books.bills.detect import reader_for
from inferworks.books.calendar.span import Span
from inferworks.books.workspace.importing import readers
from inferworks.demo.bills import (
    CURRENCY,
    DATASETS,
    expected_bill_pico,
    write_bills,
)
from inferworks.demo.scenario import (
    ACME,
    BARGAIN,
    FEWEST_CALLS,
    FREE_TIER,
    Ending,
    planned,
    planned_from,
    price_of,
    rollouts,
)
from inferworks.demo.stored import StoredBytes
from inferworks.demo.training import CONTEXT, Student, descend, windows_of
from inferworks.planner.workload import Arrival, Workload
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND


@pytest.mark.parametrize("calls", [FEWEST_CALLS, 50, 400])
def test_a_plan_depends_on_the_seed_alone(calls: int) -> None:
    """The same calls in the same order; every customer calls, some leave, one at least is refused."""
    plan = planned(calls, 20, seed=3)
    assert plan == planned(calls, 20, seed=3) != planned(calls, 20, seed=4)
    assert len(plan) == calls
    assert {call.customer for call in plan} == {ACME.id, BARGAIN.id, FREE_TIER.id}
    endings = Counter(call.ending for call in plan)
    assert endings[Ending.LEFT]
    assert endings[Ending.ANSWERED] > calls * 0.8
    assert all(0 <= call.at_ns < 20 * NS_PER_SECOND for call in plan)


def test_a_trace_decides_times_and_lengths() -> None:
    """Each call has its arrival's time, and asks for exactly its number of tokens."""
    arrivals = tuple(Arrival(n * 1000, 50 + n, 7 + n) for n in range(12))
    plan = planned_from(Workload("w", arrivals), seed=1)
    for call, arrival in zip(plan, arrivals, strict=True):
        assert call.at_ns == arrival.at_ns
        if call.ending is Ending.ANSWERED:
            assert call.exact
            assert call.expected_tokens == (arrival.input_tokens, arrival.output_tokens)


def test_prices_put_a_profit_and_a_loss_beyond_doubt() -> None:
    """Acme brings in about the expected bill; bargain pays at most a hundredth of acme's price."""
    plan = planned(240, 20, seed=1)
    acme, bargain = price_of(ACME, plan, 20), price_of(BARGAIN, plan, 20)
    expected = [c.expected_tokens for c in plan if c.customer == ACME.id and c.ending == "answered"]
    revenue = sum(acme[0] * read + acme[1] * written for read, written in expected)
    assert 0.8 < revenue / expected_bill_pico(20) <= 1.0
    assert 0 < bargain[1] * 100 < acme[1]
    assert price_of(FREE_TIER, plan, 20) == (0, 0)


def test_bills_are_for_the_span_and_labelled(tmp_path: Path) -> None:
    """The importers read them; every line covers the span exactly and says what it is."""
    span = Span(1_750_000_000 * NS_PER_SECOND, 1_750_000_030 * NS_PER_SECOND)
    charges = []
    for bill in map(open_bill, write_bills(tmp_path, span)):
        charges += reader_for(bill, readers()).read(bill, CURRENCY, no_progress)
    assert {(c.period_start_ns, c.period_end_ns) for c in charges} == {span}
    assert all("SYNTHETIC" in charge.description + charge.invoice for charge in charges)
    billed = {charge.resource_id: charge.amount_pico / 10**12 for charge in charges}
    assert billed[DATASETS] == 1.8
    assert len(charges) == 6


def test_stored_bytes_are_size_times_time(tmp_path: Path) -> None:
    """Ten bytes for two seconds, then thirty for one: fifty byte-seconds."""
    file = tmp_path / "corpus"
    store = StoredBytes("datasets", Purpose.DATA_PREP, lambda: [file, tmp_path / "gone"])
    file.write_bytes(b"x" * 10)
    store.sample(0)
    store.sample(2 * NS_PER_SECOND)
    file.write_bytes(b"x" * 30)
    store.sample(2 * NS_PER_SECOND)
    store.sample(3 * NS_PER_SECOND)
    event = store.event("a-test")
    assert (event.quantity, event.unit, event.start_ns, event.end_ns) == (
        50,
        "byte_seconds",
        0,
        3 * NS_PER_SECOND,
    )


@pytest.mark.slow
def test_the_loss_falls() -> None:
    """A hundred steps of gradient descent on a text: the student has learned most of it."""
    windows = windows_of(["Gross margin is revenue minus cost of revenue. " * 8])
    ticks = count()
    trained = descend(windows, 0.0, seed=1, now=lambda: float(next(ticks)))
    assert trained.steps == 100
    assert trained.start_loss == pytest.approx(np.log(128), abs=0.1)
    assert trained.end_loss < trained.start_loss / 2


def test_gradients_are_the_slopes_of_the_loss() -> None:
    """Each kind of weight, nudged: the loss moves as its gradient says."""
    student = Student.fresh(seed=2)
    student.out *= 20
    windows = windows_of(["abcabcabcabd"])
    slopes = student.gradients(windows)
    for weight, slope in zip(student.weights, slopes, strict=True):
        place = np.unravel_index(np.abs(slope).argmax(), slope.shape)
        here, nudge = weight[place], 1e-2
        weight[place] = here + nudge
        above = student.loss(windows)
        weight[place] = here - nudge
        below = student.loss(windows)
        weight[place] = here
        assert (above - below) / (2 * nudge) == pytest.approx(slope[place], rel=0.02)


def test_windows_hold_what_came_before() -> None:
    """A text of three characters has three windows, the first of which knows nothing yet."""
    windows = windows_of(["abé"])
    assert windows.shape == (4, CONTEXT + 1)  # é is two bytes, beyond ASCII
    assert windows[0].tolist() == [0] * CONTEXT + [ord("a")]
    assert windows[1, -2:].tolist() == [ord("a"), ord("b")]
    assert windows[2:, -1].tolist() == [0, 0]


def test_rollouts_are_sampled() -> None:
    """The student learns from sampled answers, not from the one likeliest answer."""
    assert all(call.temperature > 0 for call in rollouts(5, seed=1))
