"""Reports of replicas are counted once, and their time is partitioned exactly."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.clock import SimClock
from inferworks.errors import DataFolderError, JournalError
from inferworks.hardware import spool as hardware
from inferworks.ids import ModelId, NodeId, ReplicaId
from inferworks.meter.capacity import Capacity, State, Step
from inferworks.meter.journal import Journal
from inferworks.meter.record import Quarantined, Record, SpoolCursor
from inferworks.meter.spool import (
    BadLine,
    Since,
    Spool,
    SpoolReader,
    StateLine,
    StepLine,
    capacity_rows,
    finish_at,
    first_cursor,
    hours,
    parse_spool,
    spool_at,
    spool_in,
    spools,
    take_in,
)
from inferworks.meter.stores.stub import MemoryStore

HOUR_NS = 3600 * 10**9
FOREVER = 2**63 - 1
R1, N1 = ReplicaId("r1"), NodeId("n1")
STATES = [State.STARTING, State.LOADING, State.IDLE, State.DRAINING, State.DOWN]


def state_line(state: str, at_ns: int) -> bytes:
    """A state line as a replica writes it."""
    return msgspec.json.encode({"t": "state", "state": state, "at_ns": at_ns}) + b"\n"


def step_line(seq: int, start_ns: int, duration_ns: int, *calls: list[object]) -> bytes:
    """A step line as a replica writes it."""
    step = {"t": "step", "seq": seq, "start_ns": start_ns, "duration_ns": duration_ns}
    return msgspec.json.encode(step | {"calls": calls}) + b"\n"


def a_spool(folder: Path = Path("spool"), started_ns: int = 0) -> Spool:
    """The spool of replica r1 on node n1."""
    return spool_in(folder, R1, N1, started_ns)


def taken(data: bytes, cursor: SpoolCursor | None = None) -> list[Record]:
    """Records that `data` adds to a journal."""
    lines, _ = parse_spool(data)
    return take_in(cursor or first_cursor(a_spool()), lines)


def durations(records: Sequence[Record]) -> dict[State, int]:
    """Time by state, over all windows."""
    found: dict[State, int] = {}
    for record in records:
        if isinstance(record, Capacity):
            found[record.state] = found.get(record.state, 0) + record.duration_ns
    return found


def test_parse() -> None:
    """Both kinds of line are understood, fields that we do not know are passed over."""
    data = (
        b'{"t":"state","state":"idle","at_ns":5,"replica":"r1","model":"m"}\n'
        b'{"t":"step","seq":1,"start_ns":6,"duration_ns":2,"calls":[["call_1",64,0,64]]}\n'
    )
    lines, consumed = parse_spool(data)
    assert consumed == len(data)
    state, step = [line.fact for line in lines]
    assert state == StateLine("idle", 5)
    assert isinstance(step, StepLine)
    assert step.calls[0].prefill_tokens == 64


def test_an_unfinished_line_is_left_for_later() -> None:
    """Bytes after the last newline are not consumed, wherever the line is cut."""
    whole, last = state_line("idle", 1), step_line(1, 2, 3, ["call_1", 1, 0, 1])
    for cut in range(len(last)):
        lines, consumed = parse_spool(whole + last[:cut])
        assert (len(lines), consumed) == (1, len(whole))


@pytest.mark.parametrize("bad", [
    b"not json", b"", b"[]", b"{}", b'{"t":"state","state":"asleep","at_ns":1}',
    b'{"t":"state","state":"active","at_ns":1}', b'{"t":"state","state":"idle","at_ns":-1}',
    b'{"t":"step","seq":1,"start_ns":1,"duration_ns":99999999999999999999,"calls":[]}',
    b'{"t":"step","seq":1,"start_ns":1,"duration_ns":1,"calls":[["call_1",1]]}', b"\xff\xfe",
    b"[" * 100_000,
])  # fmt: skip
def test_a_corrupt_line_is_set_aside_with_its_offset(bad: bytes) -> None:
    """A complete line that cannot be read is quarantined where it stood, and the rest goes on."""
    before = state_line("idle", 10)
    records = taken(before + bad + b"\n" + state_line("idle", 30))
    [aside] = [record for record in records if type(record).__name__ == "Quarantined"]
    assert msgspec.structs.asdict(aside)["key"] == str(len(before))
    assert durations(records) == {State.STARTING: 10, State.IDLE: 20}


def test_time_is_told_apart() -> None:
    """Starting, loading, then idle but for the steps; a step while draining is active."""
    records = taken(
        state_line("loading", 100) + state_line("idle", 300)
        + step_line(1, 350, 50, ["call_1", 8, 0, 8]) + step_line(2, 400, 10, ["call_1", 0, 1, 9])
        + state_line("draining", 420) + step_line(3, 410, 30, ["call_1", 0, 1, 10])
        + state_line("down", 500)
    )  # fmt: skip
    assert durations(records) == {
        State.STARTING: 100,
        State.LOADING: 200,
        State.ACTIVE: 90,
        State.IDLE: 50,
        State.DRAINING: 60,
    }
    cursor = records[-1]
    assert isinstance(cursor, SpoolCursor)
    assert (cursor.state, cursor.covered_ns, cursor.last_seq) == (State.DOWN, 500, 3)


def test_a_step_counted_already_is_set_aside() -> None:
    """A step over time that is accounted for, or with a used number, is kept but not counted."""
    first = taken(state_line("idle", 0) + step_line(1, 10, 10))
    cursor = first[-1]
    assert isinstance(cursor, SpoolCursor)
    again = taken(step_line(1, 30, 5) + step_line(2, 15, 10) + step_line(3, 20, 5), cursor)
    assert [r.seq for r in again if isinstance(r, Step)] == [3]
    assert len([r for r in again if type(r).__name__ == "Quarantined"]) == 2
    assert durations(again) == {State.ACTIVE: 5}


def test_no_window_crosses_an_hour() -> None:
    """Time is cut at every full hour, a step that crosses it included."""
    records = taken(
        state_line("idle", 0) + step_line(1, HOUR_NS - 10, 30) + state_line("idle", 2 * HOUR_NS)
    )
    rows = [record for record in records if isinstance(record, Capacity)]
    assert [(row.start_ns, row.end_ns) for row in rows] == [(0, HOUR_NS)] * 2 + [
        (HOUR_NS, 2 * HOUR_NS)
    ] * 2
    assert [row.duration_ns for row in rows if row.state is State.ACTIVE] == [10, 20]
    assert list(hours(5, 5)) == []


def test_a_dead_replica_costs_nothing_more() -> None:
    """Without word that the node was kept, capacity ends with the last fact."""
    cursor = taken(state_line("idle", 100))[-1]
    assert isinstance(cursor, SpoolCursor)
    [ended] = finish_at(cursor, b"", None)
    assert isinstance(ended, SpoolCursor)
    assert (ended.finished, ended.covered_ns) == (True, 100)


def test_a_dead_replica_on_a_kept_node_is_down() -> None:
    """Time from the last fact on is down when the node was still provisioned."""
    cursor = taken(state_line("idle", 100))[-1]
    assert isinstance(cursor, SpoolCursor)
    torn, down, ended = finish_at(cursor, b'{"t":"st', 250)
    assert isinstance(down, Capacity)
    assert (down.state, down.start_ns, down.end_ns, down.duration_ns) == (State.DOWN, 100, 250, 150)
    assert msgspec.structs.asdict(torn)["reason"] == "the line was never finished"
    assert isinstance(ended, SpoolCursor)
    assert ended.covered_ns == 250


gaps = st.integers(0, 3 * HOUR_NS // 10)


@st.composite
def replica_lives(draw: st.DrawFn) -> list[bytes]:
    """A replica's spool: states and disjoint steps in order, `draining` also in the middle of one."""
    now_ns, seq, lines = 0, 0, []
    for kind in draw(st.lists(st.sampled_from(["step", "draining inside", *STATES]), max_size=12)):
        now_ns += draw(gaps)
        if isinstance(kind, State):
            lines.append(state_line("idle" if kind is State.ACTIVE else kind.value, now_ns))
            continue
        duration_ns = draw(gaps)
        if kind == "draining inside":
            lines.append(state_line("draining", now_ns + draw(st.integers(0, duration_ns))))
        seq += draw(st.integers(1, 3))
        lines.append(step_line(seq, now_ns, duration_ns, ["call_1", 0, 1, 1]))
        now_ns += duration_ns
    return lines


@pytest.mark.slow
@given(replica_lives(), st.none() | st.integers(0, 20 * HOUR_NS))
def test_the_states_partition_time(lives: list[bytes], at_ns: int | None) -> None:
    """Rows of a window sum to it, windows join without gap, and active time is the steps' (theorem 5)."""
    records = taken(b"".join(lives)) or [first_cursor(a_spool())]
    cursor = records[-1]
    assert isinstance(cursor, SpoolCursor)
    records += finish_at(cursor, b"", at_ns)
    rows = [record for record in records if isinstance(record, Capacity)]
    windows: dict[tuple[int, int], int] = {}
    for row in rows:
        assert row.duration_ns > 0
        window = (row.start_ns, row.end_ns)
        windows[window] = windows.get(window, 0) + row.duration_ns
    reached_ns = 0
    for (start_ns, end_ns), sum_ns in sorted(windows.items()):
        assert start_ns == reached_ns, "no gap and no overlap"
        assert sum_ns == end_ns - start_ns, "the states partition the window"
        reached_ns = end_ns
    steps = [record for record in records if isinstance(record, Step)]
    active_ns = sum(step.duration_ns for step in steps)
    assert durations(records).get(State.ACTIVE, 0) == active_ns <= reached_ns


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 100)), min_size=1, max_size=6),
    st.lists(st.integers(0, 100), max_size=8, unique=True),
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_rows_agree_with_counting_every_nanosecond(
    changes: list[tuple[State, int]], edges: list[int], window: tuple[int, int]
) -> None:
    """The rows are what one gets by asking at each nanosecond: in a step, or else which state."""
    start_ns, end_ns = min(window), max(window)
    timeline = [
        Since(0, State.STARTING),
        *(Since(at, s) for s, at in sorted(changes, key=lambda c: c[1])),
    ]
    bounds = sorted(edges)
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    steps = [Step(R1, n, a, b - a, ()) for n, (a, b) in enumerate(pairs)]
    expected: dict[State, int] = {}
    for ns in range(start_ns, end_ns):
        busy = any(a <= ns < b for a, b in pairs)
        state = (
            State.ACTIVE if busy else [since.state for since in timeline if since.at_ns <= ns][-1]
        )
        expected[state] = expected.get(state, 0) + 1
    rows = capacity_rows(R1, N1, start_ns, end_ns, timeline, steps)
    assert {row.state: row.duration_ns for row in rows} == expected


class DyingStore(MemoryStore):
    """Fails at the `n`th write from now, before or after it has taken effect."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_in: int | None = None
        self.after = False

    def write(self, records: Sequence[Record]) -> None:
        """Write, or die."""
        if self.dies_in == 0:
            self.dies_in = None
            if self.after:
                super().write(records)
            raise JournalError("killed")
        if self.dies_in is not None:
            self.dies_in -= 1
        super().write(records)


async def collect_and_die(
    store: DyingStore, spool: Spool, pieces: Sequence[bytes], deaths: list[tuple[int, bool]]
) -> None:
    """Append `pieces` one by one and collect after each, starting afresh whenever we die."""
    for piece in pieces:
        with spool.path.open("ab") as file:
            file.write(piece)
        await until_done(store, spool, deaths, finish=False)
    await until_done(store, spool, deaths, finish=True)


async def until_done(
    store: DyingStore, spool: Spool, deaths: list[tuple[int, bool]], *, finish: bool
) -> None:
    """Collect with a fresh journal and reader until nothing dies."""
    while True:
        if deaths:
            store.dies_in, store.after = deaths.pop()
        journal = Journal(store)
        journal.start()
        reader = SpoolReader(journal, spool)
        try:
            await (reader.finish(None) if finish else reader.collect())
        except JournalError:
            continue
        else:
            return
        finally:
            journal.close()


@pytest.mark.slow
@given(
    lives=replica_lives(),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    deaths=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=6),
)
def test_each_line_counts_once_however_often_we_die(
    lives: list[bytes],
    cuts: list[int],
    deaths: list[tuple[int, bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Read in any pieces, killed between any two operations: the same facts as read at once."""
    data = b"".join(lives)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    spool, store = a_spool(tmp_path_factory.mktemp("spool")), DyingStore()
    asyncio.run(collect_and_die(store, spool, pieces, deaths))
    at_once = taken(data)
    with store.reads() as reads:
        assert list(reads.steps(None, 0, FOREVER)) == [r for r in at_once if isinstance(r, Step)]
        assert durations(list(reads.capacity(0, FOREVER))) == durations(at_once)
        assert not list(reads.quarantined())
        cursor = reads.cursor(spool.path.name)
    assert cursor is not None
    assert (cursor.offset, cursor.finished) == (len(data), True)
    assert not spool.path.exists()


async def test_a_cancelled_collection_goes_on(tmp_path: Path) -> None:
    """The same reader goes on after it was cancelled in the middle of its commit."""
    spool, store = a_spool(tmp_path), MemoryStore()
    spool.path.write_bytes(state_line("idle", 5) + step_line(1, 6, 2))
    journal = Journal(store)
    journal.start()
    reader = SpoolReader(journal, spool)
    for waits in range(6):
        collecting = asyncio.ensure_future(reader.collect())
        for _ in range(waits):
            await asyncio.sleep(0)
        collecting.cancel()
        await asyncio.wait([collecting])
    await reader.collect()
    journal.close()
    with store.reads() as reads:
        assert reads.counts()["step"] == 1
        assert durations(list(reads.capacity(0, FOREVER))) == {
            State.STARTING: 5,
            State.IDLE: 1,
            State.ACTIVE: 2,
        }


async def test_draining_waits_for_the_step_it_fell_into(tmp_path: Path) -> None:
    """A trailing `draining` is not taken in before the step that was under way."""
    spool, store = a_spool(tmp_path), MemoryStore()
    journal = Journal(store)
    journal.start()
    reader = SpoolReader(journal, spool)
    spool.path.write_bytes(
        state_line("idle", 0) + step_line(1, 10, 10) + state_line("draining", 30)
    )
    assert await reader.collect() == 2
    with spool.path.open("ab") as file:
        file.write(step_line(2, 25, 10))
    assert await reader.collect() == 2
    journal.close()
    with store.reads() as reads:
        assert durations(list(reads.capacity(0, FOREVER))) == {State.IDLE: 15, State.ACTIVE: 20}


async def test_a_spool_that_was_never_written(tmp_path: Path) -> None:
    """A replica that died before its first line was starting for no time, then down."""
    store = MemoryStore()
    journal = Journal(store)
    journal.start()
    reader = SpoolReader(journal, a_spool(tmp_path, started_ns=100))
    assert await reader.collect() == 0
    await reader.finish(150)
    await reader.finish(150)
    journal.close()
    with store.reads() as reads:
        assert durations(list(reads.capacity(0, FOREVER))) == {State.DOWN: 50}


def test_a_spool_is_found_by_its_name(tmp_path: Path) -> None:
    """The name of a spool gives back what it was made of, odd characters included."""
    older = spool_in(tmp_path, ReplicaId("r@1/ü"), NodeId("node~a b"), 7)
    newer = spool_in(tmp_path, R1, N1, 123456789)
    for spool in (newer, older):
        spool.path.touch()
    assert spools(tmp_path) == [older, newer]
    (tmp_path / "odd.spool.jsonl").touch()
    with pytest.raises(DataFolderError, match="no spool of ours"):
        spools(tmp_path)


def test_bad_lines_keep_their_text() -> None:
    """A line that cannot be decoded is kept readable."""
    [line], _ = parse_spool(b"caf\xe9\n")
    assert isinstance(line.fact, BadLine)
    assert line.fact.text == "caf\\xe9"


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["beat", "idle", "draining", "step", "long step"]),
        st.integers(0, 3 * 10**9),
        st.one_of(st.none(), st.integers(0, 3 * 10**18)),
    ),
    max_size=15,
)
"""Next act of a replica, its duration, and a setting of its clock meanwhile, if there is one."""


@pytest.mark.slow
@given(lives=st.lists(_MOVES, min_size=1, max_size=3))
def test_a_replicas_time_is_counted_once_however_its_clock_is_set(
    lives: list[list[tuple[str, int, int | None]]],
) -> None:
    """All real time is in its capacity, all steps are kept whole, and nothing overlaps, over all lives."""
    clock, real_ns, steps_ns = SimClock(10**18), 0, 0
    everything: list[Record] = []
    covered_ns = 0
    for moves in lives:
        begins_ns = max(clock.now_ns(), covered_ns)
        with tempfile.TemporaryDirectory() as folder:
            path = spool_in(Path(folder), R1, N1, begins_ns).path
            own = hardware.Spool(path, clock, R1, N1, ModelId("m"), begins_ns=begins_ns)
            own.start(clock.now_ns())
            for what, passed_ns, set_to in moves:
                carried = clock.carried()
                began_ns = carried.now_ns()
                if set_to is not None:
                    clock.set(set_to)
                if what == "long step" and set_to is not None:
                    own.beat()  # the event loop hears of it before the step is over
                clock._elapsed_ns += passed_ns
                real_ns += passed_ns
                if "step" in what:
                    own.step(began_ns, passed_ns, ())
                    steps_ns += passed_ns
                elif what == "beat":
                    own.beat()
                else:
                    own.enter(hardware.ReplicaState(what))
            own.enter(hardware.ReplicaState.DOWN)
            own.close()
            lines, _ = parse_spool(path.read_bytes())
            records = take_in(first_cursor(spool_at(path)), lines)
        everything += records
        covered_ns = records[-1].covered_ns  # type: ignore[union-attr]
    assert not [record for record in everything if isinstance(record, Quarantined)]
    rows = [record for record in everything if isinstance(record, Capacity)]
    assert sum(row.duration_ns for row in rows) == real_ns
    assert sum(row.duration_ns for row in rows if row.state is State.ACTIVE) == steps_ns
    spans = sorted({(row.start_ns, row.end_ns) for row in rows})
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert all(row.start_ns < row.end_ns and row.duration_ns > 0 for row in rows)
