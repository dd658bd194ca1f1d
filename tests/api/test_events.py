"""`/v1/usage/events`: what others report is counted exactly once, or refused as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.accounts.key import ANY_SOURCE
from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import CustomerId
from inferworks.meter.capacity import Activity
from inferworks.meter.events import (
    ActivityData,
    CallData,
    activity_of,
    call_of,
    envelope,
    name_of,
)
from inferworks.meter.usage import Outcome, Tokens
from inferworks.purpose import Purpose
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway_over
from inferworks.units import NS_PER_SECOND, Unit

Run = Callable[[Coroutine[Any, Any, None]], None]
START_NS = time.time_ns() - 60 * NS_PER_SECOND
DAY_NS = 86_400 * NS_PER_SECOND
DATA: dict[str, Any] = {
    "resource": "node-1",
    "purpose": "train-gradient",
    "start_ns": START_NS,
    "end_ns": START_NS + 2_000,
    "quantity": 2_000,
    "unit": "node_ns",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "run-1",
    "source": "trainer",
    "type": "inferworks.activity",
    "time": "2025-06-01T00:00:00Z",
    "data": DATA,
}


def event(id_: str = "run-1", **data: Any) -> dict[str, Any]:
    """An event with other data."""
    return {**EVENT, "id": id_, "data": {**DATA, **data}}


def counts(accepted: int, duplicate: int, conflict: int) -> dict[str, int]:
    """The answer to a batch of which this became."""
    return {
        "received": accepted + duplicate + conflict,
        "accepted": accepted,
        "duplicate": duplicate,
        "conflict": conflict,
        "rejected": 0,
    }


async def send(gateway: InProcessGateway, body: object, secret: str | None = None) -> Answered:
    """Report `body`."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await gateway.ask("POST", "/v1/usage/events", data, secret=secret)


def stored(gateway: InProcessGateway) -> list[Activity]:
    """The activities on record."""
    with gateway.store.reads() as reads:
        return list(reads.activities(0, 1 << 62))


def test_one_event(run: Run) -> None:
    """An event becomes one activity, durable when the answer comes."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, event(customer="acme", description="step 1"))
            assert answer.status == 200
            assert answer.json == counts(1, 0, 0)
            assert stored(gateway) == [
                Activity(
                    "trainer", "run-1", "node-1", Purpose.TRAIN_GRADIENT, "acme",  # type: ignore[arg-type]
                    START_NS, START_NS + 2_000, 2_000, Unit.NODE_NS, "step 1",
                )
            ]  # fmt: skip
            assert await gateway.usages() == [], "an activity is no call"

    run(main())


def test_exactly_once(run: Run) -> None:
    """The same again is a duplicate, another body under the same name a conflict; one is counted."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            first = await send(gateway, event())
            again = await send(gateway, [event(), event("run-2"), event("run-2")])
            other = await send(gateway, event(quantity=5))
            assert first.json == counts(1, 0, 0)
            assert again.json == counts(1, 2, 0)
            assert other.json == counts(0, 0, 1)
            assert [(a.id, a.quantity) for a in stored(gateway)] == [
                ("run-1", 2000),
                ("run-2", 2000),
            ]
            with gateway.store.reads() as reads:
                (kept,) = reads.quarantined()
            assert '"quantity":5' in kept.body
            assert kept.existing is not None
            assert '"quantity":2000' in kept.existing

    run(main())


@pytest.mark.parametrize("purpose", ["serve-paid", "evaluate", "support"])
def test_a_purpose_that_the_key_may_not_report(run: Run, purpose: str) -> None:
    """A key reports its own purposes, and nobody reports serving, which is metered by calls."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, [event("a"), event("b", purpose=purpose)])
            assert (answer.status, answer.json["error"]["code"]) == (403, "purpose_not_allowed")
            serving = "metered by the calls themselves"
            remedy = serving if purpose == "serve-paid" else f"keys create --purpose {purpose}"
            assert remedy in answer.json["error"]["message"]
            assert stored(gateway) == []

    run(main())


def test_a_refusal_names_the_key_that_may_report(run: Run) -> None:
    """Each refusal says how a key is made that would not meet it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            _, silent = gateway.new_key(Purpose.TRAIN_GRADIENT)
            _, other = gateway.new_key(Purpose.TRAIN_GRADIENT, sources=("other",), ours=True)
            sent = {**event(), "source": "a b"}
            for secret, words in (
                (silent, "--report SOURCE, where SOURCE names who reports"),
                (other, "keys create --report 'a b'"),
            ):
                answer = await send(gateway, sent, secret)
                assert answer.status == 403
                assert words in answer.json["error"]["message"]

    run(main())


def test_a_retraction_of_nothing_tells_that_a_key_may_report(run: Run) -> None:
    """`metered` asks so before its block: the key and the source are checked, and nothing is recorded."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            _, secret = gateway.new_key(Purpose.TRAIN_GRADIENT, sources=("trainer",), ours=True)
            question = {
                "specversion": "1.0", "type": "inferworks.retraction", "source": "trainer",
                "id": "never", "data": {"reason": "check of a key"},
            }  # fmt: skip
            answer = await send(gateway, [question], secret)
            assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_report")
            answer = await send(gateway, [{**question, "source": "other"}], secret)
            assert (answer.status, answer.json["error"]["code"]) == (403, "source_not_allowed")
            sent = {**event(), "source": "trainer", "id": "never"}
            assert (await send(gateway, sent, secret)).json == counts(1, 0, 0)

    run(main())


def test_who_may_report(run: Run) -> None:
    """Without a key nothing is taken in; a key for serving alone may report nothing."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            assert (await send(gateway, event(), secret="")).status == 401
            _, silent = gateway.new_key(Purpose.TRAIN_GRADIENT)
            answer = await send(gateway, b"no matter what", secret=silent)
            assert (answer.status, answer.json["error"]["code"]) == (403, "reporting_not_allowed")
            _, serving = gateway.new_key(sources=("x", "trainer"))
            assert (await send(gateway, event(), secret=serving)).status == 403
            _, trainer = gateway.new_key(Purpose.TRAIN_GRADIENT, sources=("trainer",), ours=True)
            assert (await send(gateway, event(), secret=trainer)).status == 200

    run(main())


MALFORMED: list[tuple[object, str | None]] = [
    (b"", None),
    (b"{", None),
    (b"7", None),
    (b"[" * 100_000, "[0]"),
    (b'{"specversion": "\xff"}', None),
    ({}, "specversion"),
    ([EVENT, {}], "[1].specversion"),
    ([EVENT, 7], "[1]"),
    (event(start_ns="0"), "data.start_ns"),
    (event(start_ns=-1), "data.start_ns"),
    (event(quantity=1 << 63), None),
    (event(quantity=2 * NS_PER_SECOND), None),
    (event(quantity=1.5), "data.quantity"),
    (event(quantity=10**30), None),
    (
        msgspec.json.encode(event(quantity=7)).replace(b":7,", b":%b," % (b"9" * 99_999)),
        "data.quantity",
    ),
    (event(end_ns=5), None),
    (event(start_ns=START_NS - 33 * DAY_NS), None),
    (event(start_ns=START_NS - 401 * DAY_NS, end_ns=START_NS - 400 * DAY_NS), None),
    (event(end_ns=START_NS + DAY_NS), None),
    (event(end_ns=1 << 63), "data.end_ns"),
    (event(unit="parsec"), "data.unit"),
    (event(purpose="fun"), "data.purpose"),
    (event(resource=""), "data.resource"),
    (event(resource="x" * 300), "data.resource"),
    (event(customer=""), "data.customer"),
    (event(""), "id"),
    ({**EVENT, "specversion": "0.3"}, None),
    ({**EVENT, "type": "something.else"}, None),
    ({**EVENT, "data": None}, "data"),
    ([event(str(i)) for i in range(10_001)], None),
]


@pytest.mark.parametrize(("body", "param"), MALFORMED, ids=lambda value: repr(value)[:40])
def test_a_malformed_batch_is_refused_whole(run: Run, body: object, param: str | None) -> None:
    """One malformed event, and nothing of its batch is counted; the error says which and what."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, body)
            assert answer.status == 400
            error = answer.json["error"]
            assert error["param"] == param
            assert "Expected `" not in error["message"]
            assert stored(gateway) == []

    run(main())


def test_a_failed_journal(run: Run) -> None:
    """An event that cannot be made durable is not acknowledged."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.store.broken = True
            answer = await send(gateway, event())
            assert (answer.status, answer.json["error"]["code"]) == (503, "journal")

    run(main())


def test_an_empty_batch(run: Run) -> None:
    """Nothing is taken in, and that is no error."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, json.loads("[]"))
            assert answer.json == counts(0, 0, 0)

    run(main())


CALL_DATA: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-5",
    "start_ns": START_NS,
    "end_ns": START_NS + 2_000,
    "input_tokens": 800,
    "cache_read_tokens": 500,
    "output_tokens": 90,
    "reasoning_tokens": 60,
}


def call(id_: str = "req-1", **data: Any) -> dict[str, Any]:
    """A call that another gateway reports."""
    return {**EVENT, "id": id_, "type": "inferworks.call", "data": {**CALL_DATA, **data}}


def test_a_reported_call_becomes_a_usage(run: Run) -> None:
    """Under a name of its own, with its tokens by bucket; the key's customer and purpose unless named."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, call())
            assert (answer.status, answer.json) == (200, counts(1, 0, 0))
            [usage] = await gateway.usages()
            assert (usage.call_id, usage.customer, usage.purpose) == (
                "trainer/req-1", "acme", "serve-paid",
            )  # fmt: skip
            assert usage.tokens == Tokens(input=800, output=90, cache_read=500, reasoning=60)
            [leg] = usage.legs
            assert (leg.provider, leg.replica, leg.tokens) == ("openai", None, usage.tokens)
            assert (usage.opened_ns, usage.closed_ns) == (START_NS, START_NS + 2_000)

    run(main())


def test_a_call_counts_exactly_once(run: Run) -> None:
    """Calls and activities are told apart by (source, id) together, in one batch and over many."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            batch = [call("1"), call("1"), call("2"), event("3"), call("2", output_tokens=91)]
            assert (await send(gateway, batch)).json == counts(3, 1, 1)
            assert (await send(gateway, [call("1"), event("3")])).json == counts(0, 2, 0)
            assert (await send(gateway, [event("1"), call("3")])).json == counts(0, 0, 2)
            assert [usage.tokens.output for usage in await gateway.usages()] == [90, 90]
            with gateway.store.reads() as reads:
                kept, *_ = reads.quarantined()
            assert (kept.source, kept.key) == ("trainer", "2")
            assert '"output":91' in kept.body
            assert kept.existing is not None
            assert '"output":90' in kept.existing

    run(main())


@pytest.mark.parametrize(
    ("source", "id_"), [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("é ", "?&=")]
)
def test_any_source_and_id_make_one_name(run: Run, source: str, id_: str) -> None:
    """No two pairs of source and id run into one name, and each name gives its pair again."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            sent = {**call(id_), "source": source}
            assert (await send(gateway, [sent, call("b/c")])).json == counts(2, 0, 0)
            assert (source, id_) in {name_of(usage) for usage in await gateway.usages()}

    run(main())


def test_a_key_reports_for_its_own_customer(run: Run) -> None:
    """Another customer, or a purpose that it may not have, needs a key made to report."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for other in (call(customer="burns"), event(customer="burns")):
                answer = await send(gateway, [call("own"), other])
                assert (answer.status, answer.json["error"]["code"]) == (
                    403,
                    "customer_not_allowed",
                )
            answer = await send(gateway, call(purpose="evaluate"))
            assert (answer.status, answer.json["error"]["code"]) == (403, "purpose_not_allowed")
            assert await gateway.usages() == []
            _, reporter = gateway.new_key(reporter=True, sources=(ANY_SOURCE,))
            batch = [call("1", customer="burns", purpose="evaluate"), event("2", customer="burns")]
            answer = await send(gateway, batch, reporter)
            assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_customer")
            assert "'burns'" in answer.json["error"]["message"]
            gateway.new_key(customer=CustomerId("burns"))
            assert (await send(gateway, batch, reporter)).json == counts(2, 0, 0)
            answer = await send(gateway, event("3", purpose="serve-paid"), reporter)
            assert (answer.status, answer.json["error"]["code"]) == (403, "purpose_not_allowed")

    run(main())


def test_a_source_belongs_to_one_customer(run: Run) -> None:
    """Nobody takes a name that another may report; a key that replaces one goes on under its source."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            burns = CustomerId("burns")
            _, first = gateway.new_key(customer=burns, sources=("gateway-b",))
            sent = {**call("17"), "source": "gateway-b"}
            assert (await send(gateway, sent, first)).json == counts(1, 0, 0)
            for name in ("gateway-b", ANY_SOURCE):
                answer = await send(gateway, [call("own"), {**sent, "id": "18", "source": name}])
                assert (answer.status, answer.json["error"]["code"]) == (403, "source_not_allowed")
                assert name in answer.json["error"]["message"]
            _, second = gateway.new_key(customer=burns, sources=("gateway-b",))
            assert (await send(gateway, [sent, {**sent, "id": "18"}], second)).json == counts(
                1, 1, 0
            )

    run(main())


def test_what_must_be_granted(run: Run) -> None:
    """Use for no customer, and what a provider charged, are told by keys made for that alone."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            _, plain = gateway.new_key(Purpose.TRAIN_GRADIENT, sources=("trainer",))
            own = event("own", customer="acme")
            for sent, code in (
                (event("a"), "customer_not_allowed"),
                (event("b", unit="byte_seconds"), "customer_not_allowed"),
                (call("c", purpose="train-gradient", told_cost_pico=1), "cost_not_allowed"),
            ):
                answer = await send(gateway, [own, sent], plain)
                assert (answer.status, answer.json["error"]["code"]) == (403, code)
            _, wide = gateway.new_key(sources=("trainer",), tells_cost=True)
            assert (await send(gateway, call("c", told_cost_pico=1), wide)).json == counts(1, 0, 0)
            assert (await send(gateway, own, plain)).json == counts(1, 0, 0)

    run(main())


def test_bytes_that_serve_may_be_reported(run: Run) -> None:
    """A customer's files are held to serve it; no call meters that."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            held = event(unit="byte_seconds", purpose="serve-paid", customer="acme")
            assert (await send(gateway, held)).json == counts(1, 0, 0)

    run(main())


def test_binary_mode(run: Run) -> None:
    """Attributes in headers, percent-encoded, and the data as the body."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {
                "ce-specversion": "1.0",
                "ce-type": "inferworks.call",
                "ce-source": "gateway%20b",
                "ce-id": "req-1",
                "content-type": "application/json",
            }
            body = msgspec.json.encode(CALL_DATA)
            path = "/v1/usage/events"
            answer = await gateway.ask("POST", path, body, headers=headers)
            assert (answer.status, answer.json) == (200, counts(1, 0, 0))
            [usage] = await gateway.usages()
            assert name_of(usage) == ("gateway b", "req-1")
            for wrong, param in (({"ce-id": ""}, "id"), ({"ce-type": "odd"}, None)):
                answer = await gateway.ask("POST", path, body, headers={**headers, **wrong})
                assert (answer.status, answer.json["error"]["param"]) == (400, param)
            answer = await gateway.ask("POST", path, b'{"provider": 7}', headers=headers)
            assert (answer.status, answer.json["error"]["param"]) == (400, "provider")
            assert (await gateway.ask("POST", path, b"{", headers=headers)).status == 400

    run(main())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (call(input_tokens=-1), "data.input_tokens"),
        ([call("1"), call("2", output_tokens=10**9 + 1)], "[1].data.output_tokens"),
        (call(model=""), "data.model"),
        (call(provider=None), "data.provider"),
        (call(purpose="fun"), "data.purpose"),
        (call(end_ns=1), None),
        (call(start_ns=START_NS - 2 * DAY_NS), None),
        (call(request_bytes=10**12 + 1), "data.request_bytes"),
        (call(told_cost_pico=10**15 + 1), "data.told_cost_pico"),
        (call(cache_read_tokens=801), None),
        (call(reasoning_tokens=91), None),
        (call(cache_write_1h_tokens=1), None),
        (call(cache_read_tokens=500, cache_write_tokens=301), None),
        (call(output_audio_tokens=60, output_image_tokens=31), None),
        (call(images=-1), "data.images"),
        (call(told_cost_pico=-1), "data.told_cost_pico"),
        (call(told_currency="dollars"), "data.told_currency"),
        (call(end_user="x" * 257), "data.end_user"),
        ({**call(), "data": 7}, "data"),
        ([{**call(), "data": None}], "[0].data"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_malformed_call_is_refused(run: Run, body: object, param: str | None) -> None:
    """The error says which field of which event."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await send(gateway, body)
            assert (answer.status, answer.json["error"]["param"]) == (400, param)
            assert await gateway.usages() == []

    run(main())


reports = st.one_of(
    st.builds(
        ActivityData,
        resource=st.text(min_size=1, max_size=5),
        purpose=st.sampled_from(Purpose),
        start_ns=st.integers(0, 10),
        end_ns=st.integers(10, 20),
        quantity=st.integers(0, 9),
        unit=st.sampled_from(Unit),
        customer=st.none() | st.text(min_size=1, max_size=5),
        description=st.text(max_size=5),
    ),
    st.builds(
        CallData,
        provider=st.text(min_size=1, max_size=5),
        model=st.text(min_size=1, max_size=5),
        start_ns=st.integers(0, 10),
        end_ns=st.integers(10, 20),
        customer=st.text(min_size=1, max_size=5),
        purpose=st.sampled_from(Purpose),
        input_tokens=st.integers(5, 9),
        cache_read_tokens=st.integers(0, 5),
        input_audio_tokens=st.integers(0, 5),
        images=st.integers(0, 2),
        searches=st.integers(0, 2),
        service_tier=st.text(max_size=3),
        told_cost_pico=st.none() | st.integers(0, 9),
        told_currency=st.sampled_from(["USD", "EUR"]),
        ended_by=st.sampled_from(["", "drain"]),
        end_user=st.text(max_size=3),
        outcome=st.sampled_from(Outcome),
        region=st.text(max_size=3),
    ),
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@given(names, names, reports)
def test_an_envelope_reads_back_as_what_was_reported(
    source: str, id_: str, data: ActivityData | CallData
) -> None:
    """An envelope sent by a file import becomes the report that the import would have journaled itself."""
    of = activity_of if isinstance(data, ActivityData) else call_of
    report = of(source, id_, data)  # type: ignore[operator]
    sent = envelope(report)
    assert (sent["source"], sent["id"]) == (source, id_)
    assert of(source, id_, msgspec.convert(sent["data"], type(data))) == report  # type: ignore[operator]
