"""`inferworks scrub`: read everything on disk again, and name the damage."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table, say
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.scrub import Piece
from inferworks.meter.scrub import set_aside as set_damaged_aside
from inferworks.wiring.scrub import Scrubbed, summed
from inferworks.wiring.scrub import scrub as scrub_all

_SAY_EVERY_ROWS = 100_000


@click.command()
@click.option(
    "--set-aside",
    is_flag=True,
    help="First move damaged rows of the journal into its quarantine; the platform must be stopped.",
)
@config_option
@data_option
@json_option
def scrub(set_aside: bool, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Verify the checksums of everything on disk, and name what is damaged.

    Each row, file and page of the journal, the in-flight log, the lake, accounts, books and ledger is
    compared with its checksum. A running platform does the same continuously, at a low rate. The exit
    status is 1 when something is damaged; docs/backup.md says what to do then.
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    if not folder.path.is_dir():
        raise DataFolderError(f"there is no data folder {folder.path}; name it with --data")
    lake = lake_at(config.lake.url or str(folder.lake))
    if set_aside:
        with folder.hold():
            for journal in folder.journals():
                for reason in set_damaged_aside(journal):
                    say(f"SET ASIDE {reason}", err=True)
    show(scrub_all(folder, lake, thorough=True), as_json=as_json)


def show(pieces: Iterable[Piece], *, as_json: bool) -> None:
    """Print the results of `pieces`, and exit with status 1 when something is damaged."""
    parts = summed(_told(pieces))
    is_sound = not any(part.findings for part in parts)
    if as_json:
        print_json({"sound": is_sound, "parts": parts})
    else:
        show_parts(parts)
    if not is_sound:
        sys.exit(1)


def show_parts(parts: Sequence[Scrubbed]) -> None:
    """Print what was read of each part, and what is damaged."""
    rows = [
        (p.part, f"{p.rows:,}", f"{p.bytes:,}", f"{p.unchecked:,}", f"{len(p.findings):,}")
        for p in parts
    ]
    columns = ("PART", "ROWS", "BYTES", "UNCHECKED", "DAMAGED")
    print_table(columns, rows, right="ROWS BYTES UNCHECKED DAMAGED")
    findings = [finding for part in parts for finding in part.findings]
    for finding in findings:
        say(f"WRONG {finding}")
    if not findings:
        say("everything is what was written")


def _told(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield `pieces`, with progress on standard error now and then in a terminal."""
    rows, next_word = 0, _SAY_EVERY_ROWS
    for piece in pieces:
        yield piece
        rows += piece.rows
        if rows >= next_word and sys.stderr.isatty():
            say(f"{piece.part}: {rows:,} rows read", err=True)
            next_word = rows + _SAY_EVERY_ROWS
