"""`inferworks books quarantine`: files that were not imported, since they may overlap others."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.deliveries.record import QuarantineQuestion
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, say


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
    found = workspace_of(config_path, data_path).questions(settled=every)
    if as_json:
        print_json({"questions": list(map(_as_json, found))})
        return
    for question in found:
        settled = f" (settled by {question.by}: {question.reason})" if question.settled_ns else ""
        say(f"{question.number}. {question.text}{settled}")
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
    question = workspace_of(config_path, data_path).settle(number, reason)
    if as_json:
        print_json(_as_json(question))
    else:
        say(f"Settled: {question.file} stays out ({question.reason}).")


def _as_json(question: QuarantineQuestion) -> dict[str, object]:
    return {
        "number": question.number,
        "file": question.file,
        "sha256": question.file_sha256,
        "kind": question.delivery.kind,
        "issuer": question.delivery.issuer,
        "account": question.delivery.account,
        "period": question.delivery.period,
        "start_ns": question.start_ns,
        "end_ns": question.end_ns,
        "question": question.text,
        "asked_ns": question.at_ns,
        "settled": question.settled_ns is not None,
        "by": question.by,
        "reason": question.reason,
    }
