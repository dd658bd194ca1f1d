"""Plausibility of the times of lines: work done is past, amounts owed are of about now.

Problem. A year that is mistyped, or a day that is read as a month, lands in a month that nobody looks at;
and a statement of the newest usage is then one of 2031.

Decision. Usage and time sheets record past work: a line that begins after tomorrow (by any clock on
earth) is refused. Bills may reach ahead, for terms are paid in advance, and back, for they are corrected:
one that begins more than a year ahead, or ended more than ten years ago, is taken in and noted. Schedules
of depreciation reach both ways by their nature. Work may exceed the length of its period, which is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from inferworks.books.calendar.months import month_name, month_of
from inferworks.books.charge import STAFF_TIME, Charge, NaturalClass
from inferworks.units import NS_PER_SECOND

ALWAYS_NS: Final = 2**63 - 1
NOT_DONE_YET: Final = (
    "begins after tomorrow; what was done is reported, so a day or a year is wrong"
)
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_ROUNDED_UP_NS: Final = 15 * _MINUTE_NS
_DAY_NS: Final = 86_400 * NS_PER_SECOND
_AHEAD_NS, _BACK_NS = 366 * _DAY_NS, 3653 * _DAY_NS


def after_tomorrow_ns(now_ns: int) -> int:
    """Return the start of the day after tomorrow in nanoseconds, in UTC."""
    return (now_ns // _DAY_NS + 2) * _DAY_NS


class Doubts:
    """Lines of a file that are possible, but likely wrong at `now_ns`."""

    def __init__(self, now_ns: int) -> None:
        self._earliest_ns, self._latest_ns = now_ns - _BACK_NS, now_ns + _AHEAD_NS
        self._far_off: dict[bool, list[int]] = {}
        self._long: list[Charge] = []

    def are_near(self, starts_ns: Sequence[int], ends_ns: Sequence[int]) -> bool:
        """Return True if the times of some lines raise no doubt."""
        return max(starts_ns) <= self._latest_ns and min(ends_ns) >= self._earliest_ns

    def look_at(self, charge: Charge) -> None:
        """Look at one line of the file."""
        start_ns, end_ns = charge.period_start_ns, charge.period_end_ns
        is_near = start_ns <= self._latest_ns and end_ns >= self._earliest_ns
        if not (is_near or charge.natural_class is NaturalClass.DEPRECIATION):
            self._far_off.setdefault(start_ns > self._latest_ns, []).append(start_ns)
        if charge.service_name == STAFF_TIME:
            work_ns = Decimal(charge.quantity or "0") * _MINUTE_NS
            if work_ns > end_ns - start_ns + _ROUNDED_UP_NS:  # beyond what programs round up
                self._long.append(charge)

    def texts(self) -> Iterator[str]:
        """Yield the notes."""
        for is_ahead, starts_ns in sorted(self._far_off.items()):
            month = month_name(month_of((max if is_ahead else min)(starts_ns)))
            lines = "1 line is" if len(starts_ns) == 1 else f"{len(starts_ns)} lines are"
            when = "begins more than a year ahead" if is_ahead else "is more than ten years ago"
            yield f"{lines} for a time that {when} ({month}); is the year right?"
        if self._long:
            lines = "1 line has" if len(self._long) == 1 else f"{len(self._long)} lines have"
            first = self._long[0]
            yield (
                f"{lines} more minutes than there are from start to end, such as {first.quantity} of "
                f"{first.description} in line {first.row}; are the minutes right?"
            )
