"""`GET /v1/limits`: the limits that a key's calls count towards, for its customer.

Used is what calls have used and what running calls hold; what other gateways have taken for their calls
counts whole. Of a limit on a whole organisation it is not told, for others use it too. Nor is the use of
the customer to a key that is limited to some models or operations, which shows its own use alone.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from inferworks.accounts.key import Key
from inferworks.accounts.limit import FOR_EVER_NS, Limit, Measure, ScopeKind, Window
from inferworks.api.admission import authenticate
from inferworks.api.call_limits import CallLimits
from inferworks.api.context import AppContext
from inferworks.api.errors import identify, style_of
from inferworks.errors import CallError, LimitsError
from inferworks.http.server import Exchange
from inferworks.money import format_pico
from inferworks.units import NS_PER_SECOND

_MOST: Final = 200
"""Most limits that are told of one key."""


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a key, and what is left of it."""

    object: Literal["limit"] = "limit"
    id: str
    scope: ScopeKind
    scope_id: str
    """Key, project, customer or organisation; a project without its customer."""
    measure: Measure
    currency: str | None
    """Currency of money, whose amounts are decimal text; all others are whole numbers."""
    window: Window
    zone: str | None
    """Time zone of days and months."""
    hard: bool
    """True if calls over it are refused; a soft one only warns."""
    amount: str | int
    used: str | int | None
    """Null where it is not told."""
    left: str | int | None
    resets_at: int | None
    """Second (Unix time) at which all of it is there again, if no more is used; null if it never is."""


class LimitPage(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a key, the narrowest first."""

    object: Literal["list"] = "list"
    as_of: int
    """Second (Unix time) of which they are."""
    data: list[LimitStatus]


async def limits(exchange: Exchange, context: AppContext) -> None:
    """Tell the limits that the key's calls count towards, and what is left of them."""
    identify(exchange, style_of(exchange))
    key = authenticate(exchange, context.keyring, context.clock)
    if exchange.query:
        raise CallError(400, "This takes no parameters.", code="invalid_value")
    now_ns = context.clock.now_ns()
    found: list[LimitStatus] = []
    if isinstance(context.limits, CallLimits):
        with context.questions.asked(key.customer):
            found = await _status_of(context.limits, key, now_ns)
    page = LimitPage(as_of=now_ns // NS_PER_SECOND, data=found)
    await exchange.respond(200, msgspec.json.encode(page))


async def _status_of(limits: CallLimits, key: Key, now_ns: int) -> list[LimitStatus]:
    own = limits.of(key)[:_MOST]
    seen = {ScopeKind.KEY}
    if not (key.models or key.operations):
        seen |= {ScopeKind.PROJECT, ScopeKind.CUSTOMER}
    told = [limit for limit in own if limit.scope.kind in seen]
    try:
        used = await limits.limiter.in_use(told, now_ns) if told else {}
    except LimitsError as error:
        raise CallError(503, "Your limits cannot be looked up at the moment; try again later.",
                        kind="server_error", code="limits_unreachable") from error  # fmt: skip
    return [_status(limit, used.get(limit.id), now_ns) for limit in own]


def _status(limit: Limit, used: int | None, now_ns: int) -> LimitStatus:
    end_ns: int | None = limit.window_ns(now_ns)[1]
    if limit.refill_ns:
        end_ns = None if used is None else now_ns + used * limit.refill_ns // limit.amount
    elif end_ns == FOR_EVER_NS:
        end_ns = None
    is_dated = limit.window in (Window.DAY, Window.MONTH)
    return LimitStatus(
        id=limit.id,
        scope=limit.scope.kind,
        scope_id=limit.scope.id.rpartition("/")[2],
        measure=limit.measure,
        currency=limit.currency or None,
        window=limit.window,
        zone=limit.zone if is_dated else None,
        hard=limit.is_hard,
        amount=_told(limit, limit.amount),
        used=None if used is None else _told(limit, used),
        left=None if used is None else _told(limit, max(0, limit.amount - used)),
        resets_at=None if end_ns is None else -(-end_ns // NS_PER_SECOND),
    )


def _told(limit: Limit, amount: int) -> str | int:
    return format_pico(amount) if limit.measure is Measure.MONEY else amount
