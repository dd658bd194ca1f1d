"""Isolation of keys: no answer, record, charge or figure of others shows what one key sends."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.api.app import ROUTES
from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.ids import CustomerId
from inferworks.meter.capacity import Activity
from inferworks.meter.facts import Facts
from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Usage
from inferworks.purpose import Purpose
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    Answered,
    InProcessGateway,
    open_gateway_over,
)
from inferworks.testing.providers import A_MODEL
from inferworks.units import NS_PER_SECOND

EVENTS: Final = "/v1/usage/events"
CHAT: Final = "/v1/chat/completions"
MALLORY, LAB = CustomerId("mallory"), CustomerId("lab")
HOUR_NS: Final = 3_600 * NS_PER_SECOND


class Sent(NamedTuple):
    """A request; times in events are from the moment it is sent."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    cut: bool = False
    """True if its sender goes away in the middle."""


class Touchy(StubProvider):
    """A provider that fails at every body that has poison in it."""

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer `call`, or fail."""
        self._scripts = [Script(status=500) if b"poison" in call.body else Script()]
        async with super().send(offer, call) as reply:
            yield reply


class View(NamedTuple):
    """Results that others than the attacker see."""

    answers: list[tuple[int, str]]
    facts: list[str]
    quarantined: list[str]


names = st.sampled_from(
    ["gateway-b", "gateway-r", "mine", "*", "b-1", "r-1", "x/y", "\x1b[2J", "", "é" * 300]
)
customers = st.sampled_from([None, "acme", "mallory", "lab", "nobody", "", "\x00"])
amounts = st.sampled_from([0, 1, 10**9, 10**9 + 1, 2**53, 2**63 - 1, 2**70, -1, "1", None])
times = st.sampled_from([0, -HOUR_NS, -1000 * 24 * HOUR_NS, HOUR_NS, 2**63 - 1, 10**30])
purposes = st.sampled_from([None, "serve-paid", "train-gradient", "support", "research", "fun"])


def given_only(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


calls = st.builds(
    given_only, provider=names, model=names, start_ns=times, end_ns=times, customer=customers,
    purpose=purposes, input_tokens=amounts, told_cost_pico=amounts, project=names,
)  # fmt: skip
activities = st.builds(
    given_only, resource=names, purpose=purposes, start_ns=times, end_ns=times, quantity=amounts,
    unit=st.sampled_from(["node_ns", "byte_seconds", "parsec"]), customer=customers,
)  # fmt: skip
events = st.builds(
    lambda kind, source, id_, data: {
        "specversion": "1.0", "type": f"inferworks.{kind[0]}", "source": source, "id": id_, "data": data,
    },
    kind=st.sampled_from([("call",), ("activity",), ("retraction",), ("odd",)]),
    source=names, id_=names, data=calls | activities | st.just({"reason": "x"}),
)  # fmt: skip
plausible = st.builds(
    lambda source, id_, data: {
        "specversion": "1.0", "type": f"inferworks.{data[0]}", "source": source, "id": id_, "data": data[1],
    },
    st.sampled_from(["gateway-b", "gateway-r", "mine"]),
    st.sampled_from(["b-1", "r-1", "m-1"]),
    st.one_of(
        st.tuples(
            st.just("call"),
            st.builds(
                given_only, provider=st.just("p"), model=st.just("m"), start_ns=st.just(-1),
                end_ns=st.just(0), input_tokens=st.sampled_from([5, 10**9]),
                customer=st.sampled_from([None, None, "acme", "lab"]),
                purpose=st.sampled_from([None, None, "train-gradient"]),
                told_cost_pico=st.sampled_from([None, None, 10**15]),
            ),
        ),
        st.tuples(
            st.just("activity"),
            st.builds(
                given_only, resource=st.just("local"), purpose=st.just("serve-paid"), start_ns=st.just(-9),
                end_ns=st.just(0), quantity=st.just(9), unit=st.sampled_from(["byte_seconds", "node_ns"]),
                customer=st.sampled_from([None, "mallory", "acme"]),
            ),
        ),
        st.just(("retraction", {"reason": "x"})),
    ),
)  # fmt: skip
"""Events that would be taken in if only the key might."""
headers = st.dictionaries(
    st.sampled_from(
        ["x-inferworks-purpose", "x-inferworks-session", "x-api-key", "content-type", "ce-id"]
    ),
    st.sampled_from(["serve-paid", "train-gradient", "acme", "iw_x", "application/json", "*"]),
    max_size=2,
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"[" * 5000, b"{" * 5000, b" " * 50_000, b'{"model":' + b'"' * 999]),
    st.builds(
        lambda text, model, stream, n: json.dumps(
            {"model": model, "stream": stream, "n": n, "user": "acme",
             "messages": [{"role": "user", "content": text}]}
        ).encode(),
        st.sampled_from(["poison", "poison 2", "hi", "\x1b"]), st.sampled_from([A_MODEL, "other", ""]),
        st.booleans(), st.sampled_from([1, 2, 10**9]),
    ),
)  # fmt: skip
attacks = st.one_of(
    st.builds(lambda event: Sent("POST", EVENTS, json.dumps(event).encode()), plausible),
    st.builds(
        lambda batch: Sent("POST", EVENTS, json.dumps(batch).encode()),
        plausible | events | st.lists(events, max_size=3),
    ),
    st.builds(Sent, st.just("POST"), st.just(CHAT), bodies, headers, st.booleans()),
    st.builds(
        Sent,
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS"]),
        st.sampled_from([*ROUTES, "/", "/v1/../metrics", "*"]),
        bodies,
        headers,
        st.booleans(),
    ),
)


def own_call(source: str, id_: str, tokens: int, **more: Any) -> Sent:
    """A call that is reported."""
    data = {
        "provider": "p",
        "model": "m",
        "start_ns": -1,
        "end_ns": 0,
        "input_tokens": tokens,
        **more,
    }
    event = {
        "specversion": "1.0",
        "type": "inferworks.call",
        "source": source,
        "id": id_,
        "data": data,
    }
    return Sent("POST", EVENTS, json.dumps(event).encode())


def chat(**more: Any) -> Sent:
    """A call."""
    body = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}], **more}
    return Sent("POST", CHAT, json.dumps(body).encode())


OTHERS: Final = (
    ("b", chat()),
    ("b", chat(stream=True)),
    ("b", own_call("gateway-b", "b-1", 5)),
    ("r", own_call("gateway-r", "r-1", 7, customer="acme", purpose="serve-paid", told_cost_pico=3)),
    ("b", own_call("gateway-b", "b-1", 5)),
    ("b", own_call("gateway-b", "b-1", 6)),
    ("b", chat(model="nothing")),
    ("b", Sent("GET", "/v1/models", b"")),
    ("b", chat()),
)
"""Requests of the others, one after the other, and their keys."""


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, len(OTHERS)), attacks), min_size=4, max_size=16))
def test_one_tenant_cannot_reach_another(placed: list[tuple[int, Sent]]) -> None:
    """With the hostile requests of one key between those of the others, and without them: the same."""
    assert view_with(placed) == view_without()


@cache
def view_without() -> View:
    """View of the others when they are alone."""
    return view_with([])


def view_with(placed: Sequence[tuple[int, Sent]]) -> View:
    """View of the others with attacks before their requests of these numbers."""
    seen: list[View] = []

    async def main() -> None:
        async with open_gateway_over(Touchy(), calls_at_once=8, calls_per_key=2) as gateway:
            seen.append(await lived(gateway, placed))

    uvloop.run(main())
    return seen[0]


async def lived(gateway: InProcessGateway, placed: Sequence[tuple[int, Sent]]) -> View:
    """Send everything, and look."""
    _, attacker = gateway.new_key(customer=MALLORY, sources=("mine",))
    _, served = gateway.new_key(sources=("gateway-b",))
    _, reporter = gateway.new_key(
        customer=LAB, sources=("gateway-r",), reporter=True, tells_cost=True
    )
    answers = []
    for number, (who, sent) in enumerate(OTHERS):
        for at, attack in placed:
            if at == number:
                await attacked(gateway, attack, attacker)
        secret = served if who == "b" else reporter
        answer = await gateway.ask(sent.method, sent.path, now(gateway, sent.body), secret=secret)
        answers.append((answer.status, comparable(answer)))
    for at, attack in placed:
        if at == len(OTHERS):
            await attacked(gateway, attack, attacker)
    await gateway.alone()
    assert gateway.failures == []
    await gateway.context.journal.durable()
    with gateway.store.reads() as reads:
        facts, quarantined = reads.facts(0, 2**63 - 1), list(reads.quarantined())
    check_what_is_the_attackers(facts, quarantined)
    return View(
        answers,
        [told(one) for one in (*facts.usages, *facts.activities) if one.customer != MALLORY],
        [f"{one.source} {one.key}" for one in quarantined if one.source != "mine"],
    )


async def attacked(gateway: InProcessGateway, attack: Sent, secret: str) -> None:
    """Send what the attacker sends, and read what comes back, if anything."""
    reader, writer = await gateway.connect()
    try:
        raw = gateway.request(
            attack.method,
            attack.path,
            now(gateway, attack.body),
            headers=attack.headers,
            secret=secret,
        )
        writer.write(raw[: len(raw) // 2] if attack.cut else raw)
        if not attack.cut:
            await reader.read()
    finally:
        writer.close()


def now(gateway: InProcessGateway, body: bytes) -> bytes:
    """`body` with the times of its events from now on, where they are such as can be meant."""
    now_ns = gateway.context.clock.now_ns()

    def at(found: re.Match[bytes]) -> bytes:
        return b"%b%d" % (found[1], now_ns + int(found[2]))

    return re.sub(rb'("(?:start|end)_ns": )(-?[0-9]{1,18})\b', at, body)


def comparable(answer: Answered) -> str:
    """The body of an answer without what differs each time."""
    return re.sub(r'"(chatcmpl-[^"]*)"|\b1[0-9]{18}\b', "", answer.body.decode())


def told(one: Usage | Activity) -> str:
    """All that the books take from a fact, without times."""
    if isinstance(one, Activity):
        return repr(one)
    legs = [(leg.outcome, leg.tokens, leg.told_cost_pico, leg.status) for leg in one.legs]
    return repr((one.customer, one.project, one.purpose, one.endpoint, one.model, one.outcome, one.status,
                 one.error_code, one.tokens, one.items, legs))  # fmt: skip


def check_what_is_the_attackers(facts: Facts, quarantined: Sequence[Quarantined]) -> None:
    """Check that the attacker's records are under its own names, within bounds, and tell no cost."""
    for usage in facts.usages:
        if usage.customer == MALLORY:
            assert usage.purpose is Purpose.SERVE_PAID
            assert usage.tokens.input <= 10**9
            assert all(leg.told_cost_pico is None for leg in usage.legs)
            assert "/" not in usage.call_id or usage.call_id.startswith("mine/")
    for activity in facts.activities:
        assert (activity.source, activity.customer) == ("mine", MALLORY)
    assert {one.source for one in facts.retracted} <= {"mine"}
    assert {one.source for one in quarantined} <= {"mine", "gateway-b"}
    assert {usage.customer for usage in facts.usages} <= {A_CUSTOMER, MALLORY}


@settings(max_examples=10)
@given(st.lists(attacks, max_size=8), st.sampled_from(["", "iw_wrong"]))
def test_a_stranger_makes_nothing_durable(sent: list[Sent], secret: str) -> None:
    """Without a valid key there is no row of anything, whatever is asked."""

    async def main() -> None:
        async with open_gateway_over(Touchy()) as gateway:
            for attack in sent:
                await attacked(gateway, attack, secret)
            await gateway.alone()
            with gateway.store.reads() as reads:
                assert set(reads.counts().values()) == {0}

    uvloop.run(main())
