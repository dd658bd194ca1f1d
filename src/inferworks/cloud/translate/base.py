"""Seam of the translations: from the caller's dialect to the upstream's, and back for the answer.

Only where the dialects of the caller and of the upstream differ: the same dialect on both sides passes as
bytes. A translation is pure: bytes in, bytes out; it knows no sockets and no money. A field that the other
dialect lacks is refused with one clear line rather than dropped, unless dropping it cannot change the
answer (a user label, say), it was offered and not demanded (a tool), or the operator wants it dropped
(`Call.lenient`); the last two are named in `Call.left_out`. The model's capabilities are in `Call.facts`.
A refusal is raised before anything is sent, and the route then tries the next offer. A translation does
not read usage: a provider's reader has reported it already, and the caller is shown that.
"""

from __future__ import annotations

from typing import Protocol

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.sent_names import SentNames
from inferworks.meter.reported_usage import ReportedUsage


class StreamTranslation(Protocol):
    """Translation of one stream's events as they come."""

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """The caller's events for one event of the upstream, the last one included; may be empty.

        `event` is a whole server-sent event with its ending, as the upstream's dialect writes it;
        `reported` is what the stream has used with it, where that is known.
        UpstreamError when it cannot be read.
        """
        ...


class Translation(Protocol):
    """Translation of calls of `source` for an upstream with `target`."""

    @property
    def source(self) -> Operation:
        """Operation of the caller."""
        ...

    @property
    def target(self) -> Operation:
        """Operation of the upstream."""
        ...

    @property
    def sent_names(self) -> SentNames:
        """Caller's names of the target's fields that have another name there."""
        ...

    def ask(self, call: Call) -> Call:
        """`call` in the target's words, with what had to be left out in its `left_out`.

        CallError 400 when they cannot say it: nothing is sent then, and another offer may be asked.
        A stream is asked for its usage (`wants_usage`), whether or not the caller wants to see it.
        """
        ...

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole answer of the upstream in the source's words. UpstreamError when it cannot be read.

        `reported` is what it has used, and what is said of that.
        """
        ...

    def refusal(self, status: int, data: bytes) -> bytes:
        """An upstream's error body in the source's words; an unreadable one keeps its status alone."""
        ...

    def stream(self, call: Call) -> StreamTranslation:
        """A translation of one stream, the answer to `call` (the caller's, not the translated one)."""
        ...
