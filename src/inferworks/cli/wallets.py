"""`inferworks customers wallets`: customers' remaining prepaid credit."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.calendar.calendars import calendars_of
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.errors import UserError
from inferworks.money import format_pico


@click.command("wallets")
@click.argument("name", required=False)
@config_option
@data_option
@json_option
def list_wallets(
    name: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List prepaid credit: bought, used, and remaining.

    Remaining credit is owed to the customer: a liability. EXPIRES is the first day on which some of it
    expires. MOVED is the credit received from merged customers, less the credit passed on in a merge.

    \b
    Examples:
      inferworks customers wallets
      inferworks customers wallets acme --json
    """
    workspace = workspace_of(config_path, data_path)
    currency = workspace.settings.currency
    found = [one for one in workspace.wallets() if name in (None, str(one.customer))]
    if name is not None and not found:
        raise UserError(f"customer {name!r} never bought credit; see: inferworks customers credit")
    if as_json:
        print_json(
            [
                {
                    "customer": one.customer,
                    "currency": currency,
                    "bought": format_pico(one.bought_pico),
                    "moved": format_pico(one.moved_pico),
                    "used": format_pico(one.used_pico),
                    "refunded": format_pico(one.refunded_pico),
                    "expired": format_pico(one.expired_pico),
                    "left": format_pico(one.closing_pico),
                    "expires_ns": one.expires_ns,
                }
                for one in found
            ]
        )
    elif not found:
        say("No customer has bought credit; see: inferworks customers credit --help")
    else:
        moved = ("MOVED",) if any(one.moved_pico for one in found) else ()
        columns = ("CUSTOMER", "BOUGHT", *moved, "USED", "REFUNDED", "EXPIRED", "LEFT", "EXPIRES")
        calendars = calendars_of(workspace.customers())
        rows = []
        for one in found:
            amounts = (
                one.bought_pico,
                *(one.moved_pico for _ in moved),
                *(one.used_pico, one.refunded_pico, one.expired_pico, one.closing_pico),
            )
            calendar = calendars.of(one.customer)
            expires = "-" if one.expires_ns is None else calendar.date(one.expires_ns).isoformat()
            rows.append((one.customer, *map(format_pico, amounts), expires))
        print_table(columns, rows, right="BOUGHT MOVED USED REFUNDED EXPIRED LEFT")
        say("", f"Amounts in {currency}.")
