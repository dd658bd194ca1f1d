"""The books that the options of a command name."""

from __future__ import annotations

from pathlib import Path

from inferworks.books.workspace.settings import Settings
from inferworks.cli.options import read_config
from inferworks.wiring.books import book_settings


def read_settings(config_path: Path | None, data_path: Path | None) -> Settings:
    """Return the settings of the books that `--config` and `--data` name. ConfigError for a bad one."""
    return book_settings(read_config(config_path, data_path))
