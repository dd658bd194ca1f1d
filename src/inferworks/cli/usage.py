"""`inferworks usage`: import usage of other systems, list it, retract it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from inferworks.books.workspace.import_options import ImportOptions
from inferworks.cli.books.dates import moments
from inferworks.cli.books.format_options import format_options
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.cli.watch import watched
from inferworks.errors import BillError
from inferworks.meter.activity import Received
from inferworks.meter.events import LONGEST_REASON
from inferworks.wiring.usage_import import import_usage as import_files
from inferworks.wiring.usage_on_record import reports_of, retract_reports, sources_on_record


@click.group()
def usage() -> None:
    """Import usage from other systems, list it, retract it."""


@usage.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--source", default="import", show_default=True, metavar="NAME",
    help="Source of rows that name none.",
)  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Import the good rows of a file that has bad ones.")
@format_options
@config_option
@data_option
@json_option
def import_usage(
    files: tuple[str, ...],
    source: str,
    skip_bad: bool,
    options: ImportOptions,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Import calls, machine time and stored bytes from files.

    JSON, CSV or Parquet, as it is or packed; files, folders, patterns or URLs (s3://, gs://, az://).
    The kind is told by the header; docs/costs-in.md shows the columns.
    Each row counts exactly once by source and id, however often it is imported or sent: the same
    again is a duplicate, with another body a conflict, which is kept in quarantine and not counted.
    received = accepted + duplicate + conflict + rejected. A row for a closed period is taken in and
    corrects the open one; a note says which.

    While the platform runs, the rows go to it, with the key in INFERWORKS_API_KEY (made with:
    inferworks keys create --reporter --report SOURCE; --tell-cost for calls that say what they cost).

    \b
    Examples:
      inferworks usage import gateway-b.jsonl
      inferworks usage import --source slurm jobs-2026-11.csv
    """
    folder = data_folder(config_path, data_path)
    found = import_files(
        files, folder, source=source, options=options, skip_bad=skip_bad, watch=watched
    )
    if as_json:
        counts = [{"file": name, **msgspec.to_builtins(one)} for name, one in found.files.items()]
        print_json({"files": counts, "refused": found.refused, "notes": found.notes})
    elif found.files:
        names = Received.__struct_fields__
        columns = ("FILE", *map(str.upper, names))
        rows = [
            (file, *(str(getattr(received, name)) for name in names))
            for file, received in found.files.items()
        ]
        print_table(columns, rows, right=" ".join(columns[1:]))
    for note in found.notes:
        say(f"Note: {note}", err=True)
    if found.refused:
        raise BillError("\n".join(found.refused))


@usage.command("list")
@click.option("--source", metavar="NAME", help="List each report of this source.")
@config_option
@data_option
@json_option
def list_usage(
    source: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List how much each source reported; with --source every report, retracted ones marked.

    \b
    Examples:
      inferworks usage list
      inferworks usage list --source gateway-b --json
    """
    folder = data_folder(config_path, data_path)
    if source is None:
        sources = sources_on_record(folder)
        if as_json:
            print_json(msgspec.to_builtins(sources))
            return
        columns = ("SOURCE", "REPORTS", "RETRACTED", "FIRST", "LAST")
        rows = [tuple(map(str, msgspec.structs.astuple(one))) for one in sources]
        print_table(columns, rows, right="REPORTS")
        return
    reports = reports_of(source, folder)
    if as_json:
        print_json(msgspec.to_builtins(reports))
        return
    rows = [
        (
            *(one.id, one.kind, one.customer or "", one.start),
            f"by {one.retracted.by}: {one.retracted.reason}" if one.retracted else "",
        )
        for one in reports
    ]
    print_table(("ID", "KIND", "CUSTOMER", "START", "RETRACTED"), rows)


@usage.command("retract")
@click.option("--source", required=True, metavar="NAME", help="Source of the reports.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Id of a report; may be repeated.")
@click.option("--since", metavar="WHEN", help="Reports that began then or later.")
@click.option("--until", metavar="WHEN", help="Reports that began before then.")
@click.option("--all", "everything", is_flag=True, help="All reports of the source.")
@click.option("--reason", required=True, help="Reason, for the record.")
@config_option
@data_option
@json_option
def retract_usage(
    source: str,
    ids: tuple[str, ...],
    since: str | None,
    until: str | None,
    everything: bool,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Retract reports: they count as never made. A retraction is final, and on record.

    Nothing is deleted: the retraction is added, with its author, time and reason. Report the right
    values under another id. A report in a closed period is corrected in the open one; a note says so.
    When an id was never reported, nothing is retracted.

    While the platform runs, it is told, with the key in INFERWORKS_API_KEY (made with:
    inferworks keys create --report SOURCE).

    \b
    Examples:
      inferworks usage retract --source gateway-b --id req-17 --reason "sent by a test"
      inferworks usage retract --source slurm --since 2026-11-20 --reason "wrong cluster"
    """
    if not (ids or since or until or everything):
        raise click.UsageError("say what: --id, --since, --until or --all")
    if everything and (ids or since or until):
        raise click.UsageError("--all is every report of the source; give it, or which ones")
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise click.BadParameter(f"1 to {LONGEST_REASON} characters", param_hint="--reason")
    start_ns, end_ns = moments(since, until)
    folder = data_folder(config_path, data_path)
    found = retract_reports(
        folder, source, reason.strip(), ids=ids, start_ns=start_ns, end_ns=end_ns
    )
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    more = f"; {found.before} had been before" if found.before else ""
    say(f"{counted(found.retracted, 'report')} of {source} retracted{more}.")
    for note in found.notes:
        say(f"Note: {note}", err=True)
