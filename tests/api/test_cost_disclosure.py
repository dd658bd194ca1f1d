"""Disclosure of provider, overhead and cost beside answers, over real sockets."""

from __future__ import annotations

import json
import re
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.conftest import Run

from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.api.cost_disclosure import asks_for_cost, decimal, with_cost
from inferworks.cloud.bodies.rewrite import without_value
from inferworks.money import format_pico
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    Answered,
    InProcessGateway,
    open_gateway,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer

WHOLE: dict[str, Any] = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**WHOLE, "stream": True}
USAGE_TOO = {**STREAM, "stream_options": {"include_usage": True}}
INCLUDE = {"x-inferworks-include": "cost"}


def charge(
    gateway: InProcessGateway, input_pico: int = 500_000, output_pico: int = 1_500_000
) -> None:
    """Put the house's customer under a plan."""
    plan = PricePlan(A_CUSTOMER, 1, token_terms("EUR", input_pico, output_pico))
    gateway.accounts.add_plan(plan)
    assert gateway.context.tariffs is not None
    gateway.context.tariffs.refresh()


def told_usage(answer: Answered) -> dict[str, Any]:
    """The usage object of an answer, whole or streamed; amounts as they are written."""
    texts = [answer.body] if answer.body.startswith(b"{") else answer.events[:-1]
    objects = [json.loads(text, parse_float=str, parse_int=str) for text in texts]
    found = [o["usage"] for o in objects if o.get("usage")]
    assert found, "there is no usage in it"
    return dict(found[-1])


def test_an_answer_says_who_served_it_and_what_it_costs(run: Run) -> None:
    """Provider, overhead and the exact charge stand in the head of a whole answer."""

    async def main() -> None:
        async with open_gateway(Answer(input_tokens=7)) as (gateway, _):
            charge(gateway)
            answer = await gateway.chat(WHOLE)
            (usage,) = await gateway.usages()
            pico = usage.tokens.input * 500_000 + usage.tokens.output * 1_500_000
            assert answer.headers["x-inferworks-provider"] == "openai"
            assert answer.headers["x-inferworks-currency"] == "EUR"
            assert answer.headers["x-inferworks-cost"] == f"{pico / 10**12:.12f}".rstrip("0")
            overhead_us = int(answer.headers["x-inferworks-overhead-us"])
            assert 0 <= overhead_us * 1000 <= usage.closed_ns - usage.opened_ns + 10**8

    run(main())


def test_a_stream_says_at_its_head_what_is_known_by_then(run: Run) -> None:
    """The provider of a stream is known at its first byte, its cost is not."""

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _):
            charge(gateway)
            headers = (await gateway.chat(STREAM)).headers
            assert headers["x-inferworks-provider"] == "openai"
            assert int(headers["x-inferworks-overhead-us"]) >= 0
            assert "x-inferworks-cost" not in headers

    run(main())


@pytest.mark.slow
def test_the_overhead_leaves_the_upstream_s_time_out(run: Run) -> None:
    """An upstream that takes its time before each event is not ours."""

    async def main() -> None:
        async with open_gateway(Answer(event_s=0.3)) as (gateway, _):
            answer = await gateway.chat(STREAM)
            (usage,) = await gateway.usages()
            overhead_ns = int(answer.headers["x-inferworks-overhead-us"]) * 1000
            assert usage.first_byte_ns is not None
            assert overhead_ns <= usage.first_byte_ns - usage.opened_ns - 290_000_000

    run(main())


def test_headers_can_be_left_out(run: Run) -> None:
    """An operator that does not want its callers to know who served them has it so."""

    async def main() -> None:
        async with open_gateway(Answer(), answer_headers=False) as (gateway, _):
            charge(gateway)
            names = {
                n for n in (await gateway.chat(WHOLE)).headers if n.startswith("x-inferworks-")
            }
            assert names == {"x-inferworks-call-id"}

    run(main())


def test_without_a_price_no_cost_is_told(run: Run) -> None:
    """No header rather than a zero; in the answer, if it was asked for, null."""

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _):
            answer = await gateway.chat(WHOLE, headers=INCLUDE)
            assert "x-inferworks-cost" not in answer.headers
            assert told_usage(answer)["cost"] is None

    run(main())


@pytest.mark.parametrize("body", [WHOLE, STREAM], ids=["whole", "stream"])
def test_the_cost_is_in_the_answer_when_asked_for(run: Run, body: dict[str, Any]) -> None:
    """Exact decimals, the amount charged, with its parts; a stream then has its usage event too."""

    async def main() -> None:
        async with open_gateway(Answer(cached_tokens=3, input_tokens=9)) as (gateway, _):
            charge(gateway)
            usage = told_usage(await gateway.chat(body, headers=INCLUDE))
            (recorded,) = await gateway.usages()
            assert (recorded.tokens.input, recorded.tokens.output) == (9, 3)
            assert usage["cost"] == "0.000009"
            assert usage["cost_details"] == {
                "currency": "EUR",
                "basis": "plan",
                "input_tokens": "0.000003",
                "cache_read_tokens": "0.0000015",
                "output_tokens": "0.0000045",
            }

    run(main())


@pytest.mark.parametrize("body", [WHOLE, USAGE_TOO], ids=["whole", "stream"])
@pytest.mark.parametrize("spaced", [False, True])
def test_every_other_byte_stays(run: Run, body: dict[str, Any], spaced: bool) -> None:
    """An answer with its cost, less its cost, is the answer that comes without it."""

    async def main() -> None:
        async with open_gateway(Answer(spaced=spaced)) as (gateway, _):
            charge(gateway)
            plain = (await gateway.chat(body)).body
            priced = (await gateway.chat(body, headers=INCLUDE)).body
            cut = re.sub(rb',"cost":[0-9.]+,"cost_details":\{[^}]*\}', b"", priced)
            assert cut != priced
            assert cut == plain

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_openrouter_s_wish_is_for_us_alone(run: Run, stream: bool) -> None:
    """`usage: {"include": true}` gives the cost and does not reach the upstream; every other byte does."""
    wish = b',\t"usage" : {"include": true}'
    head = b'{ "model": "%b"' % A_MODEL.encode()
    rest = b' , "stream": %b,"messages":[{"role":"user", "content":"a"}]' % (
        b"true" if stream else b"false"
    )
    added = b',"stream_options":{"include_usage":true}' if stream else b""

    async def main() -> None:
        async with open_gateway(Answer(), running_usage=False) as (gateway, upstream):
            charge(gateway)
            answer = await gateway.chat(head + wish + rest + b"}")
            assert told_usage(answer)["cost"] == "0.000007"
            (received,) = upstream.received
            assert received.body == head + rest + added + b"}"

    run(main())


def test_any_other_usage_in_a_request_passes(run: Run) -> None:
    """A `usage` that does not wish for the cost is the upstream's to take or refuse."""

    async def main() -> None:
        async with open_gateway(Answer(), running_usage=True) as (gateway, upstream):
            body = msgspec.json.encode({**WHOLE, "usage": "a lot"})
            assert "cost" not in told_usage(await gateway.chat(body))
            assert upstream.received[0].body == body

    run(main())


def test_the_cost_of_a_responses_stream_is_in_its_last_event(run: Run) -> None:
    """The responses API tells its usage within `response`; that is where the cost is."""
    body = msgspec.json.encode({"model": A_MODEL, "input": "hello", "stream": True})

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _):
            charge(gateway)
            answer = await gateway.ask("POST", "/v1/responses", body, headers=INCLUDE)
            lines = [line for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
            last = json.loads(lines[-1][6:], parse_float=str)
            assert last["type"] == "response.completed"
            assert last["response"]["usage"]["cost"] == "0.000007"

    run(main())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(["a", "usage", "model", "x y"]), JSON)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@pytest.mark.slow
@given(FIELDS, SEPARATORS)
def test_a_field_is_taken_out_and_nothing_else(
    fields: dict[str, Any], separators: tuple[str, str]
) -> None:
    """A request less one field has all the others, whatever they are and however they are written."""
    body = json.dumps({**fields, "usage": {"include": True}}, separators=separators).encode()
    less = without_value(body, "usage")
    assert json.loads(less) == {name: v for name, v in fields.items() if name != "usage"}
    if b'"usage"' not in json.dumps({n: v for n, v in fields.items() if n != "usage"}).encode():
        assert len(less) < len(body)


@pytest.mark.slow
@given(JSON, FIELDS, SEPARATORS)
def test_a_cost_is_put_in_and_nothing_else(
    usage: Any, fields: dict[str, Any], separators: tuple[str, str]
) -> None:
    """Only an object called `usage` gets a cost; what else an answer holds is what it held."""
    answer = {**fields, "usage": usage}
    data = json.dumps(answer, separators=separators).encode()
    changed = json.loads(with_cost(data, b"0.5", b"null"))
    if isinstance(usage, dict):
        assert changed == {**answer, "usage": {**usage, "cost": 0.5, "cost_details": None}}
    else:
        assert changed == answer


def test_a_cost_of_the_upstream_s_own_gives_way() -> None:
    """The upstream's own cost gives way to the caller's, where that was asked for."""
    data = b'{"usage": {"cost": 9.5, "cost_details": {"upstream_inference_cost": 9}, "x": 1}}'
    priced = with_cost(data, b"0.25", b'{"basis":"plan"}')
    assert priced == b'{"usage": {"cost": 0.25, "cost_details": {"basis":"plan"}, "x": 1}}'


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b'"usage"', b"\xff", b"[" * 9999])
def test_what_is_no_object_stays(data: bytes) -> None:
    """Bytes that are no JSON object pass."""
    assert with_cost(data, b"1", b"null") == data


def test_how_the_cost_is_asked_for() -> None:
    """The header names `cost`, alone or among others, in any case."""
    assert asks_for_cost(b"cost")
    assert asks_for_cost(b"Trace , COST")
    assert not asks_for_cost(None)
    assert not asks_for_cost(b"costs")


@given(st.integers(0, 10**40) | st.integers(0, 10**13))
def test_amounts_are_written_as_everywhere(pico: int) -> None:
    """A cost is written as the rest of the house writes money, and is a number in JSON."""
    assert decimal(pico) == format_pico(pico, places=0).encode()
    with localcontext(prec=60):
        assert json.loads(decimal(pico), parse_float=Decimal) == Decimal(pico) / 10**12
