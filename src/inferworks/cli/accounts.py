"""`inferworks accounts`: how the accounts of a folder are shared among gateways."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import iso, print_json, say
from inferworks.wiring.accounts import leave_shared, sharing_of


@click.group()
def accounts() -> None:
    """Show how accounts are shared among gateways, and end it."""


@accounts.command()
@config_option
@data_option
@json_option
def status(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show whether this folder has accounts of its own or a mirror of shared ones, and how new that is.

    The exit status is 1 when the database that is configured cannot be reached.

    \b
    Examples:
      inferworks accounts status
      inferworks accounts status --json
    """
    found = sharing_of(read_config(config_path, data_path))
    synced = None if found.synced_ns is None else iso(found.synced_ns)
    if as_json:
        print_json({**found._asdict(), "synced_ns": found.synced_ns, "synced": synced})
    elif found.id is None:
        say("The accounts are this folder's own.")
    else:
        say(f"The accounts are a mirror of {found.id}, with all changes up to {found.version}.")
        if found.newest is not None:
            behind = found.newest - found.version
            say(f"The newest change is {found.newest}." if behind else "There are no later ones.")
        else:
            say(f"They were last known to be the newest at {synced}.")
    if found.missed:
        say(found.missed, err=True)
        sys.exit(1)


@accounts.command()
@config_option
@data_option
def leave(config_path: Path | None, data_path: Path | None) -> None:
    """Make the accounts of this folder its own: what other gateways change then changes nothing here.

    For a gateway that shall stand alone, and for when the database is lost for good: leave on the node with
    the newest accounts (accounts status), and start it with an empty database, with which it shares them
    anew; move accounts.db aside on the others. Stop the gateway first.

    \b
    Example:
      inferworks accounts leave
    """
    left = leave_shared(read_config(config_path, data_path))
    say(f"The accounts are this folder's own now, and no mirror of {left} any more.")
