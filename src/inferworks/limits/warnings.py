"""Warnings that a share of a limit is used: raised once, by a row in the store.

Problem. Many gateways see the same limit pass the same share, each a little later; one that is killed
between the sight and the message has told nobody.

Decision. A warning is a row. Its id is made of the limit's account (so of its window), its amount and the
share; who finds no row with this id in the transaction in which the share is seen to be passed, while the
account is locked, puts one. That is once over all gateways, and durable before anybody is told. The same
row is the outbox of the webhook (`limits.outbox`), which is delivered at least once, under that id.

What is *used* is what is settled and what slices have spent (`ledger.used`), not what gateways hold: a
call that holds a long answer is no reason to warn. Of a rate it is what was taken and has not refilled.
Each gateway reports what its slices have spent with its beat, twice a second, for limits that warn. So no
call waits for any of this.

A *refusal* passes 100, and no other share, where 95 % is used: a limit of 10.00 that refuses at 9.98 is as
good as used up. One that refuses a large prompt at 0.00 is not.

An amount that is changed is warned of anew, for its id is another. A rate, or calls at once, may pass a
share every minute: it is warned of at most once in each hour of the store's clock.

Rejected. A refusal that passes every share: since each is told once, one large request on a fresh limit
would silence a month's warnings, and whoever has a key could send it. Warnings by what is held: they come
early by a slice and a call's longest answer. A flag in the gateway: there are several, and each forgets. A
level that must be left before it is passed again: a rate that swings around it by more than that still
warns every minute.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from inferworks.accounts.limit import Limit, Measure
from inferworks.money import format_pico
from inferworks.units import NS_PER_SECOND

TYPE: Final = "limit.warning"
_FULL_PERCENT: Final = 95
"""Percentage of use from which on a limit that refuses a call is as good as used up."""
_HOUR_NS: Final = 3600 * NS_PER_SECOND


class LimitWarning(msgspec.Struct, frozen=True):
    """Warning that was raised, and what became of its webhook."""

    id: str
    account: str
    body: str
    """Body of its webhook, JSON."""
    raised_ns: int
    due_ns: int
    """Moment of the next attempt to send it; 0 where there is none to come."""
    tries: int = 0
    sent_ns: int = 0
    """Moment at which its receiver took it; 0 where none has."""


class WarningRows(Protocol):
    """Rows of warnings in a transaction of the ledger."""

    def now_ns(self) -> int:
        """Nanoseconds UTC by the store's clock."""
        ...

    def warnings(self, ids: Iterable[str]) -> Mapping[str, LimitWarning]:
        """Warnings with these ids."""
        ...

    def due_warnings(self, most: int) -> Sequence[LimitWarning]:
        """At most `most` warnings that are due, the longest due first, which no other transaction has."""
        ...

    def newest_warnings(self, most: int) -> Sequence[LimitWarning]:
        """At most `most` warnings, the newest first."""
        ...

    def put_warning(self, warning: LimitWarning) -> None:
        """Keep a warning under its id."""
        ...


class Alarm(NamedTuple):
    """Limit in one window, to be looked at for shares that are passed."""

    account: str
    limit: Limit
    start_ns: int
    """Beginning of the window; 0 of all time."""
    is_full: bool
    """True if a call was refused for it."""
    is_sent: bool
    """True if there is a webhook to send warnings to."""
    unused: int = 0
    """Units of a rate that the gateway has drawn and no call has taken."""


class Raised(NamedTuple):
    """Warning that was just raised."""

    limit: Limit
    share: int
    """Percentage that was passed."""
    used: int


def raise_warnings(rows: WarningRows, alarm: Alarm, used: int) -> list[Raised]:
    """Raise the warnings of shares that `used` has passed, and return those that nobody had raised."""
    limit, used = alarm.limit, used - alarm.unused
    shares = passed(limit, used, is_full=alarm.is_full)
    if not shares:
        return []
    now_ns = rows.now_ns()
    ids = {share: warning_id(alarm, share, now_ns) for share in shares}
    known = rows.warnings(ids.values())
    raised = []
    for share in shares:
        if ids[share] not in known:
            body = msgspec.json.encode(_message(alarm, share, used, now_ns)).decode()
            due_ns = now_ns if alarm.is_sent else 0
            rows.put_warning(LimitWarning(ids[share], alarm.account, body, now_ns, due_ns))
            raised.append(Raised(limit, share, used))
    return raised


def passed(limit: Limit, used: int, *, is_full: bool) -> list[int]:
    """Return the percentages at which `limit` warns and that `used` has reached, from the least.

    A limit that refused a call (`is_full`) has reached 100 where nearly all of it is used.
    """
    is_used_up = is_full and used * 100 >= _FULL_PERCENT * limit.amount
    return [
        share
        for share in sorted(limit.warn_at)
        if (used > 0 and used * 100 >= share * limit.amount) or (is_used_up and share == 100)
    ]


def warning_id(alarm: Alarm, share: int, now_ns: int) -> str:
    """Return the id of the warning of `share` at the store's time `now_ns`."""
    limit = alarm.limit
    is_recurrent = limit.refill_ns > 0 or limit.measure is Measure.CALLS
    hour = now_ns // _HOUR_NS if is_recurrent else 0
    name = f"{alarm.account}|{limit.amount}|{share}|{hour}"
    return f"warning_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def told(raised: Raised) -> str:
    """Return a warning in words."""
    limit = raised.limit
    what = limit.currency or ("calls at once" if limit.measure is Measure.CALLS else limit.measure)
    return (
        f"{limit.scope.kind} {limit.scope.id} has used {raised.share} % of limit {limit.id}: "
        f"{_amount(limit, raised.used)} of {_amount(limit, limit.amount)} {what}, {limit.window}"
    )


def _message(alarm: Alarm, share: int, used: int, now_ns: int) -> dict[str, Any]:
    """Return the body of the webhook, of the shape that Standard Webhooks advises."""
    limit = alarm.limit
    return {
        "type": TYPE,
        "timestamp": _moment(now_ns),
        "data": {
            "limit": limit.id,
            "scope": limit.scope.kind,
            "of": limit.scope.id,
            "measure": limit.measure,
            "currency": limit.currency or None,
            "window": limit.window,
            "window_start": _moment(alarm.start_ns) if alarm.start_ns else None,
            "share_percent": share,
            "amount": _amount(limit, limit.amount),
            "used": _amount(limit, used),
            "hard": limit.is_hard,
            "refused": alarm.is_full,
        },
    }


def _amount(limit: Limit, amount: int) -> str | int:
    return format_pico(amount) if limit.measure is Measure.MONEY else amount


def _moment(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).isoformat()
