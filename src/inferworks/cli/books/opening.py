"""Workspace of the data folder that the options of a command name."""

from __future__ import annotations

from pathlib import Path

from inferworks.books.workspace.workspace import Workspace
from inferworks.cli.options import read_config
from inferworks.cli.show import say
from inferworks.wiring.books import book_settings


def workspace_of(config_path: Path | None, data_path: Path | None) -> Workspace:
    """Return the workspace of `--config` and `--data`; its notes go to standard error."""
    return Workspace(book_settings(read_config(config_path, data_path)), print_note)


def print_note(text: str) -> None:
    """Print a note on standard error."""
    say(f"Note: {text}", err=True)
