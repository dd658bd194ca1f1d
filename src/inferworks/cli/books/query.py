"""Options of a command of the books for its span and its rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from inferworks.cli.options import config_option, data_option, json_option

Command = TypeVar("Command", bound=Callable[..., Any])


def query_options(command: Command) -> Command:
    """Add `--period`, `--from`, `--to`, `--policy`, `--pools`, `--settings`, `--data`, `--json`."""
    for option in reversed((*_SPAN, _POLICY, _POOLS, config_option, data_option, json_option)):
        command = option(command)
    return command


def query_options_without_policy(command: Command) -> Command:
    """Add the same options without `--policy`."""
    for option in reversed((*_SPAN, _POOLS, config_option, data_option, json_option)):
        command = option(command)
    return command


_SPAN = (
    click.option(
        "--period",
        metavar="PERIOD",
        help="A month (2026-11), or START..END.  [default: the newest]",
    ),
    click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC)."),
    click.option("--to", "to_text", metavar="DATE", help="Day or moment to stop before (UTC)."),
)
_POLICY = click.option(
    "--policy", metavar="NAME", help="gaap, marginal, full, or a TOML file.  [default: gaap]"
)
_POOLS = click.option(
    "--pools",
    "pools_path",
    type=click.Path(path_type=Path),
    help="Rules for cost pools, instead of the shipped ones.",
)
