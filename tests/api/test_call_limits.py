"""Limits at the door, over real sockets: what is admitted, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from tests.observe.conftest import Run

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.limit_index import LimitIndex
from inferworks.accounts.plan import (
    Graduated,
    Package,
    Price,
    PricePlan,
    Scheme,
    Terms,
    Tier,
    Volume,
    token_terms,
)
from inferworks.api.call_limits import CallLimits, _duration
from inferworks.api.pricing import PricingTable
from inferworks.clock import SystemClock
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.errors import JournalError
from inferworks.http.client import HttpClient
from inferworks.limits.ledger import Budget, Gateway
from inferworks.limits.limiter import Limiter
from inferworks.limits.slice_log import SliceLog
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.meter.usage import Outcome, Usage
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.units import Unit

pytestmark = pytest.mark.slow

ASKED: dict[str, Any] = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}
USD = 10**12
INPUT_PICO, OUTPUT_PICO = 500_000, 1_500_000
TIERS = Graduated((Tier(20, OUTPUT_PICO), Tier(None, OUTPUT_PICO // 2)))


def limit(amount: int, measure: Measure = Measure.REQUESTS, window: Window = Window.TOTAL) -> Limit:
    """Return a hard limit on the customer of every test."""
    currency = "EUR" if measure is Measure.MONEY else ""
    scope = Scope(ScopeKind.CUSTOMER, A_CUSTOMER)
    return Limit(
        id="limit_1", scope=scope, measure=measure, window=window, amount=amount, currency=currency
    )


def priced(gateway: InProcessGateway, currency: str = "EUR") -> None:
    """Put the customer under a price plan."""
    terms = token_terms(currency, INPUT_PICO, OUTPUT_PICO)
    gateway.accounts.add_plan(PricePlan(A_CUSTOMER, 1, terms))
    assert gateway.context.tariffs is not None
    gateway.context.tariffs.refresh()


class Limited:
    """Gateways that share a ledger of limits."""

    def __init__(self, folder: Path, *limits: Limit) -> None:
        self.ledger = MemoryLedger()
        self.stores: list[MemoryLimits] = []
        self.limiters: list[Limiter] = []
        self.gateways: list[InProcessGateway] = []
        self._folder = folder
        self._index = LimitIndex(limits)

    def door(self, pricing: PricingTable) -> CallLimits:
        """Return the limits of one more gateway."""
        number = len(self.limiters)
        run, place = f"run{number}", f"place{number}"
        log = SliceLog(self._folder / place, run, "boot")
        self.stores.append(MemoryLimits(self.ledger))
        owner = Gateway(run, place, "boot", 0)
        self.limiters.append(Limiter(self.stores[-1], log, owner, SystemClock()))
        return CallLimits(self.limiters[-1], lambda: self._index, pricing)

    @asynccontextmanager
    async def open(
        self, count: int, *answers: Answer, **more: Any
    ) -> AsyncIterator[InProcessGateway]:
        """Run so many gateways, of which the first is returned, each under a price plan in EUR."""
        async with AsyncExitStack() as stack:
            for _ in range(count):
                opened = open_gateway(*answers, call_limits=self.door, **more)
                gateway, _ = await stack.enter_async_context(opened)
                priced(gateway)
                self.gateways.append(gateway)
            beats = [asyncio.ensure_future(self._beats(one)) for one in self.limiters]
            try:
                yield self.gateways[0]
            finally:
                for beat in beats:
                    beat.cancel()
                await asyncio.gather(*beats, return_exceptions=True)
                for limiter in self.limiters:
                    await limiter.close()

    @staticmethod
    async def _beats(limiter: Limiter) -> None:
        while True:
            await limiter.beat()
            await asyncio.sleep(0.02)

    @property
    def budget(self) -> Budget:
        """Return the one budget there is."""
        [budget] = self.ledger.accounts.values()
        assert isinstance(budget, Budget)
        return budget


@pytest.fixture
def limited(tmp_path: Path) -> Any:
    """Return a maker of gateways with limits."""
    return lambda *limits: Limited(tmp_path, *limits)


@pytest.mark.parametrize("count", [1, 2])
def test_of_exactly_m_calls_exactly_m_are_answered(run: Run, limited: Any, count: int) -> None:
    """Many clients on several gateways are answered 50 times, and refused in OpenAI's words else."""

    async def main() -> None:
        world = limited(limit(50))
        async with world.open(count, Answer()) as first:
            asked = [world.gateways[n % count].chat(ASKED) for n in range(120)]
            answers = await asyncio.gather(*asked)
            assert [one.status for one in answers].count(200) == 50
            refused = next(one for one in answers if one.status == 429)
            error = refused.json["error"]
            assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
            assert "customer acme may use 50 requests" in error["message"]
            usages = [usage for gateway in world.gateways for usage in await gateway.usages()]
            assert [usage.outcome for usage in usages].count(Outcome.REFUSED) == 70
            del first
        assert (world.budget.held, world.budget.settled) == (0, 50)

    run(main())


def test_a_call_that_cannot_be_put_on_record_uses_up_nothing(run: Run, limited: Any) -> None:
    """Limit and books agree about calls that ended while the journal could not be written."""

    async def main() -> None:
        world = limited(limit(USD, Measure.MONEY, Window.MONTH))
        async with world.open(1, Answer(input_tokens=7)) as gateway:
            assert (await gateway.chat(ASKED)).status == 200
            journal = gateway.context.meter._journal
            write, journal._store.write = journal._store.write, broken
            for _ in range(3):
                answer = await gateway.chat(ASKED)
                assert (answer.status, answer.json["error"]["code"]) == (503, "journal")
            journal._store.write = write
            async with asyncio.timeout(10):
                while journal.failed:
                    await asyncio.sleep(0.01)
            assert (await gateway.chat(ASKED)).status == 200
            usages = await gateway.usages()
            outcomes = [usage.outcome for usage in usages]
            assert outcomes.count(Outcome.ANSWERED) == 2
            assert outcomes.count(Outcome.FAILED) == len(usages) - 2 > 0
            charged = sum(
                usage.tokens.input * INPUT_PICO + usage.tokens.output * OUTPUT_PICO
                for usage in usages
            )
        assert (world.budget.held, world.budget.settled) == (0, charged)

    run(main())


def broken(_records: object) -> None:
    """Fail as a disk does that is full."""
    raise JournalError("the disk is full")


def test_settlements_are_what_the_call_cost(run: Run, limited: Any) -> None:
    """A whole answer, a stream and a failed call are settled at the customer's price, to the picounit."""

    async def main() -> None:
        world = limited(limit(USD, Measure.MONEY, Window.MONTH))
        answers = (Answer(input_tokens=7), Answer(input_tokens=9), Answer(status=400))
        async with world.open(1, *answers) as gateway:
            await gateway.chat({**ASKED, "max_tokens": 50})
            await gateway.chat({**ASKED, "stream": True, "stream_options": {"include_usage": True}})
            assert (await gateway.chat(ASKED)).status == 400
            charged = [
                usage.tokens.input * INPUT_PICO + usage.tokens.output * OUTPUT_PICO
                for usage in await gateway.usages()
            ]
            assert min(charged[:2]) > 0
            assert charged[2] == 0
        assert (world.budget.held, world.budget.settled) == (0, sum(charged))

    run(main())


def test_a_stream_is_ended_when_the_money_ends(run: Run, limited: Any) -> None:
    """A long stream of a prepaid customer ends cleanly, says why, and costs no more than there was."""
    words = tuple(f" word{n}" for n in range(3000))
    most = 2000 * OUTPUT_PICO

    async def main() -> None:
        world = limited(limit(most, Measure.MONEY))
        async with world.open(1, Answer(words=words), running_usage=True) as gateway:
            client = openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0)
            async with client:
                stream = await client.chat.completions.create(
                    model=A_MODEL, messages=ASKED["messages"], stream=True,
                    stream_options={"include_usage": True},
                )  # fmt: skip
                chunks = [chunk async for chunk in stream]
            ends = [choice for chunk in chunks for choice in chunk.choices if choice.finish_reason]
            assert [end.finish_reason for end in ends] == ["length"]
            [reason] = [
                chunk.model_extra["inferworks"]
                for chunk in chunks
                if chunk.model_extra and "inferworks" in chunk.model_extra
            ]
            assert reason["code"] == "insufficient_quota"
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.ANSWERED
            assert usage.error_code == "insufficient_quota"
            told = chunks[-1].usage
            assert told is not None
            assert told.completion_tokens == usage.tokens.output
            assert 1000 < usage.tokens.output < 2000
            cost = usage.tokens.input * INPUT_PICO + usage.tokens.output * OUTPUT_PICO
            assert cost <= most
            assert (await gateway.chat({**ASKED, "max_tokens": 2000})).status in (200, 429)
        assert world.budget.held == 0
        assert world.budget.settled <= most

    run(main())


@pytest.mark.parametrize("words_an_event", [80, 1600])
def test_a_stream_with_many_tokens_an_event_is_ended_in_time(
    run: Run, limited: Any, words_an_event: int
) -> None:
    """Though its upstream tells of its usage at the end only: what has come is counted by its words."""
    words = ("word " * words_an_event,) * 200
    most = 4000 * OUTPUT_PICO

    async def main() -> None:
        world = limited(limit(most, Measure.MONEY))
        async with world.open(1, Answer(words=words)) as gateway:
            answer = await gateway.chat({**ASKED, "stream": True})
            assert b'"ended_by":"limit"' in answer.body
            (usage,) = await gateway.usages()
            assert usage.error_code == "insufficient_quota"
            came = answer.body.count(b"word ") * 5 // 4
            assert usage.tokens.output == came
            assert came <= 4000 + 16 * 1024, "what has come at once is passed on whole"
        assert world.budget.held == 0

    run(main())


def test_an_answer_that_is_complete_gets_no_second_end(run: Run, tmp_path: Path) -> None:
    """The money ends with the event that ends the answer: it is passed on, and what follows it too."""

    async def answered(folder: str, count: int) -> tuple[list[str], Usage]:
        world = Limited(tmp_path / folder, limit(1000 * OUTPUT_PICO, Measure.MONEY))
        async with world.open(1, Answer(words=("a",) * count)) as gateway:
            answer = await gateway.chat({**ASKED, "stream": True})
            (usage,) = await gateway.usages()
        assert answer.body.endswith(b"data: [DONE]\n\n")
        return re.findall(r'"finish_reason": ?"(\w+)"', answer.body.decode()), usage

    async def main() -> None:
        ends, cut = await answered("cut", 2000)
        assert ends == ["length"]
        for count in range(
            cut.tokens.output - 4, cut.tokens.output - 1
        ):  # less the role and the end
            ends, usage = await answered(str(count), count)
            assert (ends, usage.error_code, usage.tokens.output) == (["stop"], None, count)

    run(main())


def test_a_stream_of_messages_is_ended_as_one_at_its_limit_of_tokens(
    run: Run, limited: Any
) -> None:
    """Anthropic's client takes the end of a stream whose money has ended as `max_tokens`."""
    words = tuple(f" word{n}" for n in range(3000))

    async def main() -> None:
        world = limited(limit(1500 * OUTPUT_PICO, Measure.MONEY))
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(open_anthropic(MessageAnswer(words=words)))
            http = stack.enter_context(closing(HttpClient()))
            provider = PassthroughProvider(http, ANTHROPIC, NoCredential())
            opened = open_gateway_over(provider, origin=upstream.origin, call_limits=world.door)
            gateway = await stack.enter_async_context(opened)
            priced(gateway)
            client = anthropic.AsyncAnthropic(
                base_url=gateway.url.removesuffix("/v1"), api_key=gateway.secret, max_retries=0
            )
            async with (
                client,
                client.messages.stream(
                    model=A_MODEL, max_tokens=100_000, messages=ASKED["messages"]
                ) as stream,
            ):
                message = await stream.get_final_message()
            assert message.stop_reason == "max_tokens"
            (usage,) = await gateway.usages()
            assert 1000 < usage.tokens.output < 1500
            await world.limiters[0].close()

    run(main())


def test_a_whole_answer_is_limited_to_what_is_affordable(run: Run, limited: Any) -> None:
    """The limit that goes upstream is lowered, under the name that the request has."""

    async def main() -> None:
        world = limited(limit(300 * OUTPUT_PICO, Measure.MONEY))
        async with AsyncExitStack() as stack:
            opened = open_gateway(Answer(), call_limits=world.door)
            gateway, upstream = await stack.enter_async_context(opened)
            priced(gateway)
            answer = await gateway.chat({**ASKED, "max_completion_tokens": 5000})
            assert answer.status == 200
            sent = msgspec.json.decode(upstream.received[-1].body)
            assert 200 < sent["max_completion_tokens"] < 300
            await world.limiters[0].close()

    run(main())


def test_rates_are_refused_as_openai_refuses_them(run: Run, limited: Any) -> None:
    """Requests a minute: the fourth of three is refused with a wait, and headers say what is left."""

    async def main() -> None:
        world = limited(limit(3, Measure.REQUESTS, Window.MINUTE))
        async with world.open(1, Answer()) as gateway:
            answers = [await gateway.chat(ASKED) for _ in range(4)]
            assert [one.status for one in answers] == [200, 200, 200, 429]
            left = [one.headers["x-ratelimit-remaining-requests"] for one in answers[:3]]
            assert left == ["2", "1", "0"]
            assert {one.headers["x-ratelimit-limit-requests"] for one in answers[:3]} == {"3"}
            assert answers[0].headers["x-ratelimit-reset-requests"].endswith("s")
            error = answers[3].json["error"]
            assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
            assert "requests per min (RPM): Limit 3, Used 3, Requested 1" in error["message"]
            assert "Please try again in" in error["message"]
            assert 1 <= int(answers[3].headers["retry-after"]) <= 20

    run(main())


def test_tokens_per_minute_take_the_likely_and_settle_the_true(run: Run, limited: Any) -> None:
    """A call with a large limit of its own is no token refused for what it does not use."""

    async def main() -> None:
        world = limited(limit(3000, Measure.TOKENS, Window.MINUTE))
        async with world.open(1, Answer(input_tokens=5)) as gateway:
            answers = [await gateway.chat({**ASKED, "max_tokens": 1000}) for _ in range(12)]
            assert {one.status for one in answers} == {200}
            assert answers[0].headers["x-ratelimit-limit-tokens"] == "3000"
            large = await gateway.chat(
                {**ASKED, "messages": [{"role": "user", "content": "a b " * 8000}]}
            )
            assert large.status == 429
            assert (
                "Request too large for customer acme on tokens per min (TPM)"
                in large.json["error"]["message"]
            )

    run(main())


def test_calls_at_once_come_back(run: Run, limited: Any) -> None:
    """Two at once are served for ever, the third meanwhile is refused."""

    async def main() -> None:
        world = limited(limit(2, Measure.CALLS))
        async with world.open(1, Answer(event_s=0.1)) as gateway:
            for _ in range(2):
                answers = await asyncio.gather(
                    *(gateway.chat({**ASKED, "stream": True}) for _ in range(3))
                )
                assert sorted(one.status for one in answers) == [200, 200, 429]
                [error] = [one.json["error"] for one in answers if one.status == 429]
                assert "calls at once: Limit 2" in error["message"]

    run(main())


def test_a_price_that_is_not_known_is_refused(run: Run, limited: Any) -> None:
    """A limit on money cannot be kept without a price, nor in another currency."""

    async def main() -> None:
        world = limited(limit(USD, Measure.MONEY))
        opened = open_gateway(Answer(), call_limits=world.door)
        async with opened as (gateway, upstream):
            answer = await gateway.chat(ASKED)
            assert answer.status == 403
            assert answer.json["error"]["code"] == "price_unknown"
            priced(gateway, "USD")
            answer = await gateway.chat(ASKED)
            assert answer.json["error"]["code"] == "price_in_another_currency"
            assert upstream.received == []
            await world.limiters[0].close()

    run(main())


@pytest.mark.parametrize("scheme", [TIERS, Volume(TIERS.tiers), Package(1000, 1000 * OUTPUT_PICO)])
def test_prices_by_the_sum_of_a_period_count_at_their_dearest(
    run: Run, limited: Any, scheme: Scheme
) -> None:
    """No call has an amount of its own under such a plan, and the limit is kept all the same."""

    async def main() -> None:
        world = limited(limit(100 * OUTPUT_PICO, Measure.MONEY))
        opened = open_gateway(Answer(input_tokens=7), call_limits=world.door)
        async with opened as (gateway, _):
            terms = Terms("EUR", (Price(Unit.OUTPUT_TOKENS, scheme, included=10),))
            gateway.accounts.add_plan(PricePlan(A_CUSTOMER, 1, terms))
            assert gateway.context.tariffs is not None
            gateway.context.tariffs.refresh()
            statuses = [(await gateway.chat({**ASKED, "max_tokens": 50})).status for _ in range(60)]
            tokens = [usage.tokens.output for usage in await gateway.usages()]
            await world.limiters[0].close()
        assert {statuses[0], statuses[-1]} == {200, 429}
        assert world.budget.settled == sum(tokens) * OUTPUT_PICO <= 100 * OUTPUT_PICO

    run(main())


@pytest.mark.parametrize("currency", ["", "USD"])
def test_a_soft_limit_refuses_nothing_that_it_cannot_count(
    run: Run, limited: Any, currency: str
) -> None:
    """A call without a price, or with one in another currency, is served and not counted."""

    async def main() -> None:
        soft = msgspec.structs.replace(limit(USD, Measure.MONEY), is_hard=False)
        world = limited(soft)
        async with open_gateway(Answer(), call_limits=world.door) as (gateway, _):
            if currency:
                priced(gateway, currency)
            assert [(await gateway.chat(ASKED)).status for _ in range(2)] == [200, 200]
            await world.limiters[0].close()
        assert world.ledger.accounts == {}

    run(main())


def test_a_gateway_gives_back_what_a_large_answer_could_have_used(run: Run, limited: Any) -> None:
    """An answer that was lowered to all that was left does not leave the other gateway with nothing."""

    async def main() -> None:
        world = limited(limit(5000 * OUTPUT_PICO, Measure.MONEY))
        async with world.open(2, Answer(input_tokens=7)):
            for number in range(6):
                answer = await world.gateways[number % 2].chat({**ASKED, "max_tokens": 60_000})
                assert answer.status == 200
        assert 0 < world.budget.settled < 1000 * OUTPUT_PICO

    run(main())


def test_a_store_that_is_away_is_said_to_be_and_found_again(run: Run, limited: Any) -> None:
    """Calls are served out of what is in hand, then refused with 503, and served again later."""

    async def main() -> None:
        world = limited(limit(1000))
        async with world.open(1, Answer()) as gateway:
            assert (await gateway.chat(ASKED)).status == 200
            world.stores[0].unreachable = True
            with pytest.raises(Exception, match="cannot be reached"):
                await world.limiters[0].beat()
            statuses = [(await gateway.chat(ASKED)).status for _ in range(300)]
            assert statuses[-1] == 503
            assert statuses == sorted(statuses)
            refused = await gateway.chat(ASKED)
            assert refused.json["error"]["code"] == "limits_unreachable"
            world.stores[0].unreachable = False
            await world.limiters[0].beat()
            assert (await gateway.chat(ASKED)).status == 200

    run(main())


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0ms"),
        (16_000_001, "17ms"),
        (10**9, "1s"),
        (59_500_000_000, "59.5s"),
        (360 * 10**9, "6m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(ns: int, text: str) -> None:
    """Durations have the units and digits that OpenAI's have, rounded up to a millisecond."""
    assert _duration(ns).decode() == text
