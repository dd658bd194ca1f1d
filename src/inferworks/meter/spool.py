"""Collect replicas' own reports: their states and every engine step, each counted once.

Problem. A replica reports a hundred steps a second. It must not wait for us while it computes, it may
outlive us or die in the middle of a line, and we may die between reading a line and recording it. Yet
the steps are the ground truth of the use of the machine: none may be lost and none counted twice.

Decision. Each run of a replica appends JSON lines to a file of its own, its *spool*. We read the new
lines, and journal the steps, the capacity they imply and our position (`SpoolCursor`) in one transaction.
So wherever we die, the cursor and the facts agree; the next collection goes on from there.

The lines, in the order of their time:

    {"t":"state","state":"loading","at_ns":...}     starting, loading, idle, draining or down from at_ns on
    {"t":"step","seq":7,"start_ns":...,"duration_ns":...,"calls":[["call_..",prefill,decode,context],...]}
    {"t":"clock","from_ns":...,"to_ns":...}         the clock was set forward: there was no time between

A step line is written when the step is over. A state line may be repeated to say that nothing has
changed (capacity is known up to the last line, so an idle replica should write one now and then), and is
written between steps; only `draining` may be written in the middle of one, because the order to stop
comes from outside. That is why trailing `draining` lines wait for the next line: the step they fell into
is still to come.

A nanosecond of a replica is *active* when it is in a step, whatever state was declared (a step while
draining is active), and else in the declared state. From its start to its first line a replica is
starting. So the rows of each window partition it exactly (theorem 5). No window crosses a full hour UTC:
periods are made of whole hours, and a period's edge never cuts a row.

Rejected. Asking replicas over HTTP (what happened before a crash is lost with the process); pushing to
the gateway (the engine would wait for us); deriving capacity from the calls (calls overlap).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import msgspec

from inferworks.errors import DataFolderError
from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.capacity import Capacity, State, Step, StepCall
from inferworks.meter.journal import Journal
from inferworks.meter.record import Quarantined, Record, SpoolCursor
from inferworks.units import NS_PER_SECOND

_HOUR_NS: Final = 3600 * NS_PER_SECOND
_READ_BYTES: Final = 4 * 2**20
_SUFFIX: Final = ".spool.jsonl"

_Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""Natural number of which two sum to no more than 64 bits hold."""


class StateLine(msgspec.Struct, frozen=True, tag_field="t", tag="state"):
    """Change of the replica's state at `at_ns`."""

    state: Literal["starting", "loading", "idle", "draining", "down"]
    at_ns: _Natural


class StepLine(msgspec.Struct, frozen=True, tag_field="t", tag="step"):
    """An engine step that is over."""

    seq: _Natural
    start_ns: _Natural
    duration_ns: _Natural
    calls: tuple[StepCall, ...]


class ClockLine(msgspec.Struct, frozen=True, tag_field="t", tag="clock"):
    """The clock was set forward: `to_ns` is the same moment as `from_ns`."""

    from_ns: _Natural
    to_ns: _Natural


class BadLine(msgspec.Struct, frozen=True):
    """A complete line that is neither."""

    text: str
    reason: str


class Line(NamedTuple):
    """Line of a spool, from byte `begin` of the parsed data up to `end`, its newline included."""

    begin: int
    end: int
    fact: StateLine | StepLine | ClockLine | BadLine


class Since(NamedTuple):
    """A state and when it began."""

    at_ns: int
    state: State


class Spool(msgspec.Struct, frozen=True):
    """The file of one run of a replica, which began at `started_ns`."""

    path: Path
    replica: ReplicaId
    node: NodeId
    started_ns: int


def spool_in(folder: Path, replica: ReplicaId, node: NodeId, started_ns: int) -> Spool:
    """The spool of a run that begins now; its name alone lets `spools` find it after a crash."""
    name = f"{started_ns:020d}@{quote(replica, safe='')}@{quote(node, safe='')}{_SUFFIX}"
    return Spool(folder / name, replica, node, started_ns)


def spools(folder: Path) -> list[Spool]:
    """The spools in `folder`, oldest first; DataFolderError when a spool's name is not ours."""
    return [spool_at(path) for path in sorted(folder.glob(f"*{_SUFFIX}"))]


def spool_at(path: Path) -> Spool:
    """The spool at `path`, as its name says; DataFolderError when it is none of ours."""
    started, *names = path.name.removesuffix(_SUFFIX).split("@")
    if not started.isdecimal() or len(names) != 2:
        raise DataFolderError(f"{path} is no spool of ours; move it out of the data folder")
    replica, node = map(unquote, names)
    return Spool(path, ReplicaId(replica), NodeId(node), int(started))


def parse_spool(data: bytes) -> tuple[list[Line], int]:
    """The complete lines in `data`, and the number of bytes they take.

    An unfinished last line is left for later. A complete line that cannot be read is a `BadLine`.
    """
    lines: list[Line] = []
    begin = 0
    while (end := data.find(b"\n", begin) + 1) > 0:
        line = data[begin : end - 1]
        fact: StateLine | StepLine | ClockLine | BadLine
        try:
            fact = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fact = BadLine(line.decode("utf-8", "backslashreplace"), str(error))
        lines.append(Line(begin, end, fact))
        begin = end
    return lines, begin


_DECODER: Final[msgspec.json.Decoder[StateLine | StepLine | ClockLine]] = msgspec.json.Decoder(
    StateLine | StepLine | ClockLine
)


def capacity_rows(
    replica: ReplicaId,
    node: NodeId,
    start_ns: int,
    end_ns: int,
    timeline: Sequence[Since],
    steps: Sequence[Step],
) -> list[Capacity]:
    """Return the replica's states between `start_ns` and `end_ns`: rows that sum to exactly that time.

    `timeline` is in order of time and begins no later than `start_ns`; `steps` are in order of time
    and disjoint, and those that reach out of the interval are clipped. States without time have no row.
    """
    durations: Counter[State] = Counter()
    state, from_ns = timeline[0].state, start_ns
    for since in (*timeline, None):  # which ends the last state
        at_ns = end_ns if since is None else min(max(since.at_ns, start_ns), end_ns)
        if since is None or since.state is not state:
            busy_ns = _busy_ns(steps, from_ns, at_ns)
            durations[State.ACTIVE] += busy_ns
            durations[state] += at_ns - from_ns - busy_ns
            state, from_ns = since.state if since else state, at_ns
    return [
        Capacity(replica, node, state, start_ns, end_ns, durations[state])
        for state in State
        if durations[state]
    ]


def _busy_ns(steps: Sequence[Step], start_ns: int, end_ns: int) -> int:
    """Return the nanoseconds of the interval within `steps`, which are in order and disjoint."""
    first = max(bisect_right(steps, start_ns, key=lambda step: step.start_ns) - 1, 0)
    busy_ns = 0
    for index in range(first, len(steps)):
        step = steps[index]
        if step.start_ns >= end_ns:
            break
        until_ns = min(step.start_ns + step.duration_ns, end_ns)
        busy_ns += max(until_ns - max(step.start_ns, start_ns), 0)
    return busy_ns


def hours(start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """The interval cut at every full hour UTC."""
    while start_ns < end_ns:
        until_ns = min(end_ns, (start_ns // _HOUR_NS + 1) * _HOUR_NS)
        yield start_ns, until_ns
        start_ns = until_ns


def first_cursor(spool: Spool) -> SpoolCursor:
    """Return the cursor at the start of a spool that nobody has read yet."""
    return SpoolCursor(
        file=spool.path.name,
        replica=spool.replica,
        node=spool.node,
        offset=0,
        state=State.STARTING,
        covered_ns=spool.started_ns,
        last_seq=-1,
    )


def take_in(cursor: SpoolCursor, lines: Sequence[Line]) -> list[Record]:
    """Return the records that `lines`, read at the cursor's offset, add; the new cursor comes last.

    Nothing when there are no lines. A step that begins before time already accounted for, or whose
    number has been seen, is quarantined: counting it would count that time twice.
    """
    if not lines:
        return []
    timeline = [Since(cursor.covered_ns, cursor.state)]
    steps: list[Step] = []
    before: list[Record] = []
    aside: list[Record] = []
    free_ns, last_seq = cursor.covered_ns, cursor.last_seq
    for line in lines:
        match line.fact:
            case StateLine(state=state, at_ns=at_ns):
                timeline.append(Since(max(at_ns, timeline[-1].at_ns), State(state)))
            case StepLine() as step if step.seq > last_seq and step.start_ns >= free_ns:
                of_step = (step.seq, step.start_ns, step.duration_ns, step.calls)
                steps.append(Step(cursor.replica, *of_step))
                free_ns, last_seq = step.start_ns + step.duration_ns, step.seq
            case ClockLine(from_ns=from_ns, to_ns=to_ns):
                until_ns = max(from_ns, free_ns, timeline[-1].at_ns)
                before += [*steps, *_capacity(cursor, until_ns, timeline, steps)]
                free_ns = max(to_ns, until_ns)
                steps, timeline = [], [Since(free_ns, timeline[-1].state)]
                cursor = msgspec.structs.replace(cursor, covered_ns=free_ns)
            case fact:
                aside.append(_quarantined(cursor, line.begin, fact))
    covered_ns = max(free_ns, timeline[-1].at_ns)
    moved = msgspec.structs.replace(
        cursor,
        offset=cursor.offset + lines[-1].end,
        state=timeline[-1].state,
        covered_ns=covered_ns,
        last_seq=last_seq,
    )
    rows = _capacity(cursor, covered_ns, timeline, steps)
    return [*before, *steps, *rows, *aside, moved]


def finish_at(cursor: SpoolCursor, rest: bytes, at_ns: int | None) -> list[Record]:
    """Return the records that close the spool of an ended process, after its last complete line.

    `rest` is a line that was never finished; it is quarantined. With `at_ns` None, capacity ends with
    the last fact: what came after nobody knows, and nobody need pay for it. When the node was still
    provisioned the caller gives `at_ns`, and the replica was down from its last fact until then.
    """
    records: list[Record] = []
    if rest:
        text = rest.decode("utf-8", "backslashreplace")
        records.append(_quarantined(cursor, 0, BadLine(text, "the line was never finished")))
    end_ns = cursor.covered_ns if at_ns is None else max(at_ns, cursor.covered_ns)
    down = [Since(cursor.covered_ns, State.DOWN)]
    ended = msgspec.structs.replace(
        cursor,
        offset=cursor.offset + len(rest),
        state=State.DOWN,
        covered_ns=end_ns,
        finished=True,
    )
    return [*records, *_capacity(cursor, end_ns, down, []), ended]


def _capacity(
    cursor: SpoolCursor, end_ns: int, timeline: Sequence[Since], steps: Sequence[Step]
) -> Iterator[Capacity]:
    for from_ns, until_ns in hours(cursor.covered_ns, end_ns):
        yield from capacity_rows(cursor.replica, cursor.node, from_ns, until_ns, timeline, steps)


def _quarantined(
    cursor: SpoolCursor, begin: int, fact: StateLine | StepLine | ClockLine | BadLine
) -> Quarantined:
    if isinstance(fact, BadLine):
        body, reason = fact.text, fact.reason
    else:
        body = msgspec.json.encode(fact).decode()
        reason = "the step overlaps time already accounted for, or its number was used"
    return Quarantined(cursor.file, str(cursor.offset + begin), reason, body, None)


class SpoolReader:
    """Reader of one spool into `journal`, a piece at a time. One reader per spool, one task per reader."""

    def __init__(self, journal: Journal, spool: Spool) -> None:
        self.spool = spool
        self._journal = journal
        self._cursor: SpoolCursor | None = None

    async def collect(self) -> int:
        """Read the new lines into the journal; return their number. Durable when this returns.

        JournalError when the journal has failed; then, as after any interruption, nothing is lost or
        counted twice by collecting again.
        """
        taken = 0
        while lines := (await self._read()).lines:
            while lines and getattr(lines[-1].fact, "state", None) == "draining":
                lines.pop()  # a step may be under way
            if not lines:
                break
            taken += await self._take(lines)
        return taken

    async def finish(self, at_ns: int | None) -> None:
        """Read the rest of the spool of an ended process, and remove the spool.

        `at_ns` is as for `finish_at`. Finishing twice is harmless.
        """
        unread = await self._read()
        while unread.lines:
            await self._take(unread.lines)
            unread = await self._read()
        cursor = await self._position()
        if not cursor.finished:
            await self._commit(finish_at(cursor, unread.rest, at_ns))
        await asyncio.to_thread(self.spool.path.unlink, missing_ok=True)

    async def _take(self, lines: Sequence[Line]) -> int:
        await self._commit(take_in(await self._position(), lines))
        return len(lines)

    async def _read(self) -> _Unread:
        cursor = await self._position()
        return await asyncio.to_thread(_unread, self.spool.path, cursor.offset)

    async def _commit(self, records: Sequence[Record]) -> None:
        """Journal `records`, the last of which is the new cursor, in one transaction."""
        self._cursor = None  # until it is certain
        await self._journal.commit_all(records)
        moved = records[-1]
        if isinstance(moved, SpoolCursor):
            self._cursor = moved

    async def _position(self) -> SpoolCursor:
        """The cursor: remembered, or after an interruption or a restart read from the journal."""
        if self._cursor is None:
            await self._journal.durable()  # an interrupted commit may still be on its way
            stored = await asyncio.to_thread(self._stored)
            self._cursor = stored or first_cursor(self.spool)
        return self._cursor

    def _stored(self) -> SpoolCursor | None:
        with self._journal.reads() as reads:
            return reads.cursor(self.spool.path.name)


class _Unread(NamedTuple):
    """Content of a spool beyond its cursor: complete lines, and the bytes of an unfinished one."""

    lines: list[Line]
    rest: bytes


def _unread(path: Path, offset: int) -> _Unread:
    """Read the spool beyond `offset`, a few megabytes at most; a missing file counts as empty."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(_READ_BYTES)
            while len(data) >= _READ_BYTES and b"\n" not in data:
                more = file.read(_READ_BYTES)
                if not more:
                    break
                data += more
    except FileNotFoundError:
        return _Unread([], b"")
    lines, consumed = parse_spool(data)
    return _Unread(lines, data[consumed:])
