"""`GET /v1/usage`: what a customer is told of its own use and cost, and nobody else."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from inferworks.accounts.plan import Graduated, PerUnit, Price, PricePlan, Terms, Tier, token_terms
from inferworks.api.usage import UsagePage, answer, query_of, span_of
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import Item, rate
from inferworks.cloud.providers.stub import StubProvider
from inferworks.errors import CallError, LakeError
from inferworks.ids import CustomerId, KeyId
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.meter.used import Used, used_by
from inferworks.money import format_pico, parse_pico
from inferworks.purpose import Purpose
from inferworks.testing.facts import make_usage
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
)
from inferworks.testing.providers import A_MODEL
from inferworks.units import NS_PER_SECOND, Unit

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
Ask = dict[str, Any]

DAY_1 = 20_000
START_NS = DAY_1 * DAY_NS
NEIGHBOUR = CustomerId("burns")
CHAT = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}


class Calls:
    """Source of what customers have used, of calls in memory."""

    def __init__(self, usages: Sequence[Usage]) -> None:
        self.usages = usages

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used."""
        return used_by(self.usages, customer, edges_ns, by_key=by_key)


def some_calls(dice: random.Random, count: int = 200) -> list[Usage]:
    """Return calls of two customers over three days."""
    found = []
    for number in range(count):
        tokens = Tokens(dice.randrange(10**6), dice.randrange(10**4))
        read = dice.randrange(tokens.input + 1)
        usage = make_usage(
            call_id=f"call_{number}",
            opened_ns=START_NS + dice.randrange(3 * DAY_NS),
            customer=dice.choice([A_CUSTOMER, NEIGHBOUR]),
            model=dice.choice(["m-1", "m-2", "m-3"]),
            outcome=dice.choice([*Outcome, *[Outcome.ANSWERED] * 5]),
            purpose=dice.choice([Purpose.SERVE_PAID, Purpose.TRAIN_INFERENCE]),
            tokens=msgspec.structs.replace(tokens, cache_read=read),
        )
        found.append(msgspec.structs.replace(usage, key_id=KeyId(f"key_{dice.randrange(3)}")))
    return found


def told(usages: Sequence[Usage], plans: Sequence[PricePlan], text: str) -> UsagePage:
    """Return the answer to a question about these calls and plans."""
    now_s = (START_NS + 4 * DAY_NS) // NS_PER_SECOND
    query = query_of(f"start_time={START_NS // NS_PER_SECOND}&{text}")
    return answer(Calls(usages), plans, A_CUSTOMER, query, span_of(query, now_s))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("width", "by", "limit"),
    [("1d", "model,api_key_id", 31), ("1h", "model&group_by[]=api_key_id", 168)],
)
def test_the_cost_is_what_the_books_rate(seed: int, width: str, by: str, limit: int) -> None:
    """By model, to the picounit, also where the plan changes amid a day and where a model has no price."""
    dice = random.Random(seed)
    usages = some_calls(dice)
    terms = [
        Terms(
            "USD",
            (
                Price(Unit.INPUT_TOKENS, PerUnit(dice.randrange(10**6))),
                Price(Unit.OUTPUT_TOKENS, PerUnit(dice.randrange(10**6)), models=("m-1", "m-2")),
                Price(Unit.CACHE_READ_TOKENS, PerUnit(dice.randrange(10**5)), models=("m-2",)),
                Price(Unit.REQUESTS, PerUnit(dice.randrange(10**9)), models=("m-1",)),
            ),
        )
        for _ in range(3)
    ]
    starts_ns = [1, START_NS + dice.randrange(DAY_NS), START_NS + DAY_NS + dice.randrange(DAY_NS)]
    plans = [PricePlan(A_CUSTOMER, at, of) for at, of in zip(starts_ns, terms, strict=True)]
    own = [usage for usage in usages if usage.customer == A_CUSTOMER]
    rated = rate(own, plans, Span(START_NS, START_NS + 3 * DAY_NS), "USD").rated
    booked: Counter[tuple[str, str]] = Counter()
    for row in rated:
        assert row.item is Item.USAGE
        booked[row.model, row.key_id] += row.amount_pico
    page = told(usages, plans, f"bucket_width={width}&group_by={by}&limit={limit}")
    found: Counter[tuple[str, str]] = Counter()
    for bucket in page.data:
        for one in bucket.results:
            assert not one.num_unpriced_requests
            for cost in one.cost:
                assert cost.currency == "USD"
                found[one.model or "", one.api_key_id or ""] += parse_pico(cost.value)
    assert +found == +booked


def test_what_is_priced_by_the_month_has_no_amount() -> None:
    """Tiers, a model without a price and no plan at all: calls are counted and no price is made up."""
    usages = [
        make_usage(call_id=f"call_{n}", opened_ns=START_NS + n, customer=A_CUSTOMER, model=model)
        for n, model in enumerate(["m-1", "m-2", "m-3"])
    ]
    tiers = Graduated((Tier(10, 100), Tier(None, 50)))
    terms = Terms(
        "USD",
        (
            Price(Unit.INPUT_TOKENS, tiers, models=("m-1",)),
            Price(Unit.INPUT_TOKENS, PerUnit(7), models=("m-2",)),
        ),
    )
    page = told(usages, [PricePlan(A_CUSTOMER, 1, terms)], "limit=1&group_by=model")
    tiered, priced, without = page.data[0].results
    assert (tiered.cost, tiered.num_unpriced_requests) == ([], 1)
    assert [cost.value for cost in priced.cost] == [format_pico(700)]
    assert (without.cost, without.num_unpriced_requests) == ([], 1)
    [whole] = told(usages, [], "limit=1").data[0].results
    assert (whole.cost, whole.num_unpriced_requests, whole.input_tokens) == ([], 3, 300)


def test_pages_have_every_bucket_once() -> None:
    """Buckets follow each other over the pages, from the first second asked for to the last."""
    first, last = START_NS // NS_PER_SECOND + 100, START_NS // NS_PER_SECOND + 50 * 3600 + 7
    usages = some_calls(random.Random(1))
    edges, calls, page = [first], 0, ""
    while True:
        query = query_of(
            f"start_time={first}&end_time={last}&bucket_width=1h&limit=9{page and '&page='}{page}"
        )
        found = answer(Calls(usages), (), A_CUSTOMER, query, span_of(query, last + 1000))
        for bucket in found.data:
            assert bucket.start_time == edges[-1]
            edges.append(bucket.end_time)
            calls += sum(one.num_model_requests + one.num_failed_requests for one in bucket.results)
        assert found.has_more == (found.next_page is not None)
        if found.next_page is None:
            break
        page = found.next_page
    assert (edges[-1], len(edges)) == (last, 52)
    assert all(edge % 3600 == 0 for edge in edges[1:-1])
    within = [u for u in usages if first * NS_PER_SECOND <= u.opened_ns < last * NS_PER_SECOND]
    assert calls == sum(usage.customer == A_CUSTOMER for usage in within)


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("", "start_time"),
        ("start_time=x", "start_time"),
        ("start_time=-1", "start_time"),
        ("start_time=99999999999999999999", "start_time"),
        ("start_time=5&end_time=5", "end_time"),
        ("start_time=5&start_time=6", "start_time"),
        ("start_time=5&limit=0", "limit"),
        ("start_time=5&limit=32", "limit"),
        ("start_time=5&bucket_width=1m", "bucket_width"),
        ("start_time=5&group_by=customer", "group_by"),
        ("start_time=5&customer=burns", "customer"),
        ("start_time=5&page=page_7", "page"),
        ("start_time=5&page=page_-86400", "page"),
        ("start_time=5&models=" + ",".join(["m"] * 51), "models"),
        ("start_time=5&" + "&".join(["models=m"] * 64), None),
        ("start_time=%ff", None),
    ],
)
def test_a_wrong_question_is_refused(text: str, param: str | None) -> None:
    """In words, with the parameter; nothing is read for it."""
    with pytest.raises(CallError) as raised:
        span_of(query_of(text), 10**9)
    assert (raised.value.status, raised.value.param) == (400, param)


async def usage_of(gateway: InProcessGateway, text: str = "", secret: str | None = None) -> Any:
    """Return the first result that a key is told; None for no result."""
    path = f"/v1/usage?start_time=0&limit=1&page=page_{_today_s(gateway)}{text}"
    found = await gateway.ask("GET", path, secret=secret)
    assert found.status == 200, found.body
    [bucket] = found.json["data"]
    return bucket["results"][0] if bucket["results"] else None


def _today_s(gateway: InProcessGateway) -> int:
    return gateway.context.clock.now_ns() // DAY_NS * 86_400


def test_a_customer_sees_its_own_alone(run: Run) -> None:
    """Its calls are in the next answer, a neighbour's never; a key with scopes sees its own use."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            gateway.accounts.add_plan(PricePlan(A_CUSTOMER, 1, token_terms("EUR", 5, 7)))
            assert gateway.context.tariffs is not None
            gateway.context.tariffs.refresh()
            theirs, their_secret = gateway.new_key(customer=NEIGHBOUR)
            narrow, narrow_secret = gateway.new_key(models=(str(A_MODEL),))
            for secret in (None, None, their_secret, narrow_secret):
                assert (await gateway.chat(CHAT, secret=secret)).status == 200
            await gateway.usages()
            found = await usage_of(gateway)
            assert found["num_model_requests"] == 3
            pico = 5 * found["input_tokens"] + 7 * found["output_tokens"]
            assert found["cost"] == [{"value": format_pico(pico), "currency": "EUR"}]
            assert (await usage_of(gateway, secret=their_secret))["num_model_requests"] == 1
            assert (await usage_of(gateway, f"&api_key_ids={narrow}"))["num_model_requests"] == 1
            assert (await usage_of(gateway, secret=narrow_secret))["num_model_requests"] == 1
            for nobody in (theirs, "key_nobody", "' OR 1=1 --", "%25"):
                assert await usage_of(gateway, f"&api_key_ids={nobody.replace(' ', '+')}") is None
            assert await usage_of(gateway, "&project_ids=nowhere") is None

    run(main())


def test_other_keys_see_nothing(run: Run) -> None:
    """Without a key, with a revoked one, one for metrics and one that ships, nothing is told."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            revoked, revoked_secret = gateway.new_key()
            gateway.revoke(revoked)
            _, monitor = gateway.new_key(monitor=True)
            _, ships = gateway.new_key(sources=("node:a",))
            for path in ("/v1/usage?start_time=0", "/v1/limits"):
                for secret, status in (
                    ("", 401), (revoked_secret, 401), (monitor, 403), (ships, 403),
                ):  # fmt: skip
                    assert (await gateway.ask("GET", path, secret=secret)).status == status

    run(main())


class Slow:
    """Source that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Semaphore(0), threading.Event()
        self.error: Exception | None = None

    def used(self, *_: Any, **__: Any) -> list[Used]:
        """Return nothing, or fail."""
        self.asked.release()
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return []


def test_one_question_of_a_customer_at_a_time(run: Run) -> None:
    """A second one is refused while the first is answered; of other customers, some go on."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            slow, path = Slow(), "/v1/usage?start_time=0"
            object.__setattr__(gateway.context, "usage", slow)
            secrets = [gateway.new_key(customer=CustomerId(f"c{n}"))[1] for n in range(9)]
            first = asyncio.create_task(gateway.ask("GET", path))
            await asyncio.to_thread(slow.asked.acquire)
            again = await gateway.ask("GET", path)
            assert (again.status, again.headers["retry-after"]) == (429, "1")
            others = [asyncio.create_task(gateway.ask("GET", path, secret=s)) for s in secrets]
            refused, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            assert {one.result().status for one in refused} == {503}
            assert (await gateway.chat(CHAT)).status == 200  # calls do not wait for it
            slow.go.set()
            assert (await first).status == 200
            assert sorted([(await one).status for one in others]) == [200] * 7 + [503] * 2
            assert (await gateway.ask("GET", path)).status == 200
            slow.error = LakeError("the lake has gone")
            assert (await gateway.ask("GET", path)).status == 503

    run(main())
