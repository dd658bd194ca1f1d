"""Books and query from the options of a command."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.workspace.query import Query
from inferworks.books.workspace.workspace import Workspace
from inferworks.cli.books.dates import moments
from inferworks.cli.options import read_config
from inferworks.cli.show import say
from inferworks.wiring.books import book_settings


def workspace_of(config_path: Path | None, data_path: Path | None) -> Workspace:
    """Return the books of `--config` and `--data`; what they note goes to standard error."""
    return Workspace(book_settings(read_config(config_path, data_path)), print_note)


def print_note(text: str) -> None:
    """Print a note on standard error."""
    say(f"Note: {text}", err=True)


def query_of(
    workspace: Workspace,
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None = None,
    pools_path: Path | None = None,
    *,
    whole: bool = False,
) -> Query:
    """Return the query of the options, for the newest period where neither it nor dates are named.

    BadParameter when a period is named beside dates.
    """
    if period is not None and (from_text is not None or to_text is not None):
        raise click.BadParameter("name a period or dates, not both", param_hint="--period")
    ends = moments(from_text, to_text)
    return workspace.query(period, *ends, policy, pools_path, whole=whole)
