"""Moments as people and bills write them: ISO 8601 in, nanoseconds since 1970-01-01 UTC out, and back."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

from inferworks.units import NS_PER_SECOND

MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?"
)
"""ISO 8601: date, time, fraction of a second, zone."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_NS = 86_400 * NS_PER_SECOND


@lru_cache(maxsize=65_536)
def parse_moment_ns(text: str) -> int:
    """Nanoseconds since 1970-01-01 UTC of an ISO 8601 moment; UTC unless it names an offset.

    24:00 is the end of its day.

    ValueError with a reason when `text` is no such moment.
    """
    match = MOMENT.fullmatch(text.strip())
    if not match:
        raise ValueError("not a moment; write 2026-11-21T09:00:00Z")
    date, time, fraction, zone = match.groups()
    is_end = bool(time) and re.fullmatch("24:00(:00)?", time) and not int(fraction or 0)
    try:
        moment = dt.datetime.fromisoformat(
            f"{date}T{'00:00' if is_end else time or '00:00'}{zone or 'Z'}"
        )
    except ValueError:
        raise ValueError("no such date or time") from None
    seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
    moment_ns = seconds * NS_PER_SECOND + int((fraction or "0").ljust(9, "0"))
    moment_ns += _DAY_NS if is_end else 0
    if abs(moment_ns) >= 2**63:
        raise ValueError("must lie between the years 1678 and 2262")
    return moment_ns


def moment_text(moment_ns: int) -> str:
    """A moment as ISO 8601 in UTC: a day where it is the first of one."""
    seconds, rest_ns = divmod(moment_ns, NS_PER_SECOND)
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    if moment_ns % _DAY_NS == 0:
        return moment.date().isoformat()
    fraction = f".{rest_ns:09d}" if rest_ns else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def utc_text(moment_ns: int) -> str:
    """The date and time of day of a moment in UTC, to the second, for people."""
    return f"{_EPOCH + dt.timedelta(seconds=moment_ns // NS_PER_SECOND):%Y-%m-%d %H:%M:%S}"
