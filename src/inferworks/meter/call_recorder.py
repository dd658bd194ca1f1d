"""The single place where a call ends: one Usage each, whatever happens to it.

Problem. A call can end in many ways: answered, its client gone, its upstream broken off, our own bug,
the task cancelled at any `await`. Where each way does its own book-keeping, one of them forgets it and
another does it twice.

Decision. A call is served inside `async with meter.open(opened) as call:`. Entering puts on record that
the call is open, before any upstream is asked. Leaving always leaves one Usage behind: the one that
`close` committed, or else one that is queued on the way out. The way out awaits nothing, since a task that
is being cancelled must not wait. Calls that were open when the process died are closed by `recover` at the
next start.

Rejected. Callbacks on success and on failure (two places, neither sure to run); `finally` in an async
generator (it may run late or never once the client is gone); writing only at the end (a crash would lose
work that was done and paid for).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeAlias

import msgspec

from inferworks.clock import Clock
from inferworks.errors import JournalError
from inferworks.ids import OfferId, ReplicaId
from inferworks.meter.journal import Journal, Otherwise
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import (
    NO_ITEMS,
    NO_TOKENS,
    STREAMED_STATUS,
    Checkpoint,
    Confidence,
    Leg,
    Opened,
    Outcome,
    Usage,
    usage_of,
)
from inferworks.units import NS_PER_SECOND

Watch: TypeAlias = Callable[[Usage], None]
"""Callback that counts each finished call."""

_log = logging.getLogger("inferworks.meter")

_NOT_RECORDED_STATUS: Final = 503
"""Status given to a client whose answer cannot be recorded."""


class Meter:
    """Opens calls and writes their ends to `journal`.

    A running stream leaves a Checkpoint at most every `checkpoint_s` seconds: so much of it a crash of
    this process can lose.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        checkpoint_s: float = 1.0,
        watch: Watch | None = None,
    ) -> None:
        """`watch` is told of every Usage as it is on record in the end; it does not wait."""
        self._journal = journal
        self._watch = watch
        self._clock = clock
        self._checkpoint_ns = round(checkpoint_s * NS_PER_SECOND)

    def open(self, opened: Opened, clock: Clock | None = None) -> CallRecorder:
        """A call about to be served: `async with meter.open(opened) as call:`.

        `clock` is the one that its opening was read on, so that no time of the call lies before it.
        """
        clock = clock or self._clock.carried()
        return CallRecorder(opened, self._journal, clock, self._checkpoint_ns, self._watch)

    async def refuse(self, opened: Opened, status: int, error_code: str | None) -> None:
        """Record a call that is turned away before any work; durable when this returns.

        `status` is the HTTP status the client is given. It needs no Opened row: nothing can be lost.
        """
        await self._journal.commit(self._turned_away(opened, Outcome.REFUSED, status, error_code))

    def left(self, opened: Opened) -> None:
        """Queue the record of a call whose client left before any work, and wait for nothing."""
        self._journal.append(self._turned_away(opened, Outcome.CANCELLED, 0, None))

    def _turned_away(
        self, opened: Opened, outcome: Outcome, status: int, error_code: str | None
    ) -> Usage:
        """Return the Usage of a call that ends before any work, counted."""
        now_ns = max(
            self._clock.now_ns(), opened.opened_ns
        )  # the clock may have been set meanwhile
        usage = usage_of(opened, now_ns, outcome, status=status, error_code=error_code)
        if self._watch is not None:
            try:
                self._watch(usage)
            except Exception:  # noqa: BLE001 a watch may fail; no record is lost by it
                _log.exception("a call that was turned away was not counted")
        return usage


class CallRecorder:
    """One call from its opening to its one Usage. Made by `Meter.open`, used by one task.

    An attempt is bracketed by `leg_started` and `leg_ended`; `progress` in between keeps its running
    usage. Where two attempts race, the second begins `beside` the first, and each is ended by its handle.
    The main leg is the one that has run longest: it is what `progress` and checkpoints are about, and
    whatever is still open at the end is closed before it, so that the last leg of a Usage is always the one
    that served. Ending the loser thus makes the winner the main one.

    Using a call that is closed, or a leg that is not open, is a bug and raises RuntimeError.
    """

    def __init__(
        self,
        opened: Opened,
        journal: Journal,
        clock: Clock,
        checkpoint_ns: int,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self.opened = opened
        self._journal = journal
        self.clock = clock
        """Clock of all its times; it is never set."""
        self._checkpoint_ns = checkpoint_ns
        self._next_checkpoint_ns = 0
        self._first_byte_ns: int | None = None
        self._response_bytes = 0
        self._legs: list[Leg] = []
        self._open: list[RunningLeg] = []
        self._closed = False
        self.on_end: Watch | None = None
        """Told of the call's Usage as `watch` is: as it is on record in the end, before its answer ends."""

    async def __aenter__(self) -> CallRecorder:
        """Put on record that it is opened; JournalError when that fails, and then nothing may be served."""
        self._journal.opened(self.opened)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Queue the Usage of a call that was not closed, without waiting for it."""
        if self._closed:
            return
        if isinstance(exc, asyncio.CancelledError):
            self._append(Outcome.CANCELLED, None)
        else:
            self._append(Outcome.FAILED, "not_closed" if exc is None else type(exc).__name__)

    @property
    def is_closed(self) -> bool:
        """True once its one Usage has been made; `on_end` may be told of it later."""
        return self._closed

    @property
    def serving(self) -> RunningLeg:
        """The main leg; RuntimeError when none runs."""
        if not self._open:
            self._check_open()
            raise RuntimeError(f"call {self.opened.call_id}: no leg has started")
        return self._open[0]

    def upstream_ns(self) -> int:
        """Nanoseconds taken by attempts: by the main leg until now and by those that have ended.

        They are summed, whether they overlapped or not.
        """
        spent_ns = self.clock.now_ns() - self._open[0].started_ns if self._open else 0
        for leg in self._legs:
            spent_ns += leg.ended_ns - leg.started_ns
        return spent_ns

    def sent(self, n_bytes: int) -> None:
        """Count `n_bytes` of the answer that are handed to the client now.

        The last ones are given to `close`, which comes before they are sent.
        """
        if self._closed:
            self._check_open()
        if self._first_byte_ns is None:
            self._first_byte_ns = self.clock.now_ns()
        self._response_bytes += n_bytes

    def leg_started(self, destination: Destination, *, beside: bool = False) -> RunningLeg:
        """An attempt begins at `destination`. The handle is for `leg_ended`.

        `beside` says that it races one that still runs.
        """
        if self._closed:
            self._check_open()
        if self._open and not beside:
            raise RuntimeError(f"call {self.opened.call_id}: a leg began before the last one ended")
        now_ns = self.clock.now_ns()
        leg = RunningLeg(destination, now_ns)
        self._open.append(leg)
        self._next_checkpoint_ns = now_ns + self._checkpoint_ns
        return leg

    def progress(self, usage: ReportedUsage, confidence: Confidence) -> None:
        """Note what the attempt has used so far, in total. Checkpoints now and then; never waits.

        The first use of output is the attempt's first token. RecordError when it cannot be a record.
        """
        leg = self._open[0] if self._open else self.serving
        leg.usage, leg.confidence = usage, confidence
        now_ns = self.clock.now_ns()
        if leg.first_token_ns is None and (usage.tokens.output or usage.items is not NO_ITEMS):
            leg.first_token_ns = now_ns  # sound has items and no tokens
        if now_ns >= self._next_checkpoint_ns:
            self._next_checkpoint_ns = now_ns + self._checkpoint_ns
            so_far = leg.ended(now_ns, Outcome.CRASHED, 0)  # what it will be if we die now
            checkpoint = Checkpoint(self.opened.call_id, now_ns, so_far, self._response_bytes)
            self._journal.reached(checkpoint)

    def leg_ended(
        self,
        outcome: Outcome,
        status: int,
        usage: ReportedUsage,
        confidence: Confidence,
        *,
        ended_by: str = "",
        leg: RunningLeg | None = None,
    ) -> None:
        """End the attempt, which has used `usage` in total.

        `leg` says which, where several run; without it the main one. `status` is the upstream's, 0 if
        none. One that is cancelled was dropped as its `on_leave` says, unless `ended_by` says otherwise.
        """
        leg = leg or self.serving
        if leg not in self._open:
            raise RuntimeError(f"call {self.opened.call_id}: this leg has ended already")
        leg.usage, leg.confidence = usage, confidence
        self._legs.append(leg.ended(self.clock.now_ns(), outcome, status, ended_by))
        self._open.remove(leg)

    def leg_unsent(self, leg: RunningLeg) -> None:
        """Forget `leg`, for which nothing was sent: it was no attempt, and is not on record."""
        self._check_open()
        self._open.remove(leg)

    def answered(
        self, status: int, n_bytes: int, usage: ReportedUsage, confidence: Confidence
    ) -> asyncio.Future[None]:
        """End the main leg, which answered with one body of `n_bytes` for the client, and close the call.

        The same as `progress`, `leg_ended`, `sent` and `close`, all at one moment.
        """
        leg = self._open[0] if self._open else self.serving
        now_ns = self.clock.now_ns()
        if leg.first_token_ns is None:
            leg.first_token_ns = now_ns
        leg.usage, leg.confidence = usage, confidence
        self._legs.append(leg.ended(now_ns, Outcome.ANSWERED, status))
        self._open.remove(leg)
        if self._first_byte_ns is None:
            self._first_byte_ns = now_ns
        self._response_bytes += n_bytes
        return self._commit(self._end(now_ns, Outcome.ANSWERED, status, None), _not_sent)

    def close(
        self, outcome: Outcome, status: int, error_code: str | None = None, *, last_bytes: int = 0
    ) -> asyncio.Future[None]:
        """Commit the call's one Usage; when what is returned is done it cannot be lost.

        `status` is the HTTP status the client is given, `last_bytes` the size of what is sent after it.
        Close an answered call before handing out its last bytes: then an answer delivered in full is a
        recorded one. A client that vanishes between the two leaves the record ANSWERED; that is by design,
        for the work was done and the converse, an answer without a record, could not be repaired.

        The future raises JournalError when the record cannot be made durable now: the call must not be
        answered as a success, and is on record as one that failed with the code `journal` as soon as that
        is possible. When the wait is cancelled the record stands as committed here. Closing twice is a bug
        and raises RuntimeError.
        """
        self._check_open()
        self._response_bytes += last_bytes
        usage = self._end(self.clock.now_ns(), outcome, status, error_code)
        return self._commit(usage, _not_sent if self._first_byte_ns is None else _cut_off)

    def leave(self) -> None:
        """The client has left: queue the call's one Usage, and wait for nothing."""
        self._check_open()
        self._append(Outcome.CANCELLED, None)

    @property
    def on_leave(self) -> str:
        """Action at the main leg's offer if the client leaves now; empty when no leg runs."""
        return self._open[0].destination.on_leave if self._open else ""

    @property
    def is_running(self) -> bool:
        """True while a leg is open."""
        return bool(self._open)

    def _append(self, outcome: Outcome, error_code: str | None) -> None:
        """Queue the Usage without waiting."""
        status = 0 if self._first_byte_ns is None else STREAMED_STATUS
        usage = self._end(self.clock.now_ns(), outcome, status, error_code)
        self._journal.append(usage)  # it is written as it is, sooner or later
        self._tell(usage)

    def _commit(self, usage: Usage, otherwise: Otherwise) -> asyncio.Future[None]:
        """Commit the Usage, and tell of what is on record in the end: it, or what `otherwise` makes of it.

        Until then nobody knows: a call that could not be put on record is charged nothing, and uses up no
        limit. A client that leaves meanwhile changes nothing about it.
        """

        def ended(error: JournalError | None) -> None:
            self._tell(usage if error is None else otherwise(usage))

        return self._journal.commit(usage, otherwise, ended)

    def _tell(self, usage: Usage) -> None:
        for watch in (self._watch, self.on_end):
            if watch is not None:
                try:
                    watch(usage)
                except Exception:  # noqa: BLE001 a watch may fail; no record is lost by it
                    _log.exception("a call that ended was not counted")

    def _end(self, now_ns: int, outcome: Outcome, status: int, error_code: str | None) -> Usage:
        """The call's one Usage; from here on the call is closed."""
        self._closed = True
        while self._open:  # the main one last: it is what the client is charged for
            self._legs.append(self._open.pop().ended(now_ns, outcome, 0))
        legs, opened = self._legs, self.opened
        # An answered or cancelled call was served by its last leg, and charged for it. A refused or failed
        # one served nobody: its legs keep what the attempts used.
        tokens, items, confidence = NO_TOKENS, NO_ITEMS, Confidence.COUNTED
        if legs and (outcome is Outcome.ANSWERED or outcome is Outcome.CANCELLED):
            served = legs[-1]
            tokens, items, confidence = served.tokens, served.items, served.confidence
        return Usage(  # not by `usage_of`: it is made for every call
            call_id=opened.call_id,
            customer=opened.customer,
            project=opened.project,
            key_id=opened.key_id,
            purpose=opened.purpose,
            endpoint=opened.endpoint,
            model=opened.model,
            stream=opened.stream,
            opened_ns=opened.opened_ns,
            first_byte_ns=self._first_byte_ns,
            closed_ns=now_ns,
            outcome=outcome,
            status=status,
            error_code=error_code,
            tokens=tokens,
            confidence=confidence,
            request_bytes=opened.request_bytes,
            response_bytes=self._response_bytes,
            legs=tuple(legs),
            items=items,
            end_user=opened.end_user,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"call {self.opened.call_id} is closed already")


class Destination(msgspec.Struct, frozen=True):
    """Destination of an attempt, as it is recorded."""

    offer: OfferId
    provider: str
    """Name of whoever is paid, as records and price lists have it."""
    replica: ReplicaId | None = None
    """Replica of our own; None for somebody else's API."""
    region: str = ""
    chip: str = ""
    on_leave: str = ""
    """Action there when the client leaves: `cancel`, `drain` or `estimate`; empty for none."""


class RunningLeg(msgspec.Struct, eq=False):
    """An attempt that has not ended, with what it has used so far."""

    destination: Destination
    started_ns: int
    first_token_ns: int | None = None
    usage: ReportedUsage = NOTHING_REPORTED
    confidence: Confidence = Confidence.ESTIMATED
    left_out: str = ""

    def ended(self, ended_ns: int, outcome: Outcome, status: int, ended_by: str = "") -> Leg:
        """Return the attempt as a fact. By place and not by name: it is made for every call."""
        at, usage, confidence = self.destination, self.usage, self.confidence
        if outcome is Outcome.CANCELLED and not ended_by:
            ended_by = "estimate" if at.on_leave == "drain" else at.on_leave
        if ended_by == "estimate":
            confidence = Confidence.ESTIMATED  # it may have worked on, and nobody would say so
        return Leg(
            at.offer, at.provider, at.replica,
            self.started_ns, self.first_token_ns, ended_ns,
            outcome, status, usage.tokens, confidence, at.region, at.chip,
            usage.items, usage.service_tier, usage.cost_pico, usage.currency, ended_by, self.left_out,
        )  # fmt: skip


def _cut_off(usage: Usage) -> Usage:
    """Return the record of a stream whose end was not recorded in time: cut off before its end."""
    return msgspec.structs.replace(
        usage,
        outcome=Outcome.FAILED,
        error_code="journal",
        tokens=NO_TOKENS,
        items=NO_ITEMS,
        confidence=Confidence.COUNTED,
    )


def _not_sent(usage: Usage) -> Usage:
    """The same of an answer that was held back whole: its client was told 503 and nothing else."""
    return msgspec.structs.replace(
        _cut_off(usage), status=_NOT_RECORDED_STATUS, first_byte_ns=None, response_bytes=0
    )
