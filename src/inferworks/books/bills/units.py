"""Numbers and moments in the units of somebody else's file, in ours. Pure and exact."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Context, Decimal
from typing import Final

from inferworks.books.bills.mapping import (
    BYTES,
    EPOCHS,
    IN_BYTES,
    IN_SECONDS,
    MONEY,
    MONTH,
    PLUS,
    SECONDS,
    Filled,
)
from inferworks.books.bills.spelling import PLAIN_NUMBER, Spelling, moment, number

EXACT: Final = Context(prec=200)
_MOST_DIGITS: Final = 50
_MINUTE_PLACES: Final = Decimal("1e-9")
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock, in UTC like all of ours
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def in_our_unit(name: str, text: str, how: Filled, mark: str) -> str:
    """The number in `text` as our column `name` has it; ValueError when it is none."""
    if how.unit == "h:mm:ss":
        parts = text.split(":")
        if len(parts) not in (2, 3) or not all(one.isascii() and one.isdigit() for one in parts):
            raise ValueError(f"{text[:60]!r} is no duration; it is written as in 1:30:00")
        hours, minutes, rest = (int(part) for part in (*parts, "0")[:3])
        value = Decimal(hours * 3600 + minutes * 60 + rest)
    else:
        plain = number(text, mark)
        if not how.unit and how.sign == 1:
            return plain
        value = decimal(plain)
    if name in IN_SECONDS and how.unit:
        seconds = EXACT.multiply(value, Decimal(SECONDS[how.unit]))
        value = EXACT.divide(seconds, Decimal(IN_SECONDS[name]))
        value = value.quantize(_MINUTE_PLACES, context=EXACT)
    elif name in IN_BYTES and how.unit:
        value = EXACT.multiply(value, Decimal(BYTES[how.unit])).to_integral_value()
    elif how.unit:
        value = value.scaleb(MONEY[how.unit], EXACT)
    return written(value if how.sign == 1 else -value)


def decimal(text: str) -> Decimal:
    """The number in `text`, of a size that can be meant, so that nothing below is ever rounded."""
    if not PLAIN_NUMBER.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no number")
    value = Decimal(text)
    if len(value.as_tuple().digits) > _MOST_DIGITS or abs(value.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"{text[:60]!r} is no number that can be meant")
    return value


def written(value: Decimal) -> str:
    """A number in plain digits."""
    return format(value, "f")


def our_moment(text: str, how: Filled, spelling: Spelling) -> str:
    """The moment in `text` as ISO 8601; ValueError when it is none."""
    if how.unit == MONTH:
        found = re.match(r"(\d{4})-?(0[1-9]|1[0-2])(?!\d{3})", text)  # of a day, its month
        if found is None:
            raise ValueError(f"{text[:60]!r} is no month; it is written as in 202611 or 2026-11")
        iso = f"{found[1]}-{found[2]}-01"
    elif how.unit:
        nanoseconds = decimal(text).scaleb(EPOCHS[how.unit] + 9, EXACT)
        if nanoseconds != nanoseconds.to_integral_value() or abs(nanoseconds.adjusted()) > 18:
            raise ValueError(f"{text[:60]!r} is no moment in that unit")
        seconds, rest = divmod(int(nanoseconds), 10**9)
        try:
            at = _EPOCH + dt.timedelta(seconds=seconds)
        except OverflowError:
            raise ValueError(f"{text[:60]!r} is no moment in that unit") from None
        iso = f"{at.isoformat()}.{rest:09d}Z" if rest else f"{at.isoformat()}Z"
    else:
        iso = moment(text, spelling.order, spelling.zone)
    return moved(iso, how.plus) if how.plus else iso


def moved(iso: str, plus: str) -> str:
    """The moment `plus` after another, both ISO 8601; a day stays a day where it can."""
    found, added = _ISO.fullmatch(iso), PLUS.fullmatch(plus)
    if found is None or added is None:
        return iso  # its reader says what is wrong with it
    count, unit = int(added[1]), added[2]
    try:
        at = dt.datetime.fromisoformat(found[1])
        if unit == "month":
            year, month = divmod(at.year * 12 + at.month - 1 + count, 12)
            if at.day > 28:
                raise ValueError(
                    "a month after the 29th is not the same day everywhere; map its end"
                )
            at = at.replace(year=year, month=month + 1)
        else:
            at += dt.timedelta(**{f"{unit}s": count})
    except (ValueError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if len(found[1]) == 10 and at.time() == dt.time():
        return at.date().isoformat()
    return f"{at.isoformat()}{found[2] or ''}{found[3] or 'Z'}"
