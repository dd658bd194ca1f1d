"""Thousands of calls in simulated time: production's router and `serve`, another clock and wire."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest
from msgspec.structs import replace

from inferworks.clock import SimClock
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import Nothing
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.cloud.routing.route import Router
from inferworks.cloud.serving.serve import Serving
from inferworks.errors import CallError, UpstreamError
from inferworks.ids import OfferId
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.journal import Journal
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Confidence, Outcome, Tokens, Usage
from inferworks.testing.facts import make_opened
from inferworks.testing.providers import make_call, make_offer
from inferworks.units import NS_PER_SECOND

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
Behaviour = Callable[[Offer, float], float | None]
"""Seconds that an attempt at an offer takes at a time; None when it fails at once."""
TOLD = Tokens(40, 7)


class Rows:
    """A journal that keeps what it is given, at once."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []

    def opened(self, row: object) -> None:
        """Nothing can crash here: what is only open need not be kept."""

    reached = opened

    def append(self, row: object) -> None:
        """Keep a row."""
        if isinstance(row, Usage):
            self.usages.append(row)

    async def commit(self, row: object, *_more: object) -> None:
        """Keep a row for good."""
        self.append(row)


class Upstreams:
    """A provider of offers that behave as they are told."""

    name = "stub"
    operations = frozenset({Operation.CHAT})

    def __init__(self, clock: SimClock, behave: Behaviour) -> None:
        self.sent: Counter[str] = Counter()
        self._clock = clock
        self._behave = behave

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer after a while, or fail."""
        self.sent[offer.id] += 1
        seconds = self._behave(offer, self._clock.now_ns() / NS_PER_SECOND)
        if seconds is None:
            raise UpstreamError("it is down", sent=False)
        await self._clock.sleep(seconds)
        yield Reply(
            200, b"application/json", Chunk(b"{}", ReportedUsage(TOLD), last=True), Nothing()
        )


@dataclass
class World:
    """A simulation: what calls come, and what became of them."""

    behave: Behaviour
    policy: RoutePolicy
    offers: Sequence[Offer]
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    session_of: Callable[[int], bytes] = lambda n: b""
    rotate: bool = False
    """Put the offers in another order for each call: with `fallback`, a round robin."""
    failures: int = 0
    waits_s: list[float] = field(default_factory=list)
    """Wait of each answered call for its first byte."""

    def __post_init__(self) -> None:
        self.clock = SimClock()
        self.rows = Rows()
        self.health = Health(self.clock, self.breaker, seed=1)
        self.router = Router(self.health, lambda _: self.policy)
        self.upstreams = Upstreams(self.clock, self.behave)

    async def run(self, n_calls: int, every_s: float) -> None:
        """Let `n_calls` come, one each `every_s`, and wait for the last of them."""
        calls = [asyncio.ensure_future(self._call(n, n * every_s)) for n in range(n_calls)]
        await self.clock.advance(n_calls * every_s + 60.0)
        await asyncio.gather(*calls)
        assert len(self.rows.usages) == n_calls, "one usage each"
        assert not any(self.health.running(offer) for offer in self.offers)

    async def _call(self, number: int, at_s: float) -> None:
        await self.clock.sleep(at_s)
        came_ns = self.clock.now_ns()
        opened = make_opened(call_id=f"call_{number}", opened_ns=came_ns)
        async with CallRecorder(
            opened, cast(Journal, self.rows), self.clock, NS_PER_SECOND
        ) as tally:
            try:
                await self._serve(number, came_ns, tally)
            except CallError as error:
                self.failures += 1
                await tally.close(Outcome.FAILED, error.status, error.code)

    async def _serve(self, number: int, came_ns: int, tally: CallRecorder) -> None:
        call = replace(make_call(stream=False), session=self.session_of(number))
        turn = number % len(self.offers) if self.rotate else 0
        offers = [*self.offers[turn:], *self.offers[:turn]]
        route = self.router.route(call, offers, came_ns)
        async with Serving(call, route, {"stub": self.upstreams}, self.health, tally) as reply:
            self.waits_s.append((self.clock.now_ns() - came_ns) / NS_PER_SECOND)
            assert reply.first.reported is not None
            tokens = reply.first.reported.tokens
            tally.leg_ended(
                Outcome.ANSWERED, reply.status, ReportedUsage(tokens), Confidence.REPORTED
            )
            await tally.close(Outcome.ANSWERED, reply.status)

    def slowest_s(self, share: float) -> float:
        """Seconds that at least a `share` of the calls waited at most."""
        return sorted(self.waits_s)[int(share * len(self.waits_s))]


ABC = [make_offer(offer_id=name) for name in "abc"]


def one_slow(offer: Offer, now_s: float) -> float:
    """Offer c takes three seconds, the others a fifth."""
    return 3.0 if offer.id == "c" else 0.2


def test_the_fastest_beats_turns_on_a_slow_offer(run: Run) -> None:
    """With one slow offer of three, the mean wait is a fifth of that of taking turns, or less."""

    async def main() -> None:
        turns = World(one_slow, RoutePolicy(strategy=Strategy.FALLBACK), ABC, rotate=True)
        await turns.run(1500, 0.05)
        fastest = World(one_slow, RoutePolicy(strategy=Strategy.FASTEST), ABC)
        await fastest.run(1500, 0.05)
        assert sum(fastest.waits_s) < sum(turns.waits_s) / 4
        assert fastest.slowest_s(0.95) == 0.2
        assert turns.slowest_s(0.95) == 3.0
        assert fastest.upstreams.sent["c"] > 0, (
            "it is tried now and then, or it stays slow for ever"
        )

    run(main())


def down_for_a_while(offer: Offer, now_s: float) -> float | None:
    """Offer a is down from 20 to 50 seconds."""
    return None if offer.id == "a" and 20 <= now_s < 50 else 0.1


def test_a_dead_offer_is_taken_out_and_let_back_in(run: Run) -> None:
    """While it is down only probes go there, nobody notices, and after it is back so are its calls."""

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.FALLBACK)
        world = World(down_for_a_while, policy, ABC[:2])
        await world.run(2000, 0.05)
        legs = [leg for usage in world.rows.usages for leg in usage.legs]
        failed = [leg for leg in legs if leg.outcome is Outcome.FAILED]
        assert world.failures == 0
        # Two that were under way are answered yet; five failures in a row open it; probes follow 1, 2, 4
        # and 8 s after one another.
        assert len(failed) == 2 + 5 + 4
        assert all(leg.offer == "a" for leg in failed)
        late = [leg for leg in legs if leg.started_ns > 85 * NS_PER_SECOND]
        assert {leg.offer for leg in late} == {"a"}
        assert len(legs) == world.upstreams.sent.total()

    run(main())


def test_sessions_stay_where_they_are(run: Run) -> None:
    """Each session is served at one offer; when that dies, its sessions move together and come back."""

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.SESSION)
        sessions = {n: b"session %d" % (n % 40) for n in range(2000)}
        world = World(down_for_a_while, policy, ABC, session_of=lambda n: sessions[n])
        await world.run(2000, 0.05)
        homes: dict[bytes, Counter[str]] = {session: Counter() for session in sessions.values()}
        for usage in world.rows.usages:
            number = int(usage.call_id.removeprefix("call_"))
            homes[sessions[number]][usage.legs[-1].offer] += 1
        usual = {session: served.most_common(1)[0][0] for session, served in homes.items()}
        assert set(usual.values()) == {"a", "b", "c"}
        for session, served in homes.items():
            assert len(served) == (2 if usual[session] == "a" else 1)
        assert world.failures == 0

    run(main())


def hiccups(seed: int, share: float) -> Behaviour:
    """Offers that take a twentieth of a second, and three seconds by chance."""
    chance = Random(seed).random
    return lambda offer, now_s: 3.0 if chance() < share else 0.05


def test_hedging_cuts_the_tail_and_counts_every_leg(run: Run) -> None:
    """The slowest hundredth waits a tenth as long; every extra leg is on record and charged to nobody."""

    async def main() -> None:
        plain = World(hiccups(3, 0.04), RoutePolicy(strategy=Strategy.WEIGHTED), ABC)
        await plain.run(2000, 0.05)
        policy = RoutePolicy(strategy=Strategy.WEIGHTED, hedge_after_ms=200.0, hedge_share=0.1)
        hedged = World(hiccups(3, 0.04), policy, ABC)
        await hedged.run(2000, 0.05)
        assert (plain.slowest_s(0.99), plain.failures) == (3.0, 0)
        assert hedged.slowest_s(0.99) < 0.3
        usages = hedged.rows.usages
        assert sum(len(usage.legs) for usage in usages) == hedged.upstreams.sent.total()
        extra = [usage for usage in usages if len(usage.legs) > 1]
        assert 40 < len(extra) < 120
        for usage in extra:
            loser, winner = usage.legs
            assert (loser.outcome, winner.outcome) == (Outcome.CANCELLED, Outcome.ANSWERED)
            assert loser.confidence is Confidence.ESTIMATED
            assert loser.tokens.input > 0
        assert {usage.tokens for usage in usages} == {TOLD}, "a client pays for one answer"

    run(main())


def test_a_budget_bounds_hedges_when_all_are_slow(run: Run) -> None:
    """Hedges stay within their share when every call is slow."""

    async def main() -> None:
        policy = RoutePolicy(hedge_after_ms=100.0, hedge_share=0.02)
        world = World(lambda offer, now_s: 1.0, policy, ABC)
        await world.run(1000, 0.02)
        assert 15 <= world.upstreams.sent.total() - 1000 <= 20
        assert all(wait == 1.0 for wait in world.waits_s)

    run(main())


def test_a_deadline_ends_what_hangs(run: Run) -> None:
    """A call that nobody answers in its time fails then, and its legs say what they have cost."""

    async def main() -> None:
        policy = RoutePolicy(deadline_s=2.0, hedge_after_ms=500.0, hedge_share=1.0)
        world = World(lambda offer, now_s: 1000.0, policy, ABC, BreakerPolicy(failures_in_row=100))
        await world.run(20, 0.5)
        assert world.failures == 20
        for usage in world.rows.usages:
            assert (usage.status, usage.error_code) == (504, "upstream_timeout")
            assert usage.closed_ns - usage.opened_ns == 2 * NS_PER_SECOND
            assert [leg.outcome for leg in usage.legs] == [Outcome.FAILED] * 2
            assert usage.tokens == Tokens()
            assert all(leg.tokens.input > 0 for leg in usage.legs)

    run(main())


def test_a_hot_prefix_spills_and_the_others_stay(run: Run) -> None:
    """One prompt's calls fill its offer up to the bound; then others help, and nobody is overloaded."""

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.PREFIX, spill_above=4)
        few = World(lambda offer, now_s: 0.1, policy, ABC)
        await few.run(300, 0.05)
        assert len(few.upstreams.sent) == 1
        many = World(lambda offer, now_s: 0.5, policy, ABC)
        await many.run(600, 0.05)
        assert len(many.upstreams.sent) == 3
        assert many.upstreams.sent.most_common(1)[0][1] < 450

    run(main())


def test_weights_are_kept_over_time(run: Run) -> None:
    """Of two thousand calls each offer serves its share, within four deviations of chance."""

    async def main() -> None:
        offers = [replace(o, weight=w) for o, w in zip(ABC, (6.0, 3.0, 1.0), strict=True)]
        policy = RoutePolicy(strategy=Strategy.WEIGHTED)
        world = World(lambda offer, now_s: 0.1, policy, offers)
        await world.run(2000, 0.05)
        for offer in offers:
            expected = 2000 * offer.weight / 10
            deviation = (expected * (1 - offer.weight / 10)) ** 0.5
            assert abs(world.upstreams.sent[offer.id] - expected) < 4 * deviation

    run(main())


def test_the_least_loaded_works_off_a_slow_offer(run: Run) -> None:
    """An offer that takes fifteen times as long gets the fewer calls, and nobody takes turns with it."""

    async def main() -> None:
        world = World(one_slow, RoutePolicy(strategy=Strategy.LEAST_LOADED), ABC)
        await world.run(1500, 0.05)
        turns = World(one_slow, RoutePolicy(strategy=Strategy.FALLBACK), ABC, rotate=True)
        await turns.run(1500, 0.05)
        assert world.upstreams.sent["c"] < turns.upstreams.sent["c"] / 4
        assert world.failures == 0

    run(main())


def priced(*prices: int) -> list[Offer]:
    """Offers a, b and c at so many picounits per token."""
    return [replace(o, rates=Rates(p, p)) for o, p in zip(ABC, prices, strict=True)]


def test_the_cheapest_serves_while_it_can(run: Run) -> None:
    """All calls go to the lowest price; while it is down the next one serves."""

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.CHEAPEST)
        world = World(down_for_a_while, policy, priced(1, 5, 3))
        await world.run(2000, 0.05)
        assert world.failures == 0
        assert world.upstreams.sent["b"] == 0
        served = [(usage.legs[-1].started_ns, usage.legs[-1].offer) for usage in world.rows.usages]
        meanwhile = {offer for at, offer in served if 22 < at / NS_PER_SECOND < 49}
        assert meanwhile == {"c"}
        assert {offer for at, offer in served if at / NS_PER_SECOND > 85} == {"a"}

    run(main())


def slow_then_quick(offer: Offer, now_s: float) -> float:
    """Offer a takes five seconds until the fiftieth, the others always a fifth of one."""
    return 5.0 if offer.id == "a" and now_s < 50 else 0.2


def test_margin_is_sought_within_the_latency_bound(run: Run) -> None:
    """The cheapest offer is left while it is over the bound, and taken once it is not."""

    async def main() -> None:
        policy = RoutePolicy(strategy=Strategy.MARGIN, latency_bound_ms=1000.0)
        world = World(slow_then_quick, policy, priced(1, 5, 3))
        await world.run(2000, 0.05)
        assert world.failures == 0
        assert world.upstreams.sent["b"] == 0
        late = [u.legs[-1].offer for u in world.rows.usages if u.opened_ns > 85 * NS_PER_SECOND]
        early = [u.legs[-1].offer for u in world.rows.usages if u.opened_ns < 50 * NS_PER_SECOND]
        assert set(late) == {"a"}
        assert early.count(OfferId("c")) > 0.75 * len(early)

    run(main())


def test_calls_stay_in_their_region(run: Run) -> None:
    """Nothing runs elsewhere, whatever fails: a call without an offer in its region is refused."""

    async def main() -> None:
        regions = ("eu-west", "us-east", "eu-north")
        offers = [replace(o, region=r) for o, r in zip(ABC, regions, strict=True)]
        policy = RoutePolicy(strategy=Strategy.FALLBACK, regions=("eu-west",))
        world = World(down_for_a_while, policy, offers)
        await world.run(2000, 0.05)
        assert set(world.upstreams.sent) == {"a"}
        assert 500 < world.failures < 700  # thirty seconds of twenty calls each, but for the probes

    run(main())


def test_the_same_seed_is_the_same_history(run: Run) -> None:
    """Two runs of one simulation leave the same record."""

    async def main() -> None:
        histories: list[Awaitable[list[Usage]]] = [history(), history()]
        first, second = [await each for each in histories]
        assert first == second

    async def history() -> list[Usage]:
        policy = RoutePolicy(strategy=Strategy.FASTEST, hedge_after_ms=200.0, hedge_share=0.5)
        world = World(hiccups(5, 0.1), policy, ABC)
        await world.run(300, 0.05)
        return world.rows.usages

    run(main())
