"""Options for the number and date formats of a file, where the file itself is ambiguous."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Callable
from typing import Any

import click

from inferworks.books.bills.spelling import Order, Told


def told_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --decimal-mark, --dates and --zone to `command`, which gets them as `told`."""

    @functools.wraps(command)
    def with_told(
        *arguments: Any, decimal_mark: str | None, dates: str | None, zone: str, **more: Any
    ) -> Any:
        order = Order(dates) if dates else None
        return command(*arguments, told=Told(decimal_mark or "", order, zone), **more)

    mark = click.option(
        "--decimal-mark", type=click.Choice([".", ","]),
        help="Decimal mark of numbers such as 1,234.",
    )  # fmt: skip
    order = click.option(
        "--dates", type=click.Choice(list(Order)),
        help="Order of day, month and year in dates such as 11/1/2026.",
    )  # fmt: skip
    zone = click.option(
        "--zone", default="", metavar="ZONE", callback=_zone,
        help="The time zone of moments that name none (Europe/Berlin).  [default: UTC]",
    )  # fmt: skip
    return mark(order(zone(with_told)))


def _zone(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        if name:
            zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"{name!r} is no time zone, such as Europe/Berlin") from None
    return name
