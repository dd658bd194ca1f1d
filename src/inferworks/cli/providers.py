"""`inferworks providers`: whose APIs can be served, and how each is reached."""

from __future__ import annotations

import datetime as dt

import click

from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.cli.options import json_option
from inferworks.cli.show import print_json, print_table


@click.group()
def providers() -> None:
    """Providers of models, and engines that one runs oneself."""


@providers.command("list")
@click.option("--local", is_flag=True, help="Only engines on one's own machine.")
@json_option
def list_providers(local: bool, as_json: bool) -> None:
    """List the providers that an upstream can name.

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
        print_table(("ID", "NAME", "KEY IN", "ON LEAVE"), map(_row, shown))


def _row(row: ProviderRow) -> tuple[str, ...]:
    key = row.key_variable or ", ".join(f"port {port}" for port in row.ports) or "-"
    return row.id, row.name, key, row.on_leave
