"""Spool of a replica: the record that it writes of its states and steps, one JSON line each.

Problem. The books need to know what every replica did at every moment, most of all when it died.
Decision. The replica appends each fact to a file, in one `write` without a buffer, at the moment it
happens. The line is then with the operating system: it survives the death of any process, though not
of the machine (that would need an fsync per step, which costs more than a step). A reader of the file
leaves out a last line that is torn. Bytes that a full disk does not take wait for the next fact, which
continues where the last write stopped, also within a line; the replica ends when they become too many,
since work without a record cannot be allocated to anybody.
Rejected. A socket to the parent (what is in it is lost with the parent); a line a second with sums
(the death of a replica would lose up to a second of work that somebody pays for).

    {"t":"state","state":"idle","at_ns":1,"replica":"r1","node":"n1","model":"m"}
    {"t":"step","seq":1,"start_ns":1,"duration_ns":2,"calls":[["call_1",64,0,64]]}
    {"t":"clock","from_ns":3,"to_ns":90}

A state is repeated now and then while nothing runs, which says that it still holds.

Times are wall-clock nanoseconds that never run backwards, whatever the clock does, so steps never overlap
and no moment of the machine is counted twice. A clock that is set forward is followed: a `clock` line says
that between its two times nothing happened, for there was no such time. One that is set back is not, for
the hours that come again are accounted for: the record goes on ahead of the clock until that is set
forward, also in the next life of the replica, which is told where the record ends (`begins_ns`).

A step's calls are `[call, prefill_tokens, decode_tokens, context_tokens]`: tokens
of the prompt read in this step, tokens fed back to make the next ones (over all choices of the call),
and the positions each of them could look back on at the end of the step, itself included. A call
never reads and writes in the same step, and its choices all stand at the same position, so one number
for the context is exact.

The first token of a choice comes out of the prompt's last chunk. Hence, for a call of `n` choices,
over all its steps, completed or not: the prefill tokens of a call that got an answer sum to its
`prompt_tokens` (the prompt is read once for all choices), and the decode tokens sum to
`completion_tokens - n`.
"""

from __future__ import annotations

import os
import threading
from enum import StrEnum
from pathlib import Path

import msgspec

from inferworks.clock import Clock
from inferworks.ids import CallId, ModelId, NodeId, ReplicaId


class ReplicaState(StrEnum):
    """State of a replica, as far as its owner pays for it."""

    STARTING = "starting"
    """Start of the process, until the model begins to load."""
    LOADING = "loading"
    """Loading of the model, until calls are accepted."""
    IDLE = "idle"
    """Ready for calls; the steps tell when it was busy."""
    DRAINING = "draining"
    """Running calls are finished, new ones refused."""
    DOWN = "down"
    """The process is about to end."""


class StateLine(msgspec.Struct, frozen=True, tag_field="t", tag="state"):
    """State of the replica from `at_ns` on."""

    state: ReplicaState
    at_ns: int
    replica: ReplicaId
    node: NodeId
    model: ModelId


class ClockLine(msgspec.Struct, frozen=True, tag_field="t", tag="clock"):
    """The clock was set: what is called `to_ns` came right after what is called `from_ns`."""

    from_ns: int
    to_ns: int


CallTokens = tuple[CallId, int, int, int]
"""A call, and its prefill, decode and context tokens in one step."""


class StepLine(msgspec.Struct, frozen=True, tag_field="t", tag="step"):
    """One step; `seq` counts from 1 within one life of the replica."""

    seq: int
    start_ns: int
    duration_ns: int
    calls: tuple[CallTokens, ...]


Line = StateLine | StepLine | ClockLine

_DECODER = msgspec.json.Decoder(Line)

_MOST_UNWRITTEN_BYTES = 1 << 20
"""A minute or more of steps of a large batch."""


class Spool:
    """A file that only grows. OSError when it cannot be opened, or not be written for long.

    Two threads write to it: the event loop its states, the engine its steps and beats. The lock makes
    reading the clock and writing the line one act, so that states stand in the order of their time.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        replica: ReplicaId,
        node: NodeId,
        model: ModelId,
        *,
        begins_ns: int = 0,
    ) -> None:
        """The time of the replica is accounted for until `begins_ns`: nothing is earlier."""
        self._clock = clock
        self._carried = clock.carried()
        self._ahead_ns = max(0, begins_ns - self._carried.now_ns())
        """Nanoseconds that the record is ahead of the clock since the clock was set back."""
        self._last_ns = begins_ns
        """The time of the newest line."""
        self._replica, self._node, self._model = replica, node, model
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._encoder = msgspec.json.Encoder()
        self._unwritten = b""
        self._lock = threading.Lock()
        self._state = ReplicaState.STARTING
        self._seq = 0

    def start(self, at_ns: int) -> None:
        """Record that the replica has been starting since `at_ns`."""
        with self._lock:
            self._append_state(at_ns)

    def enter(self, state: ReplicaState) -> None:
        """Record that the replica is in `state` from now on."""
        with self._lock:
            self._state = state
            self._append_state(self._now_ns())

    def beat(self) -> None:
        """Record that nothing has changed: a reader knows the capacity up to the last line."""
        with self._lock:
            self._append_state(self._now_ns())

    def step(self, start_ns: int, duration_ns: int, calls: tuple[CallTokens, ...]) -> None:
        """Record a step that is over, measured on a clock that was not set meanwhile."""
        with self._lock:
            self._seq += 1
            if self._ahead_ns:
                ended_ns = self._carried.now_ns() + self._ahead_ns
                start_ns = min(start_ns + self._ahead_ns, ended_ns - duration_ns)
            start_ns = max(start_ns, self._last_ns)
            self._last_ns = start_ns + duration_ns
            self._append(StepLine(self._seq, start_ns, duration_ns, calls))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _now_ns(self) -> int:
        """The time of what is recorded now; a clock that was set is followed, or not."""
        before, now = self._carried, self._clock.carried()
        if now is not before:
            from_ns, to_ns = before.now_ns() + self._ahead_ns, now.now_ns()
            self._carried, self._ahead_ns = now, max(0, from_ns - to_ns)
            if to_ns > from_ns:
                self._append(ClockLine(max(from_ns, self._last_ns), to_ns))
        return now.now_ns() + self._ahead_ns

    def _append_state(self, at_ns: int) -> None:
        at_ns = self._last_ns = max(at_ns, self._last_ns)
        self._append(StateLine(self._state, at_ns, self._replica, self._node, self._model))

    def _append(self, line: Line) -> None:
        self._unwritten += self._encoder.encode(line) + b"\n"
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]
        except OSError:
            if len(self._unwritten) > _MOST_UNWRITTEN_BYTES:
                raise


def read_spool(path: Path) -> tuple[Line, ...]:
    """Return every whole line of a spool; a torn last one is left out.

    OSError when it cannot be read, msgspec.DecodeError when a whole line is not one of ours.
    """
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return tuple(_DECODER.decode(line) for line in whole.splitlines())
