"""After a crash every call that was opened has exactly one usage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.clock import SimClock
from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.journal import Journal
from inferworks.meter.record import Record
from inferworks.meter.recover import Recovered, Worked, crashed, recover
from inferworks.meter.spool import spool_in, spools
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import NO_TOKENS, Checkpoint, Confidence, Opened, Outcome, Tokens, Usage
from inferworks.testing.facts import A_TIME_NS, make_leg, make_opened, make_step, make_usage

FOREVER = 2**63 - 1
NOW_NS = A_TIME_NS + 10**12
A_STEP_NS = 10_000_000


async def recovered(store: MemoryStore, records: list[Record]) -> list[Usage]:
    """The usages after `records` were durable, a crash, and a recovery."""
    journal = Journal(store)
    journal.start()
    if records:
        await journal.commit_all(records)
    await recover(journal, SimClock(NOW_NS), [])
    journal.close()
    with store.reads() as reads:
        assert not list(reads.opened_unclosed())
        return list(reads.usages(0, FOREVER))


def checkpoint(call: Opened, tokens: Tokens, replica: str | None = "replica-1") -> Checkpoint:
    """A checkpoint of `call` as its stream leaves it."""
    at_ns = call.opened_ns + 5 * A_STEP_NS
    leg = make_leg(started_ns=call.opened_ns, ended_ns=at_ns, replica=replica, tokens=tokens)
    leg = msgspec.structs.replace(leg, outcome=Outcome.CRASHED)
    return Checkpoint(call.call_id, at_ns, leg, 1234)


async def test_a_call_that_was_never_seen_at_work() -> None:
    """Without a trace there is nothing to charge, and the doubt is on record."""
    [usage] = await recovered(MemoryStore(), [make_opened()])
    assert (usage.outcome, usage.status, usage.closed_ns) == (Outcome.CRASHED, 0, NOW_NS)
    assert (usage.tokens, usage.confidence) == (NO_TOKENS, Confidence.ESTIMATED)
    assert usage.legs == ()


@given(
    now_ns=st.integers(0, 2 * NOW_NS),
    opened_ns=st.integers(0, 2 * NOW_NS),
    step_ns=st.integers(0, 2 * NOW_NS),
    has_checkpoint=st.booleans(),
)
def test_no_time_is_negative_whatever_the_clock_says_now(
    now_ns: int, opened_ns: int, step_ns: int, has_checkpoint: bool
) -> None:
    """A clock that was set back while we were dead ends no call before it began."""
    call = msgspec.structs.replace(make_opened(), opened_ns=opened_ns)
    step = Worked(ReplicaId("replica-1"), 10, 3, 1, step_ns)
    known = checkpoint(call, Tokens(input=1)) if has_checkpoint else None
    usage = crashed(call, now_ns, [step], known)
    assert usage.closed_ns >= usage.opened_ns
    for leg in usage.legs:
        assert usage.opened_ns <= leg.started_ns <= leg.ended_ns <= usage.closed_ns


async def test_tokens_from_the_newest_checkpoint() -> None:
    """A stream of somebody else's API is known up to its newest checkpoint."""
    call = make_opened()
    records = [call, checkpoint(call, Tokens(9, 1), None), checkpoint(call, Tokens(9, 5), None)]
    [usage] = await recovered(MemoryStore(), records)
    assert (usage.tokens, usage.confidence) == (Tokens(9, 5), Confidence.ESTIMATED)
    assert (usage.status, usage.response_bytes) == (200, 1234), "its client had these bytes"
    assert [leg.outcome for leg in usage.legs] == [Outcome.CRASHED]


async def test_tokens_from_the_step_trace() -> None:
    """The trace of the replica is exact: its prefill, its decode and each choice's first token."""
    call = make_opened()
    records: list[Record] = [
        call,
        checkpoint(call, Tokens(0, 1)),
        make_step(("call_1", 64, 0, 64), seq=1, start_ns=A_TIME_NS),
        make_step(("call_1", 6, 0, 70), seq=2, start_ns=A_TIME_NS + A_STEP_NS),
        make_step(("call_1", 0, 2, 71), ("x", 1, 0, 1), seq=3, start_ns=A_TIME_NS + 2 * A_STEP_NS),
        make_step(("call_1", 0, 2, 72), seq=4, start_ns=A_TIME_NS + 9 * A_STEP_NS),
    ]
    [usage] = await recovered(MemoryStore(), records)
    assert (usage.tokens, usage.confidence) == (Tokens(70, 6), Confidence.COUNTED)
    assert usage.legs[0].tokens == usage.tokens
    assert usage.legs[0].ended_ns == A_TIME_NS + 10 * A_STEP_NS


async def test_a_trace_without_a_checkpoint() -> None:
    """A call that only prefilled before the crash has its first token."""
    step = make_step(("call_1", 8, 0, 8))
    [usage] = await recovered(MemoryStore(), [make_opened(), step])
    assert (usage.tokens, usage.confidence) == (Tokens(8, 1), Confidence.COUNTED)


async def test_a_checkpoint_before_the_first_byte() -> None:
    """An upstream that was at work for a second has given the client nothing yet, no status either."""
    call = make_opened()
    silent = msgspec.structs.replace(checkpoint(call, Tokens(9, 1), None), response_bytes=0)
    [usage] = await recovered(MemoryStore(), [call, silent])
    assert (usage.status, usage.response_bytes) == (0, 0)


async def test_a_whole_answer_is_charged_nothing() -> None:
    """A whole answer waits for its record, so nobody has a byte of it, whatever was done for it."""
    call = msgspec.structs.replace(make_opened(), stream=False)
    records: list[Record] = [call, make_step(("call_1", 8, 0, 8))]
    [usage] = await recovered(MemoryStore(), records)
    assert (usage.outcome, usage.status) == (Outcome.CRASHED, 0)
    assert (usage.tokens, usage.confidence) == (NO_TOKENS, Confidence.COUNTED)


async def test_the_trace_of_a_failed_attempt_is_not_the_answer() -> None:
    """After a failover elsewhere, the checkpoint of the serving leg counts and not the first trace."""
    call = make_opened()
    records = [call, make_step(("call_1", 8, 0, 8)), checkpoint(call, Tokens(8, 3), None)]
    [usage] = await recovered(MemoryStore(), records)
    assert (usage.tokens, usage.confidence) == (Tokens(8, 3), Confidence.ESTIMATED)


async def test_leftover_spools_are_collected_first(tmp_path: Path) -> None:
    """The steps of a replica that died with us are taken in before calls are closed."""
    spool = spool_in(tmp_path, ReplicaId("replica-1"), NodeId("node-1"), A_TIME_NS)
    idle = {"t": "state", "state": "idle", "at_ns": A_TIME_NS}
    step = {
        "t": "step",
        "seq": 1,
        "start_ns": A_TIME_NS,
        "duration_ns": 5,
        "calls": [["call_1", 8, 0, 8]],
    }
    spool.path.write_bytes(msgspec.json.encode(idle) + b"\n" + msgspec.json.encode(step) + b"\n")
    store = SqliteStore(tmp_path / "journal.db")
    journal = Journal(store)
    journal.start()
    await journal.commit(make_opened())
    clock = SimClock(NOW_NS)
    done = await recover(journal, clock, spools(tmp_path), down_until_ns=A_TIME_NS + 25)
    assert await recover(journal, clock, spools(tmp_path)) == Recovered((), spools=0)
    journal.close()
    with store.reads() as reads:
        facts = reads.facts(0, FOREVER)
    assert done == Recovered(tuple(facts.usages), spools=1)
    assert facts.usages[0].tokens == Tokens(8, 1)
    assert {row.state: row.duration_ns for row in facts.capacity} == {
        State.ACTIVE: 5,
        State.DOWN: 20,
    }


calls = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8)


@pytest.mark.slow
@given(calls, st.integers(1, 3))
def test_recovery_is_idempotent(told: list[tuple[bool, bool]], times: int) -> None:
    """Each opened call has one usage and closed ones are left alone, however often recovery runs."""
    records: list[Record] = []
    for n, (closed, checkpointed) in enumerate(told):
        call = make_opened(call_id=f"{n}")
        records.append(call)
        if checkpointed:
            records.append(checkpoint(call, Tokens(1, n)))
        if closed:
            records.append(make_usage(call_id=f"{n}"))
    store = MemoryStore()
    usages = asyncio.run(recovered(store, records))
    for _ in range(times):
        assert asyncio.run(recovered(store, [])) == usages
    assert sorted(usage.call_id for usage in usages) == sorted(f"{n}" for n in range(len(told)))
    crashed = {usage.call_id for usage in usages if usage.outcome is Outcome.CRASHED}
    assert crashed == {f"{n}" for n, (closed, _) in enumerate(told) if not closed}
