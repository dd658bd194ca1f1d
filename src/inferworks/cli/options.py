"""Options shared by several commands, and the location of the data folder."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from inferworks.cli.rights import check_command
from inferworks.config import Config, load
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.units import NS_PER_SECOND

DEFAULT_REPORT = Path("inferworks-report.html")
"""Default path of a report."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Command = TypeVar("Command", bound=Callable[..., Any])


class FilePath(click.Path):
    """Path of a file or folder as a `Path`; an empty one, as of a variable that is not set, is refused."""

    def __init__(self, *, files: bool = True, folders: bool = True) -> None:
        super().__init__(file_okay=files, dir_okay=folders, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path that `value` names."""
        if not str(value).strip():
            self.fail("it is empty; check the variable that it came from", param, ctx)
        return super().convert(value, param, ctx)


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    return click.option(
        "--config",
        "config_path",
        type=FilePath(folders=False),
        help="Configuration file.  [default: inferworks.toml, if there]",
    )(command)


def data_option(command: Command) -> Command:
    """`--data FOLDER`."""
    return click.option(
        "--data",
        "data_path",
        type=FilePath(files=False),
        help="Data folder.  [default: ./inferworks-data, or as configured]",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(
        command
    )


def free_place(path: Path) -> Path:
    """Return `path`, or if it exists the first free one of `path-2`, `path-3`, ...

    For a file without a chosen name, so that nothing is overwritten unasked.
    """
    places = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return next(place for place in itertools.chain([path], places) if not place.exists())


def read_config(config_path: Path | None, data_path: Path | None = None) -> Config:
    """Return the configuration, with the data folder that the command line names.

    RoleError when a member is named who may not give the command that runs (`cli.rights`).
    """
    config = load(config_path, os.environ)
    if data_path is not None:
        data = config.data.__class__(folder=str(data_path))
        config = msgspec.structs.replace(config, data=data)
    check_command(config)
    return config


def data_folder(config_path: Path | None, data_path: Path | None) -> DataFolder:
    """The data folder that a command works on."""
    return DataFolder(Path(read_config(config_path, data_path).data.folder))


def moment_ns(text: str, option: str) -> int:
    """The moment that `option` names, in nanoseconds; UserError when it is none."""
    # imported here: commands without moments load no books
    from inferworks.books.calendar.moments import parse_moment_ns

    try:
        return parse_moment_ns(text.removesuffix(" UTC"))
    except ValueError as error:
        raise UserError(f"{option} {text[:60]!r}: {error}") from None


def duration_ns(text: str, option: str) -> int:
    """The length of time that `option` names, in nanoseconds; UserError when it is none."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise UserError(f"{option} {text[:60]!r}: no length of time; write 30m, 24h or 90d")
    return int(found[1]) * _SECONDS[found[2]] * NS_PER_SECOND


def end_ns(text: str, option: str, now_ns: int) -> int:
    """The moment after `now_ns` that `option` names, or that is so long after it; UserError for none."""
    is_length = re.fullmatch(r"\d+[a-z]", text.strip()) is not None
    at_ns = now_ns + duration_ns(text, option) if is_length else moment_ns(text, option)
    if at_ns <= now_ns:
        raise UserError(f"{option} {text[:60]!r} is over already")
    return at_ns
