"""The `inferworks` command: one sub-command per noun, each loaded only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from inferworks import __version__
from inferworks.errors import UserError

COMMANDS = {
    "up": "inferworks.cli.up:up",
    "status": "inferworks.cli.status:status",
    "keys": "inferworks.cli.keys:keys",
    "customers": "inferworks.cli.customers:customers",
    "books": "inferworks.cli.books:books",
    "demo": "inferworks.cli.demo:demo",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="inferworks")
def cli() -> None:
    """Run inference behind one door, and know what every answer cost and earned."""


def main() -> None:
    """Run the command line; an error the user can mend is one line on standard error."""
    try:
        cli(prog_name="inferworks")
    except UserError as error:
        click.echo(f"inferworks: {error}", err=True)
        sys.exit(2)
