"""`inferworks books import`: import bills, time sheets, payroll and other costs."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from inferworks.books.workspace.import_options import ImportOptions
from inferworks.cli.books.format_options import format_options
from inferworks.cli.books.opening import print_note, workspace_of
from inferworks.cli.options import FilePath, config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table
from inferworks.cli.watch import watched


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--mapping",
    "mapping_path",
    metavar="FILE",
    type=FilePath(),
    help="Mapping of the columns, for files of unknown form.",
)
@click.option("--part", is_flag=True, help="Count a file that overlaps another beside it.")
@click.option("--replace", is_flag=True, help="Replace imported lines of the same days.")
@format_options
@config_option
@data_option
@json_option
def import_bills(
    files: tuple[str, ...],
    mapping_path: Path | None,
    part: bool,
    replace: bool,
    options: ImportOptions,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Import costs: bills, time sheets, payroll and the like.

    CSV, JSON or Parquet, as it is or packed (gzip, zstd, zip); a file, a folder, a pattern or the URL of
    an object store (s3://, gs://, az://). The header decides the kind: FOCUS bills (1.0 to 1.4), time
    sheets, payroll, depreciation schedules, vouchers, metered storage, and exchange rates, which are
    imported before the rest. docs/costs-in.md shows the columns of each. The exports of many clouds, model
    providers and time trackers are recognised too (docs/mappings.md); for any other file, --mapping maps
    its columns, and `inferworks books map` drafts such a mapping.

    The formats of numbers and dates are detected from the file. If they are ambiguous (11/1/2026, 1,234),
    the file is refused, with the option that decides.

    A file is imported whole or not at all, and the same lines twice count once, in whatever form. A longer
    export of the month to date replaces the one before. A file that overlaps another, where it is unclear
    whether both count, is refused with the amount under each answer: --part or --replace. A line for a
    closed period is imported and corrects the open one; a note says which.

    \b
    Examples:
      inferworks books import aws-2026-11.parquet
      inferworks books import rates.csv bills/*.csv.gz timesheet.csv
      inferworks books import s3://company-bills/focus/2026-11/
      inferworks books import --decimal-mark , --dates DMY payroll.csv
      inferworks books import --replace a-cloud-2026-11-corrected.csv

    \b
    A time sheet names a node or an activity in each line:
      person,start,end,minutes,node,activity,pay,currency,sheet
      ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,gpu-3,,32.00,USD,2026-47
    """
    if part and replace:
        raise click.UsageError("--part and --replace are two answers; give one of them")
    overlap = "part" if part else "replace" if replace else ""
    answers = msgspec.structs.replace(options, mapping=mapping_path, overlap=overlap)
    result = workspace_of(config_path, data_path).import_bills(files, answers, watched)
    if as_json:
        print_json(result)
    elif result.files:
        columns = ("FILE", "KIND", "NEW", "DUPLICATE", "AMOUNT", "CURRENCY")
        rows = [
            (
                file.file,
                f"{file.kind} ({file.mapping})" if file.mapping else file.kind,
                str(file.accepted),
                str(file.duplicate),
                file.amount,
                file.currency,
            )
            for file in result.files
        ]
        print_table(columns, rows, right="NEW DUPLICATE AMOUNT")
    for note in result.notes:
        print_note(note)
    result.raise_for_refused()
