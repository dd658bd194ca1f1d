"""Pictures and sound are kept along the way as tokens are: a crash or a client that leaves loses none."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from inferworks.clock import SimClock
from inferworks.ids import OfferId
from inferworks.meter.call_recorder import Destination, Meter
from inferworks.meter.journal import Journal
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import NO_TOKENS, Checkpoint, Confidence, Items, Outcome
from inferworks.testing.facts import A_TIME_NS, make_opened

SPOKEN = Items(characters=12)


async def test_items_are_in_checkpoints_and_in_what_is_cut_off() -> None:
    """Items told up to the end are in the checkpoint, and in the Usage of a call that is cut off."""
    store, clock = MemoryStore(), SimClock(A_TIME_NS)
    journal = Journal(store)
    journal.start()
    opened = make_opened()
    with suppress(asyncio.CancelledError):
        async with Meter(journal, clock, checkpoint_s=1.0).open(opened) as call:
            call.leg_started(Destination(OfferId("speech"), "openai"))
            await clock.advance(1.0)
            call.sent(1)
            call.progress(ReportedUsage(NO_TOKENS, SPOKEN), Confidence.COUNTED)
            await journal.durable()
            with store.reads() as reads:
                checkpoint = reads.checkpoint(opened.call_id)
            assert isinstance(checkpoint, Checkpoint)
            assert checkpoint.leg.items == SPOKEN
            raise asyncio.CancelledError
    journal.close()
    with store.reads() as reads:
        (usage,) = reads.usages(0, 1 << 62)
    assert (usage.outcome, usage.items, usage.legs[0].items) == (Outcome.CANCELLED, SPOKEN, SPOKEN)
