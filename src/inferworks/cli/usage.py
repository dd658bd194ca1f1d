"""`inferworks usage`: what was used elsewhere, in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec

from inferworks.books.bills.base import Problem, open_bill, refuse
from inferworks.books.bills.reports import read_reports
from inferworks.cli.books.late_lines import late_reports
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import print_json, print_table
from inferworks.cli.watch import watched
from inferworks.errors import BillError, JournalError, UpstreamError, UserError
from inferworks.folder import DataFolder, Instance
from inferworks.meter.activity import Received, record_reported
from inferworks.meter.events import Reported, envelope
from inferworks.meter.journal import Journal
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.metering import KEY_VARIABLE, send

_BATCH = 1000
"""Events in one request to a running gateway."""


@click.group()
def usage() -> None:
    """Take in what was used elsewhere."""


@usage.command("import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--source", default="import", show_default=True, metavar="NAME",
    help="Who reports the rows that do not say.",
)  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Take in the good rows of a file that has bad ones.")
@config_option
@data_option
@json_option
def import_usage(
    files: tuple[Path, ...],
    source: str,
    skip_bad: bool,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Take in calls, machine time and stored bytes from files.

    JSON Lines, CSV or Parquet. The kind is told by the header; docs/costs-in.md shows the columns.
    Each row counts exactly once by source and id, however often it is imported or sent: the same
    again is a duplicate, with another body a conflict, which is kept in quarantine and not counted.
    received = accepted + duplicate + conflict + rejected. A row for a closed period is taken in and
    corrects the open one; a note says which.

    While the platform runs, the rows go to it, with the key in INFERWORKS_API_KEY (made with:
    inferworks keys create --reporter).

    \b
    Examples:
      inferworks usage import gateway-b.jsonl
      inferworks usage import --source slurm jobs-2026-11.csv
    """
    folder = data_folder(config_path, data_path)
    taken: dict[str, Received] = {}
    refused: list[str] = []
    late: list[str] = []
    for path in files:
        try:
            taken[path.name] = _import_file(path, source, folder, refused, late, skip_bad=skip_bad)
        except BillError as error:
            refused.append(str(error))
    _print(taken, refused, late, as_json=as_json)
    for note in late:
        click.echo(f"Note: {note}", err=True)
    conflicts = sum(received.conflict for received in taken.values())
    if conflicts:
        refused.append(conflict_text(conflicts))
    if refused:
        raise BillError("\n".join(refused))


def take_in(reports: Sequence[Reported], folder: DataFolder) -> Received:
    """Have `reports` journaled, by the running gateway or, when none runs, right here.

    UserError when a gateway runs and there is no key for it, it refuses or does not answer, or when the
    journal cannot be written. Whatever was taken in before that is a duplicate the next time.
    """
    instance = folder.instance()
    try:
        if instance is not None:
            return _sent(reports, instance, os.environ)
        with folder.hold():
            return asyncio.run(_journaled(reports, folder))
    except (JournalError, UpstreamError) as error:
        raise UserError(f"{error}; mend that and import again: nothing counts twice") from error


def conflict_text(conflicts: int) -> str:
    """What to say of rows that met another body under their name."""
    return (
        f"{conflicts} of the rows are on record already with another body; they were not counted, and "
        "both bodies are in quarantine. A correction needs an id of its own"
    )


def _import_file(
    path: Path,
    source: str,
    folder: DataFolder,
    refused: list[str],
    late: list[str],
    *,
    skip_bad: bool,
) -> Received:
    """Take in one file; what could not be read of it is refused, or with `skip_bad` noted.

    What is new and for a closed period is noted in `late`.
    """
    bill = open_bill(path)
    with watched(bill) as rows_read:
        reports, problems = read_reports(bill, source, rows_read)
    if not skip_bad:
        refuse(problems)
    texts = late_reports(reports, folder)
    received = take_in(reports, folder)
    late.extend(f"{path.name}: {text}" for text in texts)
    rejected = len(_rows_of(problems))
    refused.extend(map(str, problems))
    return received + Received(rejected, 0, 0, 0, rejected)


def _rows_of(problems: Sequence[Problem]) -> set[int]:
    return {problem.line for problem in problems}


async def _journaled(reports: Sequence[Reported], folder: DataFolder) -> Received:
    """Write to the journal, which nobody else has open: all of `reports` in one transaction."""
    journal = Journal(SqliteStore(folder.journal))
    journal.start()
    with closing(journal):
        return await record_reported(journal, reports)


def _sent(
    reports: Sequence[Reported], instance: Instance, environment: Mapping[str, str]
) -> Received:
    """Send to the gateway, in batches; sending again after a break counts nothing twice."""
    key = environment.get(KEY_VARIABLE, "")
    if not instance.url:
        raise UserError("the platform is starting; try again in a moment")
    if not key:
        raise UserError(
            f"the platform is running at {instance.url}: set {KEY_VARIABLE} to a key that may report "
            "(inferworks keys create --reporter), or stop it"
        )
    total = Received(0, 0, 0, 0)
    for begin in range(0, len(reports), _BATCH):
        events = [envelope(report) for report in reports[begin : begin + _BATCH]]
        counts = send(msgspec.json.encode(events), instance.url, key)
        total += Received(len(events), **counts)
    return total


def _print(
    taken: Mapping[str, Received], refused: Sequence[str], notes: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        files = [{"file": name, **msgspec.to_builtins(counts)} for name, counts in taken.items()]
        print_json({"files": files, "refused": list(refused), "notes": list(notes)})
    elif taken:
        names = Received.__struct_fields__
        columns = ("FILE", *map(str.upper, names))
        rows = [
            (file, *(str(getattr(received, name)) for name in names))
            for file, received in taken.items()
        ]
        print_table(columns, rows, right=" ".join(columns[1:]))
