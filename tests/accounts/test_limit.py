"""A limit: its parts, and the windows of its clock."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from inferworks.accounts.limit import FOR_EVER_NS, Limit, Measure, Scope, ScopeKind, Window
from inferworks.errors import UserError


def limit(**given: Any) -> Limit:
    """Return a limit with some parts other than usual."""
    usual = {
        "id": "limit_1",
        "scope": Scope(ScopeKind.KEY, "key_1"),
        "measure": Measure.REQUESTS,
        "window": Window.TOTAL,
        "amount": 1,
    }
    return Limit(**(usual | given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"amount": -1}, "between 0 and"),
        ({"currency": "USD"}, "a limit on money has a currency"),
        ({"measure": Measure.MONEY}, "a limit on money has a currency"),
        ({"measure": Measure.CALLS, "window": Window.DAY}, "not counted by a window"),
        ({"window": Window.MINUTE, "amount": 0}, "a rate is at least 1"),
        ({"warn_at": (0,)}, "from 1 to 100"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(given: dict[str, Any], said: str) -> None:
    """A limit that could not be kept cannot be made."""
    with pytest.raises(UserError, match=said):
        limit(**given)


def moment_ns(*parts: int, zone: str = "UTC") -> int:
    """Return a moment on the clock of `zone`."""
    return int(dt.datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()) * 10**9  # type: ignore[arg-type]


def test_windows_are_days_and_months_of_the_zone() -> None:
    """Days of 23 hours, Decembers and places far from UTC begin and end at their own midnights."""
    berlin = limit(window=Window.DAY, zone="Europe/Berlin")
    start_ns, end_ns = berlin.window_ns(moment_ns(2026, 3, 29, 12, zone="Europe/Berlin"))
    assert start_ns == moment_ns(2026, 3, 28, 23)
    assert end_ns - start_ns == 23 * 3600 * 10**9
    month = limit(window=Window.MONTH, zone="Pacific/Auckland")
    assert month.window_ns(moment_ns(2026, 12, 31, 10)) == (
        moment_ns(2026, 12, 1, zone="Pacific/Auckland"),
        moment_ns(2027, 1, 1, zone="Pacific/Auckland"),
    )
    assert month.window_ns(moment_ns(2026, 12, 31, 12))[0] == moment_ns(
        2027, 1, 1, zone="Pacific/Auckland"
    )
    assert limit().window_ns(5) == (0, FOR_EVER_NS)


def test_a_window_holds_its_first_moment_and_not_its_last() -> None:
    """One window ends where the next begins."""
    day = limit(window=Window.DAY)
    start_ns, end_ns = day.window_ns(moment_ns(2026, 5, 5))
    assert start_ns == moment_ns(2026, 5, 5)
    assert day.window_ns(end_ns - 1) == (start_ns, end_ns)
    assert day.window_ns(end_ns)[0] == end_ns
