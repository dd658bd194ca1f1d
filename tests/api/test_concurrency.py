"""Limits of calls that run at once: permits come back whatever ends when, and those that wait are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.leaks import until

from inferworks.accounts.key import Key, mint
from inferworks.api.call_limits import NoLimits
from inferworks.api.concurrency import (
    REFUSE_AT_ONCE,
    ConcurrencyLimiter,
    Fairness,
    QueueOutcome,
)
from inferworks.clock import Clock
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.routing.slots import SlotPool
from inferworks.errors import CallError
from inferworks.ids import CallId, CustomerId
from inferworks.limits.fair_queue import QueueLimits
from inferworks.meter.usage import Outcome
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import CHAT, open_gateway_over
from inferworks.testing.providers import A_MODEL, make_offer

Run = Callable[[Coroutine[Any, Any, None]], None]
KEYS: Final = [
    mint(CustomerId(name), 1, pepper=A_PEPPER)[0] for name in ("acme", "acme", "lab", "shop")
]
"""Two of them are one customer's."""
CHAT_BODY: Final = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hello."}]}
QUEUES: Final = Fairness(QueueLimits(per_customer=8, in_all=16))
POOL: Final = SlotPool("here/m", 2)


class Hands:
    """A clock that is moved by hand."""

    now = 0

    def now_ns(self) -> int:
        """The time it was set to."""
        return self.now

    def carried(self) -> Clock:
        """Return this clock."""
        return self

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps by it."""
        raise NotImplementedError


def refused(error: BaseException | None) -> tuple[int, str | None]:
    """Status and code of a refusal."""
    assert isinstance(error, CallError)
    assert error.retry_after_s is not None
    assert error.retry_after_s >= 1
    return error.status, error.code


def is_at_rest(limiter: ConcurrencyLimiter) -> bool:
    """Return True when no call has anything of `limiter`."""
    return (limiter.running, limiter.queued, limiter._of_key) == (0, 0, {}) and not any(
        queue.running or queue._flows for queue in (limiter._all, *limiter._models.values())
    )


orders = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 3), st.sampled_from((None, 1, 2, 3))),
        st.tuples(st.sampled_from(("end", "cancel")), st.integers(0, 30), st.none()),
        st.tuples(st.just("pass"), st.integers(1, 3), st.none()),
        st.tuples(st.just("use"), st.integers(0, 3), st.none()),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(orders, st.booleans())
def test_permits_are_conserved_whatever_ends_when(
    ordered: list[tuple[str, int, int | None]], at_once: bool
) -> None:
    """Calls come, end and are cancelled in any order, also as they are let in; no permit is left out."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(3, 4, QUEUES)
        tasks: list[tuple[asyncio.Task[None], asyncio.Event]] = []

        async def call(key: Key, slots: SlotPool | None, over: asyncio.Event) -> None:
            permit = await limiter.admit(key, slots)
            try:
                await over.wait()
            finally:
                permit.leave()
                permit.leave()  # twice is once

        for what, number, permits in ordered:
            if what == "come":
                over = asyncio.Event()
                slots = None if permits is None else SlotPool("here/m", permits)
                tasks.append((asyncio.ensure_future(call(KEYS[number], slots, over)), over))
            elif what == "use":
                limits = QueueLimits(per_customer=number, in_all=2 * number, share=0.5)
                limiter.use(Fairness(limits))
            elif what == "pass":
                for _ in range(number):
                    await asyncio.sleep(0)
            elif number < len(tasks):
                task, over = tasks[number]
                if what == "end":
                    over.set()
                else:
                    task.cancel()
            if not at_once:
                await asyncio.sleep(0)
            assert limiter.running <= 3
        for _, over in tasks:
            over.set()
        ends = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        kinds = {type(end) for end in ends} - {type(None), asyncio.CancelledError}
        assert kinds <= {CallError}
        assert is_at_rest(limiter)

    asyncio.run(main())


def test_those_that_wait_are_let_in_by_customer() -> None:
    """One customer's keys are one queue; the other's only call is next."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(1, 0, QUEUES)
        first = await limiter.admit(KEYS[0])
        order: list[int] = []

        async def call(number: int) -> None:
            permit = await limiter.admit(KEYS[number])
            order.append(number)
            assert limiter.running == 1
            permit.leave()

        calls = [asyncio.ensure_future(call(number)) for number in (0, 1, 0, 1, 2)]
        await asyncio.sleep(0)
        assert (limiter.running, limiter.queued, order) == (1, 5, [])
        first.leave()
        await asyncio.gather(*calls)
        assert order.index(2) <= 1
        assert is_at_rest(limiter)
        assert sum(limiter.waits[QueueOutcome.ADMITTED].counts) == 5

    asyncio.run(main())


def test_a_wait_ends_after_its_time() -> None:
    """503 with a time to try again; the place is free at once."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(1, 0, Fairness(wait_s=0.01))
        permit = await limiter.admit(KEYS[0])
        with pytest.raises(CallError, match=r"No call could begin within 0\.0 s") as error:
            await limiter.admit(KEYS[2])
        assert refused(error.value) == (503, "queue_timeout")
        assert limiter.queued == 0
        assert sum(limiter.waits[QueueOutcome.EXPIRED].counts) == 1
        permit.leave()
        assert is_at_rest(limiter)

    asyncio.run(main())


def test_one_who_waits_for_a_slot_holds_no_permit_of_the_gateway() -> None:
    """Calls of another model are served meanwhile; more slots let the waiting in."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(4, 0, QUEUES)
        held = [await limiter.admit(KEYS[0], POOL) for _ in range(2)]
        waiting = [asyncio.ensure_future(limiter.admit(KEYS[0], POOL)) for _ in range(3)]
        await asyncio.sleep(0)
        assert (limiter.running, limiter.queued) == (2, 3)
        held.append(await limiter.admit(KEYS[2]))
        waiting.append(asyncio.ensure_future(limiter.admit(KEYS[2], SlotPool("here/m", 3))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (limiter.running, limiter.queued) == (4, 3)
        for permit in held:
            permit.leave()
        for call in waiting:
            (await call).leave()
        assert is_at_rest(limiter)

    asyncio.run(main())


def test_full_queues() -> None:
    """A customer's own: 429; all of them: the last place of the longest is taken, else 503."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(1, 0, Fairness(QueueLimits(per_customer=2, in_all=2)))
        permit = await limiter.admit(KEYS[0])
        calls = [asyncio.ensure_future(limiter.admit(KEYS[0])) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(CallError, match="2 calls of yours wait already") as error:
            await limiter.admit(KEYS[1])
        assert refused(error.value) == (429, "too_many_calls")
        calls.append(asyncio.ensure_future(limiter.admit(KEYS[2])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert refused(calls[1].exception()) == (503, "queue_full")
        with pytest.raises(CallError, match="Too many calls wait") as error:
            await limiter.admit(KEYS[3])
        assert refused(error.value) == (503, "queue_full")
        permit.leave()
        (await calls[2]).leave()
        (await calls[0]).leave()
        assert is_at_rest(limiter)
        assert sum(limiter.waits[QueueOutcome.EVICTED].counts) == 1

    asyncio.run(main())


def test_without_queues_calls_are_refused_at_once() -> None:
    """429, as all other calls beyond a limit."""

    async def main() -> None:
        limiter = ConcurrencyLimiter(1, 0, REFUSE_AT_ONCE)
        permit = await limiter.admit(KEYS[0])
        with pytest.raises(CallError, match="1 calls are running, which is the limit") as error:
            await limiter.admit(KEYS[2])
        assert refused(error.value) == (429, "too_many_calls")
        permit.leave()

    asyncio.run(main())


def test_weights_are_of_customers() -> None:
    """Of permits that come back to two customers who wait, the one of weight two gets two of three."""

    async def main() -> None:
        fairness = msgspec.structs.replace(QUEUES, weights={"lab": 2.0}, default_weight=1.0)
        hands = Hands()
        limiter = ConcurrencyLimiter(1, 0, fairness, hands)
        first = await limiter.admit(KEYS[0])
        order: list[str] = []

        async def call(number: int) -> None:
            permit = await limiter.admit(KEYS[number])
            order.append(KEYS[number].customer)
            hands.now += 10**9
            permit.leave()

        calls = [asyncio.ensure_future(call(number)) for number in (3, 2) * 7]
        await asyncio.sleep(0)
        first.leave()
        await asyncio.gather(*calls)
        assert order[:9].count("lab") == 6

    asyncio.run(main())


@pytest.mark.slow
def test_a_call_that_waited_says_for_how_long(run: Run) -> None:
    """In a header of its own, and not among our overhead; its record is like any other."""

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.1)])
        async with open_gateway_over(provider, calls_at_once=1, fairness=QUEUES) as gateway:
            first = asyncio.ensure_future(gateway.chat(CHAT_BODY))
            await until(lambda: len(provider.calls) == 1)
            second = await gateway.chat(CHAT_BODY)
            assert (await first).status == second.status == 200
            assert "x-inferworks-queued-us" not in (await first).headers
            queued_us = int(second.headers["x-inferworks-queued-us"])
            assert queued_us > 50_000
            assert int(second.headers["x-inferworks-overhead-us"]) < 50_000
            usages = await gateway.usages()
            assert [usage.outcome for usage in usages] == [Outcome.ANSWERED] * 2
            waited_ns = usages[1].legs[0].started_ns - usages[1].opened_ns
            assert waited_ns >= queued_us * 1000

    run(main())


@pytest.mark.slow
def test_a_client_that_leaves_while_it_waits(run: Run) -> None:
    """Its place and what it held are free at once; it is on record as cancelled, and nothing was sent."""
    released: list[CallId] = []

    class Holds(NoLimits):
        """Limits that hold nothing, and note whose hold is released."""

        async def hold(self, *asked: Any) -> tuple[Any, Any]:
            """Hold nothing of a call."""
            _, opened, _, call, _ = asked
            release = partial(released.append, opened.call_id)
            return SimpleNamespace(release=release, end=None), call

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.1)])
        async with open_gateway_over(provider, calls_at_once=1, fairness=QUEUES) as gateway:
            limiter = gateway.context.limiter
            first = asyncio.ensure_future(gateway.chat(CHAT_BODY))
            await until(lambda: len(provider.calls) == 1)
            object.__setattr__(gateway.context, "limits", Holds())
            _, writer = await gateway.connect()
            writer.write(gateway.request("POST", CHAT, msgspec.json.encode(CHAT_BODY)))
            await until(lambda: limiter.queued == 1)
            writer.close()
            await until(lambda: limiter.queued == 0)
            assert not first.done()
            assert (await first).status == 200
            left = [one for one in await gateway.usages() if one.outcome is Outcome.CANCELLED]
            assert [(one.status, one.legs, one.error_code) for one in left] == [(0, (), None)]
            assert released == [left[0].call_id]
            assert len(provider.calls) == 1
            assert sum(limiter.waits[QueueOutcome.LEFT].counts) == 1

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{"capacity": 2}, {"slots": 1}])
def test_calls_wait_for_a_slot_of_their_model(run: Run, limit: dict[str, int]) -> None:
    """Beyond an upstream's `max_calls`, and a replica's slots with one call at hand, calls wait here."""

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.05)])
        async with open_gateway_over(provider, fairness=QUEUES) as gateway:
            offer = make_offer(offer_id="offer-0", provider=provider.name)
            gateway.catalogue.ready[A_MODEL] = [msgspec.structs.replace(offer, **limit)]
            health = gateway.context.router.health
            calls = [asyncio.ensure_future(gateway.chat(CHAT_BODY)) for _ in range(5)]
            most = 0
            while not all(call.done() for call in calls):
                most = max(most, health.running(offer))
                await asyncio.sleep(0.002)
            assert most == 2
            assert [call.result().status for call in calls] == [200] * 5

    run(main())


@pytest.mark.slow
def test_a_call_goes_to_the_offers_that_are_there_after_its_wait(run: Run) -> None:
    """A replica that has ended meanwhile is not asked; where none is left, the call is refused."""

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.1)])
        async with open_gateway_over(provider, calls_at_once=1, fairness=QUEUES) as gateway:
            first = asyncio.ensure_future(gateway.chat(CHAT_BODY))
            await until(lambda: len(provider.calls) == 1)
            second = asyncio.ensure_future(gateway.chat(CHAT_BODY))
            await until(lambda: gateway.context.limiter.queued == 1)
            gateway.catalogue.ready[A_MODEL] = []
            assert (await first).status == 200
            answer = await second
            assert (answer.status, answer.json["error"]["code"]) == (503, "no_replica")
            assert len(provider.calls) == 1

    run(main())
