"""Group of commands that are imported when they are used; their short help stands in a table.

So the list of commands is printed in a twentieth of a second. A test compares each line of a table with the
help of the command itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click

from inferworks.cli.ending import let_go_of_output
from inferworks.visible import visible


class LazyGroup(click.Group):
    """Commands by name, each as `module:attribute` and short help, in the order a newcomer needs them."""

    def __init__(
        self,
        name: str,
        table: Mapping[str, tuple[str, str]],
        help: str,  # noqa: A002
    ) -> None:
        super().__init__(name, help=help)
        self.table = table

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the command line; where that prints help to a reader that has gone, all is well."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError:
            let_go_of_output()
            raise click.exceptions.Exit(0) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; click's error messages are escaped like all other output.

        A closed reader (`| head`) is no failure here, as it is to click.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            let_go_of_output()
            ctx.exit(0)
        except click.ClickException as error:
            # Final to whoever only catches one; what of it is shown is made of nothing else.
            lines = map(visible, error.message.split("\n"))
            error.message = "\n".join(lines)  # type: ignore[misc]
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.table)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; none of them is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, does) in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with; the error for an unknown one suggests the nearest."""
        word = args[0]
        near = get_close_matches(word, self.table, n=1)
        if near and word not in self.table:
            ctx.fail(f"No such command {word!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command
