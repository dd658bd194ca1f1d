"""Attempts that race: who wins, what becomes of the loser, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inferworks.clock import SystemClock
from inferworks.cloud.call import Call, Reply
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.cloud.routing.route import Router
from inferworks.cloud.routing.token_estimate import prompt_tokens
from inferworks.cloud.serving.attempt import Attempt
from inferworks.cloud.serving.hedging import HedgedAttempt, HedgedCall
from inferworks.cloud.serving.serve import Serving
from inferworks.errors import CallError, UpstreamError
from inferworks.http.client import HttpClient
from inferworks.meter.call_recorder import CallRecorder, Meter
from inferworks.meter.journal import Journal
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import NO_TOKENS, Confidence, Leg, Outcome, Tokens, Usage
from inferworks.testing.facts import make_opened
from inferworks.testing.in_process_gateway import open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL, make_call, make_offer
from inferworks.testing.upstream import Answer, Fault, open_upstream

Run = Callable[[Coroutine[Any, Any, None]], None]
GOOD, SLOW, NEVER = Script(), Script(token_s=0.2), Script(token_s=60.0)
UNTRANSLATED = Script(unsaid="it has no word for that")
LACKS = Script(status=400, code="unsupported_value")
HEDGED = RoutePolicy(strategy=Strategy.FALLBACK, hedge_after_ms=20.0, hedge_share=1.0)
PROMPT = Tokens(input=prompt_tokens(make_call()))


class World:
    """Offers a, b, c with a script each, a meter and a health."""

    def __init__(self, scripts: Sequence[Script], policy: RoutePolicy) -> None:
        self.store = MemoryStore()
        self.journal = Journal(self.store)
        self.journal.start()
        clock = SystemClock()
        self.meter = Meter(self.journal, clock)
        self.health = Health(clock)
        self.router = Router(self.health, lambda _: policy)
        names = "abcdef"[: len(scripts)]
        self.stubs = {n: StubProvider([s]) for n, s in zip(names, scripts, strict=True)}
        self.offers: list[Offer] = [make_offer(offer_id=n, provider=n) for n in names]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[tuple[CallRecorder, bytes]]:
        """Serve one call and enter with the bytes it begins with."""
        call = make_call(stream=True)
        providers: dict[str, Provider] = dict(self.stubs)
        async with self.meter.open(make_opened()) as tally:
            route = self.router.route(call, self.offers, self.health.now_ns())
            async with Serving(call, route, providers, self.health, tally) as reply:
                yield tally, reply.first.data

    async def usage(self) -> Usage:
        """The one Usage that is on record."""
        await self.journal.durable()
        with self.store.reads() as reads:
            [usage] = reads.usages(0, 1 << 62)
        return usage

    def check_nothing_is_left(self) -> None:
        """No call is counted at an offer, no attempt runs."""
        assert not any(self.health.running(offer) for offer in self.offers)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def world(*scripts: Script, policy: RoutePolicy = HEDGED) -> AsyncIterator[World]:
    """A world, and that nothing of it is left after the block."""
    here = World(scripts, policy)
    try:
        yield here
        here.check_nothing_is_left()
    finally:
        here.journal.close()


async def legs_of(*scripts: Script, policy: RoutePolicy = HEDGED) -> list[Leg]:
    """The legs of one call that is answered or fails."""
    async with world(*scripts, policy=policy) as here:
        try:
            async with here.served() as (tally, _):
                tally.leg_ended(
                    Outcome.ANSWERED, 200, ReportedUsage(Tokens(5, 3)), Confidence.REPORTED
                )
                await tally.close(Outcome.ANSWERED, 200)
        except (CallError, UpstreamError):
            pass
        return list((await here.usage()).legs)


def outcomes(legs: Sequence[Leg]) -> list[str]:
    """Offer and outcome of each leg."""
    return [f"{leg.offer} {leg.outcome}" for leg in legs]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([GOOD, GOOD], ["a answered"]),
        ([NEVER, GOOD], ["a cancelled", "b answered"]),
        ([SLOW, NEVER], ["b cancelled", "a answered"]),
        ([NEVER, Script(status=400)], ["a cancelled", "b answered"]),
        ([NEVER, Script(status=500), GOOD], None),
        ([SLOW, Script(status=500), GOOD], ["b failed", "a answered"]),
        ([SLOW, Script(unreachable=True)], ["b failed", "a answered"]),
        ([Script(breaks_after=0, token_s=0.1), SLOW], ["a failed", "b answered"]),
        ([Script(status=500), NEVER, GOOD], ["a failed", "b cancelled", "c answered"]),
        ([UNTRANSLATED, GOOD], ["b answered"]),
        ([NEVER, UNTRANSLATED, GOOD], ["a cancelled", "c answered"]),
        ([SLOW, UNTRANSLATED], ["a answered"]),
        ([SLOW, UNTRANSLATED, UNTRANSLATED], ["a answered"]),
        ([UNTRANSLATED, NEVER, UNTRANSLATED, GOOD], ["b cancelled", "d answered"]),
        ([UNTRANSLATED, UNTRANSLATED, UNTRANSLATED, Script(status=500)], ["d failed"]),
        ([LACKS, GOOD], ["a refused", "b answered"]),
        ([SLOW, LACKS], ["b refused", "a answered"]),
        ([LACKS, LACKS], ["a refused", "b answered"]),
    ],
    ids=str,
)
def test_who_serves(run: Run, scripts: list[Script], expected: list[str] | None) -> None:
    """The first answer wins, each attempt is a leg, and the one that served is the last."""

    async def main() -> None:
        policy = (
            HEDGED
            if expected
            else RoutePolicy(
                strategy=Strategy.FALLBACK, hedge_after_ms=20.0, hedge_share=1.0, deadline_s=0.3
            )
        )
        found = outcomes(await legs_of(*scripts, policy=policy))
        assert found == (expected or ["b failed", "a failed"])

    run(main())


def test_what_we_cannot_translate_leaves_the_other_to_answer(run: Run) -> None:
    """A hedge that runs already may serve; where none does, nobody else is asked."""

    async def main() -> None:
        unfit = Script(untranslatable=True)
        assert outcomes(await legs_of(SLOW, unfit, GOOD, policy=HEDGED)) == [
            "b failed",
            "a answered",
        ]
        slow = RoutePolicy(strategy=Strategy.FALLBACK, hedge_after_ms=5_000.0, hedge_share=1.0)
        assert outcomes(await legs_of(unfit, GOOD, policy=slow)) == ["a failed"]

    run(main())


def test_a_loser_has_cost_its_prompt(run: Run) -> None:
    """The loser's leg is an estimate of what was sent; the client is charged for the winner alone."""

    async def main() -> None:
        async with world(NEVER, GOOD) as here:
            async with here.served() as (tally, _):
                assert here.stubs["a"].left_early == 1, "it is told before the answer is handed on"
                assert here.health.running(here.offers[0]) == 0
                assert here.health.running(here.offers[1]) == 1
                tally.leg_ended(
                    Outcome.ANSWERED, 200, ReportedUsage(Tokens(5, 3)), Confidence.REPORTED
                )
                await tally.close(Outcome.ANSWERED, 200)
            usage = await here.usage()
            loser, winner = usage.legs
            assert (loser.tokens, loser.confidence) == (PROMPT, Confidence.ESTIMATED)
            assert usage.tokens == winner.tokens == Tokens(5, 3)
            assert here.health.first_byte_ns(here.offers[0]) > 0, "it is known to be slow"

    run(main())


def test_an_error_after_the_race_reaches_the_winner(run: Run) -> None:
    """An error in the delivery leaves the winner's upstream early, and is not swallowed."""

    async def main() -> None:
        async with world(NEVER, GOOD) as here:
            with pytest.raises(ZeroDivisionError):
                async with here.served():
                    raise ZeroDivisionError
            assert here.stubs["b"].left_early == 1
            assert outcomes((await here.usage()).legs) == ["a cancelled", "b failed"]

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("scripts", [[NEVER, GOOD], [NEVER, NEVER], [SLOW, SLOW]], ids=str)
def test_a_client_may_leave_at_any_moment(run: Run, scripts: list[Script]) -> None:
    """Before, amid and after the race: one Usage, every leg on record, nothing left running."""

    async def main() -> None:
        for after_s in (0.0, 0.005, 0.015, 0.02, 0.021, 0.025, 0.05, 0.2, 0.22):
            async with world(*scripts) as here:
                await leave_after(here, after_s)

    run(main())


async def leave_after(here: World, after_s: float) -> None:
    """Cancel a call after so many seconds and look at its record."""

    async def one() -> None:
        async with here.served():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(one())
    await asyncio.sleep(0)
    await asyncio.sleep(after_s)
    task.cancel()
    await asyncio.wait({task})
    usage = await here.usage()
    assert usage.outcome is Outcome.CANCELLED
    sent = sum(len(stub.calls) for stub in here.stubs.values())
    assert sent <= len(usage.legs) <= sent + 1, "a leg may begin a turn before its call is sent"
    assert {leg.outcome for leg in usage.legs} <= {Outcome.CANCELLED}
    assert all(stub.left_early == len(stub.calls) for stub in here.stubs.values())


class Stubborn(StubProvider):
    """A stub that takes its time to be cancelled."""

    def __init__(self) -> None:
        super().__init__([NEVER], name="a")
        self.being_left = asyncio.Event()
        self.may_leave = asyncio.Event()

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer never, and leave late."""
        try:
            async with super().send(offer, call) as reply:
                yield reply
        finally:
            self.being_left.set()
            await self.may_leave.wait()


def test_a_client_may_leave_while_the_loser_is_stopped(run: Run) -> None:
    """The winner, which waits for its loser to be gone, is left too, and its leg is the last."""

    async def main() -> None:
        async with world(NEVER, GOOD) as here:
            here.stubs["a"] = stubborn = Stubborn()

            async def one() -> None:
                async with here.served():
                    pytest.fail("the loser has not left yet")

            task = asyncio.ensure_future(one())
            await stubborn.being_left.wait()
            task.cancel()
            await asyncio.sleep(0)
            stubborn.may_leave.set()
            await asyncio.wait({task})
            usage = await here.usage()
            assert outcomes(usage.legs) == ["a cancelled", "b cancelled"]
            assert here.stubs["b"].left_early == 1

    run(main())


def test_a_deadline_gives_up_what_hangs(run: Run) -> None:
    """The client hears so in time, and the attempt is on record with the prompt it has cost."""

    async def main() -> None:
        async with world(NEVER, policy=RoutePolicy(deadline_s=0.05)) as here:
            with pytest.raises(CallError) as refused:
                async with here.served():
                    pass
            assert (refused.value.status, refused.value.code) == (504, "upstream_timeout")
            [leg] = (await here.usage()).legs
            assert (leg.outcome, leg.tokens) == (Outcome.FAILED, PROMPT)

    run(main())


def test_the_same_offer_is_tried_again(run: Run) -> None:
    """With more than one try per offer a passing failure is tried again after its wait."""

    async def main() -> None:
        policy = RoutePolicy(tries_per_offer=3, backoff_ms=1.0)
        legs = await legs_of(Script(status=500), policy=policy)
        assert outcomes(legs) == ["a failed"] * 3
        assert legs[1].started_ns > legs[0].ended_ns

    run(main())


def test_hedging_over_real_sockets(run: Run) -> None:
    """A hanging upstream is hedged with another; it sees its client go, and the answer is whole."""

    async def main() -> None:
        hangs = Answer(fault=Fault.HANG_BEFORE_HEADERS)
        async with open_upstream(hangs) as first, open_upstream() as second:
            client = HttpClient()
            try:
                provider = openai_provider(client, NoCredential(), name="openai")
                async with open_gateway_over(provider, policy=HEDGED) as gateway:
                    offers = [
                        make_offer(offer_id=name, provider="openai", origin=upstream.origin)
                        for name, upstream in (("a", first), ("b", second))
                    ]
                    gateway.catalogue.ready[A_MODEL] = offers
                    for stream in (False, True):
                        body = {
                            "model": A_MODEL,
                            "messages": [{"role": "user", "content": "Hi"}],
                            "stream": stream,
                        }
                        answer = await gateway.chat(body)
                        assert (answer.status, answer.whole) == (200, True)
                    for usage in await gateway.usages():
                        assert outcomes(usage.legs) == ["a cancelled", "b answered"]
                        assert usage.tokens == Tokens(5, 3)
            finally:
                client.close()
            async with asyncio.timeout(5.0):
                while first.left_early < 2:
                    await asyncio.sleep(0.002)

    run(main())


@pytest.mark.parametrize(("status", "answered"), [(429, 429), (503, 503)])
def test_when_to_try_again_is_passed_on(run: Run, status: int, answered: int) -> None:
    """The upstream's `retry-after` is the client's; as long as no other offer is left it is asked again."""

    async def main() -> None:
        refuses = Answer(status=status, headers=((b"retry-after", b"7"),))
        async with open_gateway(refuses) as (gateway, upstream):
            first = await gateway.chat(
                {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
            )
            assert (first.status, first.headers["retry-after"]) == (answered, "7")
            second = await gateway.chat(
                {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
            )
            assert (second.status, second.headers["retry-after"]) == (answered, "7")
            assert len(upstream.received) == 2
            usages = await gateway.usages()
            assert [len(usage.legs) for usage in usages] == [1, 1]
            assert {usage.tokens for usage in usages} == {NO_TOKENS}

    run(main())


PLAIN = RoutePolicy(strategy=Strategy.FALLBACK)
LIMITED = RoutePolicy(strategy=Strategy.FALLBACK, deadline_s=0.05)
UNREACHABLE = Script(unreachable=True)


@pytest.mark.parametrize(
    ("policy", "scripts"),
    [
        (policy, scripts)
        for policy in (PLAIN, HEDGED, LIMITED)
        for scripts in (
            [GOOD],
            [SLOW, SLOW],
            [UNREACHABLE, GOOD],
            [UNREACHABLE, UNREACHABLE],
            [Script(status=400)],
            [Script(status=500), Script(status=500)],
            [Script(breaks_after=0), Script(breaks_after=0)],
            [Script(breaks_after=0, token_s=0.1), SLOW],
        )
    ]
    + [(HEDGED, [NEVER, GOOD]), (LIMITED, [NEVER, GOOD]), (LIMITED, [NEVER])],
    ids=str,
)
def test_nothing_of_a_call_waits_for_the_collector(
    run: Run, policy: RoutePolicy, scripts: list[Script]
) -> None:
    """Everything held for a call (its body, its answer) is let go of at its end, however it ends.

    A gateway seldom has Python look for cycles: a prompt that is held by one stays for hours.
    """

    async def main() -> None:
        await legs_of(*scripts, policy=policy)
        kinds = (Attempt, Serving, HedgedCall, HedgedAttempt)
        assert not [one for one in gc.get_objects(generation=0) if isinstance(one, kinds)]

    gc.disable()
    gc.collect(0)  # from here on all that is made stays in the youngest generation
    try:
        run(main())
    finally:
        gc.enable()
