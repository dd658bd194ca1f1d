"""`inferworks books verify`: nothing was changed, and it still comes out the same."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.closing.audit import audit, closes_of, contains
from inferworks.books.closing.ledger import Ledger
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.cli.books.opening import read_settings
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, say

_SHOWN = 20


@click.command()
@click.argument("period", required=False)
@click.option("--head", metavar="SHA256", help="A hash that was written down; it must be there.")
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

    Exit status 1 when anything is not as it was sealed; the first difference is named.

    \b
    Examples:
      inferworks books verify
      inferworks books verify 2026-11 --head 5f2c...
    """
    settings = read_settings(config_path, data_path)
    with open_ledger(settings, read_only=True) as ledger:
        source = RecordedSource(settings, validated=False)  # what is wrong is said below
        found = _findings(ledger, source, period, head) or source.misread()
        checked = len(closes_of(ledger.records(), None)) if not found else 0
    if as_json:
        print_json({"sound": not found, "closes": checked, "findings": found})
    elif not found:
        say(f"Sound. Closes checked: {checked}. Each follows the one before and comes out the")
        say("same, and everything that was sealed still stands in the books.")
    if found:
        listed = "\n".join(found[:_SHOWN])
        more = f"\nand {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise click.ClickException(f"not as it was sealed:\n{listed}{more}")


def _findings(
    ledger: Ledger, source: RecordedSource, period: str | None, head: str | None
) -> list[str]:
    wanted = ledger.periods().named(period) if period else None
    found = [str(finding) for finding in audit(ledger, source, wanted)]
    if wanted is not None and not found and not closes_of(ledger.records(), wanted):
        raise click.ClickException(f"period {period} was never closed; there is nothing to verify")
    if head and not contains(ledger, head.strip().lower()):
        found.append(f"the ledger has no record with the hash {head}")
    return found
