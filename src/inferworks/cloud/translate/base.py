"""The translation seam: one dialect's operation put in another's words, and its answer put back.

Only where the dialects of the caller and of the upstream differ: the same dialect on both sides passes as
bytes. A translation is pure: bytes in, bytes out; it knows no sockets and no money. What the other
dialect cannot say is refused with one clear line rather than dropped, unless dropping it cannot change
the answer (a user label, say), it was offered and not demanded (a tool), or the operator wants it dropped
(`Call.lenient`); the last two are named in `Call.left_out`. What the asked model takes is in `Call.facts`.
A refusal is raised before anything is sent, and the route then asks the next offer. Usage it does not read:
a provider's reader has told it already, from the upstream's own words, and what is told is what the caller
is shown.
"""

from __future__ import annotations

from typing import Protocol

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.sent_names import SentNames
from inferworks.meter.reported_usage import ReportedUsage


class StreamTranslation(Protocol):
    """The events of one stream, put over as they come."""

    def event(self, event: bytes, told: ReportedUsage | None) -> bytes:
        """The caller's events for one event of the upstream, the last one included; may be empty.

        `event` is a whole server-sent event with its ending, as the upstream's dialect writes it; `told` is
        what the stream has used with it, where that is known.
        UpstreamError when it cannot be read.
        """
        ...


class Translation(Protocol):
    """How a call of `source` is served by an upstream that speaks `target`."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        ...

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        ...

    @property
    def sent_names(self) -> SentNames:
        """What the caller calls the fields of the target that have another name there."""
        ...

    def ask(self, call: Call) -> Call:
        """`call` in the target's words, with what had to be left out in its `left_out`.

        CallError 400 when they cannot say it: nothing is sent then, and another offer may be asked.
        A stream is asked for its usage (`wants_usage`), whether or not the caller wants to see it.
        """
        ...

    def answer(self, call: Call, data: bytes, told: ReportedUsage) -> bytes:
        """A whole answer of the upstream in the source's words. UpstreamError when it cannot be read.

        `told` is what it has used, and what is said of that.
        """
        ...

    def refusal(self, status: int, data: bytes) -> bytes:
        """An upstream's error body in the source's words; an unreadable one keeps its status alone."""
        ...

    def stream(self, call: Call) -> StreamTranslation:
        """A translation of one stream, the answer to `call` (the caller's, not the translated one)."""
        ...
