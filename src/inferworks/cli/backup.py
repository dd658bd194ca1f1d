"""`inferworks backup`: a copy of the data folder, also of one in use, that was read whole."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.cli.options import FilePath, config_option, data_option, json_option, read_config
from inferworks.cli.scrub import show
from inferworks.clock import SystemClock
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.detect import lake_at
from inferworks.wiring.backup import back_up
from inferworks.wiring.scrub import scrub


@click.command()
@click.argument("to", type=FilePath())
@config_option
@data_option
@json_option
def backup(to: Path, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Copy the data folder to TO, a new folder, and read the copy whole.

    A platform may run meanwhile. `inferworks restore` makes a data folder of it again. A lake elsewhere
    (lake.url) and a shared database (store.url) are not in it. The exit status is 1 when something in the
    copy is damaged.

    \b
    Examples:
      inferworks backup /mnt/backup/2026-11-29
    """
    config = read_config(config_path, data_path)
    folder, copy = DataFolder(Path(config.data.folder)), DataFolder(to)
    if not folder.path.is_dir():
        raise DataFolderError(f"there is no data folder {folder.path}; name it with --data")
    url = config.lake.url
    back_up(folder, copy, SystemClock(), lake_url=url, store_url=config.store.url)
    show(scrub(copy, lake_at(url or str(copy.lake)), thorough=True), as_json=as_json)
