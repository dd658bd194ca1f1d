"""`inferworks usage`: import usage of other systems, list it, retract it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from inferworks.books.bills.base import BillFile, bill_files, bytes_of, refuse
from inferworks.books.bills.detect import understood
from inferworks.books.bills.mapping import shipped
from inferworks.books.bills.reports import kind_of, read_reports
from inferworks.books.bills.sense import after_tomorrow_ns
from inferworks.books.calendar.moments import utc_text
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.import_result import conflict_text, no_rows_text
from inferworks.books.workspace.late_lines import late_lines, late_reports
from inferworks.books.workspace.sources import source_files
from inferworks.cli.books.dates import moments
from inferworks.cli.books.format_options import format_options
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.cli.watch import watched
from inferworks.clock import SystemClock
from inferworks.errors import BillError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.meter.capacity import Activity
from inferworks.meter.events import (
    LONGEST_REASON,
    Reported,
    name_of,
    starts_ns,
)
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.reader import JournalReader
from inferworks.wiring.usage_reports import record_usage
from inferworks.wiring.usage_reports import retract_usage as retract_reports


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
    taken: dict[str, Received] = {}
    mappings = [mapping for mapping in shipped() if kind_of(mapping.of_kind.columns)]
    with source_files(files, lake_at, folder) as sources:
        refused, late = list(sources.problems), list(sources.notes)
        for file in sources.files:
            try:
                for bill in bill_files(file.name, bytes_of(file.path)):
                    read = understood(
                        bill, lambda header: kind_of(header) is not None, options.spelling, mappings
                    )
                    taken[bill.name] = _import_file(
                        read, source, folder, refused, late, skip_bad=skip_bad
                    )
            except BillError as error:
                refused.append(str(error))
    _print(taken, refused, late, as_json=as_json)
    for note in late:
        say(f"Note: {note}", err=True)
    conflicts = sum(received.conflict for received in taken.values())
    if conflicts:
        refused.append(conflict_text(conflicts))
    if refused:
        raise BillError("\n".join(refused))


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
    with JournalReader(folder.journal) as reader:
        found: list[dict[str, object]] = []
        if source is not None:
            found = _reports(reader, source)
        else:
            for one in reader.sources():
                reports = _reports(reader, one)
                starts = [str(report["start"]) for report in reports]
                found.append(
                    {
                        "source": one,
                        "reports": len(reports),
                        "retracted": sum(r["retracted"] is not None for r in reports),
                        "first": min(starts),
                        "last": max(starts),
                    }
                )
    if as_json:
        print_json(found)
    elif source is None:
        columns = ("SOURCE", "REPORTS", "RETRACTED", "FIRST", "LAST")
        print_table(columns, map(_row, found), right="REPORTS")
    else:
        print_table(("ID", "KIND", "CUSTOMER", "START", "RETRACTED"), map(_row, found))


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
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise click.BadParameter(f"1 to {LONGEST_REASON} characters", param_hint="--reason")
    start_ns, end_ns = moments(since, until)
    folder = data_folder(config_path, data_path)
    with JournalReader(folder.journal) as reader:
        chosen = _chosen(reader, source, ids, start_ns, end_ns)
        before = reader.known_retracted(map(name_of, chosen))
    notes = late_lines((one for one in chosen if name_of(one) not in before), folder)
    taken = retract_reports([name_of(report) for report in chosen], reason.strip(), folder)
    if as_json:
        print_json({"retracted": taken.accepted, "before": taken.duplicate, "notes": notes})
        return
    more = f"; {taken.duplicate} had been before" if taken.duplicate else ""
    say(f"{counted(taken.accepted, 'report')} of {source} retracted{more}.")
    for note in notes:
        say(f"Note: {note}", err=True)


def _import_file(
    bill: BillFile,
    source: str,
    folder: DataFolder,
    refused: list[str],
    late: list[str],
    *,
    skip_bad: bool,
) -> Received:
    """Import one file; unreadable rows are refused, or with `skip_bad` noted.

    New rows for a closed period are noted in `late`.
    """
    with watched(bill) as rows_read:
        until_ns = after_tomorrow_ns(SystemClock().now_ns())
        reports, problems = read_reports(bill, source, rows_read, until_ns)
    if not skip_bad:
        refuse(problems)
    texts = late_reports(reports, folder)
    received = record_usage(reports, folder)
    late.extend(bill.remarks)
    if not (reports or problems):
        late.append(no_rows_text(bill.name))
    late.extend(f"{bill.name}: {text}" for text in texts)
    if bill.mapping and bill.mapping.note:
        late.append(f"{bill.name}: {bill.mapping.title}: {bill.mapping.note}")
    rejected = len({problem.line for problem in problems})
    refused.extend(map(str, problems))
    return received + Received(rejected, 0, 0, 0, rejected)


def _chosen(
    reader: JournalReader,
    source: str,
    ids: Sequence[str],
    start_ns: int | None,
    end_ns: int | None,
) -> list[Reported]:
    """The reports of `source` that are meant. UserError when one of `ids` is none, or there are none."""
    reports = {name_of(report)[1]: report for report in reader.reported(source)}
    unknown = [id_ for id_ in ids if id_ not in reports]
    if unknown or not reports:
        what = ", ".join(map(repr, unknown[:5])) or "anything"
        raise UserError(
            f"{source!r} never reported {what}, so nothing is retracted; see: inferworks usage list"
        )
    return [
        report
        for id_, report in reports.items()
        if (not ids or id_ in ids)
        and (start_ns is None or starts_ns(report) >= start_ns)
        and (end_ns is None or starts_ns(report) < end_ns)
    ]


def _reports(reader: JournalReader, source: str) -> list[dict[str, object]]:
    """Return the reports of `source`."""
    reports = list(reader.reported(source))
    retracted = reader.known_retracted(map(name_of, reports))
    return [
        {
            "id": name_of(report)[1],
            "kind": "activity" if isinstance(report, Activity) else "call",
            "customer": report.customer,
            "start": utc_text(starts_ns(report)),
            "retracted": msgspec.to_builtins(retracted.get(name_of(report))),
        }
        for report in reports
    ]


def _row(values: Mapping[str, object]) -> list[str]:
    """Return the cells of a source or of a report."""
    return [
        f"by {value['by']}: {value['reason']}"
        if isinstance(value, Mapping)
        else str("" if value is None else value)
        for value in values.values()
    ]


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
