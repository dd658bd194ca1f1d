"""Formats of values: exact decimals with a point and no exponent, moments in UTC, escaped text."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from html import escape

from inferworks.money import format_pico, round_pico
from inferworks.units import NS_PER_SECOND
from inferworks.visible import visible

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def decimal_text(pico: int) -> str:
    """Return picounits as an exact decimal with a point: `8.40`, `0.000000000001`."""
    return format_pico(pico)


def shown_amount(pico: int) -> str:
    """Return picounits rounded to hundredths for a reader, with a separator of thousands."""
    return f"{Decimal(round_pico(pico, places=2)):,}".replace("-", "−")


def html_text(text: str) -> str:
    """Return `text` for a page: markup escaped, invisible characters shown."""
    return escape(visible(text))


def moment_text(at_ns: int) -> str:
    """The moment `at_ns` in UTC, with nanoseconds where it has a fraction of a second."""
    seconds, fraction_ns = divmod(at_ns, NS_PER_SECOND)
    text = (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction_ns:09d}Z" if fraction_ns else f"{text}Z"


def date_of(at_ns: int) -> dt.date:
    """The day (UTC) of the moment `at_ns`."""
    return (_EPOCH + dt.timedelta(seconds=at_ns // NS_PER_SECOND)).date()


def second_below(at_ns: int) -> int:
    """The last whole second up to `at_ns`, in nanoseconds."""
    return at_ns // NS_PER_SECOND * NS_PER_SECOND


def second_above(at_ns: int) -> int:
    """The first whole second from `at_ns` on, in nanoseconds."""
    return -(-at_ns // NS_PER_SECOND) * NS_PER_SECOND
