"""`inferworks providers`: the providers whose APIs can be served, with their addresses."""

from __future__ import annotations

import datetime as dt

import click

from inferworks.catalog.providers import provider_catalog
from inferworks.cli.options import json_option
from inferworks.cli.show import print_json, print_table


@click.group()
def providers() -> None:
    """Providers of models, and engines you run yourself."""


@providers.command("list")
@click.option("--local", is_flag=True, help="Only engines on your own machine.")
@json_option
def list_providers(local: bool, as_json: bool) -> None:
    """List the providers that an upstream may use.

    \b
    Examples:
      inferworks providers list
      inferworks providers list --local --json
    """
    rows = provider_catalog().rows(dt.datetime.now(dt.UTC).date())
    shown = [row for row in rows if row.local or not local]
    if as_json:
        print_json(shown)
    else:
        columns = ("ID", "NAME", "KEY IN", "PORTS", "ON LEAVE")
        table = [
            (
                *(row.id, row.name, row.key_variable or "-"),
                *(", ".join(map(str, row.ports)) or "-", row.on_leave),
            )
            for row in shown
        ]
        print_table(columns, table)
