"""Clients that leave: at every byte of a stream and before it, for each policy of an offer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace as changed
from tests.support.leaks import check_no_task_is_left, no_file_is_left, until

from inferworks.api.drain import DrainLimits
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.http.server import ClientGone, Exchange, HttpServer
from inferworks.ids import CallId
from inferworks.meter.usage import Confidence, Leg, Outcome, Tokens, Usage
from inferworks.testing.in_process_gateway import (
    CHAT,
    InProcessGateway,
    open_gateway_over,
    parse_answer,
)
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
POLICIES = pytest.mark.parametrize("policy", ["cancel", "drain", "estimate"])
WHOLE = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hello."}]}
STREAM = {**WHOLE, "stream": True}
PROMPT = 5
WORDS = ("It", "was", "the", "best", "of", "times", ",", "it", "was")
EXACT = Tokens(PROMPT, len(WORDS))
AT_ONCE = 150
END = b"e\r\ndata: [DONE]"
NO_LINGER = struct.pack("ii", 1, 0)


def usage(output: int) -> dict[str, int]:
    """A `usage` object."""
    return {
        "prompt_tokens": PROMPT,
        "completion_tokens": output,
        "total_tokens": PROMPT + output,
    }


def event(body: dict[str, Any]) -> bytes:
    """An event of a stream."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


class Upstream:
    """Speaks a stream up to its end, which it keeps back until it is told; counts who left before.

    With `early` it keeps back all but the first event, with `late` the usage behind its last word.
    """

    def __init__(self, *, running: bool = True, early: bool = False, late: bool = False) -> None:
        self.held = asyncio.Event()
        self.asked = self.left = self.finished = 0
        self._running = running
        self._early = early
        self._late = late
        self.server = HttpServer(self.handle)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.asked += 1
        try:
            if msgspec.json.decode(exchange.body).get("stream"):
                await self._stream(exchange)
            else:
                await self.held.wait()
                choice = {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}}
                body = {"choices": [choice], "usage": usage(len(WORDS))}
                await exchange.respond(200, msgspec.json.encode(body))
            self.finished += 1
        except (asyncio.CancelledError, ClientGone):
            self.left += 1
            raise

    async def _stream(self, exchange: Exchange) -> None:
        await exchange.start(200, [(b"content-type", b"text/event-stream")])
        for number, word in enumerate(WORDS, 1):
            told = {"usage": usage(number)} if self._running else {}
            await exchange.send(
                event({"choices": [{"index": 0, "delta": {"content": word}}], **told})
            )
            await (self.held.wait() if self._early else asyncio.sleep(0))
        if self._late:
            await exchange.send(event({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
            await self.held.wait()
        await exchange.send(event({"choices": [], "usage": usage(len(WORDS))}))
        await self.held.wait()
        await exchange.end(b"data: [DONE]\n\n")


@asynccontextmanager
async def gateway_left(
    policy: str,
    *,
    running: bool = True,
    early: bool = False,
    late: bool = False,
    limits: DrainLimits | None = None,
    route: RoutePolicy | None = None,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[tuple[InProcessGateway, Upstream]]:
    """A gateway before an `Upstream`, at an offer of this policy; nothing is left of it afterwards."""
    upstream = Upstream(running=running, early=early, late=late)
    port = await upstream.server.start("127.0.0.1", 0)
    origin = Origin("127.0.0.1", port, tls=False, base_path="/v1")
    try:
        with closing(HttpClient(timeouts or Timeouts())) as client:
            provider = openai_provider(client, NoCredential(), name="openai", running_usage=running)
            # Without the headers that tell a time, an answer is as long each time.
            opening = open_gateway_over(provider, origin=origin, policy=route, answer_headers=False)
            async with opening as gateway:
                [offer] = gateway.catalogue.ready[A_MODEL]
                gateway.catalogue.ready[A_MODEL] = [changed(offer, on_leave=policy)]
                gateway.context.drains.limits = limits or DrainLimits(at_once=1000)
                yield gateway, upstream
                await gateway.alone()
                assert len(gateway.context.drains) == 0
    finally:
        await upstream.server.stop(drain_s=0.0)
    check_no_task_is_left()


class Place(NamedTuple):
    """Place at which a client leaves: after `size` bytes of the head, or of the body after a whole head."""

    in_body: bool
    size: int


async def leave_at(gateway: InProcessGateway, place: Place, body: dict[str, Any] = STREAM) -> bytes:
    """Ask, read the answer up to `place` and leave: with a reset, or in order, by turns."""
    reader, writer = await gateway.connect()
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(body)))
    try:
        head = await reader.readuntil(b"\r\n\r\n") if place.in_body else b""
        return head + await reader.readexactly(place.size)
    finally:
        if place.size % 2:
            line = writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        else:
            writer.close()


async def leave_while_it_thinks(
    gateway: InProcessGateway, upstream: Upstream, body: dict[str, Any]
) -> None:
    """Ask, and leave once the upstream has been asked and before it answers."""
    asked = upstream.asked
    _, writer = await gateway.connect()
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(body)))
    await until(lambda: upstream.asked > asked)
    writer.close()
    await until(lambda: not gateway.server.connections)


async def whole_answer(gateway: InProcessGateway, upstream: Upstream) -> bytes:
    """Bytes that a client that stays is sent, to the last."""
    upstream.held.set()
    reader, writer = await gateway.connect()
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
    data = await reader.read()
    writer.close()
    upstream.held.clear()
    return data


# --- at every byte


@pytest.mark.slow
@POLICIES
def test_leaving_at_every_byte(run: Run, policy: str) -> None:
    """Wherever a client leaves, there is one record of its policy, and the upstream is left or read."""

    async def main() -> None:
        async with gateway_left(policy) as (gateway, upstream):
            head, _, body = (await whole_answer(gateway, upstream)).partition(b"\r\n\r\n")
            before_end = body.index(END)
            head_bytes = len(head) - 20  # some of its values differ in length from call to call
            places = [Place(False, size) for size in range(head_bytes)]
            places += [Place(True, size) for size in range(len(body) + 1)]
            assert len(body) > 600
            seen: list[tuple[bool, bytes]] = []
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                early = [place for place in some if place.size <= before_end]
                late = [place for place in some if place.size > before_end]
                seen += await leave_together(policy, gateway, upstream, early, late)
            check_records(policy, await gateway.usages(), seen)
            await until(lambda: upstream.finished + upstream.left == upstream.asked)
            if policy == "drain":
                assert upstream.left == 0
            else:
                assert upstream.finished == len(body) - before_end + 1

    with no_file_is_left():
        run(main())


async def leave_together(
    policy: str,
    gateway: InProcessGateway,
    upstream: Upstream,
    early: list[Place],
    late: list[Place],
) -> list[tuple[bool, bytes]]:
    """A client for each place, all at once; the upstream ends once those who leave early have left.

    What each has seen, and whether that was the upstream's end or some of it.
    """
    upstream.held.clear()
    staying = [asyncio.ensure_future(leave_at(gateway, place)) for place in late]
    seen = [(False, data) for data in await asyncio.gather(*[leave_at(gateway, p) for p in early])]
    await until(lambda: len(gateway.server.connections) <= len(staying))
    if policy != "drain":
        await until(lambda: len(upstream.server.running) <= len(staying))
    upstream.held.set()
    seen += [(True, await client) for client in staying]
    await gateway.alone()
    return seen


def check_records(policy: str, usages: list[Usage], seen: list[tuple[bool, bytes]]) -> None:
    """Exactly one record for each client that was heard, with what its policy says of it."""
    by_id = {u.call_id: u for u in usages}
    assert len(by_id) == len(usages) <= len(seen) + 1
    assert all(is_as(policy, u) for u in usages)
    for reached_end, data in seen:
        if b"\r\n\r\n" not in data:
            continue
        answer = parse_answer(data)
        record = by_id.pop(CallId(answer.headers["x-inferworks-call-id"]))
        assert record.outcome is (Outcome.ANSWERED if reached_end else Outcome.CANCELLED)
        assert record.response_bytes >= len(answer.body)
        assert record.tokens.output >= answer.body.count(b"content")


def is_as(policy: str, record: Usage) -> bool:
    """Return whether a record of an answered or cancelled call is as `policy` has it."""
    if record.outcome is Outcome.ANSWERED:
        return (record.tokens, record.confidence) == (EXACT, Confidence.REPORTED)
    assert record.outcome is Outcome.CANCELLED
    if not record.legs:
        return True  # its client left before it was sent anywhere
    [leg] = record.legs
    assert (leg.outcome, leg.ended_by, leg.tokens) == (Outcome.CANCELLED, policy, record.tokens)
    if policy == "drain":
        return (leg.tokens, leg.confidence) == (EXACT, Confidence.REPORTED)
    if policy == "estimate":
        return leg.confidence is Confidence.ESTIMATED
    return leg.confidence is Confidence.COUNTED or not leg.first_token_ns


# --- before the answer begins


@POLICIES
@pytest.mark.parametrize("body", [WHOLE, STREAM], ids=["whole", "stream"])
def test_leaving_before_it_answers(run: Run, policy: str, body: dict[str, Any]) -> None:
    """A whole answer is drained, or its prompt estimated; so is a stream that has not begun."""

    async def main() -> None:
        async with gateway_left(policy) as (gateway, upstream):
            await leave_while_it_thinks(gateway, upstream, body)
            if policy == "drain":
                upstream.held.set()
            await gateway.alone()
            [record] = await gateway.usages()
            assert record.outcome is Outcome.CANCELLED
            [leg] = record.legs
            assert leg.ended_by == policy
            if policy == "drain":
                assert (leg.tokens, leg.confidence) == (EXACT, Confidence.REPORTED)
                assert upstream.finished == 1
            else:
                await until(lambda: upstream.left == 1)
            if policy != "drain" and body is WHOLE:
                assert leg.tokens == Tokens(input=2), "of the words alone"
                assert (record.status, leg.confidence) == (0, Confidence.ESTIMATED)

    run(main())


@POLICIES
def test_leaving_a_silent_stream(run: Run, policy: str) -> None:
    """Of an upstream that tells its usage at the end only, a drain knows it and a cancel estimates it."""

    async def main() -> None:
        async with gateway_left(policy, running=False) as (gateway, upstream):
            await leave_at(gateway, Place(True, 200))
            await until(lambda: not gateway.server.connections)
            upstream.held.set()
            await gateway.alone()
            [leg] = (await gateway.usages())[0].legs
            assert leg.ended_by == policy
            if policy == "drain":
                assert (leg.tokens, leg.confidence) == (EXACT, Confidence.REPORTED)
            else:
                assert leg.confidence is Confidence.ESTIMATED or leg.tokens == EXACT

    run(main())


@POLICIES
@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_leaving_an_answer_that_is_over(run: Run, policy: str, path: str) -> None:
    """A client that leaves between the last word and the usage is charged the usage, by every policy."""

    async def main() -> None:
        limits = DrainLimits(at_once=0)
        async with gateway_left(policy, running=False, late=True, limits=limits) as (
            gateway,
            upstream,
        ):
            [provider] = gateway.context.providers.values()
            gateway.context.providers[provider.name] = TranslatingProvider(provider, TRANSLATIONS)  # type: ignore[index]
            reader, writer = await gateway.connect()
            body = {**STREAM, "max_tokens": 50}
            writer.write(gateway.request("POST", path, msgspec.json.encode(body)))
            await reader.readuntil(b"stop" if path == CHAT else WORDS[-2].encode())
            await until(lambda: upstream.asked == 1)
            writer.close()
            await until(lambda: not gateway.server.connections)
            upstream.held.set()
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert (leg.outcome, leg.ended_by) == (Outcome.CANCELLED, "drain")
            assert (leg.tokens, leg.confidence) == (EXACT, Confidence.REPORTED)

    run(main())


@POLICIES
def test_leaving_a_translated_stream(run: Run, policy: str) -> None:
    """A stream that is translated for its client is drained all the same."""

    async def main() -> None:
        async with gateway_left(policy, early=True) as (gateway, upstream):
            [provider] = gateway.context.providers.values()
            gateway.context.providers[provider.name] = TranslatingProvider(provider, TRANSLATIONS)  # type: ignore[index]
            body = {**STREAM, "max_tokens": 50}
            reader, writer = await gateway.connect()
            writer.write(gateway.request("POST", "/v1/messages", msgspec.json.encode(body)))
            await reader.readuntil(WORDS[0].encode())
            writer.close()
            await until(lambda: not gateway.server.connections)
            upstream.held.set()
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert leg.ended_by == policy
            if policy == "drain":
                assert (leg.tokens, leg.confidence) == (EXACT, Confidence.REPORTED)
            else:
                assert leg.tokens.output == 1

    run(main())


# --- the bounds of a drain


async def one_leaves(gateway: InProcessGateway) -> None:
    """A client that leaves its stream in the middle."""
    await leave_at(gateway, Place(True, 300))
    await until(lambda: not gateway.server.connections)


def the_leg(usages: list[Usage]) -> Leg:
    """The only leg of the only call."""
    [record] = usages
    assert record.outcome is Outcome.CANCELLED
    [leg] = record.legs
    return leg


@pytest.mark.parametrize(
    "limits", [DrainLimits(seconds=0.05), DrainLimits(at_once=0)], ids=["seconds", "at_once"]
)
def test_a_drain_beyond_its_bounds(run: Run, limits: DrainLimits) -> None:
    """An answer that may not be drained, or not for so long, is dropped and estimated."""

    async def main() -> None:
        async with gateway_left("drain", limits=limits) as (gateway, upstream):
            await one_leaves(gateway)
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert (leg.outcome, leg.ended_by) == (Outcome.CANCELLED, "estimate")
            assert leg.confidence is Confidence.ESTIMATED
            assert leg.tokens.input == PROMPT
            await until(lambda: upstream.left == 1)

    run(main())


def test_a_drain_of_too_many_bytes(run: Run) -> None:
    """A stream that goes on and on for nobody is dropped."""

    async def main() -> None:
        limits = DrainLimits(n_bytes=200)
        async with gateway_left("drain", early=True, limits=limits) as (gateway, upstream):
            await leave_at(gateway, Place(True, 20))
            await until(lambda: len(gateway.context.drains) == 1)
            upstream.held.set()
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert (leg.ended_by, leg.confidence) == ("estimate", Confidence.ESTIMATED)
            assert PROMPT < leg.tokens.input + leg.tokens.output < PROMPT + len(WORDS)

    run(main())


def test_a_stop_waits_for_drains_no_longer_than_for_calls(run: Run) -> None:
    """A gateway that stops cuts what it still drains, and records it as an estimate."""

    async def main() -> None:
        async with gateway_left("drain") as (gateway, upstream):
            await one_leaves(gateway)
            assert len(gateway.context.drains) == 1
            assert await gateway.server.stop(drain_s=0.05) == 0
            leg = the_leg(await gateway.usages())
            assert (leg.ended_by, leg.confidence) == ("estimate", Confidence.ESTIMATED)
            await until(lambda: upstream.left == 1)

    run(main())


def test_a_stop_lets_drains_finish(run: Run) -> None:
    """Usage of a stream drained in time is exact, also when the gateway stops."""

    async def main() -> None:
        async with gateway_left("drain") as (gateway, upstream):
            await one_leaves(gateway)
            stopping = asyncio.ensure_future(gateway.server.stop(drain_s=5.0))
            await asyncio.sleep(0)
            upstream.held.set()
            assert await stopping == 0
            leg = the_leg(await gateway.usages())
            assert (leg.tokens, leg.ended_by, leg.confidence) == (
                EXACT,
                "drain",
                Confidence.REPORTED,
            )

    run(main())


def test_a_drained_upstream_that_breaks(run: Run) -> None:
    """An answer that breaks off while it is drained is a failed leg of a cancelled call."""

    async def main() -> None:
        timeouts = Timeouts(first_byte_s=0.1, between_bytes_s=0.1)
        async with gateway_left("drain", timeouts=timeouts) as (gateway, upstream):
            await leave_while_it_thinks(gateway, upstream, WHOLE)
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert leg.outcome is Outcome.FAILED
            assert (leg.tokens.output, leg.confidence) == (0, Confidence.ESTIMATED)

    run(main())


def test_nobody_else_is_asked_for_a_client_that_left(run: Run) -> None:
    """A call is over when its drain fails, however many offers and tries are left."""

    async def main() -> None:
        route = RoutePolicy(strategy=Strategy.FALLBACK, tries_per_offer=3, backoff_ms=1.0)
        timeouts = Timeouts(first_byte_s=0.1)
        async with gateway_left("drain", route=route, timeouts=timeouts) as (gateway, upstream):
            [offer] = gateway.catalogue.ready[A_MODEL]
            gateway.catalogue.ready[A_MODEL] = [offer, changed(offer, id="offer-2")]
            await leave_while_it_thinks(gateway, upstream, WHOLE)
            await gateway.alone()
            assert upstream.asked == 1
            assert the_leg(await gateway.usages()).outcome is Outcome.FAILED

    run(main())


@pytest.mark.parametrize("body", [WHOLE, STREAM], ids=["whole", "stream"])
def test_a_race_is_drained_too(run: Run, body: dict[str, Any]) -> None:
    """With a deadline or a hedge to come, a call whose client left goes on with what runs, alone."""

    async def main() -> None:
        route = RoutePolicy(
            strategy=Strategy.FALLBACK, deadline_s=5.0, hedge_after_ms=50.0, hedge_share=1.0
        )
        async with gateway_left("drain", route=route) as (gateway, upstream):
            [offer] = gateway.catalogue.ready[A_MODEL]
            gateway.catalogue.ready[A_MODEL] = [offer, changed(offer, id="offer-2")]
            await leave_while_it_thinks(gateway, upstream, body)
            await asyncio.sleep(0.1)  # the hedge's time comes and goes
            upstream.held.set()
            await gateway.alone()
            leg = the_leg(await gateway.usages())
            assert (leg.tokens, leg.ended_by, leg.confidence) == (
                EXACT,
                "drain",
                Confidence.REPORTED,
            )
            assert upstream.asked == 1

    run(main())
