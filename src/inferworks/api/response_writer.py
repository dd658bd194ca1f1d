"""Response to an open call: whole, as a stream, or not at all.

The last bytes of an answer (its body, or the last event) are held until the call's Usage is durable: a
client that has a whole answer has been counted.

When the client leaves, the call is dropped where it stands. It goes on without a client (`drain`) where its
offer says `drain`, or where its answer is complete but for its usage. Either way it leaves the recorder's
block as cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from inferworks.api.context import AppContext
from inferworks.api.cost_disclosure import CostDisclosure
from inferworks.api.drain import Drain
from inferworks.api.stream_usage import StreamUsage
from inferworks.api.wire.base import Form
from inferworks.cloud.bodies.aside import LARGE_BYTES, aside
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.token_estimate import whole_usage
from inferworks.cloud.serving.attempt import broken_off
from inferworks.cloud.serving.serve import serve
from inferworks.errors import CallError, UpstreamError
from inferworks.http.server import ClientGone, Exchange
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import Confidence, Outcome
from inferworks.observe.transcripts import Transcript

_log = logging.getLogger("inferworks.serve")
_SEEN = Chunk(b"")
"""Placeholder of a chunk that was counted already."""
LEFT_OUT: Final = b"x-inferworks-left-out"
"""Header with the fields of the request that the upstream could not be sent."""


class ResponseWriter:
    """Writer of one open call's response. `run` it once, in the recorder's block."""

    def __init__(
        self,
        form: Form,
        exchange: Exchange,
        context: AppContext,
        call: Call,
        recorder: CallRecorder,
        wants_cost: bool,
        transcript: Transcript | None,
    ) -> None:
        self._form = form
        self._exchange = exchange
        self._context = context
        self._call = call
        self._recorder = recorder
        self._transcript = transcript
        self._wants_cost = wants_cost
        self._streamed: tuple[Reply, StreamUsage] | None = None
        self._drain: Drain | None = None
        """Drain that began when the client left and its answer is read on; None before."""

    async def run(self, offers: list[Offer]) -> None:
        """Have one of `offers` answer, and deliver it."""
        context, recorder = self._context, self._recorder
        router, call = context.router, self._call
        try:
            route = router.route(call, offers, router.health.now_ns())
            self._attempts = serve(call, route, context.providers, router.health, recorder)
            self._exchange.on_leave = self._reads_on
            async with self._attempts as reply:
                await self._deliver(reply)
        except CallError as error:
            if self._drain is not None:
                recorder.leave()  # no client is left to be told
                return
            outcome = Outcome.REFUSED if error.is_callers else Outcome.FAILED
            await recorder.close(outcome, error.status, error.code)
            raise
        except (ClientGone, asyncio.CancelledError):
            self._dropped()
            raise asyncio.CancelledError from None  # however we hear of it, the call is cancelled
        finally:
            self._exchange.on_leave = None
            if self._drain is not None:
                self._drain.end()

    async def _deliver(self, reply: Reply) -> None:
        context = self._context
        now_ns = self._recorder.clock.now_ns()
        self._disclosure = CostDisclosure(
            self._recorder, context.tariffs, now_ns, in_answer=self._wants_cost
        )
        if self._drain is not None:
            await self._read_on(reply, reply.first, StreamUsage(self._call, self._recorder))
        elif reply.status >= 400:
            await self._deliver_refusal(reply)
        elif self._call.stream and not reply.first.last:
            await self._deliver_stream(reply)
        else:
            await self._deliver_body(reply)

    async def _deliver_refusal(self, reply: Reply) -> None:
        self._recorder.leg_ended(
            Outcome.REFUSED, reply.status, NOTHING_REPORTED, Confidence.COUNTED
        )
        await self._recorder.close(Outcome.REFUSED, reply.status, "upstream_refused")
        named = self._form.errors.named(reply.first.data, self._call.id)
        await self._respond(reply, named)

    async def _deliver_body(self, reply: Reply) -> None:
        reported, confidence = whole_usage(self._call, reply.first, reply.content_type)
        data = reply.first.data
        if self._wants_cost:
            large = len(data) > LARGE_BYTES
            tell = self._disclosure.body
            data = await aside(tell, data, reported) if large else tell(data, reported)
        await self._recorder.answered(reply.status, len(data), reported, confidence)
        await self._respond(reply, data, reported)

    async def _deliver_stream(self, reply: Reply) -> None:
        exchange, recorder = self._exchange, self._recorder
        fields = [(b"content-type", reply.content_type), (b"cache-control", b"no-cache")]
        await exchange.start(reply.status, [*fields, *self._head(reply)])
        count = StreamUsage(self._call, recorder)
        self._streamed = reply, count
        try:
            chunk = reply.first
            while not chunk.last and self._drain is None:
                count.see(chunk)
                data = chunk.data
                if data:
                    if self._wants_cost:
                        data = await self._with_cost(data, count.reported)
                    recorder.first_byte()
                    recorder.sent(len(data))
                    if self._transcript is not None:
                        self._transcript.heard(data)
                    await exchange.send(data)
                chunk = await anext(reply.rest)
        except ClientGone:
            if not self._reads_on(_cancels_this()):
                raise
            chunk = _SEEN
        except UpstreamError as error:
            count.see_reported(error.told)
            recorder.leg_ended(
                Outcome.FAILED, reply.status, count.reported, count.confidence(whole=False)
            )
            if self._drain is not None:
                recorder.leave()
                return
            failure = broken_off(error)
            _log.warning("call %s: broken off: %s", self._call.id, error)
            await recorder.close(Outcome.FAILED, reply.status, failure.code)
            if reply.content_type.startswith(b"text/event-stream"):
                await exchange.end(self._form.errors.event(failure, self._call.id))
            return  # sound has no words for an error: the server cuts what is not finished
        if self._drain is not None:
            await self._read_on(reply, chunk, count)
            return
        count.see_last(chunk)
        data = await self._with_cost(chunk.data, count.reported)
        recorder.sent(len(data))
        recorder.leg_ended(
            Outcome.ANSWERED, reply.status, count.reported, count.confidence(whole=True)
        )
        await recorder.close(Outcome.ANSWERED, reply.status)
        if self._transcript is not None:
            self._transcript.heard(data)
        await exchange.end(data)

    async def _with_cost(self, events: bytes, reported: ReportedUsage) -> bytes:
        """Return one or more events of a stream with the cost so far, if the client wants it."""
        if len(events) > LARGE_BYTES:
            return await aside(self._disclosure.chunk, events, reported)
        return self._disclosure.chunk(events, reported)

    def _reads_on(self, cut: Callable[[], object]) -> bool:
        """Decide whether an answer is read to its end, for its usage, though the client has left.

        One that is complete is, whatever its offer says. There is no work left that leaving would stop, and
        a client that leaves just before the usage comes would have an estimate instead of a bill.
        """
        if self._drain is None and self._recorder.is_running:
            is_over = self._streamed is not None and self._streamed[0].is_over()
            if not is_over and self._recorder.on_leave != "drain":
                return False
            self._drain = self._context.drains.begin(cut, is_over=is_over)
            if self._drain is not None:
                self._attempts.abandon()
        return self._drain is not None

    async def _read_on(self, reply: Reply, chunk: Chunk, count: StreamUsage) -> None:
        """Read the rest of an answer without a client, `chunk` first, and record its usage."""
        assert self._drain is not None, "only what is drained is read on"
        self._streamed = reply, count
        try:
            while not chunk.last and self._drain.takes(len(chunk.data)):
                count.see(chunk)
                chunk = await anext(reply.rest)
        except UpstreamError as error:
            count.see_reported(error.told)
            sure = count.confidence(whole=False)
            self._recorder.leg_ended(Outcome.FAILED, reply.status, count.reported, sure)
        else:
            if chunk.last:
                self._drained(reply, chunk, count)
            else:
                self._dropped()
        self._recorder.leave()

    def _drained(self, reply: Reply, last: Chunk, count: StreamUsage) -> None:
        """Record an answer that was read to its end without a client."""
        if reply.status >= 400:
            self._recorder.leg_ended(
                Outcome.REFUSED, reply.status, NOTHING_REPORTED, Confidence.COUNTED
            )
            return
        if last is reply.first:
            reported, confidence = whole_usage(self._call, last, reply.content_type)
        else:
            count.see_last(last)
            reported, confidence = count.reported, count.confidence(whole=True)
        self._recorder.leg_ended(
            Outcome.CANCELLED, reply.status, reported, confidence, ended_by="drain"
        )

    def _dropped(self) -> None:
        """Drop the answer where it stands; the usage that a stream has reported so far is kept."""
        if self._streamed is not None and self._recorder.is_running:
            reply, count = self._streamed
            sure = count.confidence(whole=False)
            self._recorder.leg_ended(Outcome.CANCELLED, reply.status, count.reported, sure)

    async def _respond(
        self, reply: Reply, data: bytes, reported: ReportedUsage | None = None
    ) -> None:
        """Send a whole answer, with the cost of its `reported` usage."""
        if self._transcript is not None:
            self._transcript.heard(data)
        headers = self._head(reply, reported)
        await self._exchange.respond(reply.status, data, reply.content_type, headers)

    def _head(
        self, reply: Reply, reported: ReportedUsage | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return our headers of an answer; of a whole one with the cost of its `reported` usage."""
        headers = list(reply.headers)
        if reply.left_out:
            headers.append((LEFT_OUT, reply.left_out.encode()))
        if self._context.answer_headers:
            headers += reply.beside
            headers += self._disclosure.headers(self._recorder.clock.now_ns(), reported)
        return headers


def _cancels_this() -> Callable[[], object]:
    """Return the function that cancels the running task."""
    task = asyncio.current_task()
    assert task is not None, "a call is served by a task"
    return task.cancel
