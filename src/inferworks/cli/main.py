"""The `inferworks` command: one sub-command per noun, each loaded only when it is called."""

from __future__ import annotations

import sys

import click

from inferworks import __version__
from inferworks.cli.lazy import LazyGroup
from inferworks.errors import UserError

COMMANDS = {
    "up": "inferworks.cli.up:up",
    "status": "inferworks.cli.status:status",
    "config": "inferworks.cli.config:config",
    "providers": "inferworks.cli.providers:providers",
    "models": "inferworks.cli.models:models",
    "keys": "inferworks.cli.keys:keys",
    "customers": "inferworks.cli.customers:customers",
    "prices": "inferworks.cli.prices:prices",
    "usage": "inferworks.cli.usage:usage",
    "lake": "inferworks.cli.lake:lake",
    "books": "inferworks.cli.books:books",
    "demo": "inferworks.cli.demo:demo",
}


cli = click.version_option(__version__, prog_name="inferworks")(
    LazyGroup(
        "inferworks",
        COMMANDS,
        "Run inference behind one door, and know what every answer cost and earned.",
    )
)


def main() -> None:
    """Run the command line; an error the user can mend is one line on standard error."""
    try:
        cli(prog_name="inferworks")
    except UserError as error:
        click.echo(f"inferworks: {error}", err=True)
        sys.exit(2)
