"""Drivers: who used what in a span, in whole units, with all that nobody used in sight."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from inferworks.accounts.directory import ALONE, Directory, Merge
from inferworks.books.allocation.billed_usage import ALL_OUTPUT, FLAT, Sale
from inferworks.books.allocation.drivers import (
    NOWHERE,
    ActiveQuestion,
    ActiveTime,
    Drivers,
    Place,
    Shares,
    attempt_of,
)
from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import NS_PER_HOUR, Span
from inferworks.catalog.billing import shipped_billing
from inferworks.catalog.load import ANY_MODEL, ModelCatalog, StepWeights
from inferworks.catalog.units import INPUT, OUTPUT
from inferworks.ids import CallId, CustomerId, ModelId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import (
    World,
    a_leg,
    a_step,
    a_usage,
    an_activity,
    an_interval,
    worlds,
)
from inferworks.units import Unit

ONE, TWO = ReplicaId("replica-1"), ReplicaId("replica-2")
INPUT_1 = ("call", "call-1", INPUT, "replica:replica-1")
OUTPUT_1 = ("call", "call-1", OUTPUT, "replica:replica-1")
UNOCCUPIED = ("unused", "unoccupied")
DESCENT = ("activity", "test", "descent")


def weights(model: str, **changes: Any) -> StepWeights:
    """Every token of `model` weighs 1, in a step and without one, and a context nothing."""
    row = StepWeights(ModelId(model), dt.date(1970, 1, 1), 1, 0, 1, 0, 1, 1, "a test")
    return replace(row, **changes)


EVEN = ModelCatalog([weights(ANY_MODEL)])


def drivers(
    *,
    usages: tuple[Usage, ...] = (),
    steps: tuple[Step, ...] = (),
    capacity: tuple[Capacity, ...] = (),
    activities: tuple[Activity, ...] = (),
    catalog: ModelCatalog = EVEN,
) -> Drivers:
    """The drivers of these facts."""
    return Drivers(Facts(usages, steps, capacity, activities), catalog)


def test_without_facts_there_is_nobody_and_no_node() -> None:
    """An empty meter: every question has an answer, and a node that nobody knows is unoccupied."""
    empty, span = drivers(), Span(0, 100)
    assert empty.nodes == frozenset()
    assert empty.occupants("node-1", span) == {UNOCCUPIED: 100}
    assert empty.states(ONE, "node-1", span) == {}
    assert empty.active(ONE, "node-1", span, Method.WEIGHTED) == (Method.WEIGHTED, {})
    assert empty.active(ONE, "node-1", span, Method.STEP_SHARE) == (Method.WEIGHTED, {})
    assert empty.node_work("node-1", span, Method.STEP_SHARE) == {}
    assert empty.peak_work(span, Method.STEP_SHARE) == {}
    assert empty.stored("bucket", span) == {}
    assert empty.call_bytes(span) == {}
    assert empty.unprovisioned_ns() == 0
    assert empty.occupants("node-1", Span(100, 100)) == {}


def test_nodes_are_those_of_capacity_and_of_machine_time() -> None:
    """A bucket is no node, though an activity names it as its resource."""
    found = drivers(
        capacity=an_interval((0, 10), {State.IDLE: 10}, node="node-1"),
        activities=(
            an_activity("descent", "node-2", (0, 10), 10),
            an_activity("corpus", "disk", (0, 10), 10, unit=Unit.BYTE_SECONDS),
        ),
    )
    assert found.nodes == {"node-1", "node-2"}


def test_occupants_of_a_node_and_the_rest_fill_the_span() -> None:
    """A replica from 10 to 40, gradient descent from 60 to 80: 50 of 100 ns have nobody."""
    found = drivers(
        capacity=an_interval((10, 40), {State.IDLE: 10, State.ACTIVE: 20}),
        activities=(an_activity("descent", "node-1", (60, 80), 20),),
    )
    whole = found.occupants("node-1", Span(0, 100))
    assert whole == {("replica", "replica-1"): 30, DESCENT: 20, UNOCCUPIED: 50}
    assert sum(whole.values()) == 100
    assert found.occupants("node-1", Span(10, 40)) == {("replica", "replica-1"): 30}
    assert found.occupants("node-2", Span(0, 100)) == {UNOCCUPIED: 100}


def test_occupants_that_overlap_each_weigh_their_own_time() -> None:
    """Two replicas side by side for 100 ns are 200 ns of weight, and leave nothing unoccupied."""
    both = (
        *an_interval((0, 100), {State.IDLE: 100}),
        *an_interval((0, 100), {State.ACTIVE: 100}, replica="replica-2"),
    )
    found = drivers(capacity=both).occupants("node-1", Span(0, 100))
    assert found == {("replica", "replica-1"): 100, ("replica", "replica-2"): 100}


@pytest.mark.parametrize(
    ("quantity", "span", "used", "free"),
    [
        (30, Span(0, 100), 30, 70),
        (30, Span(0, 30), 30, 0),
        (30, Span(10, 100), 20, 70),
        (30, Span(30, 100), 0, 70),
        (100, Span(0, 100), 100, 0),
        (500, Span(0, 100), 500, 0),
    ],
)
def test_an_activity_is_busy_from_its_start_within_its_bounds(
    quantity: int, span: Span, used: int, free: int
) -> None:
    """30 ns reported of 100 are the first 30; more than its time weighs more, and frees no less."""
    activities = (an_activity("descent", "node-1", (0, 100), quantity),)
    found = drivers(activities=activities).occupants("node-1", span)
    assert (found.get(DESCENT, 0), found.get(UNOCCUPIED, 0)) == (used, free)


def test_states_of_adjoining_spans_sum_to_the_interval() -> None:
    """100 ns of states that no step tells apart, cut at every odd place."""
    states = {State.LOADING: 33, State.ACTIVE: 34, State.IDLE: 33}
    found = drivers(capacity=an_interval((0, 100), states))
    for edge in (1, 7, 33, 50, 99):
        first = found.states(ONE, "node-1", Span(0, edge))
        last = found.states(ONE, "node-1", Span(edge, 100))
        assert {state: first.get(state, 0) + last.get(state, 0) for state in states} == states
        assert sum(first.values()) == pytest.approx(edge, abs=len(states))
    assert found.states(TWO, "node-1", Span(0, 100)) == {}
    assert found.states(ONE, "node-1", Span(100, 200)) == {}


def test_steps_outside_every_interval_are_unprovisioned() -> None:
    """Of 10 ns before, 20 ns across the end and 30 ns of a replica without any interval: 10 + 5 + 30."""
    found = drivers(
        steps=(
            a_step(0, 0, 10, []),
            a_step(1, 85, 20, []),
            a_step(0, 0, 30, [], replica="replica-2"),
        ),
        capacity=an_interval((10, 100), {State.ACTIVE: 15, State.IDLE: 75}),
    )
    assert found.unprovisioned_ns() == 10 + 5 + 30


def test_a_step_that_was_never_provisioned_has_no_share() -> None:
    """After a crash its interval may lack; the calls in it are charged for the others alone."""
    found = drivers(
        usages=(a_usage("call-1"),),
        steps=(a_step(0, 0, 10, [("call-1", 1, 0, 0)]), a_step(1, 50, 10, [("call-1", 0, 1, 0)])),
        capacity=an_interval((40, 100), {State.ACTIVE: 10, State.IDLE: 50}),
    )
    active = found.active(ONE, "node-1", Span(0, 100), Method.STEP_SHARE)
    assert active == ActiveTime(Method.STEP_SHARE, {OUTPUT_1: 10})


def test_active_questions_are_kept_with_their_answers() -> None:
    """A question asked twice is one; what an answer must sum to is the active time."""
    found = drivers(
        usages=(a_usage("call-1"),),
        steps=(a_step(0, 0, 10, [("call-1", 1, 0, 0)]),),
        capacity=an_interval((0, 100), {State.ACTIVE: 40, State.IDLE: 60}),
    )
    question = ActiveQuestion(ONE, "node-1", Span(0, 100), Method.STEP_SHARE)
    first = found.active(*question)
    assert found.active(*question) is first
    assert found.answered() == [(question, first)]
    assert found.worked_ns(question) == 40 == sum(first.shares.values())
    assert first.shares == {INPUT_1: 10, ("unallocated",): 30}
    assert found.worked_ns(question._replace(node="node-2")) == 0


@pytest.mark.parametrize("method", [Method.FLAT, Method.WEIGHTED])
def test_active_time_without_tokens_or_steps_is_unallocated(method: Method) -> None:
    """Nothing explains it, and nothing of it is lost."""
    found = drivers(capacity=an_interval((0, 100), {State.ACTIVE: 40, State.IDLE: 60}))
    assert found.active(ONE, "node-1", Span(0, 100), method).shares == {("unallocated",): 40}


def test_tokens_without_active_time_have_no_share() -> None:
    """A replica that was down all the time worked for nobody, whatever a leg says."""
    legs = [a_leg("replica-1", (0, 100), Tokens(10, 10))]
    found = drivers(
        usages=(a_usage("call-1", legs=legs),),
        capacity=an_interval((0, 100), {State.DOWN: 100}),
    )
    assert found.active(ONE, "node-1", Span(0, 100), Method.WEIGHTED).shares == {}


def test_tokens_of_a_leg_count_by_the_part_of_its_time_inside() -> None:
    """Half of a leg's time is half of its tokens: 50 of 100, beside 50 of a call that was all inside."""
    found = drivers(
        usages=(
            a_usage("call-1", legs=[a_leg("replica-1", (0, 200), Tokens(output=100))]),
            a_usage("call-2", legs=[a_leg("replica-1", (0, 100), Tokens(output=50))]),
        ),
        capacity=an_interval((0, 200), {State.ACTIVE: 200}),
    )
    shares = found.active(ONE, "node-1", Span(0, 100), Method.FLAT).shares
    assert shares == {OUTPUT_1: 50, ("call", "call-2", OUTPUT, "replica:replica-1"): 50}


def test_weights_are_those_of_the_model_when_the_call_was_opened() -> None:
    """`large` weighed 3 then, and 9 when the step ran; a call that nobody knows weighs as any model."""
    later = weights("large", prefill=9, effective=dt.date(1970, 1, 2))
    catalog = ModelCatalog([weights(ANY_MODEL), weights("large", prefill=3), later])
    found = drivers(usages=(a_usage("call-1", model="large"), a_usage("call-2")), catalog=catalog)
    calls = [("call-1", 1, 0, 9), ("call-2", 1, 0, 0), ("call-3", 1, 0, 0)]
    step = a_step(0, 48 * NS_PER_HOUR, 50, calls)
    assert found.step_shares(step, 50) == {
        INPUT_1: 30,
        ("call", "call-2", INPUT, "replica:replica-1"): 10,
        ("unknown-call", "call-3", INPUT, "replica:replica-1"): 10,
    }


def test_a_step_that_weighs_nothing_is_unallocated() -> None:
    """No call in it, calls without tokens, and weights of zero; by each way to divide it."""
    nothing = ModelCatalog([weights(ANY_MODEL, prefill=0, decode=0)])
    for found, calls in (
        (drivers(), []),
        (drivers(), [("call-1", 0, 0, 5)]),
        (drivers(catalog=nothing), [("call-1", 5, 5, 5)]),
    ):
        step = a_step(0, 0, 50, calls)
        assert found.step_shares(step, 50) == {("unallocated",): 50}
        assert found.shapley_shares(step, 50) == {("unallocated",): 50}


def test_shapley_shares_divide_the_fixed_part_of_a_step_equally() -> None:
    """A fixed weight of 10 covers linear work of 1 and 3: alike, though step shares say 1 : 3."""
    found = drivers(catalog=ModelCatalog([weights(ANY_MODEL, step=10)]))
    step = a_step(0, 0, 80, [("call-1", 1, 0, 0), ("call-2", 3, 0, 0)])
    assert sorted(found.shapley_shares(step, 80).values()) == [40, 40]
    assert sorted(found.step_shares(step, 80).values()) == [20, 60]


def test_shapley_shares_add_what_attention_costs_to_whoever_has_the_context() -> None:
    """Work of 1 each beneath a fixed 10, and 10 more of the second for its context: 5 to 15."""
    found = drivers(catalog=ModelCatalog([weights(ANY_MODEL, step=10, decode_context=1)]))
    step = a_step(0, 0, 20, [("call-1", 0, 1, 0), ("call-2", 0, 1, 10)])
    assert sorted(found.shapley_shares(step, 20).values()) == [5, 15]


def test_node_work_is_that_of_replicas_and_activities() -> None:
    """Idle and unoccupied time left out: calls by step share, and what was trained."""
    found = drivers(
        usages=(a_usage("call-1"),),
        steps=(a_step(0, 0, 40, [("call-1", 1, 3, 0)]),),
        capacity=an_interval((0, 50), {State.ACTIVE: 40, State.IDLE: 10}),
        activities=(an_activity("descent", "node-1", (60, 80), 20),),
    )
    work = found.node_work("node-1", Span(0, 100), Method.STEP_SHARE)
    assert work == {INPUT_1: 10, OUTPUT_1: 30, DESCENT: 20}


def an_hour_of(activity: str, hour: int, busy_ns: int) -> Activity:
    """`activity` that keeps node-1 busy from the beginning of an hour."""
    start_ns = hour * NS_PER_HOUR
    return an_activity(activity, "node-1", (start_ns, start_ns + busy_ns), busy_ns)


def test_peak_work_is_that_of_the_busiest_hour() -> None:
    """Hours with 10, 30 and 20 ns of work: who worked in the second bears what the fleet costs."""
    used = (an_hour_of("a", 0, 10), an_hour_of("b", 1, 30), an_hour_of("c", 2, 20))
    found = drivers(activities=used)
    assert found.peak_work(Span(0, 3 * NS_PER_HOUR), Method.STEP_SHARE) == {
        ("activity", "test", "b"): 30
    }
    cut = Span(NS_PER_HOUR + 15, 3 * NS_PER_HOUR)
    assert found.peak_work(cut, Method.STEP_SHARE) == {("activity", "test", "c"): 20}


def test_peak_work_of_equal_hours_is_that_of_the_first() -> None:
    """Order of the facts, and idle time, make no hour busier."""
    used = (an_hour_of("b", 1, 30), an_hour_of("a", 0, 30))
    idle = an_interval((2 * NS_PER_HOUR, 3 * NS_PER_HOUR), {State.IDLE: NS_PER_HOUR})
    for order in (used, used[::-1]):
        found = drivers(activities=order, capacity=idle)
        assert found.peak_work(Span(0, 3 * NS_PER_HOUR), Method.FLAT) == {
            ("activity", "test", "a"): 30
        }


def test_peak_work_counts_active_replicas_on_all_nodes() -> None:
    """Two nodes of 20 ns each outweigh one of 30, and both are in the answer."""
    hour = NS_PER_HOUR
    capacity = (
        *an_interval((0, hour), {State.ACTIVE: 20, State.IDLE: hour - 20}),
        *an_interval(
            (0, hour),
            {State.ACTIVE: 20, State.IDLE: hour - 20},
            replica="replica-2",
            node="node-2",
        ),
    )
    steps = (
        a_step(0, 0, 20, [("call-1", 1, 0, 0)]),
        a_step(0, 0, 20, [("call-1", 1, 0, 0)], replica="replica-2"),
    )
    found = drivers(
        usages=(a_usage("call-1"),),
        capacity=capacity,
        steps=steps,
        activities=(an_hour_of("b", 1, 30),),
    )
    assert found.peak_work(Span(0, 2 * hour), Method.STEP_SHARE) == {
        INPUT_1: 20,
        ("call", "call-1", INPUT, "replica:replica-2"): 20,
    }


def test_stored_bytes_are_cut_to_the_span() -> None:
    """Byte-seconds go by time, of that bucket alone, and nothing of none is left out."""
    held = Unit.BYTE_SECONDS
    found = drivers(
        activities=(
            an_activity("corpus", "disk", (0, 100), 1_000, unit=held),
            an_activity("files", "disk", (50, 100), 300, unit=held),
            an_activity("empty", "disk", (0, 100), 0, unit=held),
            an_activity("other", "disk-2", (0, 100), 7, unit=held),
        )
    )
    assert found.stored("disk", Span(0, 50)) == {("activity", "test", "corpus"): 500}
    assert found.stored("disk", Span(50, 100)) == {
        ("activity", "test", "corpus"): 500,
        ("activity", "test", "files"): 300,
    }
    assert found.occupants("disk", Span(0, 100)) == {UNOCCUPIED: 100}


def test_bytes_are_those_of_calls_opened_in_the_span() -> None:
    """In and out, by the last attempt; of a call without one too; one opened at the end is the next's."""
    tokens = Tokens(1, 1)
    found = drivers(
        usages=(
            a_usage("bought", sent_bytes=5, legs=[a_leg(None, (0, 9), tokens)] * 2),
            a_usage("failed-over", sent_bytes=3, legs=[a_leg(None, (0, 1), tokens),
                                                       a_leg("replica-1", (1, 9), tokens)]),
            a_usage("refused", sent_bytes=1),
            a_usage("silent", sent_bytes=0),
            a_usage("next", sent_bytes=7, opened_ns=100),
        )
    )  # fmt: skip
    first = found.call_bytes(Span(0, 100))
    assert first == {
        ("call", "bought", "", "leg:1"): 10,
        ("call", "failed-over", "", "replica:replica-1"): 6,
        ("call", "refused", "", ""): 2,
    }
    assert found.call_bytes(Span(0, 100)) is first
    assert found.call_bytes(Span(100, 101)) == {("call", "next", "", ""): 14}


def a_sale(*units: tuple[Unit, ...], exact: tuple[str, str] | None = None) -> Sale:
    """A line of `solora`, of any of its models, that may be divided by `units`, best first."""
    return Sale(frozenset({"solora"}), (), units, True, False, exact)


def bought(name: str, tokens: Tokens, *, span: tuple[int, int] = (0, 100), **more: Any) -> Usage:
    """A call that an external provider served."""
    provider = more.pop("provider", "solora")
    return a_usage(name, legs=[a_leg(None, span, tokens, provider=provider)], **more)


def test_tokens_bought_are_those_of_the_provider_that_were_computed() -> None:
    """Cached input counts nothing; another provider's calls and our own replicas' are no part of it."""
    found = drivers(
        usages=(
            bought("call-1", Tokens(input=60, output=20, cache_read=20)),
            bought("call-2", Tokens(input=9), provider="elsewhere"),
            a_usage("call-3", legs=[a_leg("replica-1", (0, 9), Tokens(9, 9))]),
        )
    )
    sale = a_sale(FLAT)
    shares = found.provider_tokens(sale, Span(0, 100))
    assert shares == {("call", "call-1", INPUT, "leg:0"): 40,
                      ("call", "call-1", OUTPUT, "leg:0"): 20}  # fmt: skip
    assert found.provider_tokens(sale, Span(0, 100)) is shares
    assert sum(found.provider_tokens(sale, Span(0, 25)).values()) == 15
    assert found.provider_tokens(sale, Span(100, 200)) == {}


def test_tokens_bought_are_of_the_first_level_that_has_any() -> None:
    """Nobody drew an image, so a line that may be for images or for output goes by output."""
    found = drivers(usages=(bought("call-1", Tokens(input=60, output=20)),))
    images = (Unit.OUTPUT_IMAGE_TOKENS,)
    assert found.provider_tokens(a_sale(images, ALL_OUTPUT), Span(0, 100)) == {
        ("call", "call-1", OUTPUT, "leg:0"): 20
    }
    assert found.provider_tokens(a_sale(images), Span(0, 100)) == {}


def test_an_exact_sale_is_of_that_provider_and_model_alone() -> None:
    """An estimate names the calls that it stands for."""
    found = drivers(
        usages=(
            bought("call-1", Tokens(10), model="small"),
            bought("call-2", Tokens(10), model="large"),
        )
    )
    sale = a_sale(FLAT, exact=("solora", "large"))
    assert found.provider_tokens(sale, Span(0, 100)) == {("call", "call-2", INPUT, "leg:0"): 10}


def test_an_attempt_is_named_by_its_replica_or_its_number() -> None:
    """As a leaf names it."""
    assert attempt_of(a_leg("replica-1", (0, 1), Tokens()), 3) == "replica:replica-1"
    assert attempt_of(a_leg(None, (0, 1), Tokens()), 3) == "leg:3"


def test_the_place_of_an_attempt_is_that_of_its_leg_or_of_its_replica_now() -> None:
    """A replica is where its last attempt was; a bought leg where it says; all else nowhere."""
    earlier, later = (
        replace(a_leg("replica-1", span, Tokens()), region=region, chip="gpu-a")
        for span, region in (((0, 5), "us"), ((10, 20), "eu"))
    )
    out = replace(a_leg(None, (5, 9), Tokens(), provider="solora"), region="asia")
    for legs in ([earlier, out, later], [later, out, earlier]):
        found = drivers(usages=(a_usage("call-1", legs=legs),))
        call = CallId("call-1")
        assert found.place(call, "replica:replica-1") == Place("own", "eu", "gpu-a")
        assert found.place(call, "leg:1") == Place("solora", "asia", "")
        assert found.place(call, "") == found.place(call, "replica:replica-9") == NOWHERE
        assert found.replica_place(TWO) == NOWHERE


def test_customers_and_the_table_of_bills_are_the_shipped_ones_unless_given() -> None:
    """Without a directory everybody stands alone."""
    merged = Directory((Merge(CustomerId("a"), 0, CustomerId("b")),))
    facts = Facts((), (), (), ())
    assert Drivers(facts, EVEN).customers == ALONE
    assert Drivers(facts, EVEN).billing is shipped_billing()
    assert Drivers(facts, EVEN, customers=merged).customers is merged


def shared_out(found: Drivers, method: Method, span: Span) -> list[tuple[ActiveQuestion, Shares]]:
    """All active time by question."""
    for node in sorted(found.nodes):
        for replica in (ReplicaId("replica-0"), ONE, TWO):
            found.active(replica, node, span, method)
    return [(question, answer.shares) for question, answer in found.answered()]


@settings(max_examples=12)
@given(worlds())
def test_active_time_is_shared_out_whole_by_every_method(world: World) -> None:
    """Theorem 6 in any world: the shares of a replica sum to its active time, and none is negative."""
    for method in (Method.FLAT, Method.WEIGHTED, Method.STEP_SHARE):
        found = Drivers(world.facts, EVEN)
        for question, shares in shared_out(found, method, Span(100, 1_500)):
            assert sum(shares.values()) == found.worked_ns(question)
            assert all(share > 0 for share in shares.values())


@settings(max_examples=12)
@given(worlds())
def test_drivers_do_not_depend_on_the_order_of_the_facts(world: World) -> None:
    """Facts turned round give the same answers, to the nanosecond and the byte."""
    facts, span = world.facts, Span(100, 1_500)
    turned = Facts(
        facts.usages[::-1], facts.steps[::-1], facts.capacity[::-1], facts.activities[::-1]
    )
    one, other = Drivers(facts, EVEN), Drivers(turned, EVEN)
    assert one.nodes == other.nodes
    for node in sorted(one.nodes):
        assert one.occupants(node, span) == other.occupants(node, span)
        for method in (Method.STEP_SHARE, Method.WEIGHTED):
            assert one.node_work(node, span, method) == other.node_work(node, span, method)
    assert one.call_bytes(span) == other.call_bytes(span)
    assert one.unprovisioned_ns() == other.unprovisioned_ns()
