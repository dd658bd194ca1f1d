"""A call ends in exactly one usage, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.clock import SimClock
from inferworks.errors import JournalError
from inferworks.ids import OfferId, ReplicaId, new_call_id
from inferworks.meter.call_recorder import CallRecorder, Destination, Meter
from inferworks.meter.journal import Journal
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import NO_TOKENS, Checkpoint, Confidence, Items, Outcome, Tokens, Usage
from inferworks.testing.facts import A_TIME_NS, make_opened

OWN, OTHER = OfferId("own"), OfferId("other")
FOREVER = 2**63 - 1


class World:
    """A meter over a journal in memory, on a clock that stands still."""

    def __init__(self, checkpoint_s: float = 1.0) -> None:
        self.store = MemoryStore()
        self.clock = SimClock(A_TIME_NS)
        self.journal = Journal(self.store)
        self.journal.start()
        self.watched: list[Usage] = []
        watch = self.watched.append
        self.meter = Meter(self.journal, self.clock, checkpoint_s=checkpoint_s, watch=watch)

    def usages(self) -> list[Usage]:
        """Every usage, once all that is queued is durable and the journal closed.

        Whoever watches the meter must have seen just those.
        """
        self.journal.close()
        with self.store.reads() as reads:
            stored = list(reads.usages(0, FOREVER))
        assert sorted(self.watched, key=repr) == sorted(stored, key=repr)
        return stored

    def usage(self) -> Usage:
        """The one usage there is."""
        [usage] = self.usages()
        return usage


class CancelledAt(Awaitable[None]):
    """Runs a coroutine and cancels it where it waits for the `n`th time."""

    def __init__(self, n: int, work: Awaitable[None]) -> None:
        self._n = n
        self._work = work

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        waits = 0
        advance = steps.__next__
        while True:
            try:
                waited_for = advance()
            except StopIteration:
                return
            advance = steps.__next__
            if waits == self._n:
                advance = _cancel(steps)
                waits += 1
                continue
            waits += 1
            yield waited_for


def _cancel(steps: Generator[Any, Any, None]) -> Any:
    return lambda: steps.throw(asyncio.CancelledError())


def start_leg(call: CallRecorder, offer: OfferId = OWN) -> None:
    """Begin an attempt at an own replica."""
    call.leg_started(Destination(offer, "openai", ReplicaId("r1")))


async def break_off(world: World, error: BaseException) -> None:
    """Serve a call in which `error` is raised after the first byte."""
    async with world.meter.open(make_opened()) as call:
        start_leg(call)
        call.sent(1)
        call.progress(ReportedUsage(Tokens(10, 5)), Confidence.COUNTED)
        raise error


async def break_disk_and_close(world: World) -> None:
    """Serve a call whose disk fails before its close."""
    async with world.meter.open(make_opened()) as call:
        world.store.broken = True
        await call.close(Outcome.ANSWERED, 200)
        pytest.fail("answered without a record")


async def test_an_answered_call() -> None:
    """Every field of the one usage says what happened."""
    world = World()
    opened = make_opened()
    async with world.meter.open(opened) as call:
        with world.store.reads() as reads:
            assert list(reads.opened_unclosed()) == [opened], "on record before anything is served"
        start_leg(call)
        await world.clock.advance(0.1)
        call.sent(100)
        call.progress(ReportedUsage(Tokens(10, 1)), Confidence.COUNTED)
        await world.clock.advance(0.1)
        call.progress(ReportedUsage(Tokens(10, 2)), Confidence.COUNTED)
        call.sent(30)
        call.leg_ended(Outcome.ANSWERED, 200, ReportedUsage(Tokens(10, 7)), Confidence.REPORTED)
        await call.close(Outcome.ANSWERED, 200, last_bytes=20)
        with world.store.reads() as reads:
            assert reads.counts()["usage"] == 1, "durable before the last byte is sent"
    usage = world.usage()
    assert usage.call_id == opened.call_id
    assert usage.outcome is Outcome.ANSWERED
    assert (usage.tokens, usage.confidence) == (Tokens(10, 7), Confidence.REPORTED)
    assert usage.first_byte_ns == usage.legs[0].first_token_ns == A_TIME_NS + 100_000_000
    assert usage.closed_ns == usage.legs[0].ended_ns == A_TIME_NS + 200_000_000
    assert (usage.request_bytes, usage.response_bytes) == (200, 150)


async def test_a_failover_is_charged_once() -> None:
    """The client pays for the leg that served; the failed leg keeps what it used."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        start_leg(call, OTHER)
        call.leg_ended(Outcome.FAILED, 503, ReportedUsage(Tokens(10, 0)), Confidence.ESTIMATED)
        start_leg(call)
        call.leg_ended(Outcome.ANSWERED, 200, ReportedUsage(Tokens(10, 7)), Confidence.REPORTED)
        await call.close(Outcome.ANSWERED, 200)
    usage = world.usage()
    assert usage.tokens == Tokens(10, 7)
    assert [leg.offer for leg in usage.legs] == [OTHER, OWN]
    assert [leg.status for leg in usage.legs] == [503, 200]


@pytest.mark.parametrize(
    ("on_leave", "ended_by", "sure"),
    [
        ("cancel", "cancel", Confidence.COUNTED),
        ("estimate", "estimate", Confidence.ESTIMATED),
        ("drain", "estimate", Confidence.ESTIMATED),
        ("", "", Confidence.COUNTED),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
async def test_a_dropped_leg_says_how(
    on_leave: str, ended_by: str, sure: Confidence, ends: bool
) -> None:
    """A dropped leg ends as its offer says, ended or not; only a cancel knows which way that was."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        call.leg_started(Destination(OTHER, "openai", on_leave=on_leave))
        assert (call.on_leave, call.is_running) == (on_leave, True)
        call.progress(ReportedUsage(Tokens(10, 5)), Confidence.COUNTED)
        if ends:
            call.leg_ended(Outcome.CANCELLED, 200, ReportedUsage(Tokens(10, 5)), Confidence.COUNTED)
            assert (call.on_leave, call.is_running) == ("", False)
        call.leave()
    usage = world.usage()
    [leg] = usage.legs
    assert (usage.outcome, usage.status, usage.confidence) == (Outcome.CANCELLED, 0, sure)
    assert (leg.ended_by, leg.confidence, leg.tokens) == (ended_by, sure, Tokens(10, 5))


async def test_a_leg_keeps_what_its_bill_is_made_of() -> None:
    """Items, tier and the cost that the provider told; the items of the leg that served are charged."""
    world = World()
    async with world.meter.open(replace(make_opened(), end_user="ann")) as call:
        start_leg(call, OTHER)
        nine = ReportedUsage(NO_TOKENS, Items(images=9))
        call.leg_ended(Outcome.FAILED, 500, nine, Confidence.REPORTED)
        start_leg(call)
        call.leg_ended(
            Outcome.CANCELLED,
            200,
            ReportedUsage(Tokens(1), Items(images=2), "flex", 17, "EUR"),
            Confidence.ESTIMATED,
            ended_by="drain",
        )
        await call.close(Outcome.CANCELLED, 200)
    usage = world.usage()
    _, leg = usage.legs
    assert (leg.service_tier, leg.ended_by) == ("flex", "drain")
    assert (leg.told_cost_pico, leg.told_currency) == (17, "EUR")
    assert usage.items == leg.items == Items(images=2)
    assert usage.end_user == "ann"


async def test_a_failed_call_is_charged_nothing() -> None:
    """A call that nobody served has no tokens of its own."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        start_leg(call)
        call.leg_ended(Outcome.FAILED, 500, ReportedUsage(Tokens(10, 3)), Confidence.COUNTED)
        await call.close(Outcome.FAILED, 502, "upstream_failed")
    usage = world.usage()
    assert (usage.outcome, usage.status, usage.error_code) == (
        Outcome.FAILED,
        502,
        "upstream_failed",
    )
    assert usage.tokens == NO_TOKENS
    assert usage.legs[0].tokens == Tokens(10, 3)


async def test_a_refused_call() -> None:
    """A call turned away is one durable usage without legs, and needs no opening."""
    world = World()
    await world.meter.refuse(make_opened(), 429, "rate_limit_exceeded")
    with world.store.reads() as reads:
        assert dict(reads.counts())["opened"] == 0
    usage = world.usage()
    assert (usage.outcome, usage.status, usage.legs) == (Outcome.REFUSED, 429, ())
    assert usage.error_code == "rate_limit_exceeded"


async def test_an_escaping_error_fails_the_call() -> None:
    """An exception that leaves the block ends the call and its running leg as failed."""
    world = World()
    with pytest.raises(ZeroDivisionError):
        await break_off(world, ZeroDivisionError())
    usage = world.usage()
    assert (usage.outcome, usage.status) == (Outcome.FAILED, 200)
    assert usage.error_code == "ZeroDivisionError"
    assert usage.legs[0].outcome is Outcome.FAILED
    assert usage.legs[0].tokens == Tokens(10, 5)


async def test_leaving_without_closing_fails_the_call() -> None:
    """A call that nobody closed did not succeed."""
    world = World()
    async with world.meter.open(make_opened()):
        pass
    assert world.usage().error_code == "not_closed"


async def test_a_cancelled_stream_keeps_its_running_tally() -> None:
    """A client that leaves is charged for what had been produced for it."""
    world = World()
    with pytest.raises(asyncio.CancelledError):
        await break_off(world, asyncio.CancelledError())
    usage = world.usage()
    assert (usage.outcome, usage.status) == (Outcome.CANCELLED, 200)
    assert (usage.tokens, usage.confidence) == (Tokens(10, 5), Confidence.COUNTED)


async def test_checkpoints_come_at_most_so_often() -> None:
    """A long stream leaves its newest tally about once per interval, without waiting."""
    world = World(checkpoint_s=1.0)
    async with world.meter.open(make_opened()) as call:
        start_leg(call)
        for n in range(1, 30):
            await world.clock.advance(0.1)
            call.sent(10)
            call.progress(ReportedUsage(Tokens(10, n)), Confidence.COUNTED)
        await world.journal.durable()
        with world.store.reads() as reads:
            checkpoint = reads.checkpoint(call.opened.call_id)
        await call.close(Outcome.ANSWERED, 200)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.leg.tokens == Tokens(10, 20)
    assert checkpoint.response_bytes == 200
    assert checkpoint.at_ns == A_TIME_NS + 2_000_000_000
    assert world.usage().outcome is Outcome.ANSWERED


async def test_using_a_closed_call_is_a_bug() -> None:
    """A second close, or anything after the first, is refused and changes nothing."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        await call.close(Outcome.ANSWERED, 200)
        with pytest.raises(RuntimeError, match="closed"):
            await call.close(Outcome.FAILED, 500)
        with pytest.raises(RuntimeError, match="closed"):
            call.sent(1)
        with pytest.raises(RuntimeError, match="closed"):
            start_leg(call)
    assert world.usage().outcome is Outcome.ANSWERED


async def test_legs_are_bracketed() -> None:
    """A leg cannot begin inside another, nor end without having begun."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        with pytest.raises(RuntimeError, match="no leg"):
            call.progress(NOTHING_REPORTED, Confidence.COUNTED)
        start_leg(call)
        with pytest.raises(RuntimeError, match="before the last"):
            start_leg(call)
        await call.close(Outcome.ANSWERED, 200)
    assert len(world.usage().legs) == 1


async def test_a_failed_journal_serves_nobody() -> None:
    """The block is not entered when the opening of a call cannot be recorded."""
    world = World()
    world.store.broken = True
    with pytest.raises(JournalError):
        async with world.meter.open(make_opened()):
            pytest.fail("served without a record")
    with pytest.raises(JournalError):
        world.journal.close()


async def test_a_failing_close_is_not_a_success() -> None:
    """The error of a Usage that cannot be made durable reaches the block that wanted to answer."""
    world = World()
    with pytest.raises(JournalError):
        await break_disk_and_close(world)
    with pytest.raises(JournalError):
        world.journal.close()


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_whoever_watches_sees_what_is_on_record_in_the_end(
    leaves: bool, is_streamed: bool
) -> None:
    """A call that could not be put on record in time is counted as failed, also if its client has left."""
    world, ended = World(), list[Usage]()
    with suppress(JournalError):
        async with world.meter.open(make_opened()) as call:
            call.on_end = ended.append
            start_leg(call)
            if is_streamed:
                call.sent(1)
            call.leg_ended(Outcome.ANSWERED, 200, ReportedUsage(Tokens(1, 2)), Confidence.REPORTED)
            world.store.broken = True
            durable = call.close(Outcome.ANSWERED, 200)
            assert ended == [], "nobody knows yet"
            if leaves:
                durable.cancel()
            else:
                await durable
    async with asyncio.timeout(10):
        while not ended:
            await asyncio.sleep(0.001)
    world.store.broken = False
    async with asyncio.timeout(10):
        while world.journal.failed:
            await asyncio.sleep(0.005)
    usage = world.usage()
    assert ended == [usage]
    assert (usage.outcome, usage.error_code, usage.tokens) == (Outcome.FAILED, "journal", NO_TOKENS)


class Story(NamedTuple):
    """Events of a call, and the point at which it is cancelled."""

    legs: list[tuple[bool, int]]
    """Success of each attempt, and its tokens."""
    closes: bool
    breaks: bool
    cancelled_at: int | None


stories = st.builds(
    Story,
    legs=st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=3),
    closes=st.booleans(),
    breaks=st.booleans(),
    cancelled_at=st.none() | st.integers(0, 12),
)


async def tell(world: World, story: Story, call_id: str) -> None:
    """Serve a call as the story goes."""
    async with world.meter.open(make_opened(call_id=call_id)) as call:
        for answered, output in story.legs:
            start_leg(call)
            await asyncio.sleep(0)
            call.progress(ReportedUsage(Tokens(1, output)), Confidence.COUNTED)
            await asyncio.sleep(0)
            outcome = Outcome.ANSWERED if answered else Outcome.FAILED
            call.leg_ended(outcome, 200, ReportedUsage(Tokens(1, output)), Confidence.REPORTED)
        if story.breaks:
            raise ZeroDivisionError
        if story.closes:
            await call.close(Outcome.ANSWERED, 200)
            await asyncio.sleep(0)


async def survive(world: World, story: Story, call_id: str) -> None:
    """Serve a call; what it raises is part of the story."""
    work = tell(world, story, call_id)
    with suppress(ZeroDivisionError, asyncio.CancelledError):
        await (work if story.cancelled_at is None else CancelledAt(story.cancelled_at, work))


@pytest.mark.slow
@given(st.lists(stories, min_size=1, max_size=5))
def test_exactly_one_usage_whatever_happens(told: list[Story]) -> None:
    """Calls that fail, break, are cancelled at any wait or end well each leave one usage."""

    async def main() -> list[Usage]:
        world = World(checkpoint_s=0.0)
        await asyncio.gather(*(survive(world, story, f"{n}") for n, story in enumerate(told)))
        await world.journal.durable()  # and whoever watches has been told
        usages = world.usages()
        with world.store.reads() as reads:
            assert not list(reads.opened_unclosed())
            assert not list(reads.quarantined())
        return usages

    usages = asyncio.run(main())
    assert sorted(usage.call_id for usage in usages) == sorted(f"{n}" for n in range(len(told)))
    for usage in usages:
        charged = usage.legs and usage.outcome in {Outcome.ANSWERED, Outcome.CANCELLED}
        assert usage.tokens == (usage.legs[-1].tokens if charged else NO_TOKENS)


@pytest.mark.parametrize("n", range(8))
async def test_cancelled_at_every_wait(n: int) -> None:
    """Wherever a call is cancelled, its usage is there, and answered only from its close on."""
    world = World()
    story = Story([(False, 1), (True, 2)], closes=True, breaks=False, cancelled_at=n)
    await survive(world, story, "call")
    await world.journal.durable()  # and whoever watches has been told
    usage = world.usage()
    waits_before_close = 4
    expected = Outcome.CANCELLED if n < waits_before_close else Outcome.ANSWERED
    assert usage.outcome is expected


async def test_a_race_is_two_legs_and_one_charge() -> None:
    """The loser's leg keeps what it has cost; the client is charged for the winner's alone."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        first = call.leg_started(Destination(OWN, "inferworks", ReplicaId("r1")))
        call.leg_started(Destination(OTHER, "openai"), beside=True)
        estimated = Confidence.ESTIMATED
        call.leg_ended(Outcome.CANCELLED, 0, ReportedUsage(Tokens(input=9)), estimated, leg=first)
        call.progress(ReportedUsage(Tokens(10, 1)), Confidence.COUNTED)
        call.leg_ended(Outcome.ANSWERED, 200, ReportedUsage(Tokens(10, 7)), Confidence.REPORTED)
        await call.close(Outcome.ANSWERED, 200)
    usage = world.usage()
    assert [(leg.offer, leg.outcome, leg.tokens) for leg in usage.legs] == [
        (OWN, Outcome.CANCELLED, Tokens(input=9)),
        (OTHER, Outcome.ANSWERED, Tokens(10, 7)),
    ]
    assert (usage.tokens, usage.confidence) == (Tokens(10, 7), Confidence.REPORTED)
    assert usage.legs[1].first_token_ns is not None


async def test_leaving_amid_a_race_ends_both_legs() -> None:
    """A client that leaves while two attempts run leaves both on record, the first one last."""
    world = World()
    with suppress(asyncio.CancelledError):
        async with world.meter.open(make_opened()) as call:
            start_leg(call)
            start = call.leg_started(Destination(OTHER, "openai"), beside=True)
            assert start.destination.offer == OTHER
            raise asyncio.CancelledError
    usage = world.usage()
    assert [(leg.offer, leg.outcome) for leg in usage.legs] == [
        (OTHER, Outcome.CANCELLED),
        (OWN, Outcome.CANCELLED),
    ]
    assert usage.outcome is Outcome.CANCELLED


async def test_a_checkpoint_is_about_the_main_leg() -> None:
    """Once the loser has ended, progress and checkpoints are the winner's."""
    world = World(checkpoint_s=0.1)
    async with world.meter.open(make_opened()) as call:
        first = call.leg_started(Destination(OWN, "inferworks"))
        call.leg_started(Destination(OTHER, "openai"), beside=True)
        call.leg_ended(Outcome.CANCELLED, 0, NOTHING_REPORTED, Confidence.ESTIMATED, leg=first)
        await world.clock.advance(0.2)
        call.progress(ReportedUsage(Tokens(10, 3)), Confidence.COUNTED)
        await world.journal.durable()
        with world.store.reads() as reads:
            checkpoint = reads.checkpoint(call.opened.call_id)
        assert checkpoint is not None
        assert (checkpoint.leg.offer, checkpoint.leg.tokens) == (OTHER, Tokens(10, 3))
    assert len(world.usage().legs) == 2


async def test_a_leg_ends_once() -> None:
    """A handle that was used cannot be used again, and a leg does not begin beside one unasked."""
    world = World()
    async with world.meter.open(make_opened()) as call:
        first = call.leg_started(Destination(OWN, "inferworks"))
        with pytest.raises(RuntimeError, match="before the last one ended"):
            start_leg(call)
        call.leg_started(Destination(OTHER, "openai"), beside=True)
        call.leg_ended(Outcome.FAILED, 500, NOTHING_REPORTED, Confidence.ESTIMATED, leg=first)
        with pytest.raises(RuntimeError, match="has ended already"):
            call.leg_ended(Outcome.FAILED, 500, NOTHING_REPORTED, Confidence.ESTIMATED, leg=first)
    assert len(world.usage().legs) == 2


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["leg", "beside", "token", "progress", "end", "byte"]),
        st.integers(0, 5 * 10**9),
        st.one_of(st.none(), st.integers(0, 2 * A_TIME_NS)),
    ),
    max_size=20,
)
"""Events in a call, each with the time before it and a setting of the wall clock, if there is one."""


@pytest.mark.slow
@given(moves=_MOVES, refused=st.booleans())
def test_every_time_of_a_call_is_in_order_however_the_clock_is_set(
    moves: list[tuple[str, int, int | None]], refused: bool
) -> None:
    """Nothing ends before it began, and the call is exactly as long as it took."""

    async def main() -> None:
        world = World(checkpoint_s=0.1)
        clock = world.clock.carried()
        opened = replace(make_opened(), opened_ns=clock.now_ns())
        passed_ns = 0
        async with world.meter.open(opened, clock) as call:
            for what, wait_ns, set_to in moves:
                if set_to is not None:
                    world.clock.set(set_to)
                world.clock._elapsed_ns += wait_ns
                passed_ns += wait_ns
                _move(call, what)
            with suppress(RuntimeError):
                await call.close(Outcome.ANSWERED, 200)
        if refused:
            await world.meter.refuse(replace(opened, call_id=new_call_id()), 429, None)
        usage, *others = sorted(world.usages(), key=lambda one: one.outcome is Outcome.REFUSED)
        assert usage.closed_ns - usage.opened_ns == passed_ns
        for one in (usage, *others):
            assert one.opened_ns <= (one.first_byte_ns or one.closed_ns) <= one.closed_ns
            for leg in one.legs:
                first_ns = leg.first_token_ns or leg.ended_ns
                assert one.opened_ns <= leg.started_ns <= first_ns <= leg.ended_ns <= one.closed_ns

    asyncio.run(main())


def _move(call: CallRecorder, what: str) -> None:
    """One thing that happens in a call, if it can happen now."""
    with suppress(RuntimeError):
        match what:
            case "leg":
                start_leg(call)
            case "beside":
                call.leg_started(Destination(OTHER, "openai"), beside=True)
            case "token":
                call.progress(ReportedUsage(Tokens(1, 1)), Confidence.COUNTED)
            case "progress":
                call.progress(ReportedUsage(Tokens(input=1)), Confidence.COUNTED)
            case "end":
                call.leg_ended(Outcome.ANSWERED, 200, NOTHING_REPORTED, Confidence.COUNTED)
            case "byte":
                call.sent(1)


async def test_a_watch_that_fails_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    """A watch that fails leaves the call on record all the same, and the log says so."""

    def watch(usage: Usage) -> None:
        raise ZeroDivisionError

    world = World()
    meter = Meter(world.journal, world.clock, watch=watch)
    async with meter.open(make_opened()) as call:
        await call.close(Outcome.FAILED, 502)
    await meter.refuse(replace(make_opened(), call_id=new_call_id()), 429, None)
    world.journal.close()
    with world.store.reads() as reads:
        assert len(list(reads.usages(0, FOREVER))) == 2
    assert caplog.text.count("was not counted") == 2
