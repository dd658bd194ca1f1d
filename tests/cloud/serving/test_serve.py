"""Serving one call: what is tried again, what is not, and what is on record of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from inferworks.clock import SystemClock
from inferworks.cloud.call import Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.routing.health import BreakerState, Health
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.cloud.routing.route import Router
from inferworks.cloud.serving.attempt import Attempt
from inferworks.cloud.serving.serve import Serving
from inferworks.errors import CallError
from inferworks.meter.call_recorder import CallRecorder, Meter
from inferworks.meter.journal import Journal
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Confidence, Leg, Outcome, Tokens, Usage
from inferworks.testing.facts import make_opened
from inferworks.testing.providers import make_call, make_offer
from inferworks.units import NS_PER_SECOND

Run = Callable[[Coroutine[Any, Any, None]], None]
GOOD = Script()
UNREACHABLE = Script(unreachable=True)
BREAKS = Script(breaks_after=0)


def refuses(status: int) -> Script:
    """An upstream that answers with `status`."""
    return Script(status=status)


@dataclass
class World:
    """Offers a, b, c with a provider each, a load and a meter."""

    meter: Meter
    store: MemoryStore
    providers: dict[str, StubProvider]
    offers: list[Offer]
    policy: RoutePolicy = field(default_factory=RoutePolicy)
    health: Health = field(default_factory=lambda: Health(SystemClock()))

    @asynccontextmanager
    async def served(self, call_id: str = "call_1") -> AsyncIterator[tuple[Reply, CallRecorder]]:
        """Serve one call and enter with its reply."""
        providers: dict[str, Provider] = dict(self.providers)
        async with self.meter.open(make_opened(call_id=call_id)) as tally:
            call = make_call(call_id=call_id)
            router = Router(self.health, lambda _: self.policy)
            route = router.route(call, self.offers, self.health.now_ns())
            async with Serving(call, route, providers, self.health, tally) as reply:
                yield reply, tally

    def tried(self) -> dict[str, int]:
        """Number of calls that each offer was sent, where any."""
        return {name: len(p.calls) for name, p in self.providers.items() if p.calls}

    def idle(self) -> bool:
        """Return true if no call is counted at any offer."""
        return not any(self.health.running(offer) for offer in self.offers)

    async def usages(self, journal: Journal) -> list[Usage]:
        """Usages on record."""
        await journal.durable()
        with self.store.reads() as reads:
            return list(reads.usages(0, 1 << 62))


@asynccontextmanager
async def world(*scripts: Script) -> AsyncIterator[tuple[World, Journal]]:
    """A world in which offers a, b, c ... follow one script each."""
    store = MemoryStore()
    journal = Journal(store)
    journal.start()
    names = "abcdef"[: len(scripts)]
    providers = {name: StubProvider([s]) for name, s in zip(names, scripts, strict=True)}
    offers = [make_offer(offer_id=name, provider=name) for name in names]
    try:
        yield World(Meter(journal, SystemClock()), store, providers, offers), journal
    finally:
        journal.close()


async def legs_of(*scripts: Script) -> tuple[list[Leg], int | None, CallError | None]:
    """The legs that a call leaves behind, the status that was served, or how it failed."""
    async with world(*scripts) as (here, journal):
        status, failure = None, None
        try:
            async with here.served() as (reply, tally):
                status = reply.status
                tally.leg_ended(
                    Outcome.ANSWERED, reply.status, NOTHING_REPORTED, Confidence.REPORTED
                )
        except CallError as error:
            failure = error
        assert here.idle()
        (usage,) = await here.usages(journal)
        return list(usage.legs), status, failure


ELSEWHERE = [
    UNREACHABLE,
    BREAKS,
    *map(refuses, (301, 401, 402, 403, 404, 407, 408, 429, 500, 502, 503)),
]


@pytest.mark.parametrize("first", ELSEWHERE, ids=str)
def test_failing_before_the_first_byte_is_tried_elsewhere(run: Run, first: Script) -> None:
    """A failure that another offer may not share leads there; each attempt is one leg."""

    async def main() -> None:
        legs, status, failure = await legs_of(first, GOOD)
        assert (status, failure) == (200, None)
        assert [(leg.offer, leg.outcome) for leg in legs] == [
            ("a", Outcome.FAILED),
            ("b", Outcome.ANSWERED),
        ]
        assert legs[0].status == (first.status if first.status >= 300 else 0)
        assert legs[0].tokens == NO_TOKENS
        certain = Confidence.COUNTED if first.unreachable else Confidence.ESTIMATED
        assert legs[0].confidence is certain

    run(main())


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422])
def test_what_any_offer_would_refuse_is_handed_on(run: Run, status: int) -> None:
    """A refusal of the request itself is the caller's answer; nothing else is tried."""

    async def main() -> None:
        legs, served, failure = await legs_of(refuses(status), GOOD)
        assert (served, failure, len(legs)) == (status, None, 1)

    run(main())


@pytest.mark.parametrize(
    ("scripts", "status", "code"),
    [
        ([], 503, "no_replica"),
        ([UNREACHABLE], 502, "upstream_unreachable"),
        ([BREAKS, BREAKS], 502, "upstream_unreachable"),
        ([refuses(429)], 429, "upstream_busy"),
        ([refuses(408)], 429, "upstream_busy"),
        ([refuses(401)], 502, "upstream_failed"),
        ([refuses(403)], 502, "upstream_failed"),
        ([refuses(404)], 502, "upstream_failed"),
        ([refuses(500), refuses(503)], 502, "upstream_failed"),
        ([UNREACHABLE, refuses(429)], 429, "upstream_busy"),
    ],
)
def test_when_nothing_serves(run: Run, scripts: list[Script], status: int, code: str) -> None:
    """The last failure is told in the caller's terms, and names no offer, host or status of ours."""

    async def main() -> None:
        legs, served, failure = await legs_of(*scripts)
        assert served is None
        assert failure is not None
        assert (failure.status, failure.code) == (status, code)
        assert len(legs) == len(scripts)
        assert all(word not in failure.message for word in ("127.0.0.1", "stub", "401", "offer"))

    run(main())


def test_a_wrong_configuration_is_no_failure_of_the_server(run: Run) -> None:
    """The caller is told whom to ask; the fault itself stands in the log alone."""

    async def main() -> None:
        for status, ours in ((401, True), (404, True), (301, True), (500, False)):
            *_, failure = await legs_of(refuses(status))
            assert failure is not None
            assert ("operator" in failure.message) == ours

    run(main())


def unsaid(why: str = "it has no word for 'n'") -> Script:
    """An upstream whose dialect cannot say the call."""
    return Script(unsaid=why)


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([unsaid(), GOOD], ["b answered"]),
        ([unsaid(), unsaid(), unsaid(), unsaid(), GOOD], ["e answered"]),
        ([UNREACHABLE, unsaid(), BREAKS, unsaid(), GOOD], ["a failed", "c failed", "e answered"]),
    ],
)
@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("tries", [1, 2])
def test_an_offer_that_cannot_be_asked_is_passed_over(
    run: Run, scripts: list[Script], expected: list[str], strategy: Strategy, tries: int
) -> None:
    """Every strategy passes the offer over: no attempt, no leg, and nothing for its breaker."""

    async def main() -> None:
        policy = RoutePolicy(strategy=strategy, tries_per_offer=tries, attempts=6)
        async with world(*scripts) as (here, journal):
            here.policy = policy
            async with here.served() as (reply, tally):
                tally.leg_ended(
                    Outcome.ANSWERED, reply.status, NOTHING_REPORTED, Confidence.REPORTED
                )
            assert here.idle()
            (usage,) = await here.usages(journal)
            states = here.health.states()
        legs = [f"{leg.offer} {leg.outcome}" for leg in usage.legs]
        assert legs[-1] == expected[-1]
        assert set(legs) <= set(expected)
        assert all(state is BreakerState.CLOSED for state in states.values())

    run(main())


@pytest.mark.parametrize(
    ("scripts", "status", "message"),
    [
        ([unsaid("first"), unsaid("second")], 400, "first"),
        ([unsaid(), UNREACHABLE], 502, "could not be reached"),
        ([UNREACHABLE, unsaid()], 502, "could not be reached"),
        ([refuses(429), unsaid()], 429, "at its limit"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_when_nobody_can_be_asked(
    run: Run, scripts: list[Script], status: int, message: str, deadline_s: float | None
) -> None:
    """The first offer's inability is told only where no offer that could be asked has failed."""

    async def main() -> None:
        async with world(*scripts) as (here, journal):
            here.policy = RoutePolicy(deadline_s=deadline_s, strategy=Strategy.FALLBACK)
            with pytest.raises(CallError, match=message) as refused:
                async with here.served():
                    pass
            assert refused.value.status == status
            assert here.idle()
            (usage,) = await here.usages(journal)
            assert len(usage.legs) == sum(not script.unsaid for script in scripts)

    run(main())


def test_a_breaker_is_no_reason_to_refuse_what_only_its_offer_can_say(run: Run) -> None:
    """Left alone while another seemed better; asked when that one has no words for the call."""

    async def main() -> None:
        async with world(unsaid(), GOOD) as (here, _):
            standing = here.health.of(here.offers[1])
            now_ns = here.health.now_ns()
            standing.told_to_wait(now_ns, 3600 * NS_PER_SECOND)
            async with here.served() as (reply, _tally):
                assert reply.status == 200
            assert here.tried() == {"b": 1}

    run(main())


def test_it_waits_for_a_place_at_the_only_offer_that_can_be_asked(run: Run) -> None:
    """The caller is told that the only offer that can be asked is full, and not that none can."""

    async def main() -> None:
        async with world(unsaid(), GOOD) as (here, _):
            here.offers[1] = replace(here.offers[1], capacity=1)
            here.health.of(here.offers[1]).running = 1
            with pytest.raises(CallError) as full:
                async with here.served():
                    pass
            here.health.of(here.offers[1]).running = 0
            assert (full.value.status, full.value.code) == (429, "offers_full")

    run(main())


def test_what_was_not_sent_does_not_probe_a_breaker(run: Run) -> None:
    """A half-open breaker still waits for its one call."""

    async def main() -> None:
        async with world(unsaid(), GOOD) as (here, _):
            policy = BreakerPolicy(failures_in_row=1, cool_down_s=0.001)
            here.health.use(policy)
            here.policy = RoutePolicy(strategy=Strategy.FALLBACK)
            standing, now_ns = here.health.of(here.offers[0]), here.health.now_ns()
            standing.failed(now_ns, now_ns)
            assert not here.health.passes(here.offers[0])
            while not here.health.passes(here.offers[0]):
                await asyncio.sleep(0)
            async with here.served() as (reply, _tally):
                assert reply.status == 200
            assert here.health.passes(here.offers[0])
            assert here.health.states()[here.offers[0].id] is BreakerState.HALF_OPEN

    run(main())


LACKS = Script(status=400, code="unsupported_parameter")


@pytest.mark.parametrize("deadline_s", [None, 60.0])
@pytest.mark.parametrize(
    ("scripts", "status", "legs"),
    [
        ([LACKS, GOOD], 200, ["a refused", "b answered"]),
        ([LACKS, LACKS, GOOD], 200, ["a refused", "b refused", "c answered"]),
        ([UNREACHABLE, LACKS, GOOD], 200, ["a failed", "b refused", "c answered"]),
        ([LACKS], 400, ["a answered"]),
        ([LACKS, LACKS], 400, ["a refused", "b answered"]),
        ([LACKS, refuses(400), GOOD], 400, ["a refused", "b answered"]),
        ([LACKS, UNREACHABLE], 502, ["a refused", "b failed"]),
        ([LACKS, unsaid()], 400, ["a refused"]),
    ],
)
def test_what_one_model_lacks_another_may_have(
    run: Run, scripts: list[Script], status: int, legs: list[str], deadline_s: float | None
) -> None:
    """A refusal that names a field goes on to the next offer; the last one's is the caller's answer."""

    async def main() -> None:
        async with world(*scripts) as (here, journal):
            here.policy = RoutePolicy(deadline_s=deadline_s, strategy=Strategy.FALLBACK)
            got = 0
            try:
                async with here.served() as (reply, tally):
                    got = reply.status
                    tally.leg_ended(Outcome.ANSWERED, got, NOTHING_REPORTED, Confidence.REPORTED)
            except CallError as error:
                got = error.status
            assert got == status
            assert here.idle()
            (usage,) = await here.usages(journal)
            states = set(here.health.states().values())
        assert [f"{leg.offer} {leg.outcome}" for leg in usage.legs] == legs
        assert states == {BreakerState.CLOSED}

    run(main())


def test_three_offers_at_most(run: Run) -> None:
    """A broken fleet is not tried from end to end."""

    async def main() -> None:
        legs, _, failure = await legs_of(*[UNREACHABLE] * 5)
        assert failure is not None
        assert [leg.offer for leg in legs] == ["a", "b", "c"]

    run(main())


def test_nothing_is_tried_after_it_began(run: Run) -> None:
    """From the first byte on the answer is the client's: a later failure is not repeated elsewhere."""

    async def main() -> None:
        async with world(Script(breaks_after=1), GOOD) as (here, journal):
            with pytest.raises(Exception, match="broke off"):
                async with here.served() as (reply, _):
                    [chunk async for chunk in reply.rest]
            assert here.tried() == {"a": 1}
            assert here.idle()
            (usage,) = await here.usages(journal)
            assert (usage.outcome, len(usage.legs)) == (Outcome.FAILED, 1)

    run(main())


def test_an_offer_counts_its_call_from_the_first_moment(run: Run) -> None:
    """While a call waits for its answer to begin, the next one goes to the other offer."""

    async def main() -> None:
        slow = Script(token_s=0.05)
        async with world(slow, slow) as (here, _):

            async def one(call_id: str) -> None:
                async with here.served(call_id) as (reply, _):
                    assert reply.status == 200

            await asyncio.gather(one("call_1"), one("call_2"))
            assert here.tried() == {"a": 1, "b": 1}

    run(main())


@pytest.mark.parametrize(
    "scripts", [[GOOD], [BREAKS, UNREACHABLE, GOOD], [refuses(500), GOOD]], ids=repr
)
def test_cancelled_at_any_moment(run: Run, scripts: list[Script]) -> None:
    """Wherever a call is cancelled, it leaves one Usage, no count at an offer and no open answer."""

    async def main() -> None:
        moments = 0
        while await cancelled_after(moments, scripts):
            moments += 1
        assert moments > 5

    run(main())


async def cancelled_after(moments: int, scripts: list[Script]) -> bool:
    """Cancel a call after it has run for so many turns of the loop; False when it was done by then."""
    async with world(*scripts) as (here, journal):

        async def one() -> None:
            async with here.served() as (reply, tally):
                async for _ in reply.rest:
                    await asyncio.sleep(0)
                await tally.close(Outcome.ANSWERED, reply.status)

        task = asyncio.ensure_future(one())
        for _ in range(moments):
            await asyncio.sleep(0)
        running = not task.done()
        task.cancel()
        await asyncio.wait({task})
        assert here.idle()
        assert task.cancelled() or not running
        usages = await here.usages(journal)
        assert len(usages) == (moments > 0), "a task cancelled before its first turn never ran"
        assert (
            not running
            or usages == []
            or usages[0].outcome in {Outcome.CANCELLED, Outcome.ANSWERED}
        )
        return running


def test_what_we_cannot_translate_is_our_failure(run: Run) -> None:
    """An untranslatable answer is paid for once: no other offer is asked, and this one stands as well."""

    async def main() -> None:
        for _ in range(3):
            legs, status, failure = await legs_of(Script(untranslatable=True), GOOD)
            assert status is None
            assert failure is not None
            assert (failure.status, failure.code) == (500, "untranslatable_answer")
            (leg,) = legs
            assert (leg.outcome, leg.tokens) == (Outcome.FAILED, Tokens(5, 3))
            assert leg.confidence is Confidence.REPORTED
        async with world(Script(untranslatable=True)) as (here, _):
            for number in range(30):
                with pytest.raises(CallError, match="could not convert the answer to the format"):
                    async with here.served(f"call_{number}"):
                        pass
            assert here.health.states() == {"a": BreakerState.CLOSED}
            assert here.idle()

    run(main())


def test_what_failed_is_logged_for_us(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the place and the manner of a failed attempt, with the call's id."""

    async def main() -> None:
        with caplog.at_level(logging.WARNING):
            await legs_of(UNREACHABLE, refuses(401), GOOD)
        assert [record.getMessage() for record in caplog.records] == [
            "call call_1: a failed: could not connect to a",
            "call call_1: b answered with status 401: refused by the stub",
        ]

    run(main())


def test_an_attempt_that_is_cut_off_keeps_what_was_reported(run: Run) -> None:
    """Tokens, tier and cost that the upstream had reported are on record: it will bill them."""
    reported = ReportedUsage(Tokens(5, 1), NO_ITEMS, "flex", 17, "EUR")

    async def main() -> None:
        async with world(GOOD) as (here, journal):
            offer, call = here.offers[0], make_call(call_id="call_1")
            async with here.meter.open(make_opened(call_id="call_1")) as tally:
                attempt = Attempt(call, offer, here.providers["a"], here.health, tally)
                await attempt.begin()
                assert isinstance(attempt.answer, Reply)
                first = replace(attempt.answer.first, reported=reported)
                attempt.answer = replace(attempt.answer, first=first)
                attempt.outrun(here.health.now_ns())
                await attempt.leave()
                await tally.close(Outcome.CANCELLED, 499)
            [leg] = (await here.usages(journal))[0].legs
            assert leg.tokens == reported.tokens
            assert (leg.service_tier, leg.told_cost_pico, leg.told_currency) == ("flex", 17, "EUR")

    run(main())
