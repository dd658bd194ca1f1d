"""Serve one call: the only loop that tries again.

`serve` drives a route with real attempts until one begins to answer, and enters with that answer. It
tries again only before the first byte: from then on the answer is the client's, and a second attempt
would be a second answer. Every attempt is a leg in the call's tally, so what failed and may have cost
is on record beside what succeeded.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Load, Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.route import Route, Verdict
from inferworks.errors import CallError, UpstreamError
from inferworks.meter.tally import OpenCall
from inferworks.meter.usage import NO_TOKENS, Confidence, Outcome

_PASSING_TROUBLE = frozenset({408, 429})
_OUR_FAULT = frozenset({401, 402, 403, 404, 407})
"""Statuses of an upstream that are about our configuration or our account there, never about the
caller's request; a redirection is another."""

_log = logging.getLogger("inferworks.serve")


@asynccontextmanager
async def serve(
    call: Call, route: Route, providers: Mapping[str, Provider], load: Load, tally: OpenCall
) -> AsyncIterator[Reply]:
    """Enter with the first answer that begins; CallError when no offer could serve `call`."""
    failure = CallError(
        503, f"no replica of {call.model} is ready", kind="server_error", code="no_replica"
    )
    offer = next(route, None)
    while offer is not None:
        async with AsyncExitStack() as attempt:
            attempt.enter_context(load.one_more(offer))
            seller = offer.seller or offer.provider
            tally.leg_started(offer.id, seller, offer.replica, offer.region, offer.chip)
            reply = await _begin(attempt, providers[offer.provider].send(offer, call))
            verdict = _judge(reply)
            if verdict is not Verdict.ELSEWHERE and isinstance(reply, Reply):
                yield reply
                return
            failure = _failure(reply)
            _log.warning("call %s: %s %s", call.id, offer.id, _told(reply))
            status = reply.status if isinstance(reply, Reply) else 0
            tally.leg_ended(Outcome.FAILED, status, NO_TOKENS, _confidence(reply))
        offer = _next(route, verdict)
    raise failure


async def _begin(
    attempt: AsyncExitStack, sending: AbstractAsyncContextManager[Reply]
) -> Reply | UpstreamError:
    try:
        return await attempt.enter_async_context(sending)
    except UpstreamError as error:
        return error


def _judge(reply: Reply | UpstreamError) -> Verdict:
    """What an attempt's beginning means for the next."""
    if isinstance(reply, UpstreamError):
        return Verdict.ELSEWHERE
    if reply.status < 300:
        return Verdict.SERVED
    about_the_call = 400 <= reply.status < 500
    if not about_the_call or reply.status in _PASSING_TROUBLE | _OUR_FAULT:
        return Verdict.ELSEWHERE
    return Verdict.FINAL


def _failure(reply: Reply | UpstreamError) -> CallError:
    """A failed attempt in the caller's terms; where it ran and what it said is for our log alone."""
    if isinstance(reply, UpstreamError):
        return CallError(502, "The model's server could not be reached or broke off before it answered.",
                         kind="server_error", code="upstream_unreachable")  # fmt: skip
    if reply.status in _PASSING_TROUBLE:
        return CallError(429, "The model's server is at its limit; try again later.",
                         kind="rate_limit_error", code="upstream_busy")  # fmt: skip
    return CallError(502, "The model's server failed before it answered.",
                     kind="server_error", code="upstream_failed")  # fmt: skip


def _told(reply: Reply | UpstreamError) -> str:
    """A failed attempt in the log's terms."""
    if isinstance(reply, Reply):
        return f"answered with status {reply.status}"
    return f"failed: {reply}"


def _confidence(reply: Reply | UpstreamError) -> Confidence:
    """An attempt that never reached its upstream cost nothing; otherwise zero is a guess."""
    untouched = isinstance(reply, UpstreamError) and not reply.sent
    return Confidence.COUNTED if untouched else Confidence.ESTIMATED


def _next(route: Route, verdict: Verdict) -> Offer | None:
    try:
        return route.send(verdict)
    except StopIteration:
        return None
