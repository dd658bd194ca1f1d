"""Limits: the most that a scope may use of something in a window of time.

A call counts towards every limit of its key, project, customer and organisation. Days and months are those
of a clock in `zone` and begin anew; an hour or a minute refills without a pause (`limits.ledger.Rate`); a
total is used up once.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from inferworks.errors import UserError
from inferworks.units import NS_PER_SECOND

FOR_EVER_NS: Final = 2**63 - 1
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_MOST: Final = 10**30
"""Largest amount of a limit: a thousand billions of a currency, in picounits, and room to add such."""


class Measure(StrEnum):
    """Quantity that is limited."""

    MONEY = "money"
    """Cost of calls to their customer, in picounits of a currency."""
    TOKENS = "tokens"
    """Tokens of input and output."""
    REQUESTS = "requests"
    """Calls, each as one."""
    CALLS = "calls"
    """Calls at once: what one has taken is given back when it ends."""


class Window(StrEnum):
    """Stretch of time in which an amount may be used."""

    TOTAL = "total"
    """All time: the amount is used up once."""
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    """Refilled over an hour."""
    MINUTE = "minute"
    """Refilled over a minute."""


REFILLED_NS: Final = {
    Window.HOUR: 3600 * NS_PER_SECOND,
    Window.MINUTE: 60 * NS_PER_SECOND,
}
"""Nanoseconds in which an empty window of a rate is full again."""


class ScopeKind(StrEnum):
    """Kind of what a limit is set on, from the narrowest."""

    KEY = "key"
    PROJECT = "project"
    CUSTOMER = "customer"
    ORGANISATION = "organisation"


class Scope(NamedTuple):
    """Key, project, customer or organisation."""

    kind: ScopeKind
    id: str
    """Its id; a project is `customer/project`, since projects of two customers may have one name."""


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limit of a scope. UserError where its parts do not go together."""

    id: str
    scope: Scope
    measure: Measure
    window: Window
    amount: int
    """Picounits, tokens, requests or calls."""
    currency: str = ""
    """Currency of a limit on money."""
    zone: str = "UTC"
    """Time zone of days and months."""
    is_hard: bool = True
    """True if calls over it are refused; a soft limit only warns."""
    warn_at: tuple[int, ...] = ()
    """Percentages of the amount at which a warning is sent, each once in a window."""
    created_ns: int = 0
    revision: int = 1
    """Number of the change that made it what it is; of two values of one limit the higher holds."""
    withdrawn_ns: int | None = None
    spent_before: int | None = None
    """Credit that its customer had spent when a prepaid limit was made (`accounts.prepaid_limit`).

    None for any other limit. The amount of a prepaid one is that of the credit, and 0 on record.
    """

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= _MOST:
            raise UserError(f"the amount of a limit is between 0 and 10^18, not {self.amount}")
        if (self.measure is Measure.MONEY) != bool(self.currency):
            raise UserError("a limit on money has a currency, and no other limit has one")
        if self.measure is Measure.CALLS and self.window is not Window.TOTAL:
            raise UserError("calls at once are not counted by a window of time")
        if self.spent_before is not None:
            kinds = (self.measure, self.window, self.scope.kind)
            if kinds != (Measure.MONEY, Window.TOTAL, ScopeKind.CUSTOMER) or not self.is_hard:
                raise UserError("a prepaid limit is a hard one on the money of a customer in all")
        if self.window in REFILLED_NS and not self.amount:
            raise UserError("a rate is at least 1; revoke the key to allow nothing")
        if not all(0 < share <= 100 for share in self.warn_at):
            raise UserError("warnings come at percentages from 1 to 100")

    @property
    def refill_ns(self) -> int:
        """Return the nanoseconds in which the whole amount refills; 0 where it does not."""
        return REFILLED_NS.get(self.window, 0)

    def window_ns(self, at_ns: int) -> tuple[int, int]:
        """Return the start and the end of the window that `at_ns` lies in; all time where it has none."""
        if self.window not in (Window.DAY, Window.MONTH):
            return 0, FOR_EVER_NS
        return _window_ns(self.window, self.zone, at_ns // _MINUTE_NS)


@lru_cache(256)
def _window_ns(window: Window, name: str, minute: int) -> tuple[int, int]:
    """Return the window that a minute since 1970 lies in: every one begins with a minute."""
    zone = ZoneInfo(name)
    day = dt.datetime.fromtimestamp(minute * 60, zone).date()
    if window is Window.DAY:
        after = day + dt.timedelta(1)
    else:
        day = day.replace(day=1)
        after = (day + dt.timedelta(32)).replace(day=1)
    return _midnight_ns(day, zone), _midnight_ns(after, zone)


def _midnight_ns(day: dt.date, zone: ZoneInfo) -> int:
    """Return the first moment of `day` in `zone`, also where the clocks skip midnight."""
    start = dt.datetime.combine(day, dt.time(), zone)
    return int(start.timestamp()) * NS_PER_SECOND
