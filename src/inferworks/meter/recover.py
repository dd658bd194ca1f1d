"""Recovery: close the calls that a crash left open, at the next start.

A call that was opened and has no usage was in flight when the process died. It gets its one Usage with
the outcome CRASHED, and the best account of its tokens there is:

1. the step trace of the replica that worked on it: *counted*. Input is the sum of its prefill tokens.
   Output is the sum of its decode tokens and, since the first token of each choice comes out of the
   prefill and not of a decode step, one more for each choice: as many as it decoded at once in any one
   step, and one if it only prefilled;
2. else its newest checkpoint: *estimated*, at most one checkpoint interval behind;
3. else zero, *estimated* too: it was never seen at work.

The client of a call that is not a stream was given nothing, since such an answer waits for its record: the
call is charged nothing, as one that failed, and its steps keep the replica's work. Where a checkpoint has
bytes that went to the client, the status is the 200 that went before them; otherwise it is unknown, and 0.

Recovering again finds nothing left to do. Being killed in the middle leaves the rest for the next time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.clock import Clock
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Step, StepCall
from inferworks.meter.journal import Journal
from inferworks.meter.spool import Spool, SpoolReader
from inferworks.meter.usage import (
    NO_TOKENS,
    STREAMED_STATUS,
    Checkpoint,
    Confidence,
    Opened,
    Outcome,
    Tokens,
    Usage,
    usage_of,
)

_END_OF_TIME_NS: Final = 2**63 - 1
_BATCH: Final = 1000


class Recovered(msgspec.Struct, frozen=True):
    """Repairs that recovery made."""

    usages: tuple[Usage, ...]
    """Usages of the calls that it closed."""
    spools: int


class Worked(NamedTuple):
    """Work of one replica for a call, from its step trace."""

    replica: ReplicaId
    prefilled: int = 0
    decoded: int = 0
    choices: int = 0
    """The most tokens decoded in one step: an engine decodes one for each choice."""
    until_ns: int = 0
    """End of its last step."""

    def after(self, part: StepCall, end_ns: int) -> Worked:
        """Return this work with the call's part in one more step added."""
        return Worked(
            self.replica,
            self.prefilled + part.prefill_tokens,
            self.decoded + part.decode_tokens,
            max(self.choices, part.decode_tokens),
            max(self.until_ns, end_ns),
        )

    def tokens(self) -> Tokens:
        """Tokens that the call has used."""
        first = max(self.choices, 1) if self.prefilled else 0
        return Tokens(input=self.prefilled, output=self.decoded + first)


async def recover(
    journal: Journal,
    clock: Clock,
    leftover: Sequence[Spool],
    *,
    down_until_ns: int | None = None,
    traced: Journal | None = None,
) -> Recovered:
    """Collect the spools of processes that are gone, then close every call left open.

    `leftover` is `spool.spools(folder)` at a start, when no replica runs yet; `down_until_ns` is for
    `spool.finish_at`. The steps are in the journal `traced` where that is another one. Durable when this
    returns.
    """
    for spool in leftover:
        await SpoolReader(journal, spool).finish(down_until_ns)
    usages = await asyncio.to_thread(_crashed, journal, traced or journal, clock.now_ns())
    for begin in range(0, len(usages), _BATCH):
        await journal.commit_all(usages[begin : begin + _BATCH])
    return Recovered(tuple(usages), spools=len(leftover))


def _crashed(journal: Journal, traced: Journal, now_ns: int) -> list[Usage]:
    """The missing usages."""
    with journal.reads() as reads, traced.reads() as traces:
        opened = list(reads.opened_unclosed())
        worked: Mapping[CallId, Sequence[Worked]] = {}
        if opened:  # from the step trace since the first of them
            since_ns = min(call.opened_ns for call in opened)
            steps = traces.steps(None, since_ns, _END_OF_TIME_NS)
            worked = work_of({call.call_id for call in opened}, steps)
        return [
            crashed(call, now_ns, worked.get(call.call_id, ()), reads.checkpoint(call.call_id))
            for call in opened
        ]


def work_of(calls: set[CallId], steps: Iterable[Step]) -> dict[CallId, list[Worked]]:
    """Return the work in `steps` for each of `calls`, by replica."""
    work: dict[CallId, dict[ReplicaId, Worked]] = {}
    for step in steps:
        end_ns = step.start_ns + step.duration_ns
        for part in step.calls:
            if part.call_id in calls:
                by_replica = work.setdefault(part.call_id, {})
                before = by_replica.get(step.replica, Worked(step.replica))
                by_replica[step.replica] = before.after(part, end_ns)
    return {call_id: list(by_replica.values()) for call_id, by_replica in work.items()}


def crashed(
    opened: Opened, now_ns: int, worked: Sequence[Worked], checkpoint: Checkpoint | None
) -> Usage:
    """The Usage of a call that a crash cut off, closed at `now_ns`, but not before it was opened.

    The clock may have been set back since then. With a checkpoint, its leg is the one that was being
    served, and only that replica's trace counts.
    """
    now_ns = max(now_ns, opened.opened_ns)
    if checkpoint is not None:
        return _from_checkpoint(opened, now_ns, worked, checkpoint)
    tokens, confidence = NO_TOKENS, Confidence.ESTIMATED
    if not opened.stream:
        confidence = Confidence.COUNTED  # nothing was delivered
    elif worked:
        tokens = max(worked, key=lambda work: work.until_ns).tokens()
        confidence = Confidence.COUNTED
    return msgspec.structs.replace(
        usage_of(opened, now_ns, Outcome.CRASHED, status=0), tokens=tokens, confidence=confidence
    )


def _from_checkpoint(
    opened: Opened, now_ns: int, worked: Sequence[Worked], checkpoint: Checkpoint
) -> Usage:
    leg = msgspec.structs.replace(
        checkpoint.leg, outcome=Outcome.CRASHED, confidence=Confidence.ESTIMATED
    )
    for work in worked:
        if work.replica == leg.replica:
            leg = msgspec.structs.replace(
                leg,
                ended_ns=max(leg.ended_ns, work.until_ns),
                tokens=work.tokens(),
                confidence=Confidence.COUNTED,
            )
    status = STREAMED_STATUS if checkpoint.response_bytes else 0
    return msgspec.structs.replace(
        usage_of(opened, max(now_ns, leg.ended_ns), Outcome.CRASHED, status=status),
        tokens=leg.tokens,
        confidence=leg.confidence,
        response_bytes=checkpoint.response_bytes,
        legs=(leg,),
        items=leg.items,
    )
