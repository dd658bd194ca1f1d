"""`inferworks lake`: archive old rows, show the lake, check it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.closing.inputs import SEGMENTS
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import Close
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.config import Config
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.meter.archive.compact import Group, compact, groups_of, prune
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import Segment, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import LAKE_TABLES
from inferworks.meter.archive.seal import seal_all, sum_up
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.detect import lake_at
from inferworks.redact import redacted
from inferworks.units import NS_PER_SECOND


@click.group()
def lake() -> None:
    """Keep old rows of the journal as Parquet files."""


@lake.command("seal")
@click.option(
    "--before", metavar="DATE", help="Archive rows that ended before this day or moment (UTC)."
)
@click.option("--all", "everything", is_flag=True, help="Archive all rows that have ended.")
@config_option
@data_option
@json_option
def seal_now(
    before: str | None,
    everything: bool,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Move old rows from the journal into the lake, each exactly once.

    Without options, rows older than lake.seal_after_s. A running platform does so by itself, every
    lake.seal_s, and locks the journal: use this command when it is stopped.

    \b
    Examples:
      inferworks lake seal
      inferworks lake seal --before 2026-11-01
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    before_ns = _bound(config, before, everything=everything)
    journals = _journals(folder)
    instance = folder.instance()
    if instance is not None:
        raise DataFolderError(
            f"the platform is running (process {instance.pid}) and seals by itself, every lake.seal_s; "
            "stop it to seal by hand"
        )
    with folder.hold():
        sealed = seal_all(journals, _lake(config, folder), before_ns)
    if as_json:
        print_json({"rows": sealed.rows, "bytes": sealed.bytes, "segments": sealed.segments})
    elif not sealed.segments:
        say("nothing to seal")
    else:
        columns = ("TABLE", "DAY", "ROWS", "BYTES")
        rows = [(s.table, s.day, f"{s.rows:,}", f"{s.bytes:,}") for s in sealed.segments]
        print_table(columns, rows, right="ROWS BYTES")


@lake.command()
@config_option
@data_option
@json_option
def status(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show the rows in the lake, and those not archived yet."""
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    store = _lake(config, folder)
    segments = read_manifest(store).segments
    with JournalsReader(folder.written_journals()) as reader:
        unsealed = reader.unsealed_counts()
    rows: dict[str, dict[str, int | str | None]] = {}
    for name in LAKE_TABLES:
        own = [segment for segment in segments if segment.table == name]
        rows[name] = {
            "segments": len(own),
            "rows": sum(segment.rows for segment in own),
            "bytes": sum(segment.bytes for segment in own),
            "first_day": min((segment.day for segment in own), default=None),
            "last_day": max((segment.day for segment in own), default=None),
            "unsealed_rows": unsealed.get(name, 0),
        }
    if as_json:
        print_json({"lake": redacted(store.url), "tables": rows})
        return
    say(f"lake {redacted(store.url)}")
    columns = ("TABLE", "SEGMENTS", "ROWS", "BYTES", "FIRST DAY", "LAST DAY", "UNSEALED")
    table = [
        (name, *(f"{v:,}" if isinstance(v, int) else v or "-" for v in row.values()))
        for name, row in rows.items()
    ]
    print_table(columns, table, right="SEGMENTS ROWS BYTES UNSEALED")


@lake.command()
@click.option("--sums", is_flag=True, help="Compute the sums by day again, from the rows.")
@config_option
@data_option
@json_option
def verify(sums: bool, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Verify the manifest and every file of the lake, and name what differs.

    The manifest's entries are computed again from the segments, and its newest commit is compared with the
    one that the journal knows. The exit status is 1 when something is wrong.

    \b
    Examples:
      inferworks lake verify
      inferworks lake verify --sums
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    store = _lake(config, folder)
    found = LakeReader(store, *folder.journals()).verify(sums=sums)
    if as_json:
        print_json(found)
    else:
        say(
            f"{counted(found.commits, 'commit')}, {counted(found.segments, 'segment')}, "
            f"{counted(found.rows, 'row')}, sums in {counted(found.sums, 'file')}, "
            f"{counted(found.bytes, 'byte')} read"
        )
        if found.unchecked:
            say(
                f"Without a checksum, as of before there were any: {counted(found.unchecked, 'commit')}"
            )
        for finding in found.findings:
            say(f"WRONG {finding.what}")
        if found.unnamed:
            files = counted(len(found.unnamed), "file")
            say(f"{files} of no commit (harmless; see --json)")
        if not found.findings:
            say("everything is as it was sealed")
    if found.findings:
        sys.exit(1)


@lake.command("sums")
@click.option("--anew", is_flag=True, help="Replace existing sums, too: for wrong ones.")
@config_option
@data_option
@json_option
def sum_days(anew: bool, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Write the sums by day that files of the lake lack.

    Archiving writes them since this version; an older lake is read without them, only slower. May run
    beside the platform, and may be stopped: sums written so far stay.

    \b
    Examples:
      inferworks lake sums
      inferworks lake sums --anew
    """
    config = read_config(config_path, data_path)
    store = _lake(config, DataFolder(Path(config.data.folder)))

    def progress(segment: Segment, done: int, of: int) -> None:
        say(f"{done + 1} of {of}: {segment.table} of {segment.day}", err=True)

    written = sum_up(store, anew=anew, progress=progress)
    if as_json:
        print_json({"files": len(written), "bytes": sum(sums.bytes for sums in written)})
    elif not written:
        say("every file has its sums")
    else:
        size = sum(sums.bytes for sums in written)
        say(f"{len(written):,} files of sums written, {size:,} bytes")


@lake.command("compact")
@click.option(
    "--dry-run", is_flag=True, help="Show the files that would be compacted, and do nothing."
)
@config_option
@data_option
@json_option
def compact_now(
    dry_run: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Put the small files of each day together, so that statements open fewer.

    Files of closed periods are left as they are, so compact before closing. May run beside the platform;
    may be stopped, and days compacted so far stay so. Replaced files stay until lake prune.

    \b
    Examples:
      inferworks lake compact --dry-run
      inferworks lake compact && inferworks books close 2026-11
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    store = _lake(config, folder)
    with folder.keep_lake(changing=True):
        with JournalsReader(_journals(folder)) as reader:
            journals = reader.seals()
        kept = _named_by_closes(config)
        if dry_run:
            _print_groups(groups_of(read_manifest(store), journals, kept), as_json=as_json)
            return
        done = compact(store, journals, kept, SystemClock().now_ns(), progress=_progress)
    size = [sum(segment.bytes for segment in some) for some in (done.before, done.after)]
    if as_json:
        print_json(
            {
                "files_before": len(done.before),
                "files_after": len(done.after),
                "bytes_before": size[0],
                "bytes_after": size[1],
            }
        )
    elif not done.after:
        say("nothing to compact")
    else:
        say(
            f"{len(done.before):,} files of {size[0]:,} bytes became {len(done.after):,} of "
            f"{size[1]:,}; remove the old ones later with: inferworks lake prune"
        )


@lake.command("prune")
@click.option(
    "--older-than",
    metavar="HOURS",
    type=click.FloatRange(0),
    default=24.0,
    show_default=True,
    help="Only files replaced so long ago: a reader may still have later ones open.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show the files that would be removed, and do nothing."
)
@config_option
@data_option
@json_option
def prune_now(
    older_than: float,
    dry_run: bool,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Remove files of the lake that compaction has replaced.

    Files in use, and files of closed periods, are never removed.

    \b
    Examples:
      inferworks lake prune
      inferworks lake prune --older-than 1
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    store = _lake(config, folder)
    before_ns = SystemClock().now_ns() - round(older_than * 3600 * NS_PER_SECOND)
    with folder.keep_lake(changing=True):
        kept = _named_by_closes(config)
        names = prune(store, kept, before_ns, dry_run=dry_run)
    if as_json:
        print_json({"removed": [] if dry_run else names, "prunable": names})
    elif not names:
        say("nothing to remove")
    else:
        say(f"{len(names):,} files {'can be' if dry_run else 'were'} removed")


def _progress(group: Group, done: int, of: int) -> None:
    say(
        f"{done + 1} of {of}: {len(group.segments)} files, {group.rows:,} rows of {group.table}, "
        f"{group.day}",
        err=True,
    )


def _print_groups(groups: Sequence[Group], *, as_json: bool) -> None:
    if as_json:
        print_json([{"table": g.table, "day": g.day, "segments": g.segments} for g in groups])
    elif not groups:
        say("nothing to compact")
    else:
        rows = [(g.table, g.day, str(len(g.segments)), f"{g.rows:,}") for g in groups]
        print_table(("TABLE", "DAY", "FILES", "ROWS"), rows, right="FILES ROWS")


def _named_by_closes(config: Config) -> set[str]:
    """The segments that a close, one that was reopened too, refers to."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.ledger.exists():
        return set()
    with Ledger(folder.ledger, read_only=True) as ledger:
        return {
            segment.name
            for close in ledger.records()
            if isinstance(close, Close)
            for part in close.parts
            if part.name.endswith(SEGMENTS)
            for segment in ledger.body(close, part.name).rows(Segment)
        }


def _journals(folder: DataFolder) -> list[Path]:
    """The paths of the journals; DataFolderError where there is none."""
    if not folder.journal.exists():
        raise DataFolderError(f"there is no journal {folder.journal}; name the folder with --data")
    return folder.written_journals()


def _lake(config: Config, folder: DataFolder) -> LakeStore:
    return lake_at(config.lake.url or str(folder.lake))


def _bound(config: Config, before: str | None, *, everything: bool) -> int:
    """The moment before which rows are sealed."""
    now_ns = SystemClock().now_ns()
    if everything and before:
        raise click.UsageError("--all and --before exclude each other")
    if everything:
        return now_ns
    if before is None:
        return now_ns - round(config.lake.seal_after_s * NS_PER_SECOND)
    try:
        return min(parse_moment_ns(before), now_ns)
    except ValueError as error:
        raise click.BadParameter(f"--before {before!r}: {error}") from error
