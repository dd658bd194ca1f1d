"""`/v1/usage/events`: what is no call is counted exactly once, or refused as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.meter.capacity import Activity
from inferworks.purpose import Purpose
from inferworks.testing.door import Answered, House, open_door
from inferworks.units import Unit

Run = Callable[[Coroutine[Any, Any, None]], None]
DATA: dict[str, Any] = {
    "resource": "node-1",
    "purpose": "train-gradient",
    "start_ns": 1_000,
    "end_ns": 3_000,
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


async def send(house: House, body: object, secret: str | None = None) -> Answered:
    """Report `body`."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await house.ask("POST", "/v1/usage/events", data, secret=secret)


def stored(house: House) -> list[Activity]:
    """The activities on record."""
    with house.store.reads() as reads:
        return list(reads.activities(0, 1 << 62))


def test_one_event(run: Run) -> None:
    """An event becomes one activity, durable when the answer comes."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await send(house, event(customer="acme", description="step 1"))
            assert answer.status == 200
            assert answer.json == counts(1, 0, 0)
            assert stored(house) == [
                Activity(
                    "trainer", "run-1", "node-1", Purpose.TRAIN_GRADIENT, "acme",  # type: ignore[arg-type]
                    1_000, 3_000, 2_000, Unit.NODE_NS, "step 1",
                )
            ]  # fmt: skip
            assert await house.usages() == [], "an activity is no call"

    run(main())


def test_exactly_once(run: Run) -> None:
    """The same again is a duplicate, another body under the same name a conflict; one is counted."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            first = await send(house, event())
            again = await send(house, [event(), event("run-2"), event("run-2")])
            other = await send(house, event(quantity=5))
            assert first.json == counts(1, 0, 0)
            assert again.json == counts(1, 2, 0)
            assert other.json == counts(0, 0, 1)
            assert [(a.id, a.quantity) for a in stored(house)] == [("run-1", 2000), ("run-2", 2000)]
            with house.store.reads() as reads:
                (kept,) = reads.quarantined()
            assert '"quantity":5' in kept.body
            assert kept.existing is not None
            assert '"quantity":2000' in kept.existing

    run(main())


@pytest.mark.parametrize("purpose", ["serve-paid", "evaluate", "support"])
def test_a_purpose_that_the_key_may_not_report(run: Run, purpose: str) -> None:
    """A key reports its own purposes, and nobody reports serving, which is metered by calls."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await send(house, [event("a"), event("b", purpose=purpose)])
            assert (answer.status, answer.json["error"]["code"]) == (403, "purpose_not_allowed")
            assert stored(house) == []

    run(main())


def test_who_may_report(run: Run) -> None:
    """Without a key nothing is taken in; a key for serving alone may report nothing."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            assert (await send(house, event(), secret="")).status == 401
            _, serving = house.new_key()
            assert (await send(house, event(), secret=serving)).status == 403
            _, trainer = house.new_key(Purpose.TRAIN_GRADIENT)
            assert (await send(house, event(), secret=trainer)).status == 200

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
    (event(quantity=1 << 63), "data.quantity"),
    (event(quantity=1.5), "data.quantity"),
    (event(quantity=10**30), "data.quantity"),
    (event(end_ns=5), None),
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
        async with open_door(StubProvider()) as house:
            answer = await send(house, body)
            assert answer.status == 400
            error = answer.json["error"]
            assert error["param"] == param
            assert "Expected `" not in error["message"]
            assert stored(house) == []

    run(main())


def test_a_failed_journal(run: Run) -> None:
    """What cannot be made durable is not acknowledged."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            house.store.broken = True
            answer = await send(house, event())
            assert (answer.status, answer.json["error"]["code"]) == (503, "journal")

    run(main())


def test_an_empty_batch(run: Run) -> None:
    """Nothing is taken in, and that is no error."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await send(house, json.loads("[]"))
            assert answer.json == counts(0, 0, 0)

    run(main())
