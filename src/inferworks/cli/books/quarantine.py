"""`inferworks books quarantine`: files that were not imported, since they may overlap others."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.deliveries.record import Asked
from inferworks.books.workspace.gathering import opened_books
from inferworks.books.workspace.recorded import who
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import print_json, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError


@click.group("quarantine")
def quarantine() -> None:
    """List the files that wait for a decision, and settle them."""


@quarantine.command("list")
@click.option("--all", "every", is_flag=True, help="Include settled questions.")
@config_option
@data_option
@json_option
def list_quarantine(
    every: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the files that were not imported, each with its open question.

    To answer, import the file with --part or --replace, or leave it out with `settle`. Until then its
    period cannot be closed.

    \b
    Example:
      inferworks books quarantine list
    """
    with opened_books(data_folder(config_path, data_path), read_only=True) as store:
        found = store.questions(settled=every)
    if as_json:
        print_json({"questions": list(map(_as_json, found))})
        return
    for asked in found:
        settled = f" (settled by {asked.by}: {asked.reason})" if asked.settled_ns else ""
        say(f"{asked.number}. {asked.text}{settled}")
    if not found:
        say("Nothing is in quarantine.")


@quarantine.command("settle")
@click.argument("number", type=int)
@click.option("--reason", required=True, metavar="TEXT", help="Reason; it stays on record.")
@config_option
@data_option
@json_option
def settle(
    number: int, reason: str, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Settle question NUMBER: its file stays out, and no close waits for it.

    \b
    Example:
      inferworks books quarantine settle 3 --reason "a draft of the bill"
    """
    if not reason.strip():
        raise UserError(f"question {number}: say why its file stays out, with --reason")
    with opened_books(data_folder(config_path, data_path), read_only=False) as store:
        asked = store.settle(number, reason.strip(), who(), SystemClock().now_ns())
    if as_json:
        print_json(_as_json(asked) | {"settled": True, "reason": reason.strip(), "by": who()})
    else:
        say(f"Settled: {asked.file} stays out ({reason.strip()}).")


def _as_json(asked: Asked) -> dict[str, object]:
    return {
        "number": asked.number,
        "file": asked.file,
        "sha256": asked.file_sha256,
        "kind": asked.delivery.kind,
        "issuer": asked.delivery.issuer,
        "account": asked.delivery.account,
        "period": asked.delivery.period,
        "start_ns": asked.start_ns,
        "end_ns": asked.end_ns,
        "question": asked.text,
        "asked_ns": asked.at_ns,
        "settled": asked.settled_ns is not None,
        "by": asked.by,
        "reason": asked.reason,
    }
