"""Options for the formats of numbers and dates, where a file itself is ambiguous."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from inferworks.books.bills.spelling import Order
from inferworks.books.workspace.import_options import ImportOptions, is_zone


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --decimal-mark, --dates and --zone to `command`, which gets them as `options`."""

    @functools.wraps(command)
    def with_options(
        *arguments: Any, decimal_mark: str | None, dates: str | None, zone: str, **more: Any
    ) -> Any:
        options = ImportOptions(decimal_mark=decimal_mark or "", dates=dates or "", zone=zone)
        return command(*arguments, options=options, **more)

    mark = click.option(
        "--decimal-mark", type=click.Choice([".", ","]),
        help="Decimal mark of numbers such as 1,234.",
    )  # fmt: skip
    order = click.option(
        "--dates", type=click.Choice([order.value for order in Order]),
        help="Order of day, month and year in dates such as 11/1/2026.",
    )  # fmt: skip
    zone = click.option(
        "--zone", default="", metavar="ZONE", callback=_zone,
        help="Time zone of moments that name none (Europe/Berlin).  [default: UTC]",
    )  # fmt: skip
    return mark(order(zone(with_options)))


def _zone(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if name and not is_zone(name):
        raise click.BadParameter(f"{name!r} is no time zone, such as Europe/Berlin")
    return name
