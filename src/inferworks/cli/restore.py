"""`inferworks restore`: a data folder made of a backup, verified before it is put in place."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from inferworks.cli.options import FilePath, config_option, data_option, json_option, read_config
from inferworks.cli.scrub import show_parts
from inferworks.cli.show import counted, iso, print_json, say
from inferworks.clock import SystemClock
from inferworks.wiring.restore import Restored
from inferworks.wiring.restore import restore as restore_backup


@click.command()
@click.argument("backup", type=FilePath(files=False))
@click.option(
    "--replace", is_flag=True, help="Replace a data folder; it is kept beside the new one."
)
@config_option
@data_option
@json_option
def restore(
    backup: Path, replace: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Make the data folder of BACKUP, which inferworks backup has made.

    The copy is made beside the folder and read whole: checksums of every file and row, the chain of the
    audit log, the seals of closed periods. Only then is it put in place, at once: killed at any moment, the
    command has done everything or nothing. The folder must be new or empty, or --replace be given and no
    gateway run on it. The exit status is 1 when something is damaged; then nothing is put in place.

    \b
    Examples:
      inferworks restore /mnt/backup/2026-11-29 --data /srv/inferworks/data
      inferworks restore /mnt/backup/2026-11-29 --replace --json
    """
    config = read_config(config_path, data_path)
    to, lake_url = Path(config.data.folder), config.lake.url
    done = restore_backup(backup, to, SystemClock(), lake_url=lake_url, replace=replace)
    if as_json:
        print_json(_as_json(done))
    else:
        show_parts(done.parts)
        _say(done, bool(config.store.url))
    if not done.sound:
        sys.exit(1)


def _say(done: Restored, shares: bool) -> None:
    """Say what was done, and what to see to before the start."""
    listed = done.backup
    if not done.sound:
        say(f"nothing was put at {done.data}; restore another backup")
        return
    say(f"restored  {done.data}: {counted(len(listed.files), 'file')} as of {iso(listed.made_ns)}")
    if done.kept:
        say(f"kept      {done.kept}: what was there before")
    if done.slices:
        what = f"{counted(done.slices, 'slice')} of running gateways"
        say(f"limits    {what} count as used in full, since more may be spent of them")
    if listed.lake_url:
        say(f"lake      {listed.lake_url} is not in the backup, and must be as new as it")
    if listed.store_url and not shares:
        say(f"store     {listed.store_url} was shared: set store.url, or limits begin anew")
    if done.ships_as:
        say(
            f"ships as  {done.ships_as}: stop the gateway that this is a copy of. If the hub has newer "
            "records, it says so; then: inferworks ship restart"
        )
    say(f"start it with: inferworks up --data {done.data}")


def _as_json(done: Restored) -> dict[str, object]:
    listed = done.backup
    return {
        "sound": done.sound,
        "parts": done.parts,
        "data": done.data,
        "files": len(listed.files),
        "bytes": sum(file.bytes for file in listed.files.values()),
        "made_at": iso(listed.made_ns),
        "made_by": listed.program,
        "source": listed.source,
        "lake_url": listed.lake_url,
        "store_url": listed.store_url,
        "kept": done.kept,
        "slices_counted_as_used": done.slices,
        "ships_as": done.ships_as,
    }
