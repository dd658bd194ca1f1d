"""The `inferworks` command: one sub-command per noun, each loaded only when it is called."""

from __future__ import annotations

import logging
import os
import sys

import click

from inferworks import __version__
from inferworks.cli.ending import end, let_go_of_output
from inferworks.cli.lazy import LazyGroup

COMMANDS = {
    "init": "inferworks.cli.init:init",
    "up": "inferworks.cli.up:up",
    "status": "inferworks.cli.status:status",
    "chat": "inferworks.cli.chat:chat",
    "top": "inferworks.cli.top:top",
    "logs": "inferworks.cli.logs:logs",
    "config": "inferworks.cli.config:config",
    "providers": "inferworks.cli.providers:providers",
    "models": "inferworks.cli.models:models",
    "keys": "inferworks.cli.keys:keys",
    "customers": "inferworks.cli.customers:customers",
    "prices": "inferworks.cli.prices:prices",
    "usage": "inferworks.cli.usage:usage",
    "lake": "inferworks.cli.lake:lake",
    "scrub": "inferworks.cli.scrub:scrub",
    "backup": "inferworks.cli.backup:backup",
    "books": "inferworks.cli.books:books",
    "demo": "inferworks.cli.demo:demo",
}


cli = click.version_option(__version__, prog_name="inferworks")(
    LazyGroup(
        "inferworks",
        COMMANDS,
        "Serve inference through one API, and know what every answer cost and earned.",
    )
)


def main() -> None:
    """Run the command line; what it cannot do is one line on standard error, and an exit status.

    What it writes is for its user alone, wherever: it is drawn from what nobody else may see.
    """
    os.umask(0o077)
    _fill_standard_descriptors()
    logging.getLogger("inferworks").addHandler(
        logging.NullHandler()
    )  # one line: only `up` has a log
    try:
        try:
            cli(prog_name="inferworks")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk behind it shows here
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 no command ends in a traceback
        let_go_of_output()
        sys.exit(end(error))


def _fill_standard_descriptors() -> None:
    """Open those of standard input, output and error that whoever ran us has closed, on nothing.

    Else a database or a socket gets their numbers, and what is written to standard error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
