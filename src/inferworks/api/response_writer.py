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
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from inferworks.api.call_limits import AnyHold
from inferworks.api.context import AppContext
from inferworks.api.cost_disclosure import CostDisclosure, decimal
from inferworks.api.drain import Drain
from inferworks.api.stream_usage import StreamUsage
from inferworks.api.wire.base import EndpointSpec
from inferworks.cloud.bodies.aside import LARGE_BYTES, aside
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.token_estimate import whole_usage
from inferworks.cloud.serving.attempt import broken_off
from inferworks.cloud.serving.serve import Serving
from inferworks.errors import CallError, UpstreamError
from inferworks.http.server import ClientGone, Exchange
from inferworks.meter.call_recorder import CallRecorder, Destination
from inferworks.meter.reported_usage import CONFIDENCE, NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import Confidence, Outcome
from inferworks.observe.transcripts import Transcript

_log = logging.getLogger("inferworks.serve")
_SEEN = Chunk(b"")
"""Placeholder of a chunk that was counted already."""
_KEPT: Final = 4
"""Number of pieces of a stream that an error after them may count on from."""
LEFT_OUT: Final = b"x-inferworks-left-out"
"""Header with the fields of the request that the upstream could not be sent."""


class ResponseWriter:
    """Writer of one open call's response. `run` it once, in the recorder's block."""

    _attempts: Serving
    _destination: Destination
    """Destination of the attempt that answers."""
    _upstream_ns: int
    """Nanoseconds that attempts have taken until the answer began."""

    def __init__(
        self,
        form: EndpointSpec,
        exchange: Exchange,
        context: AppContext,
        call: Call,
        recorder: CallRecorder,
        transcript: Transcript | None,
        hold: AnyHold,
    ) -> None:
        self._form = form
        self._exchange = exchange
        self._context = context
        self._call = call
        self._recorder = recorder
        self._transcript = transcript
        self._hold = hold
        """Amounts held of the caller's limits."""
        self._disclosure: CostDisclosure | None = None
        """Cost in the answer's body, where the client asked for it."""
        self._streamed: tuple[Reply, StreamUsage] | None = None
        self.queued_ns = 0
        """Nanoseconds for which the call waited for its turn, which are no overhead."""
        self._drain: Drain | None = None
        """Drain that began when the client left and its answer is read on; None before."""

    async def run(self, offers: list[Offer]) -> None:
        """Have one of `offers` answer, and deliver it."""
        context, recorder, call = self._context, self._recorder, self._call
        router, exchange = context.router, self._exchange
        try:
            route = router.route(call, offers, router.health.now_ns())
            self._attempts = Serving(call, route, context.providers, router.health, recorder)
            exchange.on_leave = self._reads_on
            async with self._attempts as reply:
                self._destination = destination = recorder.serving.destination
                self._upstream_ns = recorder.upstream_ns()
                if call.wants_cost:
                    seller = "" if destination.replica else destination.provider
                    self._disclosure = CostDisclosure(context.tariffs, recorder.opened, seller)
                if self._drain is not None:
                    await self._read_on(reply, reply.first, StreamUsage(call))
                elif call.stream and not reply.first.last and reply.status < 400:
                    await self._deliver_stream(reply)
                else:
                    await self._deliver_whole(reply)
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
            exchange.on_leave = None
            if self._drain is not None:
                self._drain.end()

    async def _deliver_whole(self, reply: Reply) -> None:
        """Deliver a whole answer, or a refusal."""
        recorder, status = self._recorder, reply.status
        data, reported = reply.first.data, reply.first.reported
        if status >= 400:
            reported = None
            recorder.leg_ended(Outcome.REFUSED, status, NOTHING_REPORTED, Confidence.COUNTED)
            await recorder.close(Outcome.REFUSED, status, "upstream_refused")
            if not data.strip():
                refusal = f"The model's server refused the request with status {status}."
                data = self._form.errors.body(CallError(status, refusal), self._call.id)
                reply = msgspec.structs.replace(reply, content_type=b"application/json")
            named = self._form.errors.named
            data = data if named is None else named(data, self._call.id)
        else:
            if reported is None:
                reported, _ = whole_usage(self._call, reply.first, reply.content_type)
            if self._disclosure is not None:
                price = self._disclosure.body
                is_large = len(data) > LARGE_BYTES
                data = await aside(price, data, reported) if is_large else price(data, reported)
            confidence = CONFIDENCE[reported.is_estimate, reported.is_counted]
            await recorder.answered(status, len(data), reported, confidence)
        if self._transcript is not None:
            self._transcript.heard(data)
        headers = self._head(reply, reported)
        await self._exchange.respond(status, data, reply.content_type, headers)

    async def _deliver_stream(self, reply: Reply) -> None:
        exchange, recorder, status = self._exchange, self._recorder, reply.status
        fields = [(b"content-type", reply.content_type), (b"cache-control", b"no-cache")]
        await exchange.start(status, [*fields, *self._head(reply)])
        usage = StreamUsage(self._call)
        self._streamed = reply, usage
        newest: deque[bytes] = deque(maxlen=_KEPT)
        try:
            chunk = reply.first
            while not chunk.last and self._drain is None:
                usage.see(chunk)
                recorder.progress(usage.reported, usage.confidence)
                if self._hold.lacks(usage.reported) and await self._is_cut(reply, chunk, usage):
                    return
                data = chunk.data
                if data:
                    await self._pass_on(data, usage.reported)
                    if not data.startswith(b":"):
                        newest.append(data)
                chunk = await anext(reply.rest)
        except ClientGone:
            task = asyncio.current_task()
            assert task is not None, "a call is served by a task"
            if not self._reads_on(task.cancel):
                raise
            chunk = _SEEN
        except UpstreamError as error:
            usage.see_reported(error.reported)
            recorder.leg_ended(Outcome.FAILED, status, usage.reported, usage.confidence)
            if self._drain is not None:
                recorder.leave()
                return
            failure = broken_off(error)
            _log.warning("call %s: broken off: %s", self._call.id, error)
            await recorder.close(Outcome.FAILED, status, failure.code)
            if reply.content_type.startswith(b"text/event-stream"):
                await exchange.end(
                    self._form.errors.event(failure, self._call.id, b"".join(newest))
                )
            return  # sound has no words for an error: the server cuts what is not finished
        if self._drain is not None:
            await self._read_on(reply, chunk, usage)
            return
        usage.see_reported(chunk.reported)  # in some dialects the total
        data = await self._with_cost(chunk.data, usage.reported)
        recorder.leg_ended(Outcome.ANSWERED, status, usage.reported, usage.confidence_at_end())
        await recorder.close(Outcome.ANSWERED, status, last_bytes=len(data))
        if self._transcript is not None:
            self._transcript.heard(data)
        await exchange.end(data)

    async def _pass_on(self, data: bytes, reported: ReportedUsage) -> None:
        """Send events of a stream to the client."""
        if self._disclosure is not None:
            data = await self._with_cost(data, reported)
        self._recorder.sent(len(data))
        if self._transcript is not None:
            self._transcript.heard(data)
        await self._exchange.send(data)

    async def _is_cut(self, reply: Reply, chunk: Chunk, usage: StreamUsage) -> bool:
        """Hold the next steps of the answer; where a limit is reached, end it here and return True.

        One that is complete has an end of its own, and takes no more.
        """
        if reply.is_over():
            return False
        limit = await self._hold.extend()
        while limit is None and self._hold.lacks(usage.reported):  # an event may be of many steps
            limit = await self._hold.extend()
        if limit is None:
            return False
        recorder, form, data = self._recorder, self._form, chunk.data
        if form.cut is None:
            last = data + form.errors.event(limit, self._call.id, data)
        else:
            tokens = usage.reported.tokens if self._call.wants_usage else None
            last = data + form.cut(limit, data, tokens)
        recorder.leg_ended(Outcome.CANCELLED, 200, usage.reported, usage.confidence)
        await recorder.close(Outcome.ANSWERED, 200, limit.code, last_bytes=len(last))
        await self._exchange.end(last)
        return True

    async def _with_cost(self, events: bytes, reported: ReportedUsage) -> bytes:
        """Return one or more events of a stream with the cost so far, if the client wants it."""
        if self._disclosure is None:
            return events
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

    async def _read_on(self, reply: Reply, chunk: Chunk, usage: StreamUsage) -> None:
        """Read the rest of an answer without a client, `chunk` first, and record its usage."""
        assert self._drain is not None, "only what is drained is read on"
        recorder = self._recorder
        self._streamed = reply, usage
        try:
            while not chunk.last and self._drain.takes(len(chunk.data)):
                usage.see(chunk)
                recorder.progress(usage.reported, usage.confidence)
                chunk = await anext(reply.rest)
        except UpstreamError as error:
            usage.see_reported(error.reported)
            confidence = usage.confidence
            recorder.leg_ended(Outcome.FAILED, reply.status, usage.reported, confidence)
        else:
            if not chunk.last:
                self._dropped()
            elif reply.status >= 400:
                recorder.leg_ended(
                    Outcome.REFUSED, reply.status, NOTHING_REPORTED, Confidence.COUNTED
                )
            else:
                if chunk is reply.first:
                    reported, confidence = whole_usage(self._call, chunk, reply.content_type)
                else:
                    usage.see_reported(chunk.reported)
                    reported, confidence = usage.reported, usage.confidence_at_end()
                status = reply.status
                recorder.leg_ended(
                    Outcome.CANCELLED, status, reported, confidence, ended_by="drain"
                )
        recorder.leave()

    def _dropped(self) -> None:
        """Drop the answer where it stands; the usage that a stream has reported so far is kept."""
        if self._streamed is not None and self._recorder.is_running:
            reply, usage = self._streamed
            confidence = usage.confidence
            self._recorder.leg_ended(Outcome.CANCELLED, reply.status, usage.reported, confidence)

    def _head(
        self, reply: Reply, reported: ReportedUsage | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return our headers of an answer; of a whole one with the cost of its `reported` usage."""
        context, recorder, destination = self._context, self._recorder, self._destination
        headers = list(reply.headers)
        if reply.left_out:
            headers.append((LEFT_OUT, reply.left_out.encode()))
        if not context.answer_headers:
            return headers
        headers += reply.forwarded
        own = self._hold.headers()
        if own:  # in place of the upstream's, which are limits of ours there
            names = {name for name, _ in own}
            headers = [*own, *(one for one in headers if one[0].lower() not in names)]
        since_ns = recorder.clock.now_ns() - recorder.opened.opened_ns
        overhead_us = max(0, since_ns - self._upstream_ns - self.queued_ns) // 1000
        headers.append((b"x-inferworks-provider", destination.provider.encode()))
        headers.append((b"x-inferworks-overhead-us", b"%d" % overhead_us))
        if self.queued_ns:
            headers.append((b"x-inferworks-queued-us", b"%d" % (self.queued_ns // 1000)))
        if destination.region:
            headers.append((b"x-inferworks-region", destination.region.encode()))
        if reported is not None and context.tariffs is not None:
            seller = "" if destination.replica else destination.provider
            total = context.tariffs.total(recorder.opened, seller, reported)
            if total is not None:
                pico, currency = total
                headers.append((b"x-inferworks-cost", decimal(pico)))
                headers.append((b"x-inferworks-currency", currency.encode()))
        return headers
