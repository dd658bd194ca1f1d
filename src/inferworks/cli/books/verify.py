"""`inferworks books verify`: check the chain of closes, and recompute closed periods."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, say

_SHOWN = 20


@click.command()
@click.argument("period", required=False)
@click.option(
    "--head",
    metavar="SHA256",
    help="Hash noted earlier, or its first 12 digits or more; it must be in the chain.",
)
@config_option
@data_option
@json_option
def verify(
    period: str | None,
    head: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Check the chain of closes, recompute every closed PERIOD, and compare.

    Exit status 1 when anything differs from the seal; the first difference is named.

    \b
    Examples:
      inferworks books verify
      inferworks books verify 2026-11 --head 5f2c...
    """
    found, closes = workspace_of(config_path, data_path).verify(period, head)
    if as_json:
        print_json({"sound": not found, "closes": closes, "findings": found})
    elif not found:
        say(f"Sound. Closes checked: {closes}. Each follows the one before and comes out the")
        say("same, and everything that was sealed still stands in the books.")
    if found:
        listed = "\n".join(found[:_SHOWN])
        more = f"\nand {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise click.ClickException(f"not as it was sealed:\n{listed}{more}")
