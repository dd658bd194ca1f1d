"""The `inferworks` command: one sub-command per noun, each loaded only when it is called."""

from __future__ import annotations

import logging
import os
import sys

try:
    import click

    from inferworks import __version__
    from inferworks.cli.ending import end, let_go_of_output
    from inferworks.cli.lazy import LazyGroup
    from inferworks.cli.notes import Notes
except KeyboardInterrupt:  # Ctrl-C before there is anything that could handle it
    sys.exit(130)

COMMANDS = {
    "init": ("inferworks.cli.init:init", "Write a configuration file to begin with."),
    "up": ("inferworks.cli.up:up", "Run the platform until Ctrl-C."),
    "status": (
        "inferworks.cli.status:status",
        "Show whether the gateway runs, and how calls fare.",
    ),
    "chat": ("inferworks.cli.chat:chat", "Talk to a model, and see what it costs."),
    "top": ("inferworks.cli.top:top", "Show the calls of the last minute, live."),
    "logs": ("inferworks.cli.logs:logs", "Show the calls that ended, and follow them."),
    "config": ("inferworks.cli.config:config", "Check the configuration, show it, import one."),
    "providers": (
        "inferworks.cli.providers:providers",
        "List providers of models and engines of your own; try them.",
    ),
    "models": (
        "inferworks.cli.models:models",
        "List the models that are served, and those that could be.",
    ),
    "keys": ("inferworks.cli.keys:keys", "Make, list and revoke API keys."),
    "limits": (
        "inferworks.cli.limits:limits",
        "Limit money, tokens, requests and calls at once.",
    ),
    "customers": (
        "inferworks.cli.customers:customers",
        "Create, rename and merge customers; set clocks and prices.",
    ),
    "organisations": (
        "inferworks.cli.organisations:organisations",
        "Create organisations, and put customers into them.",
    ),
    "projects": (
        "inferworks.cli.projects:projects",
        "Record the projects of customers, and close them.",
    ),
    "members": (
        "inferworks.cli.members:members",
        "Create members with roles, and make tokens for the admin API.",
    ),
    "accounts": (
        "inferworks.cli.accounts:accounts",
        "Show how accounts are shared among gateways, and end it.",
    ),
    "audit": (
        "inferworks.cli.audit:audit",
        "Show who changed which account, and check that the log is whole.",
    ),
    "prices": ("inferworks.cli.prices:prices", "Show providers' list prices, and pin them."),
    "usage": (
        "inferworks.cli.usage:usage",
        "Import usage from other systems, list it, retract it.",
    ),
    "lake": ("inferworks.cli.lake:lake", "Keep old rows of the journal as Parquet files."),
    "ship": ("inferworks.cli.ship:ship", "Ship the records of nodes to a hub."),
    "scrub": (
        "inferworks.cli.scrub:scrub",
        "Verify the checksums of everything on disk.",
    ),
    "backup": (
        "inferworks.cli.backup:backup",
        "Copy the data folder, and read the copy back.",
    ),
    "restore": (
        "inferworks.cli.restore:restore",
        "Make the data folder of a backup, and verify it.",
    ),
    "books": (
        "inferworks.cli.books:books",
        "Import bills; report revenue, cost and margin; close periods.",
    ),
    "demo": (
        "inferworks.cli.demo:demo",
        "Run calls, training, bills and books once, with a report.",
    ),
}


cli = click.version_option(__version__, prog_name="inferworks")(
    LazyGroup(
        "inferworks",
        COMMANDS,
        "Serve inference through one API, and know what every answer cost and earned.",
    )
)


def main() -> None:
    """Run the command line; a failure is one line on standard error, and an exit status.

    Files that it writes are private to their user, since they derive from private data.
    """
    os.umask(0o077)
    for descriptor in range(3):
        # one that is closed would give its number to a database or a socket, and text to that
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
    logging.getLogger("inferworks").addHandler(Notes())
    try:
        try:
            cli(prog_name="inferworks")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk behind it shows here
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 no command ends in a traceback
        let_go_of_output()
        sys.exit(end(error))
