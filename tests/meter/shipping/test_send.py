"""Senders: what a hub that comes back from a backup lacks is shipped again, also when nothing new comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from inferworks.clock import SimClock
from inferworks.errors import UpstreamError
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.send import ASK_AGAIN_NS, Sender, Settled, send_in_turn
from inferworks.meter.shipping.stub import MemoryHub
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND


@pytest.fixture
def hub() -> MemoryHub:
    """A hub."""
    return MemoryHub()


@pytest.fixture
def clock() -> SimClock:
    """A clock that stands still."""
    return SimClock(0)


@pytest.fixture
def senders(tmp_path: Path, hub: MemoryHub, clock: SimClock) -> Iterator[list[Sender]]:
    """Senders of two journals of one node, each with a call."""
    with ExitStack() as stack:
        made = []
        for number in (1, 2):
            path = tmp_path / f"journal-{number}.db"
            write(path, f"call_{number}")
            outbox = stack.enter_context(Outbox(path))
            settled = Settled(threading.Lock(), lambda: False)
            made.append(Sender(outbox, settled, hub, clock, keep_ns=10**18))
        yield made


def write(path: Path, call: str) -> None:
    """Write a call into the journal at `path`."""
    with closing(SqliteStore(path, ships_as="edge")) as store:
        store.open()
        store.write([make_usage(call_id=call)])


def go_back(hub: MemoryHub) -> None:
    """Put the hub back to when it had nothing."""
    hub.positions.clear()
    hub.records.clear()


def calls(hub: MemoryHub) -> list[str]:
    """The calls that the hub has, in order."""
    return sorted(record.call_id for record in hub.records)  # type: ignore[union-attr]


def test_a_hub_that_was_away_is_asked_by_all(
    tmp_path: Path, senders: list[Sender], hub: MemoryHub
) -> None:
    """The first sender alone meets its absence, and what the second had shipped is gone when it is back."""

    async def scenario() -> None:
        await send_in_turn(senders)
        assert calls(hub) == ["call_1", "call_2"]
        write(tmp_path / "journal-1.db", "call_3")
        hub.away = True
        with pytest.raises(UpstreamError):
            await send_in_turn(senders)
        hub.away = False
        go_back(hub)
        await send_in_turn(senders)
        assert calls(hub) == ["call_1", "call_2", "call_3"]

    asyncio.run(scenario())


def test_a_hub_that_went_back_unseen_is_asked_after_a_minute(
    senders: list[Sender], hub: MemoryHub, clock: SimClock
) -> None:
    """A hub may be restored between two turns of a node to which no calls come."""

    async def scenario() -> None:
        await send_in_turn(senders)
        go_back(hub)
        await send_in_turn(senders)
        assert calls(hub) == []
        await clock.advance(ASK_AGAIN_NS / NS_PER_SECOND)
        await send_in_turn(senders)
        assert calls(hub) == ["call_1", "call_2"]

    asyncio.run(scenario())
