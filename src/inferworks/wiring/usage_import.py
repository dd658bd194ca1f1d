"""Usage of other systems, imported from files by the running gateway, or right here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferworks.books.bills.base import BillFile, bill_files, bytes_of, refuse
from inferworks.books.bills.detect import understood
from inferworks.books.bills.mapping import shipped
from inferworks.books.bills.reports import kind_of, read_reports
from inferworks.books.bills.sense import after_tomorrow_ns
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.import_result import conflict_text, no_rows_text
from inferworks.books.workspace.importing import Watch, unwatched
from inferworks.books.workspace.late_lines import late_reports
from inferworks.books.workspace.sources import source_files
from inferworks.clock import SystemClock
from inferworks.errors import BillError
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.meter.lakes.detect import lake_at
from inferworks.wiring.usage_reports import record_usage


class ImportedUsage(msgspec.Struct):
    """Result of an import of usage: what became of the rows of each file, what was refused, and notes."""

    files: dict[str, Received] = {}
    refused: list[str] = []
    notes: list[str] = []


def import_usage(
    files: Sequence[str],
    folder: DataFolder,
    *,
    source: str = "import",
    options: ImportOptions,
    skip_bad: bool = False,
    watch: Watch = unwatched,
) -> ImportedUsage:
    """Import calls, machine time and stored bytes from files, folders, patterns or URLs.

    `source` is that of rows which name none. A file with rows that cannot be read is refused, or with
    `skip_bad` these rows; the files beside it are imported all the same. New rows for a closed period
    are in the notes. UserError as `record_usage` has it.
    """
    imported = ImportedUsage()
    mappings = [mapping for mapping in shipped() if kind_of(mapping.of_kind.columns)]
    with source_files(files, lake_at, folder) as sources:
        imported.refused += sources.problems
        imported.notes += sources.notes
        for file in sources.files:
            try:
                for bill in bill_files(file.name, bytes_of(file.path)):
                    read = understood(
                        bill, lambda header: kind_of(header) is not None, options.spelling, mappings
                    )
                    _import_file(read, source, folder, imported, skip_bad=skip_bad, watch=watch)
            except BillError as error:
                imported.refused.append(str(error))
    conflicts = sum(received.conflict for received in imported.files.values())
    if conflicts:
        imported.refused.append(conflict_text(conflicts))
    return imported


def _import_file(
    bill: BillFile,
    source: str,
    folder: DataFolder,
    imported: ImportedUsage,
    *,
    skip_bad: bool,
    watch: Watch,
) -> None:
    with watch(bill) as rows_read:
        until_ns = after_tomorrow_ns(SystemClock().now_ns())
        reports, problems = read_reports(bill, source, rows_read, until_ns)
    if not skip_bad:
        refuse(problems)
    late = late_reports(reports, folder)  # of rows that are new, so before they are recorded
    received = record_usage(reports, folder)
    imported.notes += bill.remarks
    if not (reports or problems):
        imported.notes.append(no_rows_text(bill.name))
    imported.notes += (f"{bill.name}: {text}" for text in late)
    if bill.mapping and bill.mapping.note:
        imported.notes.append(f"{bill.name}: {bill.mapping.title}: {bill.mapping.note}")
    imported.refused += map(str, problems)
    rejected = len({problem.line for problem in problems})
    imported.files[bill.name] = received + Received(rejected, 0, 0, 0, rejected)
