"""Continuous batching: the choice of the sequences of the next step, without a clock, a thread or a model.

    waiting  ──►  prefill desk  ──►  rows
    first come,   one prompt,        the running batch: rows 0..n-1, dense,
    first served  by chunks          one per choice of a call

A step reads at most one chunk of the prompt in prefill and writes one token for every row. Calls join
and leave between steps: when a row leaves, the last row moves into its place, so the batch stays
dense and a step costs what its sequences cost.

Prefill of a call begins only when there is a row for each of its choices. No other call can take these
rows, since rows are filled from prefill alone; so a prompt that was read always finds its rows, and no
running sequence is ever evicted. The price is that a call of many choices holds up those behind it.

Everything that must happen to the cache is returned as a value (`Move`), for the engine to carry out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

Ticket = int
"""The engine's own id of a call: the caller's may come twice."""


@dataclass(frozen=True, slots=True)
class QueuedSequence:
    """A call as the batch sees it."""

    ticket: Ticket
    prompt_tokens: int
    choices: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` to `stop` of a prompt, to be read in this step."""

    ticket: Ticket
    start: int
    stop: int
    last: bool


@dataclass(slots=True)
class Slot:
    """One row of the running batch; `length` is its number of positions in the cache."""

    ticket: Ticket
    choice: int
    length: int


@dataclass(frozen=True, slots=True)
class Step:
    """Work of the next step. `seats` are rows 0, 1, ... in order."""

    chunk: Chunk | None
    seats: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the first `length` positions of row `source` to row `target`."""

    source: int
    target: int
    length: int


class Batch:
    """The queue, the prompt in prefill and the rows."""

    def __init__(self, slots: int, waiting_limit: int, chunk_tokens: int) -> None:
        self._slots = slots
        self._waiting_limit = waiting_limit
        self._chunk_tokens = chunk_tokens
        self._waiting: deque[QueuedSequence] = deque()
        self._desk: QueuedSequence | None = None
        self._read_tokens = 0
        self._rows: list[Slot] = []

    @property
    def empty(self) -> bool:
        """True when nothing runs and nothing waits."""
        return not (self._rows or self._desk or self._waiting)

    @property
    def waiting(self) -> int:
        """Number of calls that wait for prefill."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of rows in use."""
        return len(self._rows)

    def join(self, entrant: QueuedSequence) -> bool:
        """Queue a call; False when too many wait already."""
        assert 1 <= entrant.choices <= self._slots, "a call must fit into the batch"
        assert entrant.prompt_tokens >= 1, "a prompt has a first token"
        if len(self._waiting) >= self._waiting_limit:
            return False
        self._waiting.append(entrant)
        return True

    def plan(self) -> Step:
        """Return the next step; when the desk is free the first in the queue goes there."""
        if (
            self._desk is None
            and self._waiting
            and len(self._rows) + self._waiting[0].choices <= self._slots
        ):
            self._desk = self._waiting.popleft()
            self._read_tokens = 0
        chunk = None
        if self._desk is not None:
            total = self._desk.prompt_tokens
            stop = min(self._read_tokens + self._chunk_tokens, total)
            chunk = Chunk(self._desk.ticket, self._read_tokens, stop, last=stop == total)
        return Step(chunk, tuple(self._rows))

    def read(self, chunk: Chunk) -> tuple[tuple[int, Slot], ...]:
        """Note that `chunk` was read; if it was the last, return the new seats with their rows."""
        assert self._desk is not None
        assert self._desk.ticket == chunk.ticket
        self._read_tokens = chunk.stop
        if not chunk.last:
            return ()
        entrant, self._desk = self._desk, None
        first = len(self._rows)
        self._rows += [Slot(entrant.ticket, n, chunk.stop) for n in range(entrant.choices)]
        return tuple(enumerate(self._rows[first:], first))

    def leave(self, seat: Slot) -> Move | None:
        """Free a row that is done; the last row takes its place."""
        row = next(n for n, other in enumerate(self._rows) if other is seat)
        last = self._rows.pop()
        if last is seat:
            return None
        self._rows[row] = last
        return Move(len(self._rows), row, last.length)

    def withdraw(self, ticket: Ticket) -> tuple[Move, ...]:
        """Remove a call wherever it is: from the queue, from the desk, or all its rows."""
        self._waiting = deque(e for e in self._waiting if e.ticket != ticket)
        if self._desk is not None and self._desk.ticket == ticket:
            self._desk = None
        seats = [seat for seat in self._rows if seat.ticket == ticket]
        moves = (self.leave(seat) for seat in seats)
        return tuple(move for move in moves if move is not None)
