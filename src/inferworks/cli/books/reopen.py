"""`inferworks books reopen`: reopen the last closed period."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, say


@click.command()
@click.argument("period")
@click.option(
    "--reason", required=True, help="Reason; it stays in the ledger, with author and time."
)
@config_option
@data_option
@json_option
def reopen(
    period: str,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Reopen PERIOD, the last closed one. Its seal stays, superseded and verifiable.

    A late bill needs no reopening: it is shown as a correction in the open period by itself.

    \b
    Example:
      inferworks books reopen 2026-11 --reason "the price plan of acme was entered wrong"
    """
    record, sha256 = workspace_of(config_path, data_path).reopen(period, reason)
    if as_json:
        print_json({"sha256": sha256, "record": record})
        return
    say(f"Reopened {period}; record {record.supersedes} is superseded.")
    say(f"Record {record.number}, SHA-256 {sha256}")
