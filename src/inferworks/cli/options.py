"""Options that several commands share, and how a command finds its data folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from inferworks.config import Config, load
from inferworks.folder import DataFolder

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file.  [default: inferworks.toml, if there]",
    )(command)


def data_option(command: Command) -> Command:
    """`--data FOLDER`."""
    return click.option(
        "--data",
        "data_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="Data folder.  [default: ./inferworks-data, or as configured]",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(
        command
    )


def read_config(config_path: Path | None, data_path: Path | None = None) -> Config:
    """The configuration, with the data folder that the command line names."""
    config = load(config_path, os.environ)
    if data_path is None:
        return config
    return msgspec.structs.replace(config, data=config.data.__class__(folder=str(data_path)))


def data_folder(config_path: Path | None, data_path: Path | None) -> DataFolder:
    """The data folder that a command works on."""
    return DataFolder(Path(read_config(config_path, data_path).data.folder))
